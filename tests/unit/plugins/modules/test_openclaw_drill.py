# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a drill returns when it is held to its end, and when it is broken off while the proxy is stopped."""

from __future__ import annotations

import json
import pwd
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _egress_probe, _other_user
from ansible_collections.failclosed.openclaw.plugins.module_utils._verification import FAILED, PASSED, Check
from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_drill

ME = pwd.getpwuid(0).pw_name
BEFORE = ["gateway-ready", "proxy-owner", "rule-loaded", "direct-refused", "port-guarded"]
WHILE_STOPPED = ["proxy-closed", "direct-refused-while-stopped", "port-guarded-while-stopped"]
SERVICE = "second-proxy.service"


class Host:
    """A host whose systemd, kernel and proxy are played; ``wrong``: commands that fail; ``errors``: what is raised."""

    def __init__(self) -> None:
        self.runs = True
        self.commands: list[str] = []
        self.wrong: tuple[str, ...] = ()
        self.errors: dict[str, Exception] = {}
        self.seconds = 0.0
        self.slowness = 2

    def run_command(self, command: list[str], **_options: Any) -> tuple[int, str, str]:
        text = " ".join(command)
        self.commands.append(text)
        if text.startswith(self.wrong):
            return 1, "", "it would not"
        if text == f"systemctl stop {SERVICE}":
            self.runs = False
        if text == f"systemctl start {SERVICE}":
            self.runs = True
        return 0, "", ""

    def raise_in(self, where: str) -> None:
        if where in self.errors and not self.runs:
            raise self.errors[where]

    def check_proxy(self, _expectation: object) -> list[Check]:
        if "check_proxy" in self.errors and self.commands:
            raise self.errors["check_proxy"]
        if self.runs:
            return [Check("proxy-owner", PASSED, "it listens")]
        return [Check("proxy-owner", FAILED, "nobody listens", "Start it.")]

    def call_as(self, *_arguments: object, **_options: object) -> str:
        self.raise_in("call_as")
        self.seconds += 1
        return "connected" if self.runs else "ECONNREFUSED"

    def direct(self) -> list[_egress.Probe]:
        self.raise_in("direct")
        self.seconds += self.slowness
        return [_egress.Probe("direct", _egress.PASSED, "refused")]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    played = Host()
    policy = SimpleNamespace(proxy=SimpleNamespace(port=3456))
    record = SimpleNamespace(digest="d", mode="deny", networks=("n",), policy=lambda: policy)
    prober = SimpleNamespace(
        direct=played.direct, proxy_port=lambda _squatted: [_egress.Probe("port", _egress.PASSED, "guarded")]
    )
    monkeypatch.setattr(_egress, "observe", lambda *_a, **_k: SimpleNamespace(digest="d", enforced=True, reason=""))
    monkeypatch.setattr(_egress, "read_record", lambda: record)
    monkeypatch.setattr(_egress_probe, "Prober", lambda *_a: prober)
    monkeypatch.setattr(_other_user, "call_as", played.call_as)
    monkeypatch.setattr(openclaw_drill._verification, "check_proxy", played.check_proxy)
    monkeypatch.setattr(
        openclaw_drill._verification, "check_gateway_ready", lambda *_a: Check("gateway-ready", PASSED, "ready")
    )
    monkeypatch.setattr(openclaw_drill.time, "monotonic", lambda: played.seconds)
    monkeypatch.setattr(basic.AnsibleModule, "run_command", played.run_command)
    return played


