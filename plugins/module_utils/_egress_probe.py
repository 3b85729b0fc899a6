# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try, as the users whom it concerns, what the kernel rule allows and refuses. Private to this collection.

A refusal counts only when this table's own counter went up by exactly what was tried, and only beside its positive
control: another user's packets to the same address, which the counters must not see. Those have a hop limit of 1, so
that they show an open way out of this host without reaching anybody.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import time
import typing as t

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _listening,
    _other_user,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._egress import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    UNKNOWN,
    Probe,
)

HTTPS = 443
ANSWER_SECONDS = 20.0
# RFC 5737 and RFC 3849: nobody's addresses, for what only strict mode refuses.
NOBODYS_ADDRESSES = ("192.0.2.1", "2001:db8::1")
# Both are answers of the local kernel within a fraction of a millisecond; a firewall's far away take longer.
_PATIENCE_SECONDS = 0.5
_ROUNDS = 3
# More than others are likely to try in the same fraction of a second.
_BURST = 32
# The last one: an address of one link, which nobody reaches without saying by which interface.
_NO_ROUTE = ("ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EHOSTUNREACH", "EINVAL")
_REFUSALS = ("ECONNREFUSED", "EPERM")
_OPEN, _SILENT = "open", "silent"


class Attempt(t.NamedTuple):
    """One connection (tcp) or datagram (udp) to an address; ``near``: with a hop limit of 1."""

    protocol: str
    address: str
    port: int
    near: bool = False


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _name(code: int) -> str:
    return errno.errorcode.get(code, str(code))


def _begin(attempt: Attempt) -> tuple[socket.socket | None, str]:
    kind = socket.SOCK_STREAM if attempt.protocol == "tcp" else socket.SOCK_DGRAM
    try:
        connection = socket.socket(_family(attempt.address), kind)
    except OSError as error:
        return None, _name(error.errno or 0)
    connection.setblocking(False)
    try:
        if attempt.near and _family(attempt.address) == socket.AF_INET6:
            connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        elif attempt.near:
            connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        connection.connect((attempt.address, attempt.port))
        if attempt.protocol == "udp":
            connection.send(b"\0")
    except BlockingIOError:
        return connection, ""
    except OSError as error:
        connection.close()
        return None, _name(error.errno or 0)
    if attempt.protocol == "tcp":
        connection.close()
        return None, _OPEN
    return connection, ""


def try_all(attempts: t.Sequence[Attempt], patience_seconds: float = _PATIENCE_SECONDS) -> list[str]:
    """Make all attempts at once; for each: open, silent, or the name of the error."""
    outcomes = [_SILENT] * len(attempts)
    poll = select.poll()
    pending: dict[int, tuple[int, socket.socket]] = {}
    for index, attempt in enumerate(attempts):
        connection, outcome = _begin(attempt)
        if connection is None:
            outcomes[index] = outcome
            continue
        pending[connection.fileno()] = (index, connection)
        # A datagram that nobody refuses gives no sign; an error shows itself as POLLERR.
        poll.register(connection, select.POLLOUT if attempt.protocol == "tcp" else 0)
    deadline = time.monotonic() + patience_seconds
    while pending and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _event in poll.poll(remaining * 1000):
            index, connection = pending.pop(descriptor)
            poll.unregister(descriptor)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            outcomes[index] = _name(code) if code else _OPEN
            connection.close()
    for _index, connection in pending.values():
        connection.close()
    return outcomes


def first_address(network: _egress.Network) -> str:
    """The first usable address of a network; the address itself where there is only one."""
    if network.num_addresses <= 2:
        return str(network.network_address)
    return str(network.network_address + 1)


def targets(policy: _egress.Policy) -> list[tuple[str, str]]:
    """The addresses that the gateway must not reach, each with the name of the counters that show it."""
    found = [(first_address(network), "denied") for network in policy.denied]
    if policy.strict is not None:
        reachable = [destination.network for destination in (*policy.strict.allowed, *policy.remote)]
        for address in NOBODYS_ADDRESSES:
            if not any(_contains(network, address) for network in (*policy.denied, *reachable)):
                found.append((address, "strict"))
    return found


