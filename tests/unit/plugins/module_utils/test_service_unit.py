# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _readiness, _service_unit

UNIT = "[Service]\nExecStart=/bin/true\n"


def started(seconds: float, *, shown: float | None = None) -> dict[str, str]:
    """A main process that started so many seconds from now; ``shown``: by the clock of the date, if that disagrees."""
    date = time.time() + (seconds if shown is None else shown)
    return {
        "ExecMainStartTimestamp": time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(date)),
        "ExecMainStartTimestampMonotonic": str(int((time.clock_gettime(time.CLOCK_MONOTONIC) + seconds) * 1e6)),
    }


class FakeSystemctl:
    """A service manager that knows one unit; refuses every command line that it was not built for."""

    def __init__(self, tmp_path: Path, **properties: str) -> None:
        self.properties = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
            "MainPID": "4711",
            "NRestarts": "0",
            "Result": "success",
            "ExecMainCode": "0",
            "ExecMainStatus": "0",
            **started(5),
            "StatusText": "",
            **properties,
        }
        self.calls: list[str] = []
        self.fail: set[str] = set()

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        if command[3:4] == ["show"]:
            assert command[:2] == ["env", "TZ=UTC"]
            command = command[2:]
        assert command[0] == "systemctl"
        verb = command[1]
        self.calls.append(" ".join(command[1:]) if verb != "show" else "show")
        if verb in self.fail:
            return 1, "", "Job failed.\nSee more."
        if verb == "show":
            assert command[2].startswith("--property=LoadState,") and command[3] == "fc-test.service"
            return 0, "".join(f"{name}={value}\n" for name, value in self.properties.items()), ""
        if verb in ("start", "restart"):
            self.properties.update(ActiveState="active", SubState="running", **started(5))
        elif verb == "enable":
            self.properties["UnitFileState"] = "enabled"
        elif verb == "daemon-reload":
            self.properties["NeedDaemonReload"] = "no"
        elif verb not in ("reset-failed", "disable"):
            raise AssertionError(f"unexpected systemctl {verb}")
        return 0, "", ""


@pytest.fixture(autouse=True)
def unit_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "system"
    directory.mkdir()
    monkeypatch.setattr(_service_unit, "UNIT_DIRECTORY", str(directory))
    return directory


def owned_file(path: Path, text: str, **options: object) -> _service_unit.ManagedFile:
    return _service_unit.ManagedFile(
        str(path),
        text.encode(),
        owner=str(os.geteuid()),
        group=str(os.getegid()),
        **options,  # type: ignore[arg-type]
    )


def service(**options: object) -> _service_unit.Service:
    return _service_unit.Service(name="fc-test", unit=UNIT, **options)  # type: ignore[arg-type]


def settled(tmp_path: Path, **options: object) -> FakeSystemctl:
    """A service that was converged once."""
    systemctl = FakeSystemctl(tmp_path)
    _service_unit.converge(service(**options), run=systemctl, check_mode=False)
    systemctl.properties.update(started(5))
    systemctl.calls.clear()
    return systemctl


def test_new_service_is_written_enabled_and_started(tmp_path: Path, unit_directory: Path) -> None:
    systemctl = FakeSystemctl(tmp_path, ActiveState="inactive", UnitFileState="", LoadState="not-found")
    outcome = _service_unit.converge(service(), run=systemctl, check_mode=False)
    assert systemctl.calls == [
        "show",
        "daemon-reload",
        "enable --quiet fc-test.service",
        "start fc-test.service",
        "show",
    ]
    assert (unit_directory / "fc-test.service").read_text().endswith(UNIT)
    assert outcome.changed and outcome.action == "start" and outcome.state == "active"


