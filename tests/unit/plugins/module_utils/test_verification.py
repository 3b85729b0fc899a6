# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _audit,
    _listening,
    _openclaw,
    _readiness,
    _verification,
)

MODEL = "anthropic-max-proxy/claude-opus-4.6"
EXPECTATION = _verification.Expectation(
    provider="anthropic-max-proxy",
    default_model=MODEL,
    fallbacks=(),
    alias="claude-max-proxy",
    proxy_host="127.0.0.1",
    proxy_port=3456,
    proxy_uid=998,
    proxy_liveness_url="http://127.0.0.1:3456/health",
    gateway_ready_url="http://127.0.0.1:18789/readyz",
)
STATUS = {"resolvedDefault": MODEL, "fallbacks": [], "aliases": {"claude-max-proxy": MODEL}}


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, []),
        ({"resolvedDefault": "anthropic/claude-opus-5"}, ["default-model"]),
        ({"fallbacks": ["anthropic/claude-opus-5"]}, ["fallbacks"]),
        ({"fallbacks": None}, ["fallbacks"]),
        ({"aliases": {}}, ["alias"]),
        ({"aliases": {"claude-max-proxy": "anthropic/claude-opus-5"}}, ["alias"]),
        ({"resolvedDefault": None, "fallbacks": ["x"], "aliases": None}, ["default-model", "fallbacks", "alias"]),
    ],
)
def test_models_status_is_judged(change: dict[str, object], failed: list[str]) -> None:
    checks = _verification.judge_models_status({**STATUS, **change}, EXPECTATION)
    assert [check.id for check in checks if check.result != "passed"] == failed
    assert all(check.remedy for check in checks if check.result != "passed")


@pytest.mark.parametrize(
    ("listeners", "result"),
    [
        ([("127.0.0.1", 998)], "passed"),
        ([], "failed"),
        ([("127.0.0.1", 1000)], "failed"),
        ([("127.0.0.1", 998), ("0.0.0.0", 1000)], "failed"),
        ([("::", 1000)], "failed"),
        ([("192.0.2.1", 1000), ("127.0.0.1", 998)], "passed"),
    ],
)
def test_only_the_proxys_user_may_listen(
    monkeypatch: pytest.MonkeyPatch, listeners: list[tuple[str, int]], result: str
) -> None:
    found = [_listening.Listener(address, 3456, uid) for address, uid in listeners]
    monkeypatch.setattr(_listening, "listeners", lambda _port: found)
    assert _verification.check_proxy_owner(EXPECTATION, 998).result == result


def test_unreadable_table_is_unknown_and_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_port: int) -> list[_listening.Listener]:
        raise PermissionError("no")

    monkeypatch.setattr(_listening, "listeners", refuse)
    assert _verification.check_proxy_owner(EXPECTATION, 998).result == "unknown"


def test_report_with_an_unknown_check_has_not_passed() -> None:
    report = _verification.Report(
        checks=[_verification.Check("a", "passed", ""), _verification.Check("b", "unknown", "")]
    )
    assert not report.passed and [check.id for check in report.failures] == ["b"]
    assert not _verification.Report().passed


class FakeCommandLine:
    """Stands for OpenClaw's command line: one answer for the arguments that it expects."""

    def __init__(self, arguments: tuple[str, ...], answer: _openclaw.Completed | _openclaw.OpenClawError) -> None:
        self._arguments = arguments
        self._answer = answer

    def run(self, *arguments: str) -> _openclaw.Completed:
        assert arguments == self._arguments
        if isinstance(self._answer, _openclaw.OpenClawError):
            raise self._answer
        return self._answer


RUN = ("infer", "model", "run", "--prompt", "ping", "--json")
ANSWERED = _openclaw.Completed(0, '{\n  "ok": true,\n  "provider": "anthropic-max-proxy"\n}\n', "")
ELSEWHERE = _openclaw.Completed(0, '{"ok": true, "provider": "anthropic"}', "")
REFUSED = _openclaw.Completed(1, '{"ok": false}', "connect ECONNREFUSED 127.0.0.1:3456")


