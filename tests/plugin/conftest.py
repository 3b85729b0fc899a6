# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenClaw for the tests of this directory."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# This directory is no package.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from openclaw_under_test import OpenClaw
from standin_proxy import StandinProxy


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the table of releases be written instead of compared."""
    parser.addoption("--write-table", action="store_true", help="write the table of releases into plugin/README.md")


@pytest.fixture
def openclaw(tmp_path: Path) -> Iterator[OpenClaw]:
    """OpenClaw with the plugin in place and nothing configured yet."""
    under_test = OpenClaw(tmp_path / "home")
    under_test.place_plugin()
    yield under_test
    under_test.stop_gateway(signal.SIGKILL)


@pytest.fixture
def proxy() -> Iterator[StandinProxy]:
    """A proxy that answers every prompt and remembers who asked."""
    with StandinProxy() as running:
        yield running
