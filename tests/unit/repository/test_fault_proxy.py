# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What brings faults about must be able to say that nothing was brought about."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = Path(__file__).parents[2] / "proof/fault_proxy.py"
SETTINGS = {"service": "x", "port": 1, "credential": "/x", "home": "/x", "controls": "/x"}


@pytest.fixture
def faults() -> Any:
    specification = importlib.util.spec_from_file_location("fault_proxy", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expected", "observed", "right"),
    [
        (0, 0, True),
        (1, 2, False),
        ("1 to 5", 0, False),
        ("1 to 5", 1, True),
        ("1 to 5", 5, True),
        ("1 to 5", 6, False),
    ],
)
def test_restarts_have_a_lower_and_an_upper_bound(
    faults: Any, monkeypatch: pytest.MonkeyPatch, expected: Any, observed: int, right: bool
) -> None:
    service = faults.Service(SETTINGS)
    found = {"state": "active", "answers": True, "restarts": observed, "status": ""}
    monkeypatch.setattr(service, "observe", lambda: found)
    problem = service.differs({"state": "active", "answers": True, "restarts": expected})
    assert (problem == "") is right


TABLE = yaml.safe_load((PROGRAM.parent / "proxy_faults.yml").read_text(encoding="utf-8"))["faults"]


@pytest.mark.parametrize("fault", TABLE, ids=lambda fault: fault["do"])
def test_every_expectation_of_the_table_can_be_judged(
    faults: Any, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    service = faults.Service(SETTINGS)
    expected = fault["expected"]
    found = {**expected, "restarts": -1, "status": ""}
    monkeypatch.setattr(service, "observe", lambda: found)
    assert service.differs(expected).startswith("restarts are -1")


def test_a_host_that_was_not_restarted_is_noticed(faults: Any) -> None:
    same = faults.boot_identity()
    for before, restarted in (("", False), (same, False), (same + "1", True)):
        service = faults.Service({**SETTINGS, "boot_before": before})
        if restarted:
            with faults.restart_host(service):
                pass
        else:
            with pytest.raises(AssertionError, match="was not restarted"), faults.restart_host(service):
                pass


def test_without_a_cursor_the_journal_counts_from_the_start_of_init(
    faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        commands.append(command)
        return ""

    monkeypatch.setattr(faults, "run", run)
    faults.Service(SETTINGS).journal()
    since = next(word for word in commands[-1] if word.startswith("--since=@"))
    assert 0 < float(since.partition("@")[2]) <= time.time() + 1


def test_a_library_that_fakes_nothing_is_noticed(faults: Any, tmp_path: Path) -> None:
    assert faults.days_ahead("", tmp_path / "offset") == 0
    assert time.strftime("%Y-%m-%d", time.gmtime(time.time() + 365 * 86400)) in faults.days_around(365)