@pytest.mark.parametrize(
    ("answer", "works", "closed"),
    [
        (ANSWERED, "passed", "failed"),
        (ELSEWHERE, "failed", "failed"),
        (REFUSED, "failed", "passed"),
        (_openclaw.Completed(0, "no json", ""), "failed", "failed"),
        (_openclaw.OpenClawError("did not end within 5 seconds"), "failed", "unknown"),
    ],
)
def test_model_run(answer: _openclaw.Completed | _openclaw.OpenClawError, works: str, closed: str) -> None:
    command_line = FakeCommandLine(RUN, answer)
    assert _verification.check_model_run(command_line, EXPECTATION).result == works  # type: ignore[arg-type]
    assert _verification.check_model_run_fails(command_line).result == closed  # type: ignore[arg-type]


def test_notices_before_the_document_do_not_matter() -> None:
    answer = _openclaw.Completed(0, 'A notice {"x": 1}\n{\n  "ok": true,\n  "provider": "anthropic-max-proxy"\n}\n', "")
    assert _verification.check_model_run(FakeCommandLine(RUN, answer), EXPECTATION).result == "passed"  # type: ignore[arg-type]


def test_failing_models_status_is_unknown() -> None:
    command_line = FakeCommandLine(("models", "status", "--json"), _openclaw.Completed(1, "", "boom"))
    (check,) = _verification.check_models_status(command_line, EXPECTATION)  # type: ignore[arg-type]
    assert check.result == "unknown" and "exit status 1" in check.detail


def test_receipt_survives_and_a_foreign_one_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "receipts/receipt.json"
    report = _verification.Report(checks=[_verification.Check("a", "passed", "fine")], inputs="abc", proved_at="now")
    _verification.write_receipt(str(path), report.as_receipt())
    assert _verification.read_receipt(str(path)) == report.as_receipt()
    path.chmod(0o666)
    assert _verification.read_receipt(str(path)) is None
    path.chmod(0o644)
    path.write_text("{")
    assert _verification.read_receipt(str(path)) is None
    assert _verification.read_receipt(str(tmp_path / "none/receipt.json")) is None


def test_inputs_digest_follows_the_config_and_the_expectation(tmp_path: Path) -> None:
    config = tmp_path / "openclaw.json"
    config.write_text("{}")
    found = pwd.getpwuid(os.geteuid())
    account = _openclaw.Account(found.pw_name, found.pw_uid, found.pw_gid, (), found.pw_dir)
    subject = _verification.Subject(("/bin/node", "/bin/openclaw.mjs"), account, str(config), str(tmp_path))
    first = _verification.inputs_digest(subject, EXPECTATION, [])
    assert _verification.inputs_digest(subject, EXPECTATION, []) == first
    assert _verification.inputs_digest(subject, EXPECTATION, ["model_run"]) != first
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=x")
    assert _verification.inputs_digest(subject, EXPECTATION, []) != first
    (tmp_path / ".env").unlink()
    config.write_text("{ }")
    assert _verification.inputs_digest(subject, EXPECTATION, []) != first


def test_inputs_digest_follows_the_settings_and_keys_of_the_proxy(tmp_path: Path) -> None:
    (tmp_path / "openclaw.json").write_text("{}")
    key = tmp_path / "proxy/credentials/upstream-key"
    key.parent.mkdir(parents=True)
    key.write_text("one")
    found = pwd.getpwuid(os.geteuid())
    account = _openclaw.Account(found.pw_name, found.pw_uid, found.pw_gid, (), found.pw_dir)
    subject = _verification.Subject(
        ("/bin/node", "/bin/openclaw.mjs"), account, str(tmp_path / "openclaw.json"), str(tmp_path)
    )
    depends_on = [str(tmp_path / "proxy"), str(tmp_path / "absent.service")]

    def digest() -> str:
        return _verification.inputs_digest(subject, EXPECTATION, [], depends_on)

    first = digest()
    assert digest() == first
    key.write_text("two")
    assert digest() != first
    key.write_text("one")
    assert digest() == first
    (tmp_path / "absent.service").touch()
    assert digest() != first


