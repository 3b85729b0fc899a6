# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running simulator for the tests of this directory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
# Neither directory is a package: the simulator is copied to hosts as a file.
sys.path[:0] = [str(TESTS / "simulator"), str(TESTS / "unit" / "simulator")]

from running_simulator import RunningSimulator  # noqa: E402


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the files that README.md's own commands make."""
    readme = (TESTS / "simulator" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```openssl\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert block is not None
    directory = tmp_path_factory.mktemp("certificates")
    subprocess.run(["/bin/sh", "-e", "-c", block.group(1)], cwd=directory, check=True, capture_output=True, timeout=60)
    return directory


@pytest.fixture(scope="session")
def shared_simulator(certificates: Path) -> Iterator[RunningSimulator]:
    files = f"certificate={certificates}/simulator.crt,key={certificates}/simulator.key"
    running = RunningSimulator(
        ["name=upstream,port=0", "name=direct,port=0", f"name=secure,port=0,tls=1,{files},host=api.anthropic.com"]
    )
    yield running
    running.simulator.stop()


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    shared_simulator.reset()
    return shared_simulator
