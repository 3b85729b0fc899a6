#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_drill
short_description: Stop the proxy for some seconds and show that nothing goes around it
version_added: 0.1.0
description:
  - Tries, with the proxy running and again with it stopped, that the gateway's user is refused on its direct ways while
    another user is not, that strangers do not get to the proxy's port and cannot answer from it, and, where a request
    may be spent, that a request to a model is answered and then fails.
  - A timer of systemd starts the proxy again after O(restore_seconds), whatever happens to this module, to the
    connection or to the controller. Otherwise it is started again at once.
  - What is tried is the rule in the record that M(failclosed.openclaw.openclaw_egress) keeps. Nothing is written.
  - Fails when something is not as expected or could not be tried. What had been tried by then is returned all the same,
    and whether the proxy was started again.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: partial
    description: Says what would be disturbed.
    details: Tries nothing, and does not stop the proxy.
  diff_mode:
    support: none
    description: Nothing is left changed that could be shown.
  idempotent:
    support: none
    description: Every run stops the proxy once.
options:
  user:
    description: User that runs the gateway.
    type: str
    default: openclaw
  command:
    description: Command line that starts OpenClaw. Needed for O(model_run=true).
    type: list
    elements: str
    default: []
  state_dir:
    description: OpenClaw's state directory. Needed for O(model_run=true).
    type: path
  config_path:
    description: OpenClaw's configuration; C(openclaw.json) in O(state_dir) by default.
    type: path
  provider:
    description: The provider that must answer.
    type: str
    default: anthropic-max-proxy
  default_model:
    description: The expected default model, with its provider.
    type: str
    default: ""
  proxy_host:
    description: Address at which OpenClaw finds the proxy.
    type: str
    default: 127.0.0.1
  proxy_port:
    description: Port at which OpenClaw finds the proxy.
    type: int
    default: 3456
  proxy_user:
    description: User that must own the proxy's socket.
    type: str
    default: openclaw-proxy
  proxy_service:
    description: The proxy's systemd service.
    type: str
    default: openclaw-proxy
  proxy_liveness_url:
    description: Address that answers with status 200 while the proxy is alive. Empty means that it is not asked.
    type: str
    default: ""
  gateway_ready_url:
    description: Address of the gateway's readiness endpoint.
    type: str
    default: http://127.0.0.1:18789/readyz
  model_run:
    description: Spend a real request with the proxy running, and try the same one with it stopped.
    type: bool
    default: false
  restore_seconds:
    description: After how many seconds the timer starts the proxy again.
    type: int
    default: 45
  timeout:
    description: Seconds that one command of OpenClaw may take. Must fit into O(restore_seconds) with some to spare.
    type: int
    default: 20
seealso:
  - module: failclosed.openclaw.openclaw_egress
  - module: failclosed.openclaw.openclaw_verify
"""

EXAMPLES = r"""
- name: Drill without spending a request
  failclosed.openclaw.openclaw_drill:
    user: openclaw
    proxy_user: openclaw-proxy
    proxy_liveness_url: http://127.0.0.1:3456/health/liveliness

- name: Drill with a request
  failclosed.openclaw.openclaw_drill:
    user: openclaw
    command: [/opt/openclaw/node/current/bin/node, /opt/openclaw/gateway/current/node_modules/openclaw/openclaw.mjs]
    state_dir: /var/lib/openclaw/.openclaw
    default_model: anthropic-max-proxy/claude-opus-4.6
    model_run: true
"""

RETURN = r"""
passed:
  description:
    - Whether everything that was tried was as it must be; none (unknown) in check mode, and when the drill could not be
      held to its end.
  type: bool
  returned: always
  sample: true
checks:
  description: What was tried.
  type: list
  elements: dict
  returned: always
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
    remedy:
      description: What to do about it; empty when it passed.
      type: str
  sample:
    - id: direct-refused-while-stopped
      result: passed
      detail: 3 networks by TCP and UDP, refused and counted for uid 997, not for another
      remedy: ""
stopped_seconds:
  description: How long the proxy was not to be had.
  type: float
  returned: always
  sample: 14.2
