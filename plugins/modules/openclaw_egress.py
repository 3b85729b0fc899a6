#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_egress
short_description: Close the OpenClaw gateway's direct ways in the kernel, and prove it
version_added: 0.1.0
description:
  - Keeps the nftables table C(inet failclosed_openclaw), and no other. The gateway's user cannot send to the denied
    networks, by any protocol and on connections that are open already; only named users may talk to the proxy's port;
    and nobody but the proxy's user may answer from it. Each refusal has a named counter.
  - The rules are loaded in one transaction by a unit of their own, before the network at boot, and again right after
    C(nftables.service) has flushed them. The gateway's service does not start without them.
  - Compares the loaded table with what was loaded and with what is wanted, loads it when it differs, and then tries it,
    as the gateway's user and, for the positive control, as another one. What was tried stays proven until the rules,
    the routes or the boot are others.
  - Fails when the rule is not proven to be at work. What could not be tried never counts as proven.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: Predicts files, unit, loading and whether the record would be rewritten.
    details: Nothing is tried in check mode, and it does not fail for what only a trial could show.
  diff_mode:
    support: full
    description: Shows the rules, the unit and its drop-ins, and what is loaded.
  idempotent:
    support: full
    description: Where everything is right already, C(systemctl show) and C(nft list) are started once each.
options:
  state:
    description: Whether the rule is there and proven, or removed with everything that belongs to it.
    type: str
    choices: [present, absent]
    default: present
  gateway_user:
    description: User that runs the gateway. Its subordinate uids (C(/etc/subuid)) are covered, too.
    type: str
    default: openclaw
  gateway_unit:
    description: The gateway's system service, which must not start without the rule. Empty when there is none.
    type: str
    default: ""
  denied_networks:
    description: Addresses and networks that the gateway's user must not reach. Needed for O(state=present).
    type: list
    elements: str
    default: []
  proxy_user:
    description:
      - User that runs the proxy on this host. Empty when the proxy is on another machine, whose port cannot be guarded
        from here.
    type: str
    default: ""
  proxy_port:
    description: Port of the proxy.
    type: int
    default: 3456
  proxy_backend_port:
    description:
      - Loopback port of the proxy itself, where its supervisor stands in front of it. Only root and O(proxy_user) may
        connect there. V(0) where there is none.
    type: int
    default: 0
  proxy_exposed:
    description: Whether the proxy listens beyond loopback, so that its port is guarded on every interface.
    type: bool
    default: false
  proxy_addresses:
    description:
      - Addresses of a proxy on another machine. The gateway's user may reach them on O(proxy_port) by TCP, and on no
        other port for their sake, even where they are in O(denied_networks) or O(strict=true).
    type: list
    elements: str
    default: []
  proxy_clients:
    description: More users that may talk to the proxy's port, beside root, the gateway's and the proxy's.
    type: list
    elements: str
    default: []
  strict:
    description: Refuse everything but loopback, the name servers and O(allowed).
    type: bool
    default: false
  allowed:
    description: With O(strict=true), what the gateway's user may reach.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: Address or network.
        type: str
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      ports:
        description: Ports. Empty means every port.
        type: list
        elements: int
        default: []
  name_servers:
    description: With O(strict=true), name servers on port 53 of UDP and TCP.
    type: list
    elements: str
    default: []
  name_servers_of_host:
    description: With O(strict=true), allow the name servers of C(/etc/resolv.conf) as well.
    type: bool
    default: true
  served_ports:
    description:
      - With O(strict=true), ports on which the gateway's user serves clients on other machines. It may answer from them
        and open no connection from them.
    type: list
    elements: int
    default: []
  always:
    description: Try everything now, whatever the record says.
    type: bool
    default: false
seealso:
  - module: failclosed.openclaw.openclaw_verify
  - name: nftables
    description: The project's documentation.
    link: https://wiki.nftables.org/
"""

EXAMPLES = r"""
- name: Close the direct way to an API
  failclosed.openclaw.openclaw_egress:
    gateway_user: openclaw
    gateway_unit: openclaw-gateway.service
    proxy_user: openclaw-proxy
    denied_networks: [192.0.2.0/24, "2001:db8::/32"]

