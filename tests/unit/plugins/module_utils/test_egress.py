# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rule as text, what is read back of it, and when an observation may say that it holds."""

from __future__ import annotations

import copy
import ipaddress
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress

DENIED = _egress.parse_denied(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"], "denied")
POLICY = _egress.Policy(gateway_uid=997, denied=DENIED, proxy=_egress.Proxy(996, 3456, (1000,)))


def rules_of(text: str, chain: str) -> list[str]:
    _before, _mark, rest = text.partition(f"  chain {chain} {{\n")
    return [line.strip() for line in rest.partition("\n  }\n")[0].splitlines()]


def test_the_table_is_replaced_in_one_transaction() -> None:
    lines = [line for line in _egress.render(POLICY).splitlines() if not line.startswith("#")]
    assert lines[:3] == [
        "table inet failclosed_openclaw",
        "delete table inet failclosed_openclaw",
        "table inet failclosed_openclaw {",
    ]
    # No name that would have to be resolved at boot, and nothing of another table.
    assert "openclaw-proxy" not in _egress.render(POLICY) and "flush" not in _egress.render(POLICY)


def test_default_mode_refuses_the_list_and_nothing_else() -> None:
    assert rules_of(_egress.render(POLICY), "gateway") == [
        "ip daddr @denied_ipv4 goto refuse_denied",
        "ip6 daddr @denied_ipv6 goto refuse_denied",
        "ip option lsrr exists goto refuse_denied",
        "ip option ssrr exists goto refuse_denied",
        "exthdr rt exists goto refuse_denied",
    ]


def test_every_protocol_is_refused_and_counted() -> None:
    assert rules_of(_egress.render(POLICY), "refuse_denied") == [
        "meta l4proto tcp counter name denied_tcp reject with tcp reset",
        "counter name denied_other reject with icmpx type admin-prohibited",
    ]


def test_the_port_is_for_the_named_users_and_the_answer_for_the_proxy() -> None:
    output = rules_of(_egress.render(POLICY), "output")
    clients = 'oifname "lo" tcp dport 3456 meta skuid != { 0, 996, 997, 1000 } '
    assert f"{clients}counter name proxy_client reject with tcp reset" in output
    assert 'oifname "lo" tcp sport 3456 meta skuid != 996 counter name proxy_answer reject with tcp reset' in output
    # An accept of the gateway's chain must not jump over the port's rules.
    assert output[-1] == "meta skuid { 997 } jump gateway"


def test_a_proxy_that_others_reach_is_guarded_on_every_interface() -> None:
    exposed = replace(POLICY, proxy=_egress.Proxy(996, 3456, (), exposed=True))
    assert "tcp sport 3456 meta skuid != 996 counter name proxy_answer reject with tcp reset" in rules_of(
        _egress.render(exposed), "output"
    )


def test_behind_the_supervisor_nobody_but_the_proxys_user_and_root_come() -> None:
    behind = replace(POLICY, proxy=_egress.Proxy(996, 3456, (1000,), exposed=True, backend_port=13456))
    output = rules_of(_egress.render(behind), "output")
    clients = 'oifname "lo" tcp dport 13456 meta skuid != { 0, 996 } '
    assert f"{clients}counter name proxy_client reject with tcp reset" in output
    assert 'oifname "lo" tcp sport 13456 meta skuid != 996 counter name proxy_answer reject with tcp reset' in output
    assert output[-1] == "meta skuid { 997 } jump gateway"
    assert "13456" not in _egress.render(POLICY)


def test_without_a_local_proxy_no_port_is_guarded() -> None:
    assert "3456" not in _egress.render(replace(POLICY, proxy=None))


def test_subordinate_uids_are_the_gateways() -> None:
    ranges = _egress.subordinate_ranges(
        "alice:100000:65536\nbob:165536:65536\n1000:300000:10\n\nalice:165536:x\nalice:165536:1\n", "alice", 1000
    )
    assert ranges == ((100000, 165536), (300000, 300009))
    text = _egress.render(replace(POLICY, uid_ranges=ranges))
    assert "meta skuid { 997, 100000-165536, 300000-300009 } jump gateway" in text


def test_nat64_forms_of_denied_ipv4_are_denied() -> None:
    assert ipaddress.ip_network("64:ff9b::c000:200/120") in POLICY.blocked


def test_strict_mode_ends_with_a_refusal_and_denies_first() -> None:
    strict = _egress.Strict(
        allowed=(_egress.Destination(ipaddress.ip_network("203.0.113.0/24"), "tcp", (443, 80)),),
        name_servers=(ipaddress.ip_network("203.0.113.53"),),
        served_ports=(18789,),
    )
    rules = rules_of(_egress.render(replace(POLICY, strict=strict)), "gateway")
    assert rules[0] == "ip daddr @denied_ipv4 goto refuse_denied" and rules[-1] == "goto refuse_strict"
    assert "ip daddr 203.0.113.0/24 tcp dport { 80, 443 } accept" in rules
    assert "ip daddr 203.0.113.53/32 udp dport 53 accept" in rules
    # Answers only: a connection that the gateway opens begins with a packet that this does not match.
    assert "tcp sport { 18789 } tcp flags & (syn | ack) != syn accept" in rules
    assert not any("ct " in rule for rule in rules), "tracked connections would outlive the rule"


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (["0.0.0.0/0"], ["'0.0.0.0/0'", "loopback", "strict mode"]),
        (["::/0"], ["'::/0'", "loopback"]),
        (["::ffff:192.0.2.0/120"], ["denied contains '::ffff:", "stand for IPv4", "Write the IPv4 network"]),
        (["255.255.255.255"], ["denied contains '255.255.255.255/32'", "nobody connects"]),
        (["192.0.2.1/24"], ["denied contains '192.0.2.1/24'", "host bits"]),
        (["api.example.com"], ["denied contains 'api.example.com'", "192.0.2.0/24"]),
    ],
)
def test_networks_that_cannot_be_meant_are_refused(networks: list[str], words: list[str]) -> None:
    with pytest.raises(_egress.EgressError) as caught:
        _egress.parse_denied(networks, "denied")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_allowed_network_that_is_denied_is_refused() -> None:
    with pytest.raises(_egress.EgressError, match="would stay closed"):
        _egress.check_allowed([_egress.Destination(ipaddress.ip_network("192.0.2.8/29"))], DENIED, "allowed")
    _egress.check_allowed([_egress.Destination(ipaddress.ip_network("203.0.113.0/24"))], DENIED, "allowed")