class Systemctl:
    def __init__(self, failing: str = "") -> None:
        self.seen: list[str] = []
        self._failing = failing

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        self.seen.append(" ".join(command))
        return (1, "", "no") if self._failing and self.seen[-1].startswith(self._failing) else (0, "", "")


def test_stopped_service_is_started_again_whatever_happens() -> None:
    run = Systemctl()
    with pytest.raises(RuntimeError), _verification.StoppedService("openclaw-proxy", run, restore_seconds=240):
        raise RuntimeError
    assert run.seen == [
        (
            "systemd-run --quiet --collect --unit=failclosed-restore-openclaw-proxy --on-active=240"
            " --timer-property=AccuracySec=1s"
            ' /bin/sh -c systemctl reset-failed "$1"; exec systemctl start "$1" restore openclaw-proxy.service'
        ),
        "systemctl stop openclaw-proxy.service",
        "systemctl reset-failed openclaw-proxy.service",
        "systemctl start openclaw-proxy.service",
        "systemctl stop failclosed-restore-openclaw-proxy.timer",
    ]


def test_without_the_timer_nothing_is_stopped() -> None:
    run = Systemctl(failing="systemd-run")
    with pytest.raises(_verification.VerificationError, match="systemd-run"):
        _verification.StoppedService("openclaw-proxy", run, restore_seconds=240).__enter__()
    assert len(run.seen) == 1


def test_gateway_and_proxy_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_readiness, "probe", lambda *_a, **_k: _readiness.Readiness(False, "HTTP status 503"))
    monkeypatch.setattr(_listening, "listeners", lambda _port: [_listening.Listener("127.0.0.1", 18789, 997)])
    assert _verification.check_gateway_ready(EXPECTATION, 997).result == "failed"
    assert _verification.check_proxy_alive(EXPECTATION).result == "failed"
    monkeypatch.setattr(_readiness, "probe", lambda *_a, **_k: _readiness.Readiness(True, "fine"))
    assert _verification.check_gateway_ready(EXPECTATION, 997).result == "passed"
    assert _verification.check_proxy_alive(EXPECTATION).result == "passed"
    squatted = _verification.check_gateway_ready(EXPECTATION, 1000)
    assert squatted.result == "failed" and "uid 997 listens at 127.0.0.1:18789" in squatted.detail


@pytest.mark.parametrize(
    ("uid", "url", "expected"),
    [
        (998, "http://127.0.0.1:3456/health", {"proxy-owner": "passed", "proxy-alive": "passed"}),
        (998, "", {"proxy-owner": "passed"}),
        (None, "https://proxy.example/health", {"proxy-alive": "passed"}),
        (None, "", {"proxy-alive": "unknown"}),
    ],
)
def test_what_was_not_looked_at_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, uid: int | None, url: str, expected: dict[str, str]
) -> None:
    monkeypatch.setattr(_listening, "listeners", lambda _port: [_listening.Listener("127.0.0.1", 3456, 998)])
    monkeypatch.setattr(_readiness, "probe", lambda *_a, **_k: _readiness.Readiness(True, "fine"))
    checks = _verification.check_proxy(replace(EXPECTATION, proxy_uid=uid, proxy_liveness_url=url))
    assert {check.id: check.result for check in checks} == expected
    assert all(check.remedy for check in checks if check.result != "passed")


def test_proxy_that_does_not_come_back_is_a_failed_check() -> None:
    stopped = _verification.StoppedService(
        "openclaw-proxy", Systemctl(failing="systemctl start openclaw"), restore_seconds=9
    )
    checks = _verification.check_fails_closed(FakeCommandLine(RUN, REFUSED), stopped)  # type: ignore[arg-type]
    assert [(check.id, check.result) for check in checks] == [
        ("fails-closed", "passed"),
        ("proxy-started-again", "failed"),
    ]


