# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _egress_probe,
    _ingress,
    _listening,
    _other_user,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._egress import FAILED, PASSED, UNKNOWN, Probe

CLIENTS = _ingress.parse_clients(["192.0.2.10", "2001:db8::/64", "192.0.2.11"], "clients")
IN_FRONT = _ingress.Policy("0.0.0.0", 3443, 995, CLIENTS, 3456, 996)
ALONE = _ingress.Policy("192.0.2.1", 3456, 996, CLIENTS, 3456, 996)
OVER = "ct count over 256 } counter name too_many reject with tcp"


def rules_of(text: str, chain: str) -> list[str]:
    lines = text.split(f"chain {chain} {{\n")[1].split("\n  }\n")[0].splitlines()
    return [line.strip() for line in lines[1:]]


def test_only_clients_get_to_the_port_and_nobody_from_outside_to_the_proxy() -> None:
    assert rules_of(_ingress.render(IN_FRONT), "input") == [
        f"tcp dport 3443 ip saddr @clients_ipv4 ct state new add @connections_ipv4 {{ ip saddr {OVER} reset",
        "tcp dport 3443 ip saddr @clients_ipv4 accept",
        f"tcp dport 3443 ip6 saddr @clients_ipv6 ct state new add @connections_ipv6 {{ ip6 saddr {OVER} reset",
        "tcp dport 3443 ip6 saddr @clients_ipv6 accept",
        "tcp dport 3443 counter name refused reject with tcp reset",
        'iifname != "lo" tcp dport 3456 counter name refused reject with tcp reset',
    ]


def test_only_root_and_the_two_users_get_to_the_proxy_on_loopback_and_only_it_answers() -> None:
    assert rules_of(_ingress.render(IN_FRONT), "output") == [
        "tcp sport 3443 meta skuid != 995 counter name local_answer reject with tcp reset",
        'oifname "lo" tcp dport 3456 meta skuid != { 0, 995, 996 } counter name local_client reject with tcp reset',
        "tcp sport 3456 meta skuid != 996 counter name local_answer reject with tcp reset",
    ]


def test_without_anything_in_front_the_proxys_own_port_is_the_one() -> None:
    text = _ingress.render(ALONE)
    assert "dport 3443" not in text
    assert rules_of(text, "input")[-1] == "tcp dport 3456 counter name refused reject with tcp reset"


def test_without_anything_in_front_the_proxys_supervisor_still_reaches_it_and_other_users_do_not() -> None:
    text = _ingress.render(ALONE)
    # Whoever is reached through its own address is reached over loopback, where no client's address is listed.
    assert rules_of(text, "input")[0] == 'iifname "lo" tcp dport 3456 accept'
    assert rules_of(text, "output") == [
        "tcp sport 3456 meta skuid != 996 counter name local_answer reject with tcp reset",
        'oifname "lo" tcp dport 3456 meta skuid != { 0, 996 } counter name local_client reject with tcp reset',
    ]
    assert not any("accept" in rule for rule in rules_of(_ingress.render(IN_FRONT), "input") if "saddr" not in rule)


@pytest.mark.parametrize("policy", [IN_FRONT, ALONE])
def test_the_port_behind_the_proxys_supervisor_is_its_own_and_roots(policy: _ingress.Policy) -> None:
    behind = replace(policy, backend_port=13456)
    for chain, added in (
        ("input", ['iifname != "lo" tcp dport 13456 counter name refused reject with tcp reset']),
        (
            "output",
            [
                'oifname "lo" tcp dport 13456 meta skuid != { 0, 996 } counter name local_client reject with tcp reset',
                "tcp sport 13456 meta skuid != 996 counter name local_answer reject with tcp reset",
            ],
        ),
    ):
        assert rules_of(_ingress.render(behind), chain) == rules_of(_ingress.render(policy), chain) + added


@pytest.mark.parametrize(
    ("allowed", "wrong"),
    [
        ((995, 996), set()),
        ((995, 996, 65534), {"local-stranger", "backend-port-stranger"}),
        ((995,), {"backend-port-proxy"}),
    ],
)
def test_the_port_behind_the_proxys_supervisor_is_tried(
    monkeypatch: pytest.MonkeyPatch, allowed: tuple[int, ...], wrong: set[str]
) -> None:
    found, kernel = probed(monkeypatch, replace(IN_FRONT, backend_port=13456), *allowed)
    assert {"backend-port-stranger", "backend-port-proxy"} <= set(found)
    assert {name for name, result in found.items() if result == "failed"} == wrong
    assert kernel.tried[1::2] == [(65534, "127.0.0.1", 13456), (996, "127.0.0.1", 13456)]