def test_name_servers_on_loopback_need_no_rule() -> None:
    text = "# x\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver x\noptions edns0\n"
    assert [str(network) for network in _egress.name_servers_of(text)] == ["192.0.2.53/32", "fe80::1/128"]


def listing(policy: _egress.Policy = POLICY) -> dict[str, Any]:
    """What nft would print for the policy, as far as it is read."""
    items: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6"}}]
    items += [{"counter": {"name": name, "handle": 1, "packets": 0, "bytes": 0}} for name in _egress.COUNTERS]
    for number, version in enumerate((4, 6)):
        elements: list[Any] = [
            str(network.network_address)
            if network.num_addresses == 1
            else {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
            for network in policy.blocked
            if network.version == version
        ]
        items.append({"set": {"name": f"denied_ipv{version}", "handle": number, "elem": elements}})
    for name, rules in _egress._chains(policy).items():
        base = {"type": "filter", "hook": "output", "prio": -10, "policy": "accept"} if name == "output" else {}
        items.append({"chain": {"name": name, "handle": 9, **base}})
        items += [{"rule": {"chain": name, "handle": 3, "expr": [{"counter": "x"}, rule]}} for rule in rules]
    return {"nftables": items}


def test_a_faithful_listing_has_no_deviation() -> None:
    assert _egress.deviations(listing(), POLICY) == []


@pytest.mark.parametrize("kind", ["rule", "set", "chain"])
def test_a_listing_that_lacks_something_deviates(kind: str) -> None:
    found = listing()
    found["nftables"] = [item for item in found["nftables"] if kind not in item]
    assert _egress.deviations(found, POLICY)


def test_the_digest_ignores_handles_counts_and_order_of_sets_only() -> None:
    first = listing()
    second = copy.deepcopy(first)
    for item in second["nftables"]:
        for value in item.values():
            if "handle" in value:
                value["handle"] += 40
            if "packets" in value:
                value["packets"], value["bytes"] = 7, 420
            if "elem" in value:
                value["elem"].reverse()
    second["nftables"][0]["metainfo"]["version"] = "1.1.3"
    assert _egress.listing_digest(first) == _egress.listing_digest(second)
    second["nftables"][-1]["rule"]["expr"][1] = "accept"
    assert _egress.listing_digest(first) != _egress.listing_digest(second)
    third = copy.deepcopy(first)
    third["nftables"][-1], third["nftables"][-2] = third["nftables"][-2], third["nftables"][-1]
    assert _egress.listing_digest(first) != _egress.listing_digest(third), "the order of rules counts"


PROBE = _egress.Probe("direct-tcp 192.0.2.1", "passed", "refused")


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ([PROBE], True),
        ([PROBE, _egress.Probe("direct-tcp 2001:db8::1", "not-applicable", "no route")], True),
        ([PROBE, _egress.Probe("proxy-port-stranger", "failed", "open")], False),
        ([PROBE, _egress.Probe("direct-counters", "unknown", "moving")], None),
        ([_egress.Probe("direct-tcp 192.0.2.1", "not-applicable", "no route")], None),
        ([_egress.Probe("proxy-port-stranger", "passed", "refused")], None),
        ([], None),
    ],
)
def test_only_what_was_tried_is_enforced(probes: list[_egress.Probe], expected: bool | None) -> None:
    assert _egress.judge(probes) is expected