def test_proxy_that_cannot_be_stopped_is_unknown() -> None:
    stopped = _verification.StoppedService("openclaw-proxy", Systemctl(failing="systemctl stop"), restore_seconds=9)
    checks = _verification.check_fails_closed(FakeCommandLine(RUN, REFUSED), stopped)  # type: ignore[arg-type]
    assert [(check.id, check.result) for check in checks] == [("fails-closed", "unknown")]


AGENTS_LIST = ("gateway", "call", "agents.list", "--json")
OTHER = "anthropic/claude-opus-5"


@pytest.mark.parametrize(
    ("agents", "result"),
    [
        ([{"id": "main", "model": {"primary": MODEL}}], "passed"),
        ([{"id": "main", "model": {"primary": MODEL, "fallbacks": []}}], "passed"),
        ([{"id": "main", "model": {"primary": OTHER}}], "failed"),
        ([{"id": "main", "model": {"primary": MODEL, "fallbacks": [OTHER]}}], "failed"),
        ([{"id": "main"}], "failed"),
        ([{"id": "main", "model": {"primary": MODEL}}, {"id": "ops", "model": {"primary": OTHER}}], "failed"),
        (
            [{"id": "main", "model": {"primary": MODEL}}, {"id": "ops", "model": {"primary": f"{MODEL}-b"}}],
            "passed",
        ),
        ([], "unknown"),
    ],
)
def test_the_running_gateway_is_judged(agents: list[dict[str, object]], result: str) -> None:
    document = {"defaultId": "main", "agents": agents}
    assert _verification.judge_agents(document, EXPECTATION).result == result
    answer = _openclaw.Completed(0, json.dumps(document), "")
    command_line = FakeCommandLine(AGENTS_LIST, answer)
    check = _verification.check_gateway_route(command_line, EXPECTATION, patience_seconds=0)  # type: ignore[arg-type]
    assert check.result == result and check.id == "gateway-route"


def test_a_gateway_that_still_reloads_gets_time() -> None:
    answers = iter(
        _openclaw.Completed(
            0, json.dumps({"defaultId": "main", "agents": [{"id": "main", "model": {"primary": model}}]}), ""
        )
        for model in (OTHER, OTHER, MODEL)
    )

    class Reloading:
        def run(self, *_arguments: str) -> _openclaw.Completed:
            return next(answers)

    check = _verification.check_gateway_route(
        Reloading(),  # type: ignore[arg-type]
        EXPECTATION,
        patience_seconds=30,
        pause_seconds=0,
    )
    assert check.result == "passed" and next(answers, None) is None


def test_a_gateway_that_does_not_answer_is_unknown() -> None:
    command_line = FakeCommandLine(AGENTS_LIST, _openclaw.Completed(1, "", "refused"))
    check = _verification.check_gateway_route(command_line, EXPECTATION, patience_seconds=0)  # type: ignore[arg-type]
    assert check.result == "unknown" and "exit status 1" in check.detail


def report_of(*, compliant: bool | None) -> _audit.Report:
    finding = _audit.Finding("alias", "error", "agents.x", "bypass", "leads away", "Run site.yml.")
    unknown = _audit.Unknown("code-skill", "skills.x", "runs by itself", "Look.")
    return _audit.Report(
        compliant,
        [finding] * 7 if compliant is False else [],
        [unknown] if compliant is None else [],
        [],
        {},
        [],
        "digest",
    )


@pytest.mark.parametrize(("compliant", "result"), [(True, "passed"), (False, "failed"), (None, "unknown")])
def test_the_audits_word_is_a_check(compliant: bool | None, result: str) -> None:
    check = _verification.check_routes(report_of(compliant=compliant), "strict")
    assert (check.id, check.result) == ("routes", result)
    assert bool(check.remedy) is (result != "passed")
    if compliant is False:
        assert check.detail.endswith("and 2 more")


