#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_ingress
short_description: Let only listed gateways connect to a Claude proxy that serves other machines, and prove it
version_added: 0.1.0
description:
  - Keeps the nftables table C(inet failclosed_openclaw_ingress), and no other. Only O(clients) may connect to O(port),
    only the service's own user may answer from it. Where TLS stands in front of the proxy, the proxy's own port can be
    reached from this host alone. Of the users of this host, only root, the proxy's and the one of what stands in front
    of it may connect to the proxy's own port. Each refusal is counted.
  - The rules are loaded by a unit of their own, before the network at boot, and again right after C(nftables.service)
    has flushed them. O(unit) does not start without them. A drop-in that says so of another service is removed.
  - Tries them after every load and at the first run after a boot, and fails when that does not prove them. That a
    listed gateway gets through cannot be tried from here; M(failclosed.openclaw.openclaw_verify) shows it on the
    gateway.
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
  unit:
    description: The system service that clients connect to, which must not start without the rule.
    type: str
    default: openclaw-ingress.service
  address:
    description: The address on which it listens.
    type: str
    default: 0.0.0.0
  port:
    description: The port on which it listens.
    type: int
    default: 3443
  user:
    description: The user that listens there. Needed for O(state=present).
    type: str
    default: ""
  clients:
    description: Addresses and networks that may connect. Needed for O(state=present).
    type: list
    elements: str
    default: []
  connections:
    description: How many connections each address of O(clients) may hold. Further ones are refused and counted.
    type: int
    default: 256
  proxy_user:
    description: The user that runs the proxy. O(user) by default, where nothing stands in front of the proxy.
    type: str
    default: ""
  proxy_port:
    description: The proxy's own port. O(port) by default, where nothing stands in front of the proxy.
    type: int
  proxy_address:
    description: The address on which the proxy itself listens. Not used where nothing stands in front of it.
    type: str
    default: 127.0.0.1
  proxy_backend_port:
    description:
      - The port on loopback where the proxy listens behind its own supervisor; V(0) if it does not. Of the users of
        this host only root and O(proxy_user) may connect to it.
    type: int
    default: 0
  tls:
    description:
      - Whether clients connect by TLS. Without it the result is never proven, because prompts and the key cross the
        network in clear; RV(functional) says whether the rest holds.
    type: bool
    default: true
  prove:
    description: Whether to try it now. V(false) only loads it, before the service that it guards is started.
    type: bool
    default: true
  always:
    description: Try everything now, whatever the record says.
    type: bool
    default: false
seealso:
  - module: failclosed.openclaw.openclaw_egress
  - module: failclosed.openclaw.openclaw_verify
"""

EXAMPLES = r"""
- name: Let two gateways connect to what terminates TLS, and nobody to the proxy behind it
  failclosed.openclaw.openclaw_ingress:
    user: openclaw-ingress
    clients: [192.0.2.10, "2001:db8::10"]
    proxy_user: openclaw-proxy
    proxy_port: 3456

- name: Remove the rule
  failclosed.openclaw.openclaw_ingress:
    state: absent
"""

RETURN = r"""
proven:
  description:
    - Whether the rule was proven to be at work and clients connect by TLS; none (unknown) when it was not tried.
  type: bool
  returned: always
  sample: true
functional:
  description: Whether the rule was proven to be at work, whatever O(tls) says.
  type: bool
  returned: when O(state=present)
  sample: true
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
      description: Stable name.
      type: str
    result:
      description: V(passed), V(failed) or V(unknown).
      type: str
    detail:
      description: What was seen.
      type: str
  sample:
    - id: unlisted-client
      result: passed
      detail: "a client that is not listed: ECONNREFUSED, 1 counted"
counters:
  description: Packets that each counter has seen since the rules were loaded.
  type: dict
  returned: when O(state=present)
  sample: {refused: 1, too_many: 0, local_client: 1, local_answer: 0}
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
  sample: /var/lib/failclosed-openclaw/ingress.json
"""

import ipaddress
import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _egress_service,
    _files,
    _ingress,
    _other_user,
    _service_unit,
)


def _uid(module: AnsibleModule, option: str, name: str) -> int | None:
    """The uid; None in check mode where an earlier task of the same run would have created the user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        if not module.check_mode:
            module.fail_json(
                msg=f"{option} '{name}' does not exist on this host, and a rule needs its uid. Create the user first.",
                proven=None,
            )
        return None