RECORD = _egress.Record(
    boot="b/1",
    user="root",
    gateway_uid=0,
    uid_ranges=((100000, 165535),),
    networks=("192.0.2.0/24",),
    mode="strict",
    allowed=("203.0.113.0/24",),
    proxy=_egress.Proxy(996, 3456, (1000,)),
    rules="r",
    digest=_egress.listing_digest(listing()),
    routed=("ipv4",),
    probes=(PROBE,),
    enforced=True,
)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "egress.json"
    _egress.write_record(RECORD, str(path))
    if os.geteuid() == 0:
        assert _egress.read_record(str(path)) == RECORD
    policy = RECORD.policy()
    assert policy.mode == "strict" and policy.proxy == RECORD.proxy and policy.denied == DENIED[:1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's records are believed")
@pytest.mark.parametrize("spoil", ["owner", "writable", "text", "link", "format"])
def test_a_record_that_somebody_else_could_have_written_is_none(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "state" / "egress.json"
    _egress.write_record(RECORD, str(path))
    if spoil == "owner":
        os.chown(path, 65534, 65534)
    elif spoil == "writable":
        path.chmod(0o666)
    elif spoil == "text":
        path.write_text("{")
    elif spoil == "format":
        path.write_text(json.dumps({**RECORD.as_json(), "format": 0}))
    else:
        path.rename(path.with_name("other"))
        path.symlink_to("other")
    assert _egress.read_record(str(path)) is None


class FakeNft(_egress.Nft):
    """nft with a listing of its own."""

    def __init__(self, found: dict[str, Any] | _egress.EgressError | None) -> None:
        super().__init__()
        self._found = found

    def listing(self) -> dict[str, Any] | None:
        if isinstance(self._found, _egress.EgressError):
            raise self._found
        return self._found


def other_listing() -> dict[str, Any]:
    found = listing()
    found["nftables"].pop()
    return found


@pytest.mark.parametrize(
    ("found", "record", "uid", "enforced", "probed", "reason"),
    [
        (listing(), RECORD, None, True, True, ""),
        (listing(), RECORD, 0, True, True, ""),
        (listing(), RECORD, 997, False, False, "the gateway runs as uid 997"),
        (listing(), replace(RECORD, boot="b/0"), None, None, False, "not probed since this boot"),
        (listing(), replace(RECORD, gateway_uid=4711), None, False, False, "root has another"),
        (listing(), replace(RECORD, user="fc-absent"), None, False, False, "fc-absent has another"),
        (other_listing(), RECORD, None, None, False, "not the one that was probed"),
        (None, RECORD, None, False, False, "is not loaded"),
        (listing(), None, None, None, False, "no record"),
        (_egress.EgressError("nft is not installed"), RECORD, None, None, False, "nft is not installed"),
        (
            listing(),
            replace(RECORD, enforced=None, probes=(_egress.Probe("direct-counters", "unknown", "moving"),)),
            None,
            None,
            True,
            "direct-counters: moving",
        ),
    ],
)
def test_an_observation_says_no_more_than_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    found: dict[str, Any] | _egress.EgressError | None,
    record: _egress.Record | None,
    uid: int | None,
    enforced: bool | None,
    probed: bool,
    reason: str,
) -> None:
    monkeypatch.setattr(_egress.os, "geteuid", lambda: 0)
    monkeypatch.setattr(_egress, "boot_identity", lambda: "b/1")
    monkeypatch.setattr(_egress, "read_record", lambda _path: record)
    seen = _egress.observe(uid, nft=FakeNft(found))
    assert (seen.enforced, seen.probed) == (enforced, probed)
    assert reason in seen.reason and bool(seen.reason) == (enforced is not True)


def test_without_root_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_egress.os, "geteuid", lambda: 1000)
    seen = _egress.observe(nft=FakeNft(listing()))
    assert seen.enforced is None and not seen.probed and "root" in seen.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((0, '{"nftables": []}', ""), {"nftables": []}),
        ((1, "", "Error: No such file or directory\nlist table inet x"), None),
    ],
)
def test_nft_is_asked_for_this_table_only(answer: tuple[int, str, str], expected: object) -> None:
    asked: list[list[str]] = []

    def run(command: Any, data: str | None) -> tuple[int, str, str]:
        asked.append(list(command))
        return answer

    assert _egress.Nft("/usr/sbin/nft", run).listing() == expected
    assert asked == [["/usr/sbin/nft", "--json", "list", "table", "inet", "failclosed_openclaw"]]