- name: Leave the gateway nothing but the proxy, names, and one chat service
  failclosed.openclaw.openclaw_egress:
    gateway_user: openclaw
    gateway_unit: openclaw-gateway.service
    proxy_user: openclaw-proxy
    denied_networks: [192.0.2.0/24, "2001:db8::/32"]
    strict: true
    allowed:
      - network: 198.51.100.0/24
        ports: [443]

- name: Deny a whole network, and leave the gateway the port of the proxy that is in it
  failclosed.openclaw.openclaw_egress:
    gateway_user: openclaw
    gateway_unit: openclaw-gateway.service
    denied_networks: [192.0.2.0/24, 198.51.100.0/24]
    proxy_addresses: [198.51.100.7]
    proxy_port: 3443

- name: Remove the rule
  failclosed.openclaw.openclaw_egress:
    state: absent
    gateway_unit: openclaw-gateway.service
"""

RETURN = r"""
enforced:
  description: Whether the rule was proven to be at work; none (unknown) when it could not be tried.
  type: bool
  returned: always
  sample: true
mode:
  description: V(default) or V(strict).
  type: str
  returned: when O(state=present)
  sample: default
digest:
  description: SHA-256 of the loaded table as nft lists it, without handles and counts; empty when it is not loaded.
  type: str
  returned: when O(state=present)
  sample: 5b41c0c1d5fbb3d0b38ab2a2a3ff5c6aa4b3a7a4c8c0c8ab3d1f3a2c4c9b7e11
probes:
  description: What was tried, now or when the record was written.
  type: list
  elements: dict
  returned: when O(state=present)
  contains:
    id:
      description: Stable name, for a direct way with the address.
      type: str
    result:
      description: V(passed), V(failed), V(unknown), or V(not-applicable) where this host has no such way.
      type: str
    detail:
      description: What was seen.
      type: str
  sample:
    - id: direct-tcp 192.0.2.1
      result: passed
      detail: refused and counted for the gateway's user, not for another
probed_now:
  description: Whether it was tried in this run.
  type: bool
  returned: when O(state=present)
  sample: false
counters:
  description: Packets that each counter has seen since the rules were loaded.
  type: dict
  returned: when O(state=present)
  sample: {denied_tcp: 6, denied_other: 6, proxy_client: 1, proxy_answer: 2, strict_tcp: 0, strict_other: 0}
reasons:
  description: Why rules were, or would be, loaded.
  type: list
  elements: str
  returned: always
  sample: [the table was not loaded]
record:
  description: Path of the record.
  type: str
  returned: always
  sample: /var/lib/failclosed-openclaw/egress.json
"""

import os
import pwd
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _egress_probe,
    _egress_service,
    _files,
    _host,
    _other_user,
    _service_unit,
)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _account(module: AnsibleModule, option: str, name: str) -> pwd.struct_passwd | None:
    """The account; None in check mode where an earlier task of the same run would have created it."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        if not module.check_mode:
            module.fail_json(
                msg=f"{option} '{name}' does not exist on this host, and a rule needs its uid. Create the user first.",
                enforced=None,
            )
        return None


def _strict(module: AnsibleModule, denied: tuple[_egress.Network, ...]) -> _egress.Strict | None:
    params = module.params
    if not params["strict"]:
        return None
    allowed = tuple(
        _egress.Destination(
            _egress.parse_network(entry["network"], "allowed"), entry["protocol"], tuple(entry["ports"])
        )
        for entry in params["allowed"]
    )
    _egress.check_allowed(allowed, denied, "allowed")
    servers = [_egress.parse_network(text, "name_servers") for text in params["name_servers"]]
    if params["name_servers_of_host"]:
        servers += _egress.name_servers_of(_text("/etc/resolv.conf"))
    unique = tuple(dict.fromkeys(servers))
    return _egress.Strict(allowed, unique, tuple(params["served_ports"]))


def _host_address(text: str) -> _egress.Network:
    network = _egress.parse_network(text, "proxy_addresses")
    if network.num_addresses != 1:
        raise _egress.EgressError(
            f"proxy_addresses contains '{text}', a network: give the addresses of the proxy alone."
        )
    return network