def test_a_tolerated_check_passes_and_keeps_the_host_from_being_compliant() -> None:
    failed = _verification.Check("routes", "failed", "leads away")
    unknown = _verification.Check("routes", "unknown", "nobody can tell")
    good = _verification.Check("proxy-alive", "passed", "")
    assert _verification.Report([good]).compliant is True
    assert _verification.Report([good, unknown]).compliant is None
    assert _verification.Report([good, unknown]).passed is False
    tolerant = _verification.Report([good, failed], tolerated=frozenset({"routes"}))
    assert (tolerant.functional, tolerant.passed, tolerant.compliant) == (True, False, False)
    assert _verification.Report([failed]).functional is False
    assert (_verification.Report([]).passed, _verification.Report([]).functional) == (False, False)
    assert _verification.Report([]).compliant is None


def test_metrics_for_prometheus(tmp_path: Path) -> None:
    receipt = _verification.Report(
        [_verification.Check("routes", "failed", "")],
        routes={"findings": [{}, {}], "unknown": [{}]},
        proved_at="2026-11-26T12:00:00Z",
    ).as_receipt()
    path = tmp_path / "failclosed.prom"
    assert _verification.write_metrics(str(path), receipt) is True
    samples = dict(line.rsplit(" ", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    assert samples == {
        "openclaw_failclosed_compliant": "0",
        'openclaw_failclosed_state{state="compliant"}': "0",
        'openclaw_failclosed_state{state="drifted"}': "1",
        'openclaw_failclosed_state{state="unknown"}': "0",
        'openclaw_failclosed_findings{severity="error"}': "2",
        "openclaw_failclosed_unknown": "1",
        "openclaw_failclosed_proved_timestamp_seconds": "1795694400",
    }
    before = path.stat().st_mtime_ns
    assert _verification.write_metrics(str(path), receipt) is True
    assert path.stat().st_mtime_ns == before
    assert _verification.write_metrics(str(tmp_path / "absent" / "x.prom"), receipt) is False


REMOTE = replace(
    EXPECTATION,
    proxy_host="proxy.example.com",
    proxy_uid=None,
    base_url="https://proxy.example.com:3443",
    proxy_liveness_url="https://proxy.example.com:3443/health",
    proxy_authority="an authority",
)


@pytest.mark.parametrize(
    ("base_url", "liveness_url", "answers", "result", "words"),
    [
        (REMOTE.base_url, REMOTE.proxy_liveness_url, True, "passed", "signed by the given authority"),
        # What does not answer, or shows another certificate, was not seen to be encrypted.
        (REMOTE.base_url, REMOTE.proxy_liveness_url, False, "unknown", "no certificate"),
        (REMOTE.base_url, "", True, "unknown", "no address was given"),
        ("http://proxy.example.com:3456", "http://proxy.example.com:3456/health", True, "failed", "in clear"),
    ],
)
def test_what_goes_to_another_machine_is_encrypted_or_never_proven(
    monkeypatch: pytest.MonkeyPatch, base_url: str, liveness_url: str, answers: bool, result: str, words: str
) -> None:
    asked = []

    def probe(url: str, *, authority: str) -> _readiness.Readiness:
        asked.append((url, authority))
        return _readiness.Readiness(answers, "no certificate")

    monkeypatch.setattr(_readiness, "probe", probe)
    expectation = replace(REMOTE, base_url=base_url, proxy_liveness_url=liveness_url)
    check = _verification.check_transport(expectation)
    assert (check.result, words in check.detail) == (result, True), check
    assert all(authority == "an authority" for _url, authority in asked)


def test_a_proxy_on_another_machine_is_looked_at_by_its_transport_and_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_readiness, "probe", lambda url, authority: _readiness.Readiness(True, "HTTP status 200"))
    assert [check.id for check in _verification.check_proxy(REMOTE)] == ["proxy-transport", "proxy-alive"]