def _policy(module: AnsibleModule) -> _ingress.Policy | None:
    params = module.params
    for option in ("port", "proxy_port"):
        if params[option] is not None and not 1 <= params[option] <= 65535:
            module.fail_json(msg=f"{option} is {params[option]}: give a whole number from 1 to 65535.", proven=None)
    for option in ("address", "proxy_address"):
        try:
            ipaddress.ip_address(params[option])
        except ValueError:
            module.fail_json(msg=f"{option} is '{params[option]}': give an IP address of this host.", proven=None)
    if not params["user"]:
        module.fail_json(msg="user is empty: name the user that listens for the clients.", proven=None)
    backend = params["proxy_backend_port"]
    if not 0 <= backend <= 65535 or backend in {params["port"], params["proxy_port"]}:
        module.fail_json(
            msg=f"proxy_backend_port is {backend}: it is 0, or a port up to 65535 other than port and proxy_port.",
            proven=None,
        )
    if params["connections"] < 1:
        module.fail_json(msg=f"connections is {params['connections']}: give a whole number from 1 on.", proven=None)
    clients = _ingress.parse_clients(params["clients"], "clients")
    owner = _uid(module, "user", params["user"])
    proxy = _uid(module, "proxy_user", params["proxy_user"] or params["user"])
    if owner is None or proxy is None:
        return None
    port = params["port"]
    return _ingress.Policy(
        params["address"],
        port,
        owner,
        clients,
        params["proxy_port"] or port,
        proxy,
        params["proxy_address"],
        params["connections"],
        backend,
    )