"""

import time
import typing as t
from dataclasses import asdict
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _egress,
    _egress_probe,
    _egress_service,
    _files,
    _openclaw,
    _other_user,
    _verification,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._verification import FAILED, PASSED, UNKNOWN, Check

_REPAIR = "Run site.yml again; if it comes back, another program changes the kernel's rules."
# What the probes need with the proxy stopped, on a slow host.
_SPARE_SECONDS = 15
# What keeps a drill from being held, before the proxy is stopped or while it is.
CANNOT_BE_HELD = (
    _verification.VerificationError,
    _egress.EgressError,
    _other_user.OtherUserError,
    _openclaw.OpenClawError,
    _files.FileError,
    OSError,
    ValueError,
)


def summary(identifier: str, probes: t.Sequence[_egress.Probe], what: str) -> Check:
    """One check for many probes: what is wrong, or in short what was tried."""
    for result in (_egress.FAILED, _egress.UNKNOWN):
        wrong = [f"{probe.id}: {probe.detail}" for probe in probes if probe.result == result]
        if wrong:
            return Check(identifier, FAILED if result == _egress.FAILED else UNKNOWN, "; ".join(wrong), _REPAIR)
    passed = [probe for probe in probes if probe.result == _egress.PASSED]
    if not passed:
        return Check(identifier, UNKNOWN, "this host has no route there, so nothing could be tried", _REPAIR)
    return Check(identifier, PASSED, what.format(len(passed)))


class Drill:
    """One drill on one host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.params = module.params
        self.module = module
        self.account = _openclaw.account_of(module.params["user"])
        self.nft = _egress.Nft(_egress_service.find_nft() or "nft", self._run)
        self.checks: list[Check] = []
        self.stopped_seconds = 0.0
        self.disturbed = False
        self.expectation = self._expectation()

    def _run(self, command: t.Sequence[str], data: str | None = None) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", self.module.run_command(list(command), data=data))

    def _expectation(self) -> _verification.Expectation:
        params = self.params
        return _verification.Expectation(
            provider=params["provider"],
            default_model=params["default_model"],
            fallbacks=(),
            alias="",
            proxy_host=params["proxy_host"],
            proxy_port=params["proxy_port"],
            proxy_uid=_files.user_id(params["proxy_user"]),
            proxy_liveness_url=params["proxy_liveness_url"],
            gateway_ready_url=params["gateway_ready_url"],
        )

    def _command_line(self) -> _verification.CommandLine:
        params = self.params
        config = params["config_path"] or f"{params['state_dir']}/openclaw.json"
        subject = _verification.Subject(tuple(params["command"]), self.account, config, params["state_dir"])
        return _verification.CommandLine(subject, timeout_seconds=params["timeout"])

    def _rule(self) -> _egress.Record | None:
        """The record of the rule that is loaded now; a check says so, or why there is none."""
        seen = _egress.observe(self.account.uid, nft=self.nft)
        record = _egress.read_record()
        # Whether it was tried since the boot does not matter: that is done here.
        same = record is not None and seen.digest == record.digest and seen.enforced is not False
        if record is None or not same:
            self.checks.append(Check("rule-loaded", FAILED, seen.reason, _REPAIR))
            return None
        self.checks.append(Check("rule-loaded", PASSED, f"mode {record.mode}, {len(record.networks)} networks"))
        return record

    def _probe(self, record: _egress.Record, suffix: str, squatted: str) -> None:
        identity = _egress_probe.Identity(self.account.uid, self.account.gid)
        policy = record.policy()
        prober = _egress_probe.Prober(policy, identity, self.nft.counters)
        text = f"{{}} ways refused and counted for uid {identity.uid}, not for another"
        self.checks.append(summary(f"direct-refused{suffix}", prober.direct(), text))
        if policy.proxy is not None:
            port = prober.proxy_port(squatted)
            self.checks.append(
                summary(f"port-guarded{suffix}", port, f"no stranger at port {policy.proxy.port}, on either end")
            )

    def _closed(self) -> Check:
        host = urlsplit(f"//{self.params['proxy_host']}").hostname or "127.0.0.1"
        address = "127.0.0.1" if host == "localhost" else host
        attempt = _egress_probe.Attempt("tcp", address, self.params["proxy_port"])
        outcome = _other_user.call_as(
            self.account.uid,
            self.account.gid,
            lambda: _egress_probe.try_all([attempt])[0],
            timeout_seconds=_egress_probe.ANSWER_SECONDS,
        )
        if outcome == "ECONNREFUSED":
            return Check("proxy-closed", PASSED, "nobody answers at the proxy's port")
        return Check(
            "proxy-closed", FAILED, f"at the proxy's port: {outcome}", "Look with: ss --tcp --listening --processes"
        )

    def run(self) -> None:
        params = self.params
        self.checks.append(_verification.check_gateway_ready(self.expectation, self.account.uid))
        self.checks += _verification.check_proxy(self.expectation)
        record = self._rule()
        if record is None or any(check.result != PASSED for check in self.checks):
            # What is not right with the proxy running is not made worse by stopping it.
            return
        self._probe(record, "", "")
        command_line = self._command_line() if params["model_run"] else None
        if command_line is not None:
            self.checks.append(_verification.check_model_run(command_line, self.expectation))
        if any(check.result != PASSED for check in self.checks):
            return
        stopped = _verification.StoppedService(
            params["proxy_service"], self._run, restore_seconds=params["restore_seconds"]
        )
        remedy = f"Look with: systemctl status {params['proxy_service']}"
        began = time.monotonic()
        number = len(self.checks)
        is_stopped = False
        interruption: Exception | None = None
        started_again: Check | None = None
        try:
            with stopped:
                is_stopped = True
                try:
                    self._try_while_stopped(record, command_line)
                except CANNOT_BE_HELD as error:
                    # Raised once it is known whether the proxy runs again.
                    interruption = error
                if time.monotonic() - began >= params["restore_seconds"]:
                    self._take_back(number)
        except _verification.VerificationError as error:
            if is_stopped:
                started_again = Check("proxy-started-again", FAILED, str(error), remedy)
            else:
                self.checks.append(Check("proxy-stopped", UNKNOWN, str(error), remedy))
        finally:
            self.disturbed = stopped.disturbed
            if stopped.disturbed:
                self.stopped_seconds = round(time.monotonic() - began, 1)
        if stopped.disturbed:
            self.checks.append(started_again or self._started_again())
        if interruption is not None:
            raise interruption

    def _try_while_stopped(self, record: _egress.Record, command_line: _verification.CommandLine | None) -> None:
        self.checks.append(self._closed())
        self._probe(record, "-while-stopped", "127.0.0.1")
        if command_line is not None:
            self.checks.append(_verification.check_model_run_fails(command_line))

    def _take_back(self, number: int) -> None:
        """Make the checks from ``number`` on unknown: what they saw may be the proxy that the timer started."""
        remedy = "Give openclaw_verify_drill_restore_seconds more."
        why = f"not certain: the timer may have started the proxy after {self.params['restore_seconds']} s"
        self.checks[number:] = [Check(check.id, UNKNOWN, why, remedy) for check in self.checks[number:]]

    def _started_again(self) -> Check:
        try:
            wrong = [check for check in _verification.check_proxy(self.expectation) if check.result != PASSED]
        except CANNOT_BE_HELD as error:
            remedy = f"Look with: systemctl status {self.params['proxy_service']}"
            return Check("proxy-started-again", UNKNOWN, str(error), remedy)
        if wrong:
            return Check("proxy-started-again", FAILED, wrong[0].detail, wrong[0].remedy)
        return Check("proxy-started-again", PASSED, f"after {self.stopped_seconds} s")

    def result(self, passed: bool | None) -> dict[str, t.Any]:
        """What is known so far, as the module returns it."""
        return {
            "changed": self.disturbed,
            "passed": passed,
            "checks": [asdict(check) for check in self.checks],
            "stopped_seconds": self.stopped_seconds,
        }

    def aftermath(self) -> str:
        """In a sentence whether the proxy runs again; empty where it was not stopped."""
        if not self.disturbed:
            return ""
        for check in self.checks:
            if check.id == "proxy-started-again" and check.result == PASSED:
                return f" The proxy was started again after {self.stopped_seconds} s."
        service = self.params["proxy_service"]
        return f" It is not certain that the proxy was started again; look with: systemctl status {service}."


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "default": "openclaw"},
            "command": {"type": "list", "elements": "str", "default": []},
            "state_dir": {"type": "path"},
            "config_path": {"type": "path"},
            "provider": {"type": "str", "default": "anthropic-max-proxy"},
            "default_model": {"type": "str", "default": ""},
            "proxy_host": {"type": "str", "default": "127.0.0.1"},
            "proxy_port": {"type": "int", "default": 3456},
            "proxy_user": {"type": "str", "default": "openclaw-proxy"},
            "proxy_service": {"type": "str", "default": "openclaw-proxy"},
            "proxy_liveness_url": {"type": "str", "default": ""},
            "gateway_ready_url": {"type": "str", "default": "http://127.0.0.1:18789/readyz"},
            "model_run": {"type": "bool", "default": False},
            "restore_seconds": {"type": "int", "default": 45},
            "timeout": {"type": "int", "default": 20},
        },
        required_if=[("model_run", True, ["command", "state_dir", "default_model"])],
        supports_check_mode=True,
    )
    params = module.params
    if params["restore_seconds"] < _SPARE_SECONDS + (params["timeout"] if params["model_run"] else 0):
        module.fail_json(
            msg=f"restore_seconds is {params['restore_seconds']}: the timer would start the proxy in the middle of the"
            f" drill. Give it {_SPARE_SECONDS} seconds, and those of timeout ({params['timeout']}) on top when a"
            " request is spent.",
            passed=None,
            checks=[],
            stopped_seconds=0.0,
        )
    if module.check_mode:
        module.exit_json(
            changed=True,
            passed=None,
            checks=[],
            stopped_seconds=0.0,
            msg=f"{params['proxy_service']} would be stopped for some seconds",
        )
    try:
        drill = Drill(module)
    except CANNOT_BE_HELD as error:
        module.fail_json(msg=f"The drill could not be held: {error}", passed=None, checks=[], stopped_seconds=0.0)
    try:
        drill.run()
    except CANNOT_BE_HELD as error:
        what = "was broken off" if drill.disturbed else "could not be held"
        module.fail_json(msg=f"The drill {what}: {str(error).rstrip('.')}.{drill.aftermath()}", **drill.result(None))
    result = drill.result(all(check.result == PASSED for check in drill.checks))
    if result["passed"]:
        module.exit_json(**result)
    wrong = [check for check in drill.checks if check.result != PASSED]
    problems = [f"{check.id}: {check.result}: {check.detail}. {check.remedy}".strip() for check in wrong]
    module.fail_json(msg=f"The drill has not passed. {' | '.join(problems)}{drill.aftermath()}", **result)


if __name__ == "__main__":
    main()