def _contains(network: _egress.Network, address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.version == network.version and parsed in network


def routed(policy: _egress.Policy) -> tuple[str, ...]:
    """The families in which this host has a route to what is denied, found without sending anything."""
    found = set()
    for address, _kind in targets(policy):
        family = _family(address)
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, HTTPS))
        except OSError:
            continue
        found.add("ipv6" if family == socket.AF_INET6 else "ipv4")
    return tuple(sorted(found))


def stranger(policy: _egress.Policy) -> int:
    """A uid that the rule has nothing to do with."""
    known = {0, policy.gateway_uid, *(policy.proxy.clients if policy.proxy else ())}
    if policy.proxy:
        known.add(policy.proxy.uid)
    return next(
        uid
        for uid in range(65534, 60000, -1)
        if uid not in known and not any(first <= uid <= last for first, last in policy.uid_ranges)
    )


class Identity(t.NamedTuple):
    """A user as the kernel knows it."""

    uid: int
    gid: int


def attempted(caller: Identity, attempts: t.Sequence[Attempt]) -> list[str]:
    """Make the attempts as that user; raises OtherUserError."""
    return _other_user.call_as(caller.uid, caller.gid, lambda: try_all(attempts), timeout_seconds=ANSWER_SECONDS)


def refusal(caller: Identity, attempt: Attempt, packets: t.Callable[[], int]) -> tuple[str, str]:
    """Whether a rule refuses that user there: the result, and what was seen.

    ``packets``: of the counter that has to move. Other users may try the same at the same time, and move it, too.
    """
    before = packets()
    outcomes = attempted(caller, [attempt] * _BURST)
    counted = packets() - before
    detail = f"uid {caller.uid}: {', '.join(sorted(set(outcomes)))}, {'counted' if counted else 'not counted'}"
    if set(outcomes) != {"ECONNREFUSED"} or counted < _BURST:
        return FAILED, detail
    return (PASSED, detail) if counted == _BURST or _is_quiet(caller, packets) else (UNKNOWN, f"{detail}{_NOISE}")


def passage(caller: Identity, attempt: Attempt, packets: t.Callable[[], int]) -> tuple[str, str]:
    """Whether a rule lets that user through; whether anybody answers there is another question."""
    (outcome,) = attempted(caller, [attempt])
    detail = f"uid {caller.uid}: {outcome}, not counted"
    if outcome == _OPEN:
        return PASSED, detail
    before = packets()
    outcomes = attempted(caller, [attempt] * _BURST)
    counted = packets() - before
    if {"EPERM", "EACCES"} & {outcome, *outcomes}:
        return FAILED, f"uid {caller.uid}: {', '.join(sorted({outcome, *outcomes}))}"
    # A rule that refused this user would have counted every packet of his.
    if counted < _BURST:
        return PASSED, detail
    detail = f"uid {caller.uid} is refused by the rule"
    return (FAILED, detail) if counted == _BURST or _is_quiet(caller, packets) else (UNKNOWN, f"{detail}{_NOISE}")


_NOISE = ", as far as can be told while somebody else keeps trying the same"


def _is_quiet(caller: Identity, packets: t.Callable[[], int]) -> bool:
    """Whether the counter moves little while nothing is tried for as long."""
    before = packets()
    attempted(caller, [])
    return packets() - before < _BURST