class _Run:
    """One run of the module for ``state=present``."""

    def __init__(self, module: AnsibleModule, policy: _ingress.Policy, nft: str) -> None:
        self.module = module
        self.policy = policy
        self.nft = _egress.Nft(nft, self._run, _ingress.TABLE)
        self.rules = _ingress.render(policy)
        self.service = _ingress.service(nft, self.rules, module.params["unit"])
        self.last = _ingress.read_record()
        self.reasons: list[str] = []
        self.outcome = _service_unit.Outcome()

    def _run(self, command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", self.module.run_command(list(command), data=data))

    def load(self) -> dict[str, t.Any] | None:
        """Bring the files into place and the table into the kernel; the listing, None when it would be loaded."""
        check_mode = self.module.check_mode
        known = self.last is not None and self.last["rules"] == _egress.digest_of(self.rules)
        if not known:
            self.nft.check(self.rules)
        before = self.nft.listing()
        self.outcome = _egress_service.converge_service(
            self.service,
            run=self._run,
            check_mode=check_mode,
            # A service that clients connected to before would not start any more.
            obsolete=_ingress.drop_ins_elsewhere(self.module.params["unit"]),
        )
        self.reasons += self.outcome.reasons
        reason = "" if known else "the rules are new"
        if known and before is None:
            reason = "the table was not loaded"
        elif known and before is not None and self.last is not None:
            reason = "" if _egress.listing_digest(before) == self.last["digest"] else "the loaded table was another"
        if reason and reason not in self.reasons:
            self.reasons.insert(0, reason)
        if check_mode:
            return None if reason else before
        if reason and self.outcome.action == "none":
            _service_unit.Systemd(self._run).require("restart", f"{_ingress.UNIT}.service")
        after = self.nft.listing()
        wrong = ["it is not there"] if after is None else _ingress.deviations(after, self.policy)
        if wrong:
            raise _egress.EgressError(
                f"the table inet {_ingress.TABLE} was loaded and is not as wanted: {'; '.join(wrong)}. Another"
                " program on this host changes it."
            )
        return after

    def prove(self, listing: dict[str, t.Any]) -> tuple[dict[str, t.Any], bool]:
        """The record that holds now, and whether it differs from the last one."""
        params = self.module.params
        record = _ingress.Record(
            boot=_egress.boot_identity(),
            address=self.policy.address,
            port=self.policy.port,
            tls=params["tls"],
            clients=tuple(str(client) for client in self.policy.clients),
            rules=_egress.digest_of(self.rules),
            digest=_egress.listing_digest(listing),
        )
        last = self.last
        unchanged = last is not None and record.as_json() == {**last, "probes": [], "enforced": None}
        proven = unchanged and last is not None and last["enforced"] is True
        if not params["prove"]:
            if last is not None and unchanged and not self.reasons:
                return last, False
            # What was proven was proven of a table that is gone; the proof is still to come.
            if not self.module.check_mode:
                _ingress.write_record(record)
            return record.as_json(), True
        prober = _ingress.Prober(self.policy, self.nft.counters)
        # The service behind the rule may have changed without it, and that costs no packet to see.
        proven = proven and all(probe.result == _egress.PASSED for probe in prober.listening())
        if last is not None and proven and not self.reasons and (self.module.check_mode or not params["always"]):
            return last, False
        if self.module.check_mode:
            return record.as_json(), True
        probes = tuple(prober.run())
        values = {**vars(record), "probes": probes, "enforced": _ingress.judge(probes)}
        tried = _ingress.Record(**values)
        differs = tried.as_json() != last
        if differs:
            _ingress.write_record(tried)
        return tried.as_json(), differs


def _present(module: AnsibleModule, nft: str) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {
        "proven": None,
        "functional": None,
        "digest": "",
        "probes": [],
        "counters": {},
        "reasons": [],
        "record": _ingress.RECORD,
    }
    policy = _policy(module)
    if policy is None:
        result.update(changed=True, reasons=["the users would be created first"])
        result["diff"] = {"before": "", "after": f"table inet {_ingress.TABLE}\n"}
        return result
    run = _Run(module, policy, nft)
    listing = run.load()
    changed = run.outcome.changed or bool(run.reasons)
    if listing is not None:
        record, differs = run.prove(listing)
        changed = changed or differs
        enforced = record["enforced"]
        result.update(
            functional=enforced,
            proven=enforced if module.params["tls"] else False,
            digest=record["digest"],
            probes=record["probes"],
            counters=_egress.counters_of(listing) if not changed or module.check_mode else run.nft.counters(),
        )
    result.update(changed=changed, reasons=run.reasons)
    if changed:
        after = f"table inet {_ingress.TABLE}: {'; '.join(run.reasons) or result['digest'][:12]}"
        result["diff"] = {
            "before": "".join(f"{line}\n" for line in run.outcome.before),
            "after": "".join(f"{line}\n" for line in [*run.outcome.after, after]),
        }
    return result


def _absent(module: AnsibleModule, nft: str | None) -> dict[str, t.Any]:
    def run(command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", module.run_command(list(command), data=data))

    unit = module.params["unit"]
    drop_ins = [_ingress.guarded_drop_in(unit), *_ingress.drop_ins_elsewhere(unit), _ingress.NFTABLES_DROP_IN]
    outcome = _egress_service.remove_service(
        _ingress.UNIT, drop_ins, [_ingress.RULES, _ingress.RECORD], run=run, check_mode=module.check_mode
    )
    loaded = False
    if nft is not None:
        program = _egress.Nft(nft, run, _ingress.TABLE)
        loaded = program.listing() is not None
        if loaded and not module.check_mode:
            program.delete()
    before = [*outcome.before, *([f"table inet {_ingress.TABLE}"] if loaded else [])]
    return {
        "changed": outcome.changed or loaded,
        "proven": False,
        "reasons": [],
        "record": _ingress.RECORD,
        "diff": {"before": "".join(f"{line}\n" for line in before), "after": ""},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "unit": {"type": "str", "default": "openclaw-ingress.service"},
            "address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104
            "port": {"type": "int", "default": 3443},
            "user": {"type": "str", "default": ""},
            "clients": {"type": "list", "elements": "str", "default": []},
            "connections": {"type": "int", "default": 256},
            "proxy_user": {"type": "str", "default": ""},
            "proxy_port": {"type": "int"},
            "proxy_address": {"type": "str", "default": "127.0.0.1"},
            "proxy_backend_port": {"type": "int", "default": 0},
            "tls": {"type": "bool", "default": True},
            "prove": {"type": "bool", "default": True},
            "always": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="The kernel's rules are root's: run this with become.", proven=None)
    nft = _egress_service.find_nft()
    try:
        if module.params["state"] == "absent":
            module.exit_json(**_absent(module, nft))
        if nft is None and not module.check_mode:
            module.fail_json(msg="nft is not installed on this host. Install the package nftables.", proven=False)
        if nft is None:
            _ingress.parse_clients(module.params["clients"], "clients")
            module.exit_json(
                changed=True, proven=None, reasons=["nftables would be installed first"], record=_ingress.RECORD
            )
        result = _present(module, str(nft))
    except (
        _egress.EgressError,
        _other_user.OtherUserError,
        _service_unit.ServiceError,
        _files.FileError,
        OSError,
        ValueError,
    ) as error:
        module.fail_json(msg=f"Who may connect to the proxy is not settled: {error}", proven=None)
    if result["functional"] is True and not module.params["tls"]:
        module.warn("The proxy is reached without TLS: prompts and the key cross the network in clear.")
    if module.check_mode or result["functional"] is True or not module.params["prove"]:
        module.exit_json(**result)
    wrong = [f"{each['id']}: {each['result']}: {each['detail']}" for each in result["probes"]]
    module.fail_json(msg=f"The kernel rule is loaded, and not proven. {' | '.join(wrong)}", **result)


if __name__ == "__main__":
    main()
