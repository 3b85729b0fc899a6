# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel rule: which ways out the gateway's user has, as an nftables table. Private to this collection.

The table is written with numbers only, so that it loads before any name can be resolved. What is loaded is compared
by a digest of the kernel's own listing without handles and counters; that listing differs between releases of nft, so
the digest is taken right after a load and kept in a record that only root can write, together with what was probed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import posixpath
import pwd
import subprocess
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files

TABLE = "failclosed_openclaw"
UNIT = "failclosed-openclaw-egress"
DIRECTORY = "/etc/failclosed-openclaw"
RULES = f"{DIRECTORY}/egress.nft"
RECORD = "/var/lib/failclosed-openclaw/egress.json"
RECORD_FORMAT = 2
DEFAULT, STRICT = "default", "strict"
PASSED, FAILED, UNKNOWN, NOT_APPLICABLE = "passed", "failed", "unknown", "not-applicable"

# After NAT (-100), so that a rewritten destination is seen, and before the filters of others (0), so that it is this
# table that refuses and counts.
PRIORITY = -10
COUNTERS = ("denied_tcp", "denied_other", "strict_tcp", "strict_other", "proxy_client", "proxy_answer")
_RECORD_LIMIT = 1_000_000
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
# RFC 6052: behind a NAT64 an IPv4 address is reached through this prefix.
_NAT64 = ipaddress.IPv6Address("64:ff9b::")
# RFC 4291, section 2.5.5.2, and RFC 919.
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_BROADCAST = ipaddress.IPv4Network("255.255.255.255/32")

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
RunCommand = t.Callable[[t.Sequence[str], t.Optional[str]], tuple[int, str, str]]


class EgressError(Exception):
    """The rule could not be built, loaded or looked at; the message says what was found and what to do."""


class Destination(t.NamedTuple):
    """What strict mode lets the gateway reach; ``protocol`` is tcp or udp, no ``ports`` means every port."""

    network: Network
    protocol: str = "tcp"
    ports: tuple[int, ...] = ()


class Proxy(t.NamedTuple):
    """The proxy on this host: its port, whose it is, which uids may talk to it.

    ``exposed``: it listens beyond loopback, so that its port is guarded on every interface. ``backend_port``: where it
    listens behind its supervisor, which alone may come there; 0 where there is none.
    """

    uid: int
    port: int
    clients: tuple[int, ...]
    exposed: bool = False
    backend_port: int = 0


class Strict(t.NamedTuple):
    """What strict mode leaves besides loopback."""

    allowed: tuple[Destination, ...] = ()
    name_servers: tuple[Network, ...] = ()
    served_ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Policy:
    """The wanted rule. ``uid_ranges``: first and last of the gateway's subordinate uids."""

    gateway_uid: int
    denied: tuple[Network, ...]
    uid_ranges: tuple[tuple[int, int], ...] = ()
    proxy: Proxy | None = None
    strict: Strict | None = None
    # The proxy on another machine: it may be reached even where its address is in a denied network.
    remote: tuple[Destination, ...] = ()

    @property
    def mode(self) -> str:
        return STRICT if self.strict is not None else DEFAULT

    @property
    def blocked(self) -> tuple[Network, ...]:
        """The denied networks and their NAT64 forms, merged, IPv4 first."""
        ipv4 = [network for network in self.denied if isinstance(network, ipaddress.IPv4Network)]
        ipv6 = [network for network in self.denied if isinstance(network, ipaddress.IPv6Network)]
        ipv6 += [_nat64(network) for network in ipv4]
        return (*ipaddress.collapse_addresses(ipv4), *ipaddress.collapse_addresses(ipv6))