class Prober:
    """Tries a loaded policy. ``counters`` reads this table's counters; raises what that raises, and OtherUserError."""

    def __init__(self, policy: _egress.Policy, gateway: Identity, counters: t.Callable[[], dict[str, int]]) -> None:
        self._policy = policy
        self._gateway = gateway
        self._counters = counters
        other = stranger(policy)
        self._stranger = Identity(other, other)

    def run(self) -> list[Probe]:
        """Every probe that applies to this policy and this host."""
        return [*self.direct(), *self.remote_proxy(), *self.proxy_port()]

    def _counted(self, identity: Identity, attempts: t.Sequence[Attempt]) -> tuple[list[str], dict[str, int]]:
        before = self._counters()
        outcomes = attempted(identity, attempts)
        after = self._counters()
        moved = {name: count - before.get(name, 0) for name, count in after.items()}
        return outcomes, {name: count for name, count in moved.items() if count}

    def _port(self, address: str) -> int:
        """A port that is refused there: not that of a proxy on another machine."""
        taken = {port for each in self._policy.remote if _contains(each.network, address) for port in each.ports}
        return next(port for port in (HTTPS, HTTPS + 1) if port not in taken)

    def direct(self) -> list[Probe]:
        """Whether the gateway's user is refused by this table, and another user is not."""
        found = targets(self._policy)
        kinds = [(address, kind, protocol) for address, kind in found for protocol in ("tcp", "udp")]
        attempts = [Attempt(protocol, address, self._port(address)) for address, _kind, protocol in kinds]
        probes: list[Probe] = []
        moved: dict[str, int] = {}
        control_moved: dict[str, int] = {}
        expected: dict[str, int] = {}
        # The gateway may be trying the same at the same time, which moves the counters, too.
        for _round in range(_ROUNDS):
            outcomes, moved = self._counted(self._gateway, attempts)
            near = [attempt._replace(near=True) for attempt in attempts]
            controls, control_moved = self._counted(self._stranger, near)
            expected = {}
            for (_address, kind, protocol), outcome in zip(kinds, outcomes):
                if outcome not in _NO_ROUTE:
                    name = f"{kind}_{'tcp' if protocol == 'tcp' else 'other'}"
                    expected[name] = expected.get(name, 0) + 1
            probes = [
                _judge_direct(attempt, outcome, control)
                for attempt, outcome, control in zip(attempts, outcomes, controls)
            ]
            if moved == expected and not control_moved:
                return probes
        if control_moved and control_moved == expected:
            return [*probes, Probe("direct-counters", FAILED, "the rule refuses other users as well")]
        if any(moved.get(name, 0) < count for name, count in expected.items()):
            return [
                *probes,
                Probe(
                    "direct-counters",
                    FAILED,
                    f"{_counts(expected)} were tried and {_counts(moved)} counted: something else on this host refuses"
                    " first, or the rule does not see them",
                ),
            ]
        return [
            *probes,
            Probe(
                "direct-counters",
                UNKNOWN,
                f"{_counts(expected)} were tried and {_counts(moved)} counted, and {_counts(control_moved)} during the"
                " control: the gateway's user keeps trying other ways by itself, so nothing could be told apart",
            ),
        ]

    def remote_proxy(self) -> list[Probe]:
        """Whether this table lets the gateway's user through to the proxy on another machine, on its port alone.

        The proxy may be down: what counts is that no counter moves. The port beside it is the control.
        """

        def packets() -> int:
            return sum(self._counters().values())

        probes = []
        for proxy in self._policy.remote:
            address = str(proxy.network.network_address)
            denied = any(_contains(network, address) for network in self._policy.denied)
            beside = next(port for port in range(1, 65536) if port not in proxy.ports)
            for port in proxy.ports:
                result, detail = passage(self._gateway, Attempt("tcp", address, port), packets)
                probes.append(Probe(f"proxy-way {address}", result, detail))
            if denied or self._policy.strict is not None:
                outcomes, moved = self._counted(self._gateway, [Attempt("tcp", address, beside)])
                refused = outcomes[0] in _REFUSALS and sum(moved.values()) >= 1
                probes.append(
                    Probe(
                        f"proxy-way-alone {address}",
                        PASSED if refused else FAILED,
                        f"port {beside}: {outcomes[0]}; {_counts(moved)} counted",
                    )
                )
        return probes

    def proxy_port(self, squatted: str = "") -> list[Probe]:
        """Whether only the named users get to the proxy's port, and only the proxy may answer from it.

        ``squatted``: where a stranger listens. While the proxy runs its own address is taken, so the default is another
        one of loopback.
        """
        proxy = self._policy.proxy
        if proxy is None:
            return []
        attempt = Attempt("tcp", "127.0.0.1", proxy.port)
        return [
            Probe("proxy-port-stranger", *refusal(self._stranger, attempt, self._proxy_clients)),
            Probe("proxy-port-gateway", *passage(self._gateway, attempt, self._proxy_clients)),
            self.squatting(proxy, squatted or spare_address()),
            *self.backend_port(proxy),
        ]

    def _proxy_clients(self) -> int:
        return self._counters().get("proxy_client", 0)

    def backend_port(self, proxy: _egress.Proxy) -> list[Probe]:
        """Whether the proxy's user alone is let through to where the proxy listens behind its supervisor."""
        if not proxy.backend_port:
            return []
        attempt = Attempt("tcp", "127.0.0.1", proxy.backend_port)
        return [
            Probe("backend-port-stranger", *refusal(self._stranger, attempt, self._proxy_clients)),
            Probe("backend-port-gateway", *refusal(self._gateway, attempt, self._proxy_clients)),
            Probe("backend-port-proxy", *passage(Identity(proxy.uid, proxy.uid), attempt, self._proxy_clients)),
        ]

    def squatting(self, proxy: _egress.Proxy, address: str) -> Probe:
        """Whether another user who listens on the proxy's port gets a connection; root asks."""
        identifier = "proxy-port-squatting"
        before = self._counters()
        outcome = _squat(self._stranger.uid, address, proxy.port)
        counted = self._counters().get("proxy_answer", 0) - before.get("proxy_answer", 0)
        control = _squat(proxy.uid, address, proxy.port)
        if outcome == "EADDRINUSE":
            holders = {each.uid for each in _listening.reached_by(address, _listening.listeners(proxy.port))}
            if holders == {proxy.uid}:
                return Probe(identifier, NOT_APPLICABLE, "the proxy holds its port on every address")
            return Probe(
                identifier, UNKNOWN, f"the port is held by uid {sorted(holders) or 'unknown'}, not by the proxy"
            )
        if outcome == _OPEN:
            return Probe(identifier, FAILED, f"uid {self._stranger.uid} answered from port {proxy.port}")
        if outcome == _SILENT and counted > 0 and control == _OPEN:
            return Probe(identifier, PASSED, f"uid {self._stranger.uid} got no connection, the proxy's user did")
        return Probe(
            identifier,
            UNKNOWN,
            f"uid {self._stranger.uid}: {outcome}, counted {counted}; the proxy's user: {control}",
        )


