# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons of this machine, for tests of code that runs on managed hosts under whatever Python these have."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

import pytest

# Debian 11, Ubuntu 22.04, Debian 12, Ubuntu 24.04, Debian 13.
SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13")
NEWER = ("3.14",)

_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def version_of(path: str) -> str | None:
    """Return the version of an interpreter, or None if it does not run."""
    try:
        run = subprocess.run([path, "-I", "-c", _VERSION], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


@functools.cache
def interpreters() -> dict[str, str]:
    """Return path by version, the oldest first: this one, and each other of which the PATH has one that runs."""
    this = "{}.{}".format(*sys.version_info[:2])
    found = {}
    for version in (*SUPPORTED, *NEWER):
        path = sys.executable if version == this else shutil.which(f"python{version}")
        # The shim of a version manager is there for versions that are not selected, and then fails.
        if path and version_of(path) == version:
            found[version] = path
    return found


def account_for_missing() -> None:
    """Fail if one is gone that FAILCLOSED_PYTHON_VERSIONS names; skip, and say so, if a supported one is not here."""
    here = interpreters()
    named = os.environ.get("FAILCLOSED_PYTHON_VERSIONS", "").split()
    gone = [version for version in named if version not in here]
    assert not gone, f"FAILCLOSED_PYTHON_VERSIONS names {', '.join(gone)}, of which no interpreter on the PATH runs"
    missing = [version for version in SUPPORTED if version not in here]
    if missing:
        pytest.skip(f"this machine has no Python {', '.join(missing)}: nothing was run under it")
