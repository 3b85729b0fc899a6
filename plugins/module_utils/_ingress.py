# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel rule of a proxy that serves other machines: who may connect to it. Private to this collection.

A table of its own beside that of the gateway's rule, which is about what leaves a host. How it is loaded, compared and
brought back after a boot is the same: see ``_egress`` and ``_egress_service``.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _egress_probe,
    _egress_service,
    _listening,
    _service_unit,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._egress import FAILED, PASSED, UNKNOWN, Probe

TABLE = "failclosed_openclaw_ingress"
UNIT = "failclosed-openclaw-ingress"
RULES = f"{_egress.DIRECTORY}/ingress.nft"
RECORD = "/var/lib/failclosed-openclaw/ingress.json"
RECORD_FORMAT = 1
NFTABLES_DROP_IN = "/etc/systemd/system/nftables.service.d/failclosed-openclaw-ingress.conf"
COUNTERS = ("refused", "too_many", "local_client", "local_answer")
TRANSPORT = "transport"
_MARK = "# Managed by Ansible, role failclosed.openclaw.openclaw_ingress\n"
_ATTEMPT_SECONDS = 2.0
_START_SECONDS = 5.0

# Outside of the service's own sandbox, which has no capability for it.
_GUARDED = """\
# The service does not start unless the rule about its clients is there or can be loaded.
[Unit]
Wants={unit}.service
After={unit}.service

[Service]
ExecStartPre=+/bin/sh -c '{nft} list chain inet {table} input >/dev/null 2>&1 || exec {nft} --file {rules}'
"""


@dataclass(frozen=True)
class Policy:
    """``port``: where clients connect, ``owner_uid``: who listens there, ``address``: on which address.

    ``proxy_port`` and ``proxy_uid``: the proxy itself; the same as the former two where nothing stands in front of it.
    ``proxy_address``: where the proxy listens behind what stands in front of it. ``connections``: how many each
    client's address may hold at a time. ``backend_port``: where it listens behind its own supervisor; 0 if it does not.
    """

    address: str
    port: int
    owner_uid: int
    clients: tuple[_egress.Network, ...]
    proxy_port: int
    proxy_uid: int
    proxy_address: str = "127.0.0.1"
    connections: int = 256
    backend_port: int = 0

    @property
    def in_front(self) -> bool:
        """Whether something stands in front of the proxy, which then is reached by nobody else."""
        return self.port != self.proxy_port

    @property
    def local_address(self) -> str:
        """Where a user of this host would try the proxy itself."""
        if self.in_front:
            return self.proxy_address
        parsed = ipaddress.ip_address(self.address)
        if parsed.is_unspecified:
            return "127.0.0.1" if parsed.version == 4 else "::1"
        return self.address

    @property
    def local_uids(self) -> tuple[int, ...]:
        """Who of this host may connect to the proxy itself: root, its own supervisor, and what stands in front."""
        return tuple(sorted({0, self.owner_uid, self.proxy_uid}))


def parse_clients(texts: t.Iterable[str], name: str) -> tuple[_egress.Network, ...]:
    """The addresses and networks that may connect; raises EgressError for none, for all, and for loopback."""
    networks = tuple(_egress.parse_network(text, name) for text in texts)
    if not networks:
        raise _egress.EgressError(f"{name} is empty: name the addresses of the gateways.")
    for network in networks:
        if network.prefixlen == 0:
            raise _egress.EgressError(
                f"{name} contains '{network}', every machine: name the addresses of the gateways."
            )
        if network.is_loopback:
            raise _egress.EgressError(
                f"{name} contains '{network}', this host itself: a gateway here needs no TLS and no rule about it."
            )
    return tuple(
        sorted(
            [
                *ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network)),
                *ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network)),
            ],
            key=lambda network: (network.version, network),
        )
    )


def _chains(policy: Policy) -> dict[str, list[str]]:
    reject = "counter name {} reject with tcp reset"
    # What reaches the proxy from its own host is judged where it leaves, by the user who sends it.
    ingress = [] if policy.in_front else [f'iifname "lo" tcp dport {policy.proxy_port} accept']
    for version, family in ((4, "ip"), (6, "ip6")):
        if any(network.version == version for network in policy.clients):
            listed = f"tcp dport {policy.port} {family} saddr @clients_ipv{version}"
            held = f"add @{_egress.COUNTED}ipv{version} {{ {family} saddr ct count over {policy.connections} }}"
            ingress += [f"{listed} ct state new {held} {reject.format('too_many')}", f"{listed} accept"]
    ingress.append(f"tcp dport {policy.port} {reject.format('refused')}")
    uids = ", ".join(str(uid) for uid in policy.local_uids)
    egress = [
        f"tcp sport {policy.port} meta skuid != {policy.owner_uid} {reject.format('local_answer')}",
        f'oifname "lo" tcp dport {policy.proxy_port} meta skuid != {{ {uids} }} {reject.format("local_client")}',
    ]
    if policy.in_front:
        ingress.append(f'iifname != "lo" tcp dport {policy.proxy_port} {reject.format("refused")}')
        egress.append(f"tcp sport {policy.proxy_port} meta skuid != {policy.proxy_uid} {reject.format('local_answer')}")
    if policy.backend_port:
        own = ", ".join(str(uid) for uid in sorted({0, policy.proxy_uid}))
        ingress.append(f'iifname != "lo" tcp dport {policy.backend_port} {reject.format("refused")}')
        egress += [
            f'oifname "lo" tcp dport {policy.backend_port} meta skuid != {{ {own} }} {reject.format("local_client")}',
            f"tcp sport {policy.backend_port} meta skuid != {policy.proxy_uid} {reject.format('local_answer')}",
        ]
    return {"input": ingress, "output": egress}


