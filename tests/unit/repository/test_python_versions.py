# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that runs on managed hosts runs on every Python that a supported host may have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.tests.unit import python_interpreters
from ansible_collections.failclosed.openclaw.tests.unit.python_interpreters import (
    SUPPORTED,
    account_for_missing,
    interpreters,
)

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


def test_every_supported_python_is_here() -> None:
    account_for_missing()


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


@pytest.fixture
def only_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", str(tmp_path))
    interpreters.cache_clear()
    yield
    interpreters.cache_clear()


THIS = "{}.{}".format(*sys.version_info[:2])
OTHER = next(version for version in SUPPORTED if version != THIS)


@pytest.mark.usefixtures("only_this_python")
def test_a_python_that_was_prepared_and_is_gone_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILCLOSED_PYTHON_VERSIONS", f"{THIS} {OTHER}")
    with pytest.raises(AssertionError, match=f"names {OTHER}, of which"):
        account_for_missing()


@pytest.mark.usefixtures("only_this_python")
def test_a_python_that_was_never_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILCLOSED_PYTHON_VERSIONS", THIS)
    missing = ", ".join(version for version in SUPPORTED if version != THIS)
    with pytest.raises(pytest.skip.Exception, match=f"no Python {missing}:"):
        account_for_missing()


@pytest.mark.usefixtures("only_this_python")
def test_a_shim_is_no_python(tmp_path: Path) -> None:
    shim = tmp_path / f"python{OTHER}"
    for says, status in (("", 127), (THIS, 0)):
        shim.write_text(f"#!/bin/sh\necho {says}\nexit {status}\n")
        shim.chmod(0o755)
        interpreters.cache_clear()
        assert list(interpreters()) == [THIS]
    assert python_interpreters.version_of(str(tmp_path / "none")) is None


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