def spare_address() -> str:
    """An address of loopback that nobody can have taken in advance."""
    return str(ipaddress.IPv4Address(int.from_bytes(bytes([127]) + os.urandom(3), "big") | 1))


def _squat(uid: int, address: str, port: int) -> str:
    """Listen as that user and connect as root: open, silent, or the name of the error."""

    def work() -> str:
        # A socket keeps the user who made it, so one process can be both ends.
        os.seteuid(uid)
        with socket.socket(_family(address), socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
                listener.listen(1)
            except OSError as error:
                return _name(error.errno or 0)
            os.seteuid(0)
            return try_all([Attempt("tcp", address, port)])[0]

    return _other_user.call_as(0, 0, work, timeout_seconds=ANSWER_SECONDS)


def _judge_direct(attempt: Attempt, outcome: str, control: str) -> Probe:
    identifier = f"direct-{attempt.protocol} {attempt.address}"
    if outcome in _NO_ROUTE:
        if control in _NO_ROUTE:
            return Probe(identifier, NOT_APPLICABLE, "this host has no route there")
        return Probe(identifier, UNKNOWN, f"{outcome} for the gateway's user, {control} for another")
    if outcome not in _REFUSALS:
        return Probe(identifier, FAILED, f"not refused for the gateway's user: {outcome}")
    if control in ("EPERM", "EACCES", *_NO_ROUTE[:3]):
        return Probe(identifier, UNKNOWN, f"refused for everybody ({control}), so that nothing shows whose rule it is")
    return Probe(identifier, PASSED, "refused and counted for the gateway's user, not for another")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing"