def render(policy: Policy) -> str:
    """The table as a file for ``nft --file``, which replaces it in one transaction."""
    lines = [
        _MARK.rstrip(),
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *(f"  counter {name} {{ }}" for name in COUNTERS),
    ]
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        elements = ", ".join(str(network) for network in policy.clients if network.version == version)
        if elements:
            lines.append(f"  set clients_ipv{version} {{ type {kind}; flags interval; elements = {{ {elements} }}; }}")
            lines.append(f"  set {_egress.COUNTED}ipv{version} {{ type {kind}; size 65535; flags dynamic; }}")
    for name, rules in _chains(policy).items():
        lines.append(f"  chain {name} {{")
        lines.append(f"    type filter hook {name} priority {_egress.PRIORITY}; policy accept;")
        lines += [f"    {rule}" for rule in rules]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def deviations(listing: dict[str, t.Any], policy: Policy) -> list[str]:
    """How a loaded table differs from the policy, judged by what every release of nft shows the same way."""
    counts: dict[str, int] = {}
    hooks = {}
    for item in listing.get("nftables", []):
        if "rule" in item:
            counts[item["rule"]["chain"]] = counts.get(item["rule"]["chain"], 0) + 1
        if "chain" in item:
            chain = item["chain"]
            hooks[chain["name"]] = (chain.get("type"), chain.get("hook"), chain.get("prio"), chain.get("policy"))
    wanted = {name: len(rules) for name, rules in _chains(policy).items()}
    found = [] if counts == wanted else [f"it has {counts} rules instead of {wanted}"]
    expected = {name: ("filter", name, _egress.PRIORITY, "accept") for name in wanted}
    return found if hooks == expected else [*found, f"its chains are {hooks}"]


def service(nft: str, rules: str, guarded_unit: str) -> _service_unit.Service:
    """The unit that loads the rules, with the drop-ins of nftables.service and of the service that they guard."""
    names = {"nft": nft, "rules": RULES, "table": TABLE, "unit": UNIT, "subject": "the clients of a Claude proxy"}
    drop_in = _egress_service.nftables_drop_in(**names)
    return _service_unit.Service(
        name=UNIT,
        unit=_MARK + _egress_service.unit_text(**names),
        files=(
            _service_unit.ManagedFile(RULES, rules.encode()),
            _service_unit.ManagedFile(NFTABLES_DROP_IN, (_MARK + drop_in).encode(), restart=False),
            _service_unit.ManagedFile(
                guarded_drop_in(guarded_unit), (_MARK + _GUARDED.format(**names)).encode(), restart=False
            ),
        ),
    )


_DROP_IN = "10-failclosed-ingress.conf"


def guarded_drop_in(unit: str, directory: str = _service_unit.UNIT_DIRECTORY) -> str:
    return f"{directory}/{unit}.d/{_DROP_IN}"


def drop_ins_elsewhere(unit: str, directory: str = _service_unit.UNIT_DIRECTORY) -> list[str]:
    """Our drop-ins of services other than ``unit``, which would not start any more once the rule is gone."""
    own = guarded_drop_in(unit, directory)
    return [path for path in _egress_service.drop_ins_of(_DROP_IN, _MARK, directory) if path != own]


