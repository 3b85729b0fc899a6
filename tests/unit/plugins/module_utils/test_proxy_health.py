# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _proxy_health

WRITTEN: dict[str, Any] = {
    "format": 1,
    "alive": {"state": True, "detail": "alive: listening on 127.0.0.1:3456", "since": "2026-11-26 12:00:00 UTC"},
    "login": {"state": "logged-out", "detail": "claude", "asked": "2026-11-26 12:03:00 UTC"},
    "works": {"state": "unknown", "detail": "not asked", "asked": None},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "openclaw-proxy").mkdir()
    return tmp_path / "openclaw-proxy" / "health.json"


def observe(file: Path) -> dict[str, dict[str, str]]:
    return _proxy_health.observe("openclaw-proxy", directory=str(file.parent.parent))


def test_three_levels_that_say_nothing_about_each_other(file: Path) -> None:
    file.write_text(json.dumps(WRITTEN))
    assert observe(file) == {
        "alive": {"state": "yes", "detail": "alive: listening on 127.0.0.1:3456", "at": "2026-11-26 12:00:00 UTC"},
        "login": {"state": "logged-out", "detail": "claude", "at": "2026-11-26 12:03:00 UTC"},
        "works": {"state": "unknown", "detail": "not asked", "at": ""},
    }


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"format": 2}',
        '{"format": 1}',
        '{"format": 1, "alive": 1, "login": [], "works": "yes"}',
        "[" * 60_000,
        '{"format": 1, "login": {"state": "root"}, "works": {"state": ["yes"]}}',
    ],
)
def test_what_is_not_understood_is_unknown(file: Path, content: str) -> None:
    file.write_text(content)
    assert {each["state"] for each in observe(file).values()} == {"unknown"}


def test_a_service_that_does_not_run_is_unknown_in_all_levels(file: Path) -> None:
    assert {each["state"] for each in observe(file).values()} == {"unknown"}
    file.parent.rmdir()
    assert observe(file)["alive"] == {"state": "unknown", "detail": "openclaw-proxy does not run here", "at": ""}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_does_not_count(file: Path) -> None:
    file.write_text(json.dumps(WRITTEN))
    os.chown(file, 54321, 54321)
    assert "belongs to uid 54321" in observe(file)["alive"]["detail"]


def test_no_link_is_followed(file: Path) -> None:
    target = file.with_name("elsewhere.json")
    target.write_text(json.dumps(WRITTEN))
    file.symlink_to(target)
    assert observe(file)["alive"]["state"] == "unknown"


def test_foreign_text_neither_steers_a_terminal_nor_shows_a_key(file: Path) -> None:
    hostile = "\x1b[2J sk-ant-api03-canary0canary0canary0" + "x" * 1000
    file.write_text(json.dumps({**WRITTEN, "login": {"state": "logged-in", "detail": hostile, "asked": hostile}}))
    login = observe(file)["login"]
    assert "\x1b" not in login["detail"] + login["at"]
    assert "canary" not in login["detail"]
    assert len(login["detail"]) < 320


def test_times_and_details_are_no_change(file: Path) -> None:
    later = json.loads(json.dumps(WRITTEN))
    later["login"]["asked"] = "2026-11-26 13:03:00 UTC"
    first = _proxy_health.parse(json.dumps(WRITTEN).encode())
    second = _proxy_health.parse(json.dumps(later).encode())
    assert first != second
    assert not _proxy_health.differ(first, second)
    assert _proxy_health.differ(None, first)


@pytest.mark.parametrize(
    ("before", "after", "different"),
    [
        ("logged-in", "logged-out", True),
        ("logged-in", "logged-in", False),
        ("unknown", "logged-in", False),
        ("logged-in", "unknown", False),
    ],
)
def test_only_what_was_known_and_is_known_can_differ(before: str, after: str, different: bool) -> None:
    first, second = ({"login": _proxy_health.level(state, "")} for state in (before, after))
    assert _proxy_health.differ(first, second) is different


def settle(file: Path, patience_seconds: float) -> dict[str, dict[str, str]]:
    return _proxy_health.settled("openclaw-proxy", patience_seconds=patience_seconds, directory=str(file.parent.parent))


def test_the_first_answer_after_a_start_is_waited_for(file: Path) -> None:
    waiting = {"state": "unknown", "detail": _proxy_health.NOT_ASKED_YET, "asked": None}
    file.write_text(json.dumps({**WRITTEN, "login": waiting}))
    part = file.with_suffix(".part")
    part.write_text(json.dumps(WRITTEN))
    answer = threading.Timer(0.5, part.replace, [file])
    answer.start()
    try:
        assert settle(file, 20)["login"]["state"] == "logged-out"
    finally:
        answer.join()


def test_what_is_never_asked_is_waited_for_within_a_bound_or_not_at_all(file: Path) -> None:
    waiting = {"state": "unknown", "detail": _proxy_health.NOT_ASKED_YET, "asked": None}
    dead = {"state": False, "detail": "not alive", "since": "2026-11-26 12:00:00 UTC"}
    file.write_text(json.dumps({**WRITTEN, "login": waiting}))
    assert settle(file, 0.3)["login"]["state"] == "unknown"
    for more in ({"login": waiting, "alive": dead}, {}):
        file.write_text(json.dumps({**WRITTEN, **more}))
        began = time.monotonic()
        settle(file, 600)
        assert time.monotonic() - began < 60


def test_the_supervisor_says_it_in_the_same_words() -> None:
    supervisor = Path(__file__).parents[4] / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
    assert f'asked = "{_proxy_health.NOT_ASKED_YET}" if configuration.login' in supervisor.read_text()
