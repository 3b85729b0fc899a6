# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a trial of the rule is worth: outcomes and counters of a made-up kernel, and real sockets on loopback."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _egress_probe, _listening, _other_user

DENIED = _egress.parse_denied(["192.0.2.0/24", "2001:db8::/32"], "denied")
POLICY = _egress.Policy(gateway_uid=997, denied=DENIED)
GATEWAY = _egress_probe.Identity(997, 997)
REFUSED = {"tcp": "ECONNREFUSED", "udp": "EPERM"}


class Kernel:
    """Counts what a user's attempts come to; ``outcome`` says it for a uid and an attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: Any, *, noise: int = 0) -> None:
        self.counts = dict.fromkeys(_egress.COUNTERS, 0)
        self._outcome = outcome
        self._noise = noise
        self._uid = 0
        monkeypatch.setattr(_other_user, "call_as", self.call_as)
        monkeypatch.setattr(_egress_probe, "try_all", self.try_all)

    def counters(self) -> dict[str, int]:
        self.counts["denied_tcp"] += self._noise
        return dict(self.counts)

    def call_as(self, uid: int, _gid: int, work: Any, **_limits: Any) -> Any:
        self._uid = uid
        return work()

    def try_all(self, attempts: list[_egress_probe.Attempt]) -> list[str]:
        outcomes = []
        for attempt in attempts:
            outcome, counted = self._outcome(self._uid, attempt)
            if counted:
                self.counts[f"denied_{'tcp' if attempt.protocol == 'tcp' else 'other'}"] += 1
            outcomes.append(outcome)
        return outcomes


def results(monkeypatch: pytest.MonkeyPatch, outcome: Any, *, noise: int = 0) -> tuple[bool | None, dict[str, str]]:
    kernel = Kernel(monkeypatch, outcome, noise=noise)
    probes = _egress_probe.Prober(POLICY, GATEWAY, kernel.counters).direct()
    return _egress.judge(probes), {probe.id: probe.result for probe in probes}


def test_a_rule_at_work_is_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("silent", False)

    enforced, found = results(monkeypatch, outcome)
    assert enforced is True
    assert found == dict.fromkeys(
        [f"direct-{protocol} {address}" for address in ("192.0.2.1", "2001:db8::1") for protocol in ("tcp", "udp")],
        "passed",
    )


def test_an_open_way_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    enforced, found = results(monkeypatch, lambda _uid, _attempt: ("open", False))
    assert enforced is False and found["direct-tcp 192.0.2.1"] == "failed"


def test_a_refusal_that_was_not_counted_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        return (REFUSED[attempt.protocol], False) if uid == 997 else ("silent", False)

    enforced, found = results(monkeypatch, outcome)
    assert enforced is False and found["direct-counters"] == "failed"


def test_a_rule_that_refuses_everybody_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    enforced, found = results(monkeypatch, lambda _uid, attempt: (REFUSED[attempt.protocol], True))
    assert enforced is False and found["direct-counters"] == "failed"


def test_without_a_positive_control_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("EPERM", False)

    assert results(monkeypatch, outcome)[0] is None


def test_a_family_without_a_route_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        if ":" in attempt.address:
            return "ENETUNREACH", False
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("silent", False)

    enforced, found = results(monkeypatch, outcome)
    assert enforced is True and found["direct-tcp 2001:db8::1"] == "not-applicable"


def test_without_any_route_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert results(monkeypatch, lambda _uid, _attempt: ("ENETUNREACH", False))[0] is None


def test_counters_that_move_by_themselves_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("silent", False)

    enforced, found = results(monkeypatch, outcome, noise=1)
    assert enforced is None and found["direct-counters"] == "unknown"


def test_the_control_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []

    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        seen.append((uid, attempt.near))
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("silent", False)

    results(monkeypatch, outcome)
    assert set(seen) == {(997, False), (65534, True)}


def test_strict_mode_also_tries_what_nobody_listed() -> None:
    strict = _egress.Strict(allowed=(_egress.Destination(DENIED[0]),))
    policy = _egress.Policy(gateway_uid=997, denied=DENIED[1:], strict=strict)
    # 192.0.2.1 is allowed and 2001:db8::1 denied here, so that neither shows what strict mode refuses.
    assert _egress_probe.targets(policy) == [("2001:db8::1", "denied")]
    bare = _egress.Policy(gateway_uid=997, denied=(), strict=_egress.Strict())
    assert _egress_probe.targets(bare) == [("192.0.2.1", "strict"), ("2001:db8::1", "strict")]


def test_the_stranger_is_nobody_of_the_rule() -> None:
    proxy = _egress.Proxy(65534, 3456, (65533,))
    policy = _egress.Policy(gateway_uid=997, denied=DENIED, proxy=proxy, uid_ranges=((65530, 65532),))
    assert _egress_probe.stranger(policy) == 65529


def test_attempts_tell_open_from_closed() -> None:
    with socket.socket() as listener, socket.socket() as bound:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        bound.bind(("127.0.0.1", 0))
        attempts = [
            _egress_probe.Attempt("tcp", "127.0.0.1", listener.getsockname()[1]),
            _egress_probe.Attempt("tcp", "127.0.0.1", bound.getsockname()[1]),
            _egress_probe.Attempt("udp", "127.0.0.1", bound.getsockname()[1]),
        ]
        assert _egress_probe.try_all(attempts) == ["open", "ECONNREFUSED", "ECONNREFUSED"]


@pytest.mark.parametrize(
    ("holders", "result"), [([996], "not-applicable"), ([1000], "unknown"), ([996, 1000], "unknown"), ([], "unknown")]
)
def test_a_port_that_somebody_else_holds_is_not_the_proxys(
    monkeypatch: pytest.MonkeyPatch, holders: list[int], result: str
) -> None:
    policy = _egress.Policy(gateway_uid=997, denied=DENIED, proxy=_egress.Proxy(996, 3456, ()))
    monkeypatch.setattr(_egress_probe, "_squat", lambda _uid, _address, _port: "EADDRINUSE")
    found = [_listening.Listener("0.0.0.0", 3456, uid) for uid in holders]
    monkeypatch.setattr(_listening, "listeners", lambda _port: found)
    prober = _egress_probe.Prober(policy, GATEWAY, lambda: dict.fromkeys(_egress.COUNTERS, 0))
    assert policy.proxy is not None
    assert prober.squatting(policy.proxy, _egress_probe.spare_address()).result == result


@pytest.mark.parametrize(
    ("refused", "wrong"),
    [
        ((997, 65534), []),
        ((65534,), ["backend-port-gateway"]),
        ((), ["backend-port-stranger", "backend-port-gateway"]),
        ((996, 997, 65534), ["backend-port-proxy"]),
    ],
)
def test_behind_the_supervisor_only_the_proxys_user_gets_through(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...], wrong: list[str]
) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        assert attempt == _egress_probe.Attempt("tcp", "127.0.0.1", 13456)
        if uid in refused:
            kernel.counts["proxy_client"] += 1
        return ("ECONNREFUSED" if uid in refused else "open", False)

    kernel = Kernel(monkeypatch, outcome)
    proxy = _egress.Proxy(996, 3456, (), backend_port=13456)
    policy = _egress.Policy(gateway_uid=997, denied=DENIED, proxy=proxy)
    prober = _egress_probe.Prober(policy, GATEWAY, kernel.counters)
    monkeypatch.setattr(prober, "_stranger", _egress_probe.Identity(65534, 65534))
    probes = prober.backend_port(proxy)
    assert [probe.id for probe in probes if probe.result != "passed"] == wrong
    assert len(probes) == 3
    assert prober.backend_port(proxy._replace(backend_port=0)) == []


def test_the_spare_address_is_of_loopback_and_no_two_are_alike() -> None:
    found = {_egress_probe.spare_address() for _number in range(50)}
    assert len(found) > 40 and all(ipaddress.ip_address(address).is_loopback for address in found)


PORT = _egress_probe.Attempt("tcp", "127.0.0.1", 3456)


@pytest.mark.parametrize(
    ("outcome", "counted", "noise", "result"),
    [
        ("ECONNREFUSED", True, 0, "passed"),
        ("ECONNREFUSED", True, 3, "passed"),
        ("ECONNREFUSED", True, 1000, "unknown"),
        # Nobody listens there, and the rule sees nothing.
        ("ECONNREFUSED", False, 0, "failed"),
        ("ECONNREFUSED", False, 3, "failed"),
        ("open", False, 0, "failed"),
        ("open", True, 0, "failed"),
    ],
)
def test_a_refusal_is_told_from_what_others_try(
    monkeypatch: pytest.MonkeyPatch, outcome: str, counted: bool, noise: int, result: str
) -> None:
    kernel = Kernel(monkeypatch, lambda _uid, _attempt: (outcome, counted), noise=noise)
    stranger = _egress_probe.Identity(65534, 65534)
    found, detail = _egress_probe.refusal(stranger, PORT, lambda: kernel.counters()["denied_tcp"])
    assert found == result and f"uid 65534: {outcome}" in detail
    assert ("somebody else" in detail) is (result == "unknown")


@pytest.mark.parametrize(
    ("outcome", "counted", "noise", "result"),
    [
        ("open", False, 0, "passed"),
        ("open", False, 1000, "passed"),
        # The proxy is stopped: its host refuses, and not the rule.
        ("ECONNREFUSED", False, 0, "passed"),
        ("ECONNREFUSED", False, 3, "passed"),
        ("silent", False, 3, "passed"),
        ("ECONNREFUSED", True, 0, "failed"),
        ("ECONNREFUSED", True, 3, "failed"),
        ("EPERM", False, 0, "failed"),
        ("ECONNREFUSED", False, 1000, "unknown"),
    ],
)
def test_a_way_that_is_left_is_told_from_what_others_try(
    monkeypatch: pytest.MonkeyPatch, outcome: str, counted: bool, noise: int, result: str
) -> None:
    kernel = Kernel(monkeypatch, lambda _uid, _attempt: (outcome, counted), noise=noise)
    found, detail = _egress_probe.passage(GATEWAY, PORT, lambda: kernel.counters()["denied_tcp"])
    assert found == result and "uid 997" in detail


def test_an_address_of_one_link_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(uid: int, attempt: _egress_probe.Attempt) -> tuple[str, bool]:
        if attempt.address.startswith("fe80"):
            return "EINVAL", False
        return (REFUSED[attempt.protocol], True) if uid == 997 else ("silent", False)

    kernel = Kernel(monkeypatch, outcome)
    policy = _egress.Policy(gateway_uid=997, denied=_egress.parse_denied(["192.0.2.0/24", "fe80::/10"], "denied"))
    probes = _egress_probe.Prober(policy, GATEWAY, kernel.counters).direct()
    assert _egress.judge(probes) is True
    assert {probe.result for probe in probes if "fe80" in probe.id} == {"not-applicable"}