def test_second_run_asks_once_and_changes_nothing(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    outcome = _service_unit.converge(service(), run=systemctl, check_mode=False)
    assert systemctl.calls == ["show"]
    assert not outcome.changed and outcome.action == "none" and not outcome.before and not outcome.after


def test_check_mode_predicts_and_touches_nothing(tmp_path: Path, unit_directory: Path) -> None:
    systemctl = FakeSystemctl(tmp_path, ActiveState="inactive", UnitFileState="")
    outcome = _service_unit.converge(service(), run=systemctl, check_mode=True)
    assert systemctl.calls == ["show"]
    assert outcome.changed and outcome.action == "start"
    assert list(unit_directory.iterdir()) == []


def test_changed_input_restarts(tmp_path: Path) -> None:
    systemctl = settled(tmp_path, inputs=("digest-1",))
    outcome = _service_unit.converge(service(inputs=("digest-2",)), run=systemctl, check_mode=False)
    assert systemctl.calls == [
        "show",
        "daemon-reload",
        "reset-failed fc-test.service",
        "restart fc-test.service",
        "show",
    ]
    assert outcome.action == "restart"


def test_file_that_needs_no_restart_is_written_without_one(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    systemctl = settled(tmp_path, files=(owned_file(wrapper, "one\n", restart=False),))
    changed = service(files=(owned_file(wrapper, "two\n", restart=False),))
    outcome = _service_unit.converge(changed, run=systemctl, check_mode=False)
    assert wrapper.read_text() == "two\n"
    assert outcome.changed and outcome.action == "none" and systemctl.calls == ["show"]


def test_restart_that_a_failed_run_left_due_is_made_up_for(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    systemctl = settled(tmp_path, files=(owned_file(settings, "one\n"),))
    systemctl.fail.add("restart")
    changed = service(files=(owned_file(settings, "two\n"),))
    with pytest.raises(
        _service_unit.ServiceError, match=r"did not restart: .*Look with: journalctl -u fc-test.service"
    ):
        _service_unit.converge(changed, run=systemctl, check_mode=False)
    systemctl.fail.clear()
    # The process is still the one from before the file was written.
    systemctl.properties["ExecMainStartTimestampMonotonic"] = "1"
    outcome = _service_unit.converge(changed, run=systemctl, check_mode=False)
    assert outcome.action == "restart"
    assert any("is newer than the running process" in reason for reason in outcome.reasons)


def test_replaced_secret_restarts(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    systemctl = settled(tmp_path, watched=(str(key),))
    systemctl.properties["ExecMainStartTimestampMonotonic"] = "1"
    outcome = _service_unit.converge(service(watched=(str(key),)), run=systemctl, check_mode=False)
    assert outcome.action == "restart"


@pytest.mark.parametrize(
    ("clocks", "action"),
    [
        # Side by side: the file is from now.
        ({"seconds": 3}, "none"),
        ({"seconds": -3}, "restart"),
        # Suspended for an hour since, after the file was written: by the monotonic clock the process is younger.
        ({"seconds": 3600 - 3, "shown": -3}, "restart"),
        # Suspended for an hour since, and the process started after the file was written.
        ({"seconds": 3600 + 3, "shown": 3}, "none"),
        # Set back by an hour since, before the file was written: by the date the process is younger.
        ({"seconds": -3, "shown": 3600 - 3}, "restart"),
        # Set back by an hour before the file was written and the process started.
        ({"seconds": 3, "shown": 3}, "none"),
    ],
)
def test_a_due_restart_is_not_lost_whatever_the_clocks_did(
    tmp_path: Path, clocks: dict[str, float], action: str
) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    wanted = service(watched=(str(key),))
    systemctl = settled(tmp_path, watched=(str(key),))
    systemctl.properties.update(started(**clocks))
    assert _service_unit.converge(wanted, run=systemctl, check_mode=True).action == action
    assert _service_unit.converge(wanted, run=systemctl, check_mode=False).action == action
    # Since the restart the two clocks agree.
    assert not _service_unit.converge(wanted, run=systemctl, check_mode=False).changed


def test_a_file_of_the_same_second_as_the_start_makes_no_restart_due(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    changed = key.stat().st_ctime
    monotonic = changed - time.time() + time.clock_gettime(time.CLOCK_MONOTONIC)
    properties = {"ExecMainStartTimestamp": time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(changed))}
    for difference, newer in ((0.01, None), (-0.01, str(key))):
        properties["ExecMainStartTimestampMonotonic"] = str(int((monotonic + difference) * 1e6))
        assert _service_unit.started_before(properties, [str(key)]) == newer


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_the_date_is_understood_in_every_zone_of_the_host(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert _service_unit._shown_time("Sun 2026-10-25 01:30:00 UTC") == 1792891800
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["Sun 2026-10-25 01:30:00 CEST", "@1792891800", "yesterday"])
def test_a_date_that_is_not_understood_is_an_error(tmp_path: Path, text: str) -> None:
    systemctl = settled(tmp_path)
    systemctl.properties["ExecMainStartTimestamp"] = text
    with pytest.raises(_service_unit.ServiceError, match=f"ExecMainStartTimestamp is '{text}', which is no time"):
        _service_unit.converge(service(), run=systemctl, check_mode=False)


def test_a_service_without_a_date_goes_by_the_monotonic_clock(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    for text in ("", "n/a"):
        systemctl.properties["ExecMainStartTimestamp"] = text
        assert not _service_unit.converge(service(), run=systemctl, check_mode=False).changed


def test_a_file_of_the_future_makes_one_restart_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    wanted = service(watched=(str(key), str(tmp_path / "none")))
    systemctl = settled(tmp_path, watched=wanted.watched)
    before = key.stat()
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - 3600)
        systemctl.properties.update(started(-60))
        assert _service_unit.converge(wanted, run=systemctl, check_mode=True).action == "restart"
        assert key.stat() == before
        assert _service_unit.converge(wanted, run=systemctl, check_mode=False).action == "restart"
    # The kernel's clock was not set back, so it dates the file now.
    after = key.stat()
    assert after.st_ctime_ns > before.st_ctime_ns and after.st_mtime_ns == before.st_mtime_ns
    systemctl.properties.update(started(5))
    assert not _service_unit.converge(wanted, run=systemctl, check_mode=False).changed


def test_loaded_unit_older_than_its_file_is_reloaded_and_restarted(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    systemctl.properties["NeedDaemonReload"] = "yes"
    outcome = _service_unit.converge(service(), run=systemctl, check_mode=False)
    assert systemctl.calls == [
        "show",
        "daemon-reload",
        "reset-failed fc-test.service",
        "restart fc-test.service",
        "show",
    ]
    assert outcome.reasons == ["the loaded unit is older than its file"]


def test_failed_service_is_reset_before_the_start(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    systemctl.properties["ActiveState"] = "failed"
    _service_unit.converge(service(), run=systemctl, check_mode=False)
    assert systemctl.calls == ["show", "reset-failed fc-test.service", "start fc-test.service", "show"]


def test_service_that_falls_over_again_and_again_is_not_taken_for_running(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    systemctl.properties.update(ActiveState="activating", SubState="auto-restart")
    outcome = _service_unit.converge(service(), run=systemctl, check_mode=False)
    assert systemctl.calls == ["show", "reset-failed fc-test.service", "start fc-test.service", "show"]
    assert outcome.changed and outcome.reasons == ["it was activating"]


def test_failed_start_reports_what_the_service_said(tmp_path: Path) -> None:
    systemctl = FakeSystemctl(
        tmp_path,
        ActiveState="failed",
        SubState="failed",
        Result="exit-code",
        ExecMainStatus="75",
        StatusText="port 3456 is taken",
    )
    systemctl.fail.add("start")
    with pytest.raises(_service_unit.ServiceError, match=r"exit status 75, it said: port 3456 is taken"):
        _service_unit.converge(service(), run=systemctl, check_mode=False)


def test_sensitive_file_is_not_in_the_diff(tmp_path: Path) -> None:
    systemctl = settled(tmp_path)
    file = owned_file(tmp_path / "settings", "canary-51d0\n", show=False)
    outcome = _service_unit.converge(service(files=(file,)), run=systemctl, check_mode=False)
    assert "canary-51d0" not in "\n".join(outcome.before + outcome.after) + repr(file)
    assert "(new content)" in outcome.after


def test_missing_directory_of_a_file_is_named(tmp_path: Path) -> None:
    file = owned_file(tmp_path / "none/settings", "x")
    with pytest.raises(_service_unit.ServiceError, match=f"{tmp_path}/none does not exist"):
        _service_unit.converge(service(files=(file,)), run=FakeSystemctl(tmp_path), check_mode=False)


def test_service_that_never_gets_ready_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_readiness, "probe", lambda *_a, **_k: _readiness.Readiness(False, "HTTP status 503"))
    ready = _service_unit.Ready("http://127.0.0.1:1/readyz", "ready", 0.1)
    with pytest.raises(_service_unit.ServiceError, match=r"not ready after 0.1 s \(HTTP status 503\)"):
        _service_unit.converge(service(ready=ready), run=FakeSystemctl(tmp_path), check_mode=False)


def test_wait_ends_when_the_service_has_failed_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_readiness, "probe", lambda *_a, **_k: _readiness.Readiness(False, "no answer"))
    systemctl = settled(tmp_path)
    ready = _service_unit.Ready("http://127.0.0.1:1/readyz", "ready", 60)
    systemctl.properties.update(ActiveState="failed", ExecMainStatus="78")
    systemctl.fail.add("nothing")
    # The start succeeds as systemctl sees it, and the process ends right after.
    original = systemctl.__call__

    def run(command: list[str]) -> tuple[int, str, str]:
        answer = original(command)
        if command[1] == "start":
            systemctl.properties.update(ActiveState="failed", ExecMainStatus="78", Result="exit-code")
        return answer

    began = time.monotonic()
    with pytest.raises(_service_unit.ServiceError, match="exit status 78"):
        _service_unit.converge(service(ready=ready), run=run, check_mode=False)
    assert time.monotonic() - began < 20


def test_remove_stops_disables_and_deletes_once(tmp_path: Path, unit_directory: Path) -> None:
    file = tmp_path / "settings"
    systemctl = settled(tmp_path, files=(owned_file(file, "x"),))
    outcome = _service_unit.remove("fc-test", [str(file)], run=systemctl, check_mode=False)
    assert outcome.changed and not file.exists() and list(unit_directory.iterdir()) == []
    assert systemctl.calls == [
        "show",
        "disable --now --quiet fc-test.service",
        "daemon-reload",
        "reset-failed fc-test.service",
    ]
    systemctl.properties["LoadState"] = "not-found"
    systemctl.calls.clear()
    assert not _service_unit.remove("fc-test", [str(file)], run=systemctl, check_mode=False).changed
    assert systemctl.calls == ["show"]
