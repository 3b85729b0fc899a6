# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One private internet and one real gateway for all leaks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# This directory is no package.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from world import World, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The gateway under test, the proxy, and everything else that it could reach."""
    # pytest's own directories are closed to other users, and each start of pytest closes them again.
    with (
        tempfile.TemporaryDirectory(prefix="failclosed-leaks.") as directory,
        running_world(Path(directory)) as running,
    ):
        yield running
