# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in the repository names a machine that it was made on, or a host to download from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

REGISTRIES = [
    rb"registry\.npmjs\.",
    rb"registry\.yarnpkg\.",
    rb"\bpypi\.(org|python)\b",
    rb"pythonhosted\.",
    rb"deb\.debian\.",
    rb"security\.debian\.",
    rb"(docker|ghcr|quay)\.io\b",
]


def machine_paths() -> list[bytes]:
    """Return patterns for this checkout, the caller's version manager, and other people's homes and checkouts."""
    patterns = [rb"\.pyenv/versions/[0-9]", rb"/Users/[a-z]"]
    if len(ROOT.parts) > 2:
        patterns.append(rb"(?<![\w.])" + re.escape(os.fsencode(ROOT)) + rb"\b")
    return patterns


FORBIDDEN = re.compile(b"|".join(REGISTRIES + machine_paths()))


def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def test_no_registry_host_and_no_path_of_a_machine() -> None:
    found = []
    for name in files():
        path = ROOT / name
        # The patterns themselves are in here.
        if path.is_symlink() or not path.is_file() or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if match := FORBIDDEN.search(line):
                found.append(f"{name}:{number}: {match[0]!r}")
    assert found == []


@pytest.mark.parametrize("lock", [name for name in files() if Path(name).name == "package-lock.json"])
def test_npm_locks_carry_hashes_and_no_addresses(lock: str) -> None:
    content = (ROOT / lock).read_text(encoding="utf-8")
    assert '"resolved": "http' not in content, "make it with omit-lockfile-registry-resolved"
    assert '"integrity": "sha512-' in content


def test_the_patterns_match() -> None:
    assert FORBIDDEN.search(b"index-url = https://" + b"pypi" + b".org/simple")
    if len(ROOT.parts) > 2:
        assert FORBIDDEN.search(os.fsencode(ROOT / "roles"))
    assert not FORBIDDEN.search(b"https://github.com/failclosed/openclaw")
