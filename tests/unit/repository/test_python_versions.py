# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that runs on managed hosts runs on every Python that a supported host may have."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TARGET_CODE = sorted(
    str(path.relative_to(ROOT)) for folder in ("plugins", "roles") for path in (ROOT / folder).rglob("*.py")
)

COMPILE = """
import sys
for path in sys.stdin.read().split():
    with open(path, "rb") as stream:
        compile(stream.read(), path, "exec", dont_inherit=True)
"""


@functools.cache
def interpreters() -> dict[str, str]:
    """Return the path of each Python from 3.9 on, by version."""
    found = {f"3.{sys.version_info[1]}": sys.executable}
    for version in (f"3.{minor}" for minor in range(9, 15)):
        path = shutil.which(f"python{version}")
        # The shim of a version manager is there for versions that are not selected, and then fails.
        if path and subprocess.run([path, "-I", "-c", ""], capture_output=True, check=False).returncode == 0:
            found.setdefault(version, path)
    return found


@pytest.mark.parametrize("version", interpreters())
def test_every_file_compiles(version: str) -> None:
    assert TARGET_CODE
    run = subprocess.run(
        [interpreters()[version], "-I", "-W", "error", "-c", COMPILE],
        input="\n".join(TARGET_CODE),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def vermin(*files: str) -> subprocess.CompletedProcess[str]:
    """Fail on what Python 3.9 lacks. A variable named `file` is not Python 2's builtin."""
    command = [str(Path(sys.executable).with_name("vermin")), "--target=3.9-", "--no-tips", "--violations"]
    return subprocess.run(
        [*command, "--exclude", "file", *files], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def test_nothing_needs_more_than_python_3_9() -> None:
    run = vermin(*TARGET_CODE)
    assert run.returncode == 0, run.stdout + run.stderr


def test_newer_features_are_seen(tmp_path: Path) -> None:
    newer = tmp_path / "newer.py"
    newer.write_text("import tomllib\n")
    run = vermin(str(newer))
    assert run.returncode == 1, run.stdout
    assert "3.11" in run.stdout