def test_nft_that_may_not_look_is_an_error_and_not_an_absent_table() -> None:
    nft = _egress.Nft("nft", lambda _command, _data: (1, "", "Operation not permitted (you must be root)\n"))
    with pytest.raises(_egress.EgressError, match="Operation not permitted"):
        nft.listing()


def test_every_boot_has_its_identity(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("kernel\n")
    fields = " ".join(str(number) for number in range(3, 40))
    (tmp_path / "1/stat").write_text(f"1 (a ) b) {fields}\n")
    assert _egress.boot_identity(str(tmp_path)) == "kernel/22"


def test_a_proxy_on_another_machine_is_reached_on_its_port_before_the_denials() -> None:
    proxy = _egress.Destination(ipaddress.ip_network("192.0.2.7"), "tcp", (3443,))
    rules = rules_of(_egress.render(replace(POLICY, proxy=None, remote=(proxy,))), "gateway")
    way = rules.index("ip daddr 192.0.2.7/32 tcp dport { 3443 } accept")
    assert way < rules.index("ip daddr @denied_ipv4 goto refuse_denied")
    # A source route would lead on from there.
    assert rules.index("ip option lsrr exists goto refuse_denied") < way
    assert rules.index("exthdr rt exists goto refuse_denied") < way
    assert rules.index("ip option ssrr exists goto refuse_denied") < way