def _nat64(network: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    address = ipaddress.IPv6Address(int(_NAT64) + int(network.network_address))
    return ipaddress.IPv6Network((address, 96 + network.prefixlen))


def parse_network(text: str, name: str) -> Network:
    """An address or network of either family; raises EgressError that begins with ``name``."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise EgressError(
            f"{name} contains '{text}': {error}. Write an address or a network such as 192.0.2.0/24 or 2001:db8::/32."
        ) from None


def parse_denied(texts: t.Iterable[str], name: str) -> tuple[Network, ...]:
    """The networks that the gateway must not reach; raises EgressError for one that would cut off loopback."""
    networks = tuple(parse_network(text, name) for text in texts)
    for network in networks:
        if any(network.version == loopback.version and network.overlaps(loopback) for loopback in _LOOPBACK):
            raise EgressError(
                f"{name} contains '{network}', which covers this host's loopback, where gateway and proxy talk to each"
                " other. Name the networks to deny, or use strict mode to deny everything else."
            )
        if isinstance(network, ipaddress.IPv6Network) and network.overlaps(_MAPPED):
            raise EgressError(
                f"{name} contains '{network}': addresses in ::ffff:0:0/96 stand for IPv4 and leave no host as IPv6."
                " Write the IPv4 network."
            )
        if network == _BROADCAST:
            raise EgressError(
                f"{name} contains '{network}', to which nobody connects, so that no refusal could be shown. Remove it."
            )
    return networks


def check_allowed(allowed: t.Iterable[Destination], denied: t.Sequence[Network], name: str) -> None:
    """Raise EgressError for an allowed network that is denied, because the denial wins."""
    for destination in allowed:
        for network in denied:
            if destination.network.version == network.version and destination.network.subnet_of(network):  # type: ignore[arg-type]
                raise EgressError(
                    f"{name} contains '{destination.network}', which lies in the denied network '{network}' and would"
                    " stay closed. Remove it from one of the two."
                )


def name_servers_of(resolv_conf: str) -> tuple[Network, ...]:
    """The name servers of a resolv.conf(5), without those on loopback, which need no rule."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ipaddress.ip_address(words[1].split("%")[0])
            except ValueError:
                continue
            if not address.is_loopback:
                found.append(ipaddress.ip_network(address))
    return tuple(found)


def subordinate_ranges(subuid: str, user: str, uid: int) -> tuple[tuple[int, int], ...]:
    """The uids that subuid(5) gives a user: in a user namespace his processes may run under them."""
    found = []
    for line in subuid.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (user, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            first, count = int(fields[1]), int(fields[2])
            if count > 0:
                found.append((first, first + count - 1))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _ports(ports: t.Iterable[int]) -> str:
    return "{ " + ", ".join(str(port) for port in sorted(set(ports))) + " }"


def _daddr(network: Network) -> str:
    return f"{'ip' if network.version == 4 else 'ip6'} daddr {network}"


def _set(name: str, kind: str, networks: t.Sequence[Network]) -> list[str]:
    elements = ", ".join(str(network) for network in networks)
    return [f"  set {name} {{ type {kind}; flags interval; elements = {{ {elements} }}; }}"] if networks else []


def _strict_rules(strict: Strict) -> list[str]:
    rules = [f"{_daddr(loopback)} accept" for loopback in _LOOPBACK]
    # Not by connection tracking, which would let a connection live on that was open before the rule was.
    if strict.served_ports:
        rules.append(f"tcp sport {_ports(strict.served_ports)} tcp flags & (syn | ack) != syn accept")
    for network in strict.name_servers:
        rules += [f"{_daddr(network)} {protocol} dport 53 accept" for protocol in ("udp", "tcp")]
    for destination in strict.allowed:
        match = (
            f"{destination.protocol} dport {_ports(destination.ports)}"
            if destination.ports
            else f"meta l4proto {destination.protocol}"
        )
        rules.append(f"{_daddr(destination.network)} {match} accept")
    return [*rules, "goto refuse_strict"]


def _chains(policy: Policy) -> dict[str, list[str]]:
    ipv4 = [network for network in policy.blocked if network.version == 4]
    ipv6 = [network for network in policy.blocked if network.version == 6]
    # With a source route the destination that counts stands in the option, or in the routing header of IPv6.
    source_routes = [
        "ip option lsrr exists goto refuse_denied",
        "ip option ssrr exists goto refuse_denied",
        "exthdr rt exists goto refuse_denied",
    ]
    gateway = []
    if policy.remote:
        # Before the denials, and each for one port of one address alone.
        gateway += source_routes
        gateway += [
            f"{_daddr(proxy.network)} {proxy.protocol} dport {_ports(proxy.ports)} accept" for proxy in policy.remote
        ]
    if ipv4:
        gateway.append("ip daddr @denied_ipv4 goto refuse_denied")
    if ipv6:
        gateway.append("ip6 daddr @denied_ipv6 goto refuse_denied")
    gateway += source_routes
    if policy.strict is not None:
        gateway += _strict_rules(policy.strict)
    output = []
    if policy.proxy is not None:
        proxy = policy.proxy
        clients = ", ".join(str(uid) for uid in sorted({0, proxy.uid, policy.gateway_uid, *proxy.clients}))
        scope = "" if proxy.exposed else 'oifname "lo" '
        refuse = "counter name {} reject with tcp reset"
        output += [
            f'oifname "lo" tcp dport {proxy.port} meta skuid != {{ {clients} }} {refuse.format("proxy_client")}',
            f"{scope}tcp sport {proxy.port} meta skuid != {proxy.uid} {refuse.format('proxy_answer')}",
        ]
        if proxy.backend_port:
            port, own = proxy.backend_port, ", ".join(str(uid) for uid in sorted({0, proxy.uid}))
            output += [
                f'oifname "lo" tcp dport {port} meta skuid != {{ {own} }} {refuse.format("proxy_client")}',
                f'oifname "lo" tcp sport {port} meta skuid != {proxy.uid} {refuse.format("proxy_answer")}',
            ]
    uids = ", ".join([str(policy.gateway_uid), *(f"{first}-{last}" for first, last in policy.uid_ranges)])
    output.append(f"meta skuid {{ {uids} }} jump gateway")
    chains = {}
    for name in ("denied", "strict"):
        # Not only TCP and UDP: SCTP and others need no privilege either.
        chains[f"refuse_{name}"] = [
            f"meta l4proto tcp counter name {name}_tcp reject with tcp reset",
            f"counter name {name}_other reject with icmpx type admin-prohibited",
        ]
    return {**chains, "gateway": gateway, "output": output}


def render(policy: Policy) -> str:
    """The table as a file for ``nft --file``, which replaces it in one transaction."""
    lines = [
        "# Managed by Ansible, role failclosed.openclaw.openclaw_egress",
        f"# mode {policy.mode}",
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *(f"  counter {name} {{ }}" for name in COUNTERS),
        *_set("denied_ipv4", "ipv4_addr", [network for network in policy.blocked if network.version == 4]),
        *_set("denied_ipv6", "ipv6_addr", [network for network in policy.blocked if network.version == 6]),
    ]
    for name, rules in _chains(policy).items():
        lines.append(f"  chain {name} {{")
        if name == "output":
            lines.append(f"    type filter hook output priority {PRIORITY}; policy accept;")
        lines += [f"    {rule}" for rule in rules]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# What the sets of these names have in them, rules add when packets arrive.
COUNTED = "connections_"


def _without_state(value: t.Any, *, counter: bool = False) -> t.Any:
    if isinstance(value, dict):
        dropped = {"handle", "packets", "bytes"} if counter else {"handle"}
        # Not by the flag "dynamic", which nft 1.0.6 does not print.
        dropped |= {"elem"} if str(value.get("name", "")).startswith(COUNTED) else set()
        return {
            key: _sorted(_without_state(item))
            if key in ("set", "elem") and isinstance(item, list)
            else _without_state(item, counter=key == "counter")
            for key, item in value.items()
            if key not in dropped
        }
    if isinstance(value, list):
        return [_without_state(item) for item in value]
    return value


def _sorted(items: list[t.Any]) -> list[t.Any]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def _objects(listing: dict[str, t.Any], kind: str) -> list[dict[str, t.Any]]:
    return [item[kind] for item in listing.get("nftables", []) if kind in item]


def listing_digest(listing: dict[str, t.Any]) -> str:
    """A digest of what ``nft --json list table`` shows, without what changes by itself: handles, counts, clients."""
    kept = [_without_state(item) for item in listing.get("nftables", []) if "metainfo" not in item]
    return digest_of(json.dumps(kept, sort_keys=True))


def counters_of(listing: dict[str, t.Any]) -> dict[str, int]:
    """Packets of each named counter."""
    return {counter["name"]: int(counter["packets"]) for counter in _objects(listing, "counter")}


def _element(item: t.Any) -> Network | None:
    if isinstance(item, str):
        return ipaddress.ip_network(item)
    if isinstance(item, dict) and "prefix" in item:
        return ipaddress.ip_network(f"{item['prefix']['addr']}/{item['prefix']['len']}")
    return None


def deviations(listing: dict[str, t.Any], policy: Policy) -> list[str]:
    """How a loaded table differs from the policy, judged by what every release of nft shows the same way."""
    found = []
    chains = {chain["name"]: chain for chain in _objects(listing, "chain")}
    base = chains.get("output", {})
    shown = (base.get("type"), base.get("hook"), base.get("prio"), base.get("policy"))
    if shown != ("filter", "output", PRIORITY, "accept"):
        found.append(f"its output chain is {shown}")
    counts: dict[str, int] = {}
    for rule in _objects(listing, "rule"):
        counts[rule["chain"]] = counts.get(rule["chain"], 0) + 1
    wanted = {name: len(rules) for name, rules in _chains(policy).items()}
    if counts != wanted or set(chains) != set(wanted):
        found.append(f"it has {counts} rules instead of {wanted}")
    elements = {_element(item) for each in _objects(listing, "set") for item in each.get("elem", [])}
    if elements != set(policy.blocked):
        found.append("its lists of denied networks are others")
    return found


def run_command(command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
    """Run a command of the system without inheriting an environment; raises OSError, subprocess.TimeoutExpired."""
    completed = subprocess.run(
        list(command),
        input=data if data is not None else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    return completed.returncode, completed.stdout, completed.stderr


class Nft:
    """The program nft, at ``path``; only one table of this collection is asked for and touched."""

    def __init__(self, path: str = "nft", run: RunCommand = run_command, table: str = TABLE) -> None:
        self._path = path
        self._run = run
        self._table = table

    def _call(self, *arguments: str, data: str | None = None) -> tuple[int, str, str]:
        try:
            return self._run([self._path, *arguments], data)
        except FileNotFoundError:
            raise EgressError("nft is not installed on this host; install the package nftables") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise EgressError(f"nft could not be run: {error}") from None

    def listing(self) -> dict[str, t.Any] | None:
        """The loaded table as nft's JSON; None when there is none. Raises EgressError when nft cannot say."""
        code, output, error = self._call("--json", "list", "table", "inet", self._table)
        if code != 0:
            if "No such file or directory" in error:
                return None
            raise EgressError(f"nft cannot list the table inet {self._table}: {_first_line(error)}")
        try:
            document = json.loads(output)
        except ValueError:
            raise EgressError("nft printed no JSON; it must be built with support for it") from None
        return t.cast("dict[str, t.Any]", document)

    def counters(self) -> dict[str, int]:
        """Packets of each named counter; raises EgressError when the table is gone."""
        found = self.listing()
        if found is None:
            raise EgressError(f"the table inet {self._table} is gone; another program has removed it")
        return counters_of(found)

    def check(self, text: str) -> None:
        """Let nft and the kernel judge a ruleset without loading it; raises EgressError."""
        code, _output, error = self._call("--check", "--file", "-", data=text)
        if code != 0:
            raise EgressError(f"this host's nft or kernel does not accept the rules: {_first_line(error)}")

    def delete(self) -> None:
        """Remove the table; raises EgressError."""
        code, _output, error = self._call("delete", "table", "inet", self._table)
        if code != 0:
            raise EgressError(f"nft cannot remove the table inet {self._table}: {_first_line(error)}")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "it gave no reason"


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def boot_identity(proc: str = "/proc") -> str:
    """What is another after every boot, also of a container, whose kernel keeps its boot id: that, and init's start."""
    # The name in the second field may contain anything, so count from its closing parenthesis.
    fields = _read_text(f"{proc}/1/stat").rpartition(")")[2].split()
    started = fields[19] if len(fields) > 19 else ""
    return f"{_read_text(f'{proc}/sys/kernel/random/boot_id').strip()}/{started}"


@dataclass(frozen=True)
class Probe:
    """One thing that was tried. ``result`` is passed, failed, unknown or not-applicable."""

    id: str
    result: str
    detail: str


def judge(probes: t.Sequence[Probe]) -> bool | None:
    """Whether the probes show the rule at work: None when one is open, or when no direct way could be tried at all."""
    results = {probe.result for probe in probes}
    if FAILED in results:
        return False
    if UNKNOWN in results or not any(probe.result == PASSED and probe.id.startswith("direct") for probe in probes):
        return None
    return True


@dataclass(frozen=True)
class Record:
    """What was loaded and probed, kept by root. ``rules`` and ``digest``: of the file, and of the kernel's listing.

    ``allowed`` are strict mode's networks, ``proxy`` what guards the proxy's port; None where nothing does.
    """

    boot: str
    user: str
    gateway_uid: int
    uid_ranges: tuple[tuple[int, int], ...]
    networks: tuple[str, ...]
    mode: str
    allowed: tuple[str, ...]
    proxy: Proxy | None
    rules: str
    digest: str
    routed: tuple[str, ...]
    remote: tuple[Destination, ...] = ()
    probes: tuple[Probe, ...] = field(default=())
    enforced: bool | None = None

    def as_json(self) -> dict[str, t.Any]:
        return {
            "format": RECORD_FORMAT,
            "boot": self.boot,
            "user": self.user,
            "gateway_uid": self.gateway_uid,
            "uid_ranges": [list(each) for each in self.uid_ranges],
            "networks": list(self.networks),
            "mode": self.mode,
            "allowed": list(self.allowed),
            "proxy": {**self.proxy._asdict(), "clients": list(self.proxy.clients)} if self.proxy else None,
            "rules": self.rules,
            "digest": self.digest,
            "routed": list(self.routed),
            "remote": [{"network": str(each.network), "ports": list(each.ports)} for each in self.remote],
            "probes": [{"id": probe.id, "result": probe.result, "detail": probe.detail} for probe in self.probes],
            "enforced": self.enforced,
        }

    def policy(self) -> Policy:
        """As much of the policy as is needed to try it again; not enough to render it."""
        allowed = tuple(Destination(ipaddress.ip_network(network)) for network in self.allowed)
        return Policy(
            gateway_uid=self.gateway_uid,
            denied=tuple(ipaddress.ip_network(network) for network in self.networks),
            uid_ranges=self.uid_ranges,
            proxy=self.proxy,
            strict=Strict(allowed) if self.mode == STRICT else None,
            remote=self.remote,
        )


def _proxy(document: t.Any) -> Proxy | None:
    if document is None:
        return None
    clients = tuple(int(uid) for uid in document["clients"])
    backend_port = int(document.get("backend_port", 0))
    return Proxy(int(document["uid"]), int(document["port"]), clients, document["exposed"] is True, backend_port)


def _record(document: t.Any) -> Record | None:
    if not isinstance(document, dict) or document.get("format") != RECORD_FORMAT:
        return None
    try:
        return Record(
            boot=str(document["boot"]),
            user=str(document["user"]),
            gateway_uid=int(document["gateway_uid"]),
            uid_ranges=tuple((int(first), int(last)) for first, last in document["uid_ranges"]),
            networks=tuple(str(network) for network in document["networks"]),
            mode=str(document["mode"]),
            allowed=tuple(str(network) for network in document["allowed"]),
            proxy=_proxy(document["proxy"]),
            rules=str(document["rules"]),
            digest=str(document["digest"]),
            routed=tuple(str(family) for family in document["routed"]),
            remote=tuple(
                Destination(ipaddress.ip_network(each["network"]), "tcp", tuple(int(port) for port in each["ports"]))
                for each in document["remote"]
            ),
            probes=tuple(
                Probe(str(each["id"]), str(each["result"]), str(each["detail"])) for each in document["probes"]
            ),
            enforced=document["enforced"] if isinstance(document["enforced"], bool) else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_document(path: str) -> t.Any:
    """The JSON of a record; None when there is none that only root could have written."""
    parent, name = posixpath.split(path)
    try:
        with _files.open_directory(parent) as descriptor:
            found = _files.read_file(descriptor, name, limit=_RECORD_LIMIT)
    except (OSError, _files.FileError):
        return None
    if found is None or found.uid != 0 or found.mode & 0o022:
        return None
    try:
        return json.loads(found.content)
    except ValueError:
        return None


def read_record(path: str = RECORD) -> Record | None:
    """The record; None when there is none that only root could have written."""
    return _record(read_document(path))


def write_record(record: Record, path: str = RECORD) -> None:
    """Replace the record atomically; it holds no secret. Raises FileError or OSError."""
    write_document(record.as_json(), path)


def write_document(document: t.Mapping[str, t.Any], path: str) -> None:
    """Replace the JSON of a record atomically. Raises FileError or OSError."""
    parent, name = posixpath.split(path)
    content = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
    with _files.private_directory(parent) as descriptor:
        found = _files.read_file(descriptor, name, limit=_RECORD_LIMIT)
        _files.replace_file(
            descriptor, name, content, _files.Ownership(os.geteuid(), os.getegid(), 0o644), expected=found
        )


class Observation(t.NamedTuple):
    """What can be seen of the rule right now, without changing anything.

    ``enforced``: True, False, or None for unknown. ``probed``: the very rules that were probed since the boot are
    loaded. ``networks`` are those of the policy, as text. ``reason`` says why ``enforced`` is not True.
    """

    enforced: bool | None
    probed: bool
    mode: str | None
    digest: str | None
    gateway_uid: int | None
    networks: tuple[str, ...]
    reason: str


def _seen(
    record: Record | None, enforced: bool | None, reason: str, *, digest: str | None = None, probed: bool = False
) -> Observation:
    return Observation(
        enforced=enforced,
        probed=probed,
        mode=record.mode if record else None,
        digest=digest,
        gateway_uid=record.gateway_uid if record else None,
        networks=record.networks if record else (),
        reason=reason,
    )


def observe(gateway_uid: int | None = None, *, nft: Nft | None = None, record_path: str = RECORD) -> Observation:
    """Look at the loaded table and the record; never raises for what it finds.

    ``gateway_uid``: the uid that the gateway has now; the rule must be for it. Without root the kernel shows no rules,
    and the result is unknown.
    """
    if os.geteuid() != 0:
        return _seen(None, None, "only root can see the kernel's rules")
    record = read_record(record_path)
    try:
        listing = (nft or Nft()).listing()
    except EgressError as error:
        return _seen(record, None, str(error))
    if listing is None:
        return _seen(record, False, f"the table inet {TABLE} is not loaded")
    digest = listing_digest(listing)
    return _compare(record, digest, gateway_uid)


def _compare(record: Record | None, digest: str, gateway_uid: int | None) -> Observation:
    def unproven(enforced: bool | None, reason: str) -> Observation:
        return _seen(record, enforced, reason, digest=digest)

    if record is None:
        return unproven(None, f"the table is loaded, and there is no record of it in {RECORD}")
    if digest != record.digest:
        return unproven(None, "the loaded table is not the one that was probed")
    try:
        uid = pwd.getpwnam(record.user).pw_uid
    except KeyError:
        uid = -1
    if uid != record.gateway_uid:
        return unproven(False, f"the table is for uid {record.gateway_uid}, and {record.user} has another")
    if gateway_uid is not None and gateway_uid != record.gateway_uid:
        return unproven(False, f"the table is for uid {record.gateway_uid}, and the gateway runs as uid {gateway_uid}")
    if record.boot != boot_identity():
        return unproven(None, "the table is loaded, and was not probed since this boot")
    open_probes = [f"{probe.id}: {probe.detail}" for probe in record.probes if probe.result in (FAILED, UNKNOWN)]
    reason = "" if record.enforced is True else "; ".join(open_probes) or "no direct way could be tried"
    return _seen(record, record.enforced, reason, digest=digest, probed=True)