class Prober:
    """Tries a loaded policy on its own host. ``counters`` reads this table's counters."""

    def __init__(self, policy: Policy, counters: t.Callable[[], dict[str, int]]) -> None:
        self._policy = policy
        self._counters = counters

    def run(self) -> list[Probe]:
        """Everything, by packets of several users and by the kernel's socket table."""
        unlisted = [self._unlisted()] if self._policy.in_front else []
        return [*self.listening(), *unlisted, *self._strangers()]

    def listening(self) -> list[Probe]:
        """Who listens where, which costs one look at the kernel's socket table and sends nothing."""
        policy = self._policy
        probes = [self._owner("owner", policy.address, policy.port, policy.owner_uid)]
        if policy.in_front:
            probes += [
                self._owner("proxy-owner", policy.proxy_address, policy.proxy_port, policy.proxy_uid),
                self._proxy_on_loopback(),
            ]
        return probes

    @staticmethod
    def _owner(identifier: str, address: str, port: int, uid: int) -> Probe:
        """Whether that user, and nobody else, listens where a connection to the address arrives."""
        found = _listening.listeners(port)
        deadline = time.monotonic() + _START_SECONDS
        # A service that was just started may need a moment.
        while not found and time.monotonic() < deadline:
            time.sleep(0.1)
            found = _listening.listeners(port)
        wildcard = ipaddress.ip_address(address).is_unspecified
        reached = found if wildcard else _listening.reached_by(address, found)
        others = sorted({each.uid for each in reached if each.uid != uid})
        if others:
            return Probe(identifier, FAILED, f"uid {others[0]} listens on {address} port {port}, not uid {uid}")
        if not reached:
            return Probe(identifier, FAILED, f"nothing listens on {address} port {port}")
        return Probe(identifier, PASSED, f"uid {uid} alone listens on {address} port {port}")

    def _proxy_on_loopback(self) -> Probe:
        found = _listening.listeners(self._policy.proxy_port)
        outside = sorted({each.address for each in found if not ipaddress.ip_address(each.address).is_loopback})
        if outside:
            return Probe("proxy-loopback", FAILED, f"the proxy itself listens on {', '.join(outside)}, without TLS")
        return Probe("proxy-loopback", PASSED, "the proxy itself listens on loopback alone")

    def _unlisted(self) -> Probe:
        """A connection from loopback is one from an address that is never listed."""
        policy = self._policy
        before = self._counters()
        outcome = _connect_from_loopback(policy.address, policy.port)
        counted = self._counters().get("refused", 0) - before.get("refused", 0)
        refused = outcome == "ECONNREFUSED" and counted >= 1
        detail = f"a client that is not listed: {outcome}, {counted} counted"
        return Probe("unlisted-client", PASSED if refused else FAILED, detail)

    def _strangers(self) -> list[Probe]:
        """Whether another user of this host is refused at the proxy's own ports, and whoever needs them is not."""
        policy = self._policy
        own = _egress_probe.Attempt("tcp", policy.local_address, policy.proxy_port)
        backend = _egress_probe.Attempt("tcp", "127.0.0.1", policy.backend_port)
        stranger = next(uid for uid in range(65534, 60000, -1) if uid not in policy.local_uids)
        # Without anything in front it is the proxy's own supervisor, which asks whether the proxy lives.
        allowed = [("local-front" if policy.in_front else "local-proxy", policy.owner_uid, own)]
        refused = [("local-stranger", own)]
        if policy.backend_port:
            allowed.append(("backend-port-proxy", policy.proxy_uid, backend))
            refused.append(("backend-port-stranger", backend))

        def packets() -> int:
            return self._counters().get("local_client", 0)

        probes = []
        for identifier, attempt in refused:
            caller = _egress_probe.Identity(stranger, stranger)
            probes.append(Probe(identifier, *_egress_probe.refusal(caller, attempt, packets)))
        for identifier, uid, attempt in allowed:
            (outcome,) = _egress_probe.attempted(_egress_probe.Identity(uid, uid), [attempt])
            probes.append(Probe(identifier, PASSED if outcome == "open" else FAILED, f"uid {uid}: {outcome}"))
        return probes


def _connect_from_loopback(address: str, port: int) -> str:
    parsed = ipaddress.ip_address(address)
    family, source = (socket.AF_INET, "127.0.0.1") if parsed.version == 4 else (socket.AF_INET6, "::1")
    target = source if parsed.is_unspecified else address
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ATTEMPT_SECONDS)
        try:
            connection.bind((source, 0))
            connection.connect((target, port))
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, error.__class__.__name__)
    return "open"


def judge(probes: t.Sequence[Probe]) -> bool | None:
    """True when everything that was tried holds, None when something is open."""
    results = {probe.result for probe in probes}
    if FAILED in results:
        return False
    return None if UNKNOWN in results or not results else True


@dataclass(frozen=True)
class Record:
    """What was loaded and probed, kept by root; the same words as in the record of the gateway's rule."""

    boot: str
    address: str
    port: int
    tls: bool
    clients: tuple[str, ...]
    rules: str
    digest: str
    probes: tuple[Probe, ...] = ()
    enforced: bool | None = None

    def as_json(self) -> dict[str, t.Any]:
        return {
            "format": RECORD_FORMAT,
            **asdict(self),
            "clients": list(self.clients),
            "probes": [probe_values(probe) for probe in self.probes],
        }


def probe_values(probe: Probe) -> dict[str, str]:
    return {"id": probe.id, "result": probe.result, "detail": probe.detail}


def read_record(path: str = RECORD) -> dict[str, t.Any] | None:
    """The record as it was written; None when there is none that only root could have written."""
    document = _egress.read_document(path)
    return document if isinstance(document, dict) and document.get("format") == RECORD_FORMAT else None


def write_record(record: Record, path: str = RECORD) -> None:
    """Replace the record atomically; it holds no secret. Raises FileError or OSError."""
    _egress.write_document(record.as_json(), path)
