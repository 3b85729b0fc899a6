# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relative links in the Markdown files lead to files and headings that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]

LINK = re.compile(r"(?<!\\)\[(?:[^\]\\]|\\.)*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def markdown_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def anchors_of(text: str) -> set[str]:
    """Return the fragments that GitHub makes from headings, and explicit anchors."""
    found: set[str] = set(ANCHOR.findall(text))
    seen: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def broken_links(source: Path, root: Path) -> list[str]:
    text = source.read_text(encoding="utf-8")
    broken = []
    for target in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _separator, fragment = unquote(target).partition("#")
        file = (source.parent / path).resolve() if path else source
        if not file.exists():
            broken.append(f"{target}: there is no such file")
        elif not file.is_relative_to(root.resolve()):
            broken.append(f"{target}: leads out of the repository")
        elif fragment and file.suffix == ".md" and fragment not in anchors_of(file.read_text(encoding="utf-8")):
            broken.append(f"{target}: there is no such heading")
    return broken


@pytest.mark.parametrize("name", markdown_files())
def test_links_lead_somewhere(name: str) -> None:
    assert broken_links(ROOT / name, ROOT) == []


def test_broken_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# Twice\n# Twice\n")
    source = tmp_path / "source.md"
    source.write_text(
        "# A `heading`, here\n[a](#a-heading-here) [b](there.md#twice-1) [c](https://example.com)\n"
        "[d](gone.md) [e](#nowhere) [f](there.md#twice-2) [g](..)\n`[h](gone.md)`\n```\n[i](gone.md)\n```\n"
    )
    assert broken_links(source, tmp_path) == [
        "gone.md: there is no such file",
        "#nowhere: there is no such heading",
        "there.md#twice-2: there is no such heading",
        "..: leads out of the repository",
    ]