@pytest.fixture
def drill(host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(**arguments: Any) -> dict[str, Any]:
        given = {"user": ME, "proxy_user": ME, "proxy_service": "second-proxy", **arguments}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            openclaw_drill.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert set(yaml.safe_load(openclaw_drill.RETURN)) <= set(result)
        return result

    return call


def results_of(result: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["result"] for check in result["checks"]}


def test_a_drill_that_passes(host: Host, drill: Any) -> None:
    result = drill()
    assert results_of(result) == dict.fromkeys([*BEFORE, *WHILE_STOPPED, "proxy-started-again"], "passed")
    assert (result["changed"], result["passed"], result["stopped_seconds"]) == (True, True, 3.0)
    assert host.runs and "failed" not in result


@pytest.mark.parametrize(
    ("where", "error", "tried"),
    [
        ("call_as", _other_user.OtherUserError("it takes too long"), []),
        ("direct", _egress.EgressError("nft list failed."), ["proxy-closed"]),
        ("direct", OSError(24, "Too many open files"), ["proxy-closed"]),
    ],
)
def test_a_drill_that_is_broken_off_returns_what_was_tried(
    host: Host, drill: Any, where: str, error: Exception, tried: list[str]
) -> None:
    host.errors = {where: error}
    result = drill()
    assert result["failed"] is True
    assert results_of(result) == dict.fromkeys([*BEFORE, *tried, "proxy-started-again"], "passed")
    seconds = float(len(tried))
    assert (result["changed"], result["passed"], result["stopped_seconds"]) == (True, None, seconds)
    assert result["msg"] == (
        f"The drill was broken off: {str(error).rstrip('.')}. The proxy was started again after {seconds} s."
    )
    assert host.runs


def test_a_proxy_that_does_not_start_again_hides_no_error(host: Host, drill: Any) -> None:
    host.errors = {"direct": _egress.EgressError("nft list failed")}
    host.wrong = (f"systemctl start {SERVICE}",)
    result = drill()
    assert results_of(result)["proxy-started-again"] == "failed"
    assert (result["changed"], result["passed"]) == (True, None)
    assert "broken off: nft list failed. It is not certain that the proxy was started again" in result["msg"]
    assert result["msg"].endswith("systemctl status second-proxy.")


def test_a_proxy_that_cannot_be_looked_at_afterwards_hides_nothing(host: Host, drill: Any) -> None:
    host.errors = {"check_proxy": OSError(24, "Too many open files")}
    result = drill()
    assert results_of(result)["proxy-started-again"] == "unknown"
    assert (result["changed"], result["passed"]) == (True, False)
    assert set(WHILE_STOPPED) < set(results_of(result))


def test_without_the_timer_nothing_is_disturbed(host: Host, drill: Any) -> None:
    host.wrong = ("systemd-run",)
    result = drill()
    assert results_of(result) == {**dict.fromkeys(BEFORE, "passed"), "proxy-stopped": "unknown"}
    assert (result["changed"], result["passed"], result["stopped_seconds"]) == (False, False, 0.0)
    assert "systemd-run" in result["msg"] and "started again" not in result["msg"]


def test_a_proxy_that_cannot_be_stopped_may_have_been_disturbed(host: Host, drill: Any) -> None:
    host.wrong = (f"systemctl stop {SERVICE}",)
    result = drill()
    assert results_of(result)["proxy-stopped"] == "unknown"
    assert results_of(result)["proxy-started-again"] == "passed"
    assert (result["changed"], result["passed"]) == (True, False)


def test_what_was_seen_after_the_timer_is_not_certain(host: Host, drill: Any) -> None:
    host.slowness = 60
    result = drill()
    expected = {**dict.fromkeys(BEFORE, "passed"), **dict.fromkeys(WHILE_STOPPED, "unknown")}
    assert results_of(result) == {**expected, "proxy-started-again": "passed"}
    assert result["passed"] is False and "openclaw_verify_drill_restore_seconds" in result["msg"]


def test_an_error_before_the_proxy_is_stopped_changes_nothing(
    host: Host, drill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(*_arguments: object, **_options: object) -> None:
        raise _egress.EgressError("nft list failed")

    monkeypatch.setattr(_egress, "observe", observe)
    result = drill()
    assert result["msg"] == "The drill could not be held: nft list failed."
    assert (result["changed"], result["passed"], result["stopped_seconds"]) == (False, None, 0.0)
    assert list(results_of(result)) == ["gateway-ready", "proxy-owner"]
    assert host.commands == []