def _policy(module: AnsibleModule, gateway: pwd.struct_passwd, proxy: pwd.struct_passwd | None) -> _egress.Policy:
    params = module.params
    denied = _egress.parse_denied(params["denied_networks"], "denied_networks")
    clients = [_account(module, "proxy_clients", name) for name in params["proxy_clients"]]
    for name, client in zip(params["proxy_clients"], clients):
        if client is None:
            module.warn(f"proxy_clients '{name}' does not exist on this host: unless it is created first, this fails.")
    guarded = None
    if proxy is not None:
        uids = tuple(client.pw_uid for client in clients if client is not None)
        guarded = _egress.Proxy(
            proxy.pw_uid, params["proxy_port"], uids, params["proxy_exposed"], params["proxy_backend_port"]
        )
    return _egress.Policy(
        gateway_uid=gateway.pw_uid,
        denied=denied,
        uid_ranges=_egress.subordinate_ranges(_text("/etc/subuid"), gateway.pw_name, gateway.pw_uid),
        proxy=guarded,
        strict=_strict(module, denied),
        remote=tuple(
            _egress.Destination(_host_address(text), "tcp", (params["proxy_port"],))
            for text in params["proxy_addresses"]
        ),
    )


def _refuse_what_cannot_work(module: AnsibleModule) -> None:
    params = module.params
    if params["state"] == "absent":
        return
    others = [*params["served_ports"], *(port for each in params["allowed"] for port in each["ports"])]
    for port in (params["proxy_port"], *others):
        if not 1 <= port <= 65535:
            module.fail_json(msg=f"'{port}' is no port: give whole numbers from 1 to 65535.", enforced=None)
    backend = params["proxy_backend_port"]
    if not 0 <= backend <= 65535 or (backend and backend == params["proxy_port"]):
        module.fail_json(
            msg=f"proxy_backend_port is '{backend}': it is 0, or a port up to 65535 other than proxy_port.",
            enforced=None,
        )
    if not params["denied_networks"]:
        module.fail_json(msg="denied_networks is empty: name the networks that must not be reached.", enforced=None)
    if params["gateway_user"] == params["proxy_user"]:
        module.fail_json(
            msg=f"gateway_user and proxy_user are both '{params['gateway_user']}': the kernel tells processes apart by"
            " their user, so one user for both can be neither let through nor refused. Give the proxy its own user.",
            enforced=False,
        )


def _require_kernel(module: AnsibleModule, nft: str | None) -> str:
    if nft is None:
        if module.check_mode:
            module.exit_json(
                changed=True,
                enforced=None,
                mode=_egress.STRICT if module.params["strict"] else _egress.DEFAULT,
                digest="",
                probes=[],
                probed_now=False,
                counters={},
                reasons=["nftables would be installed first"],
                record=_egress.RECORD,
                diff={"before": "", "after": f"table inet {_egress.TABLE}\n"},
            )
        module.fail_json(msg="nft is not installed on this host. Install the package nftables.", enforced=False)
    if not _host.has_net_admin(_text("/proc/self/status")):
        module.fail_json(
            msg="This host gives root no CAP_NET_ADMIN (a container without it?), so the kernel accepts no rule from"
            " here. Give the host that capability, or say openclaw_egress_state: absent to go without the rule.",
            enforced=False,
        )
    return str(nft)