class Kernel:
    """A host on which ``allowed`` may connect on loopback; everybody else is refused and counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, policy: _ingress.Policy, *, allowed: tuple[int, ...]) -> None:
        self.counts = dict.fromkeys(_ingress.COUNTERS, 0)
        self.tried: list[tuple[int, str, int]] = []
        self._allowed = allowed
        self._uid = 0
        owners = {policy.port: policy.owner_uid, policy.proxy_port: policy.proxy_uid}
        addresses = {policy.port: policy.address, policy.proxy_port: policy.local_address}
        monkeypatch.setattr(
            _listening, "listeners", lambda port: [_listening.Listener(addresses[port], port, owners[port])]
        )
        monkeypatch.setattr(_other_user, "call_as", self.call_as)
        monkeypatch.setattr(_egress_probe, "try_all", self.try_all)
        monkeypatch.setattr(_ingress, "_connect_from_loopback", self.unlisted)

    def call_as(self, uid: int, _gid: int, work: Any, **_limits: Any) -> Any:
        self._uid = uid
        return work()

    def try_all(self, attempts: list[_egress_probe.Attempt]) -> list[str]:
        ((_protocol, address, port, *_rest),) = set(attempts)
        self.tried.append((self._uid, address, port))
        if self._uid in self._allowed:
            return ["open"] * len(attempts)
        self.counts["local_client"] += len(attempts)
        return ["ECONNREFUSED"] * len(attempts)

    def unlisted(self, _address: str, _port: int) -> str:
        self.counts["refused"] += 1
        return "ECONNREFUSED"

    def counters(self) -> dict[str, int]:
        return dict(self.counts)


def probed(monkeypatch: pytest.MonkeyPatch, policy: _ingress.Policy, *allowed: int) -> tuple[dict[str, str], Kernel]:
    kernel = Kernel(monkeypatch, policy, allowed=allowed)
    return {probe.id: probe.result for probe in _ingress.Prober(policy, kernel.counters).run()}, kernel


def test_a_proxy_that_its_own_supervisor_cannot_reach_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    good, kernel = probed(monkeypatch, ALONE, 0, 996)
    assert good == {"owner": "passed", "local-stranger": "passed", "local-proxy": "passed"}
    assert kernel.tried == [(65534, "192.0.2.1", 3456), (996, "192.0.2.1", 3456)]
    assert probed(monkeypatch, ALONE)[0] == {**good, "local-proxy": "failed"}
    assert probed(monkeypatch, ALONE, 0, 996, 65534)[0] == {**good, "local-stranger": "failed"}


def test_the_proxy_is_tried_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = _ingress.Policy("0.0.0.0", 3443, 995, CLIENTS, 3456, 996, "127.0.0.2")
    found, kernel = probed(monkeypatch, elsewhere, 0, 995, 996)
    assert set(found.values()) == {"passed"}
    assert set(found) == {
        "owner",
        "unlisted-client",
        "proxy-owner",
        "proxy-loopback",
        "local-stranger",
        "local-front",
    }
    assert {address for _uid, address, _port in kernel.tried} == {"127.0.0.2"}
    unspecified = _ingress.Policy("::", 3456, 996, CLIENTS, 3456, 996)
    assert unspecified.local_address == "::1"


def test_the_table_is_replaced_in_one_transaction_and_is_its_own() -> None:
    text = _ingress.render(IN_FRONT)
    table = f"table inet {_ingress.TABLE}"
    assert text.index(f"\n{table}\n") < text.index(f"\ndelete {table}\n") < text.index(f"\n{table} {{\n")
    assert _ingress.TABLE != _egress.TABLE and _ingress.UNIT != _egress.UNIT and _ingress.RULES != _egress.RULES


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ([], "clients is empty"),
        (["0.0.0.0/0"], "every machine"),
        (["::/0"], "every machine"),
        (["127.0.0.1"], "this host itself"),
        (["::1"], "this host itself"),
        (["gateway.example.com"], "clients contains 'gateway.example.com'"),
    ],
)
def test_clients_that_cannot_be_meant_are_refused(clients: list[str], words: str) -> None:
    with pytest.raises(_egress.EgressError, match=words):
        _ingress.parse_clients(clients, "clients")


def listing(policy: _ingress.Policy) -> dict[str, list[dict[str, dict[str, object]]]]:
    items: list[dict[str, dict[str, object]]] = []
    for chain in ("input", "output"):
        hook = {"name": chain, "type": "filter", "hook": chain, "prio": _egress.PRIORITY, "policy": "accept"}
        items.append({"chain": dict(hook)})
        items += [{"rule": {"chain": chain}} for _rule in rules_of(_ingress.render(policy), chain)]
    return {"nftables": items}


def test_a_table_that_lost_a_rule_or_a_hook_is_another() -> None:
    assert _ingress.deviations(listing(IN_FRONT), IN_FRONT) == []
    assert "rules instead of" in _ingress.deviations(listing(ALONE), IN_FRONT)[0]
    changed = listing(IN_FRONT)
    changed["nftables"][0]["chain"]["policy"] = "drop"
    assert "its chains are" in _ingress.deviations(changed, IN_FRONT)[0]


def test_connections_that_come_and_go_make_no_other_table() -> None:
    def digest(name: str, *addresses: str) -> str:
        # As nft 1.0.6 prints them.
        elements = [{"elem": {"val": each, "ct count": {"val": 256, "inv": True}}} for each in addresses]
        shown = {"name": name, "type": "ipv4_addr", "size": 65535, **({"elem": elements} if elements else {})}
        return _egress.listing_digest({"nftables": [{"set": shown}]})

    assert (
        digest("connections_ipv4", "192.0.2.10")
        == digest("connections_ipv4", "192.0.2.11")
        == digest("connections_ipv4")
    )
    assert digest("clients_ipv4", "192.0.2.10") != digest("clients_ipv4", "192.0.2.11")
    assert "add @connections_ipv4 {" in _ingress.render(IN_FRONT) and "set connections_ipv4 {" in _ingress.render(
        IN_FRONT
    )


def test_what_was_not_tried_is_not_proven() -> None:
    assert _ingress.judge([Probe("a", PASSED, "")]) is True
    assert _ingress.judge([Probe("a", PASSED, ""), Probe("b", UNKNOWN, "")]) is None
    assert _ingress.judge([Probe("a", UNKNOWN, ""), Probe("b", FAILED, "")]) is False
    assert _ingress.judge([]) is None


def test_the_guarded_service_does_not_start_without_the_rule() -> None:
    files = {file.path: file.content.decode() for file in _ingress.service("/usr/sbin/nft", "x", "a.service").files}
    text = files["/etc/systemd/system/a.service.d/10-failclosed-ingress.conf"]
    assert f"Wants={_ingress.UNIT}.service" in text
    assert f"ExecStartPre=+/bin/sh -c '/usr/sbin/nft list chain inet {_ingress.TABLE} input" in text
    assert f"exec /usr/sbin/nft --file {_ingress.RULES}" in text


def test_a_service_that_clients_do_not_connect_to_any_more_is_released(tmp_path: Path) -> None:
    files = {file.path: file.content.decode() for file in _ingress.service("/usr/sbin/nft", "x", "a.service").files}
    text = files[_ingress.guarded_drop_in("a.service")]
    for unit, content in (("a.service", text), ("b.service", text), ("c.service", "[Unit]\n")):
        path = tmp_path / f"{unit}.d" / "10-failclosed-ingress.conf"
        path.parent.mkdir()
        path.write_text(content)
    assert _ingress.drop_ins_elsewhere("a.service", str(tmp_path)) == [
        str(tmp_path / "b.service.d/10-failclosed-ingress.conf")
    ]


def test_no_key_stays_where_nothing_speaks_tls_any_more() -> None:
    path = Path(__file__).resolve().parents[4] / "roles/openclaw_ingress/tasks/present.yml"
    tasks = yaml.safe_load(path.read_text())
    (removal,) = [
        task
        for task in tasks
        if task.get("failclosed.openclaw.service_account", {}).get("state") == "absent"
        and task["when"] == "not openclaw_ingress_tls | bool"
    ]
    # The certificate and the key are below it.
    assert removal["failclosed.openclaw.service_account"]["home"] == "{{ openclaw_ingress_config_dir }}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's records are believed")
@pytest.mark.parametrize("spoil", ["", "owner", "writable", "format", "missing"])
def test_only_a_record_that_root_alone_could_have_written_is_believed(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "state" / "ingress.json"
    probe = Probe("owner", PASSED, "uid 996 alone listens")
    record = _ingress.Record("boot", "0.0.0.0", 3443, True, ("192.0.2.10/32",), "rules", "digest", (probe,), True)
    _ingress.write_record(record, str(path))
    if spoil == "owner":
        os.chown(path, 65534, 65534)
    elif spoil == "writable":
        path.chmod(0o666)
    elif spoil == "format":
        path.write_text("{}")
    elif spoil == "missing":
        path.unlink()
    assert _ingress.read_record(str(path)) == (None if spoil else record.as_json())