class _Run:
    """One run of the module for ``state=present``."""

    def __init__(self, module: AnsibleModule, policy: _egress.Policy, gateway: pwd.struct_passwd, nft: str) -> None:
        self.module = module
        self.policy = policy
        self.gateway = gateway
        self.nft = _egress.Nft(nft, self._run)
        self.rules = _egress.render(policy)
        self.installation = _egress_service.Installation(
            nft, self.rules, gateway.pw_name, gateway.pw_uid, module.params["gateway_unit"]
        )
        self.record = _egress.read_record()
        self.reasons: list[str] = []
        self.outcome = _service_unit.Outcome()

    def _run(self, command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", self.module.run_command(list(command), data=data))

    def load(self) -> dict[str, t.Any] | None:
        """Bring the files into place and the table into the kernel; the listing, None when it would be loaded."""
        check_mode = self.module.check_mode
        known = self.record is not None and self.record.rules == _egress.digest_of(self.rules)
        if not known:
            self.nft.check(self.rules)
        before = self.nft.listing()
        self.outcome = _egress_service.converge(self.installation, run=self._run, check_mode=check_mode)
        self.reasons += self.outcome.reasons
        reason = self._difference(before) if known else "the rules are new"
        if reason and reason not in self.reasons:
            self.reasons.insert(0, reason)
        if check_mode:
            return None if reason else before
        if self.outcome.action == "none":
            if not reason:
                return before
            _egress_service.load(self._run)
        after = self.nft.listing()
        wrong = ["it is not there"] if after is None else _egress.deviations(after, self.policy)
        if wrong:
            raise _egress.EgressError(
                f"the table inet {_egress.TABLE} was loaded and is not as wanted: {'; '.join(wrong)}. Another"
                " program on this host changes it."
            )
        return after

    def _difference(self, listing: dict[str, t.Any] | None) -> str:
        if listing is None:
            return "the table was not loaded"
        if self.record is None or _egress.listing_digest(listing) != self.record.digest:
            return "the loaded table was another"
        return ""

    def prove(self, listing: dict[str, t.Any]) -> tuple[_egress.Record, bool]:
        """The record that holds now, and whether anything was tried for it."""
        routed = _egress_probe.routed(self.policy)
        record = _egress.Record(
            boot=_egress.boot_identity(),
            user=self.gateway.pw_name,
            gateway_uid=self.policy.gateway_uid,
            uid_ranges=self.policy.uid_ranges,
            networks=tuple(str(network) for network in self.policy.denied),
            mode=self.policy.mode,
            allowed=tuple(str(entry.network) for entry in self.policy.strict.allowed) if self.policy.strict else (),
            proxy=self.policy.proxy,
            rules=_egress.digest_of(self.rules),
            digest=_egress.listing_digest(listing),
            routed=routed,
            remote=self.policy.remote,
        )
        last = self.record
        proven = last is not None and last.enforced is True and record == _without_results(last)
        again = self.module.params["always"] and not self.module.check_mode
        if last is not None and proven and not self.reasons and not again:
            return last, False
        if self.module.check_mode:
            return record, False
        identity = _egress_probe.Identity(self.gateway.pw_uid, self.gateway.pw_gid)
        prober = _egress_probe.Prober(self.policy, identity, self.nft.counters)
        probes = tuple(prober.run())
        return _with_results(record, probes), True


def _without_results(record: _egress.Record) -> _egress.Record:
    return _with_results(record, (), known=False)


def _with_results(record: _egress.Record, probes: tuple[_egress.Probe, ...], *, known: bool = True) -> _egress.Record:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    values.update(probes=probes, enforced=_egress.judge(probes) if known else None)
    return _egress.Record(**values)


def _present(module: AnsibleModule, nft: str) -> dict[str, t.Any]:
    params = module.params
    gateway = _account(module, "gateway_user", params["gateway_user"])
    proxy = _account(module, "proxy_user", params["proxy_user"]) if params["proxy_user"] else None
    mode = _egress.STRICT if params["strict"] else _egress.DEFAULT
    result: dict[str, t.Any] = {
        "enforced": None,
        "mode": mode,
        "digest": "",
        "probes": [],
        "probed_now": False,
        "counters": {},
        "reasons": [],
        "record": _egress.RECORD,
    }
    if gateway is None or (params["proxy_user"] and proxy is None):
        # Only in check mode: an earlier task of the same run would have created them.
        result.update(changed=True, reasons=["the users would be created first"])
        result["diff"] = {"before": "", "after": f"table inet {_egress.TABLE}\n"}
        return result
    if gateway.pw_uid == 0 or (proxy is not None and proxy.pw_uid == gateway.pw_uid):
        other = "root" if gateway.pw_uid == 0 else f"proxy_user '{params['proxy_user']}'"
        module.fail_json(
            msg=f"gateway_user '{params['gateway_user']}' has the same uid {gateway.pw_uid} as {other}, so the kernel"
            " cannot tell them apart. Give the gateway a user of its own.",
            enforced=False,
        )
    run = _Run(module, _policy(module, gateway, proxy), gateway, nft)
    listing = run.load()
    before = f"table inet {_egress.TABLE}: {run.record.digest[:12] if run.record else 'no record'}"
    changed = run.outcome.changed or bool(run.reasons)
    if listing is not None:
        record, probed = run.prove(listing)
        differs = record != run.record
        changed = changed or differs
        if differs and not module.check_mode:
            _egress.write_record(record)
        result.update(
            enforced=record.enforced,
            digest=record.digest,
            probes=[{"id": probe.id, "result": probe.result, "detail": probe.detail} for probe in record.probes],
            probed_now=probed,
            counters=run.nft.counters() if probed else _egress.counters_of(listing),
        )
    after = f"table inet {_egress.TABLE}: {'; '.join(run.reasons) or result['digest'][:12]}"
    result.update(changed=changed, reasons=run.reasons)
    if changed:
        result["diff"] = {
            "before": "".join(f"{line}\n" for line in [*run.outcome.before, before]),
            "after": "".join(f"{line}\n" for line in [*run.outcome.after, after]),
        }
    return result


def _absent(module: AnsibleModule, nft: str | None) -> dict[str, t.Any]:
    def run(command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", module.run_command(list(command), data=data))

    outcome = _egress_service.remove(module.params["gateway_unit"], run=run, check_mode=module.check_mode)
    loaded = False
    if nft is not None:
        program = _egress.Nft(nft, run)
        loaded = program.listing() is not None
        if loaded and not module.check_mode:
            program.delete()
    before = [*outcome.before, *([f"table inet {_egress.TABLE}"] if loaded else [])]
    return {
        "changed": outcome.changed or loaded,
        "enforced": False,
        "reasons": [],
        "record": _egress.RECORD,
        "diff": {"before": "".join(f"{line}\n" for line in before), "after": ""},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "gateway_user": {"type": "str", "default": "openclaw"},
            "gateway_unit": {"type": "str", "default": ""},
            "denied_networks": {"type": "list", "elements": "str", "default": []},
            "proxy_user": {"type": "str", "default": ""},
            "proxy_port": {"type": "int", "default": 3456},
            "proxy_backend_port": {"type": "int", "default": 0},
            "proxy_exposed": {"type": "bool", "default": False},
            "proxy_addresses": {"type": "list", "elements": "str", "default": []},
            "proxy_clients": {"type": "list", "elements": "str", "default": []},
            "strict": {"type": "bool", "default": False},
            "allowed": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "network": {"type": "str", "required": True},
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                    "ports": {"type": "list", "elements": "int", "default": []},
                },
            },
            "name_servers": {"type": "list", "elements": "str", "default": []},
            "name_servers_of_host": {"type": "bool", "default": True},
            "served_ports": {"type": "list", "elements": "int", "default": []},
            "always": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="The kernel's rules are root's: run this with become.", enforced=None)
    _refuse_what_cannot_work(module)
    nft = _egress_service.find_nft()
    try:
        if module.params["state"] == "absent":
            module.exit_json(**_absent(module, nft))
        result = _present(module, _require_kernel(module, nft))
    except (
        _egress.EgressError,
        _other_user.OtherUserError,
        _service_unit.ServiceError,
        _files.FileError,
        OSError,
        ValueError,
    ) as error:
        module.fail_json(msg=f"The gateway's direct ways are not closed: {error}", enforced=None)
    if module.check_mode or result["enforced"] is True:
        module.exit_json(**result)
    wrong = [
        f"{probe['id']}: {probe['result']}: {probe['detail']}"
        for probe in result["probes"]
        if probe["result"] in (_egress.FAILED, _egress.UNKNOWN)
    ]
    if not wrong:
        wrong = ["this host has no route to any of denied_networks, so nothing could be tried; add one that it has"]
    module.fail_json(msg=f"The kernel rule is loaded, and not proven. {' | '.join(wrong)}", **result)


if __name__ == "__main__":
    main()
