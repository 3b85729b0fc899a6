#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_verify
short_description: Prove on a host that OpenClaw's Claude route is the proxy
version_added: 0.1.0
description:
  - Checks that the gateway is ready, that the proxy's user alone listens where OpenClaw sends its requests, that the
    proxy is alive, and that OpenClaw itself reports the expected default model, fallbacks and alias.
  - Looks at every route of the host as M(failclosed.openclaw.openclaw_audit) does. A finding is a failed check.
  - On request spends a real model request through the proxy, and shows that the same request fails while the proxy is
    stopped.
  - Writes a receipt on the host. A check that needs node is done again only when the configuration, the program, a
    plugin, the expectation or something in O(depends_on) has changed since the receipt; otherwise its result and its
    time come from there.
  - Fails when a check fails or could not be done. What could not be checked never counts as passed.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  action:
    support: full
    description: Runs on the host; only the copy of the receipt is written on the controller.
  check_mode:
    support: partial
    description: Predicts whether the receipt would be rewritten.
    details: Does the checks that start no process and neither stops the proxy nor spends a request; does not fail.
  diff_mode:
    support: full
    description: Shows results that differ from the last receipt.
  idempotent:
    support: full
    description: The receipt is rewritten only when a result or something that it depends on has changed.
options:
  command:
    description: Command line that starts OpenClaw.
    type: list
    elements: str
    required: true
  user:
    description: User that runs OpenClaw.
    type: str
    required: true
  state_dir:
    description: OpenClaw's state directory.
    type: path
    required: true
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
    required: true
  fallbacks:
    description: The expected fallbacks.
    type: list
    elements: str
    default: []
  alias:
    description: The alias that must lead to the default model. Empty means none.
    type: str
    default: ""
  base_url:
    description: Where OpenClaw finds the proxy. Without it, any address of this machine's loopback counts.
    type: str
  policy:
    description: As in O(failclosed.openclaw.openclaw_audit#module:policy).
    type: str
    choices: [strict, claude-only]
    default: strict
  exceptions:
    description: As in O(failclosed.openclaw.openclaw_audit#module:exceptions).
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Id of the finding, or a shell-style pattern.
        type: str
        required: true
      path:
        description: Path of the finding, or a shell-style pattern.
        type: str
      reason:
        description: Why it is accepted.
        type: str
        required: true
      expires:
        description: The last day (UTC) on which it is accepted, C(YYYY-MM-DD).
        type: str
        required: true
  fail_closed:
    description:
      - With V(false), findings of the audit do not fail the task, because somebody wants another way. The host is
        reported as not compliant all the same, with a warning.
    type: bool
    default: true
  egress:
    description: As in O(failclosed.openclaw.openclaw_audit#module:egress).
    type: str
    choices: [optional, required]
    default: optional
  unknown_routes:
    description:
      - Whether what the audit could not tell fails the task. The host is reported as unknown in both cases.
    type: str
    choices: [report, fail]
    default: report
  metrics_file:
    description:
      - Where the result goes for the textfile collector of Prometheus' node exporter. It is written if its directory
        exists. Empty means nowhere.
    type: path
    default: ""
  controller_dir:
    description:
      - Directory on the controller that gets a copy of the receipt, C(<inventory_hostname>.json), and its SHA-256. That
        is a digest against accidents, not a signature. Empty means no copy.
    type: str
    default: ""
  proxy_host:
    description: Name or address at which OpenClaw finds the proxy.
    type: str
    default: 127.0.0.1
  proxy_port:
    description: Port at which OpenClaw finds the proxy.
    type: int
    default: 3456
  proxy_user:
    description:
      - The user that must own the proxy's socket. Empty when the proxy is on another machine, whose sockets cannot be
        seen from here; then O(proxy_liveness_url) is needed.
    type: str
    default: ""
  proxy_liveness_url:
    description: Address that answers with status 200 while the proxy is alive. Empty means that it is not asked.
    type: str
    default: ""
  proxy_ca_certificate:
    description:
      - For a proxy on another machine, certificates (PEM) of the authorities that alone may have signed its
        certificate. Empty means those that this host trusts.
    type: str
    default: ""
  accept_cleartext:
    description:
      - Whether a proxy on another machine without TLS is a warning and no failure. The host is then functional, and
        RV(passed) stays false, because prompts and the key cross the network in clear.
    type: bool
    default: false
  proxy_service:
    description: The proxy's systemd service. Needed for O(proxy_stopped) and for RV(health).
    type: str
  accept_shared_user:
    description:
      - Whether a proxy that runs as the gateway's user is a warning and no failure. The host is then functional, and
        RV(passed) stays false, because nothing holds the gateway's agents back from doing what the proxy does.
    type: bool
    default: false
  gateway_ready_url:
    description: Address of the gateway's readiness endpoint.
    type: str
    default: http://127.0.0.1:18789/readyz
  model_run:
    description: Spend a real model request to prove that the route works.
    type: bool
    default: false
  proxy_stopped:
    description:
      - Stop the proxy for some seconds and show that the same request fails then. Needs O(model_run=true), because only
        a request that works otherwise proves something by failing. Requests of the gateway's users fail during that
        time. A timer of systemd starts the proxy again even if this module is killed.
    type: bool
    default: false
  always:
    description: Do every check now, whatever the receipt says.
    type: bool
    default: false
  depends_on:
    description:
      - Files, and directories with everything below them, that the route takes its settings from, such as those of the
        proxy. When one has changed since the receipt, every check is done again.
    type: list
    elements: path
    default: []
  receipt:
    description: Where the receipt is kept.
    type: path
    default: /var/lib/failclosed-openclaw/receipt.json
  timeout:
    description: Seconds that one command of OpenClaw may take.
    type: int
    default: 180
seealso:
  - module: failclosed.openclaw.openclaw_config
"""

EXAMPLES = r"""
- name: Prove the route without spending a request
  failclosed.openclaw.openclaw_verify:
    command: [/opt/openclaw/node/current/bin/node, /opt/openclaw/gateway/current/node_modules/openclaw/openclaw.mjs]
    user: openclaw
    state_dir: /var/lib/openclaw/.openclaw
    default_model: anthropic-max-proxy/claude-opus-4.6
    alias: claude-max-proxy
    proxy_user: openclaw-proxy
    proxy_liveness_url: http://127.0.0.1:3456/health/liveliness

- name: Prove it with a real request, and that it fails while the proxy is down
  failclosed.openclaw.openclaw_verify:
    command: [/usr/bin/node, /usr/lib/node_modules/openclaw/openclaw.mjs]
    user: alice
    state_dir: /home/alice/.openclaw
    default_model: anthropic-max-proxy/claude-opus-4.6
    proxy_user: openclaw-proxy
    proxy_service: openclaw-proxy
    model_run: true
    proxy_stopped: true
    always: true
"""

RETURN = r"""
passed:
  description: Whether every check passed. False in check mode when one could not be done.
  type: bool
  returned: always
  sample: true
functional:
  description: Whether every check passed that O(fail_closed), O(unknown_routes) or O(accept_shared_user) do not
    tolerate. Only RV(passed) is a proof.
  type: bool
  returned: always
  sample: true
compliant:
  description: True if every check passed, false if one failed, null if one is unknown and none failed.
  type: bool
  returned: always
  sample: true
routes:
  description: What the audit found, as M(failclosed.openclaw.openclaw_audit) returns it.
  type: dict
  returned: always
  sample: {policy: strict, compliant: true, findings: [], unknown: [], accepted: []}
health:
  description:
    - The proxy's health in three levels that say nothing about each other. What its supervisor found out; no process is
      started for it, and no request is sent.
    - It says nothing about routes, and RV(passed) does not depend on it. With O(model_run), the last level is what that
      request showed.
  returned: always
  type: dict
  contains:
    alive:
      description: Whether the proxy listens and answers. V(yes), V(no) or V(unknown), with a detail and a time (UTC).
      type: dict
    login:
      description: Whether somebody is logged in, by the proxy's own command. V(logged-in), V(logged-out) or V(unknown).
      type: dict
    works:
      description: Whether a real request was answered. V(yes), V(no), or V(unknown) when none was sent.
      type: dict
  sample:
    alive: {state: "yes", detail: "alive: listening on 127.0.0.1:3456", at: 2026-11-26 12:00:00 UTC}
    login: {state: logged-in, detail: "claude, claude.ai, max", at: 2026-11-26 12:03:00 UTC}
    works: {state: unknown, detail: not asked, at: ""}
receipt_digest:
  description: SHA-256 of the receipt.
  type: str
  returned: always
  sample: 0c1e6fd0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c
receipt_document:
  description: The receipt.
  type: dict
  returned: always
  sample: {format: 2, passed: true, compliant: true}
checks:
  description: The checks.
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: Stable name of the check.
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
    - id: fallbacks
      result: passed
      detail: OpenClaw's fallbacks are none
      remedy: ""
reused:
  description: Ids of the checks whose result comes from the receipt.
  type: list
  elements: str
  returned: always
  sample: [default-model, fallbacks, alias, model-run]
proved_at:
  description: When the checks that need node were last done, UTC.
  type: str
  returned: always
  sample: "2026-11-23T21:30:00Z"
versions:
  description: What was checked.
  type: dict
  returned: always
  sample: {openclaw: 2026.9.6}
receipt:
  description: Path of the receipt.
  type: str
  returned: always
  sample: /var/lib/failclosed-openclaw/receipt.json
"""

import datetime
import hashlib
import json
import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _audit,
    _egress,
    _files,
    _openclaw,
    _proxy_health,
    _verification,
)

NODE_CHECKS = ("default-model", "fallbacks", "alias", "gateway-route", "model-run", "fails-closed")
# A gateway under load has been seen to need 7 s for it.
RELOAD_PATIENCE_SECONDS = 60
READY_PATIENCE_SECONDS = 20
HEALTH_PATIENCE_SECONDS = 35
POSITIVE_CONTROL = "model-run"


def _lines(checks: t.Iterable[dict[str, t.Any]]) -> str:
    return "".join(f"{check['id']}: {check['result']}: {check['detail']}\n" for check in checks)


def _problems(checks: t.Iterable[_verification.Check]) -> str:
    return " | ".join(f"{check.id}: {check.result}: {check.detail}. {check.remedy}".strip() for check in checks)


def _expectation(module: AnsibleModule) -> _verification.Expectation:
    params = module.params
    proxy_uid = None
    if params["proxy_user"]:
        try:
            proxy_uid = pwd.getpwnam(params["proxy_user"]).pw_uid
        except KeyError:
            if not module.check_mode:
                module.fail_json(
                    msg=f"proxy_user '{params['proxy_user']}' does not exist on this host. Name the user that runs the"
                    " proxy here, or leave it empty when the proxy is on another machine."
                )
            proxy_uid = -1
    return _verification.Expectation(
        provider=params["provider"],
        default_model=params["default_model"],
        fallbacks=tuple(params["fallbacks"]),
        alias=params["alias"],
        proxy_host=params["proxy_host"],
        proxy_port=params["proxy_port"],
        proxy_uid=proxy_uid,
        proxy_liveness_url=params["proxy_liveness_url"],
        gateway_ready_url=params["gateway_ready_url"],
        base_url=params["base_url"] or "",
        proxy_authority=params["proxy_ca_certificate"].strip(),
    )


def _node_checks(
    module: AnsibleModule, subject: _verification.Subject, expectation: _verification.Expectation
) -> list[_verification.Check]:
    params = module.params
    command_line = _verification.CommandLine(subject, timeout_seconds=params["timeout"])
    checks = _verification.check_models_status(command_line, expectation)
    checks.append(
        _verification.check_gateway_route(command_line, expectation, patience_seconds=RELOAD_PATIENCE_SECONDS)
    )
    if params["model_run"]:
        checks.append(_verification.check_model_run(command_line, expectation))
    if params["proxy_stopped"]:
        if any(check.id == POSITIVE_CONTROL and check.result != _verification.PASSED for check in checks):
            return [
                *checks,
                _verification.Check(
                    "fails-closed",
                    _verification.UNKNOWN,
                    "not tried: a request that fails with the proxy running proves nothing when it is stopped",
                    "Put the request right first.",
                ),
            ]

        def run(command: list[str]) -> tuple[int, str, str]:
            return t.cast("tuple[int, str, str]", module.run_command(command))

        seconds = params["timeout"] + 60
        stopped = _verification.StoppedService(params["proxy_service"], run, restore_seconds=seconds)
        checks += _verification.check_fails_closed(command_line, stopped)
    return checks


def _audit_routes(
    module: AnsibleModule, subject: _verification.Subject, report: _verification.Report
) -> _verification.Check:
    params = module.params
    egress = _egress.observe(subject.account.uid)
    found = _audit.audit(
        _audit.Subject(
            subject.account, subject.config_path, subject.state_dir, params["provider"], params["base_url"] or None
        ),
        policy=params["policy"],
        exceptions=_audit.parse_exceptions(params["exceptions"]),
        today=datetime.datetime.now(datetime.timezone.utc).date(),
        egress=egress,
        egress_required=params["egress"] == "required",
        remediate="none",
    )
    check = _verification.check_routes(found, params["policy"])
    values = _audit.as_return_values(found)
    kept = ("compliant", "findings", "unknown", "accepted", "config_digest")
    report.routes = {
        "policy": params["policy"],
        "fail_closed": params["fail_closed"],
        "egress": _audit.egress_values(egress),
        **{name: values[name] for name in kept},
    }
    if not params["fail_closed"] or (check.result == _verification.UNKNOWN and params["unknown_routes"] == "report"):
        report.tolerated |= {check.id}
    return check


def _health(module: AnsibleModule, report: _verification.Report) -> dict[str, dict[str, str]]:
    service = module.params["proxy_service"] if module.params["proxy_user"] else ""
    health = _proxy_health.unknown("no supervisor of it is on this host")
    if service:
        # A proxy that was just started, as by the proof itself, is asked a moment later.
        health = _proxy_health.settled(service, patience_seconds=HEALTH_PATIENCE_SECONDS)
    found = {check.id: check for check in report.checks}
    # What was seen here and now counts more than what the supervisor saw last.
    alive = found.get("proxy-alive")
    if alive is not None and alive.result != _verification.UNKNOWN:
        state = "yes" if alive.result == _verification.PASSED else "no"
        health["alive"] = _proxy_health.level(state, alive.detail, _verification.now())
    works = found.get(POSITIVE_CONTROL)
    if works is not None and works.result != _verification.UNKNOWN:
        state = "yes" if works.result == _verification.PASSED else "no"
        health["works"] = _proxy_health.level(state, works.detail, report.proved_at)
    return health


def _verify(
    module: AnsibleModule, expectation: _verification.Expectation
) -> tuple[_verification.Report, bool, dict[str, t.Any]]:
    """Return the report, whether the receipt was, or would be, rewritten, and the receipt as it is afterwards."""
    params = module.params
    config_path = params["config_path"] or os.path.join(params["state_dir"], "openclaw.json")
    report = _verification.Report()
    last = _verification.read_receipt(params["receipt"])
    try:
        account = _openclaw.account_of(params["user"])
    except _openclaw.OpenClawError:
        if not module.check_mode:
            raise
        report.checks.append(_verification.Check("gateway-ready", _verification.UNKNOWN, "nothing is installed yet"))
        return report, True, report.as_receipt()
    subject = _verification.Subject(tuple(params["command"]), account, config_path, params["state_dir"])
    report.versions["openclaw"] = _openclaw.installed_version(subject.command) or "unknown"
    report.checks = [
        _verification.check_gateway_ready(expectation, account.uid, patience_seconds=READY_PATIENCE_SECONDS),
        *_verification.check_proxy(expectation),
    ]
    if expectation.proxy_uid is not None:
        report.checks.append(_verification.check_separate_users(expectation.proxy_uid, account.uid))
        if params["accept_shared_user"]:
            report.tolerated |= {_verification.SEPARATE_USERS}
    if params["accept_cleartext"] and not expectation.base_url.startswith("https:"):
        report.tolerated |= {_verification.TRANSPORT}
    aside = {_verification.SEPARATE_USERS, *(report.tolerated & {_verification.TRANSPORT})}
    live = [check for check in report.checks if check.id not in aside]
    report.checks.append(_audit_routes(module, subject, report))
    demanded = [name for name in ("model_run", "proxy_stopped") if params[name]]
    try:
        report.inputs = _verification.inputs_digest(subject, expectation, demanded, params["depends_on"])
    except FileNotFoundError:
        if not module.check_mode:
            raise
    before = {check["id"]: check for check in last["checks"]} if last else {}
    current = last is not None and last["inputs"] == report.inputs and last["functional"] is True
    if current and last is not None and not params["always"]:
        report.proved_at = last["proved_at"]
        for identifier in NODE_CHECKS:
            if identifier in before:
                report.checks.append(_verification.Check(**before[identifier]))
                report.reused.append(identifier)
    elif module.check_mode:
        report.checks.append(_verification.Check("default-model", _verification.UNKNOWN, "not asked in check mode"))
    elif any(check.result != _verification.PASSED for check in live):
        report.checks.append(
            _verification.Check(
                "default-model", _verification.UNKNOWN, "not asked while gateway or proxy are not right"
            )
        )
        report.proved_at = _verification.now()
    else:
        report.checks += _node_checks(module, subject, expectation)
        report.proved_at = _verification.now()
        after = _verification.inputs_digest(subject, expectation, demanded, params["depends_on"])
        if after != report.inputs:
            report.checks.append(
                _verification.Check(
                    "config-untouched",
                    _verification.FAILED,
                    f"{config_path} or a plugin changed while it was checked",
                    "Find out which program writes there; OpenClaw restores an older file over one that it distrusts.",
                )
            )
    report.health = _health(module, report)
    results = {check.id: check.result for check in report.checks}
    differs = not current or results != {identifier: check["result"] for identifier, check in before.items()}
    differs = differs or last is None or last["routes"] != report.routes
    differs = differs or last is None or _proxy_health.differ(last.get("health"), report.health)
    # Nothing differs but the time, and the receipt on the host keeps the one at which it was written.
    receipt = report.as_receipt() if differs or last is None else last
    if not module.check_mode:
        if differs:
            _verification.write_receipt(params["receipt"], receipt)
        if params["metrics_file"]:
            _verification.write_metrics(params["metrics_file"], receipt)
        module.log(f"failclosed.openclaw: compliant={json.dumps(report.compliant)} at {_verification.now()}")
    return report, differs, receipt


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "user": {"type": "str", "required": True},
            "state_dir": {"type": "path", "required": True},
            "config_path": {"type": "path"},
            "provider": {"type": "str", "default": "anthropic-max-proxy"},
            "default_model": {"type": "str", "required": True},
            "fallbacks": {"type": "list", "elements": "str", "default": []},
            "alias": {"type": "str", "default": ""},
            "base_url": {"type": "str"},
            "policy": {"type": "str", "choices": ["strict", "claude-only"], "default": "strict"},
            "exceptions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "id": {"type": "str", "required": True},
                    "path": {"type": "str"},
                    "reason": {"type": "str", "required": True},
                    "expires": {"type": "str", "required": True},
                },
            },
            "fail_closed": {"type": "bool", "default": True},
            "egress": {"type": "str", "choices": ["optional", "required"], "default": "optional"},
            "unknown_routes": {"type": "str", "choices": ["report", "fail"], "default": "report"},
            "metrics_file": {"type": "path", "default": ""},
            "controller_dir": {"type": "str", "default": ""},
            "proxy_host": {"type": "str", "default": "127.0.0.1"},
            "proxy_port": {"type": "int", "default": 3456},
            "proxy_user": {"type": "str", "default": ""},
            "proxy_liveness_url": {"type": "str", "default": ""},
            "proxy_ca_certificate": {"type": "str", "default": ""},
            "accept_cleartext": {"type": "bool", "default": False},
            "proxy_service": {"type": "str"},
            "accept_shared_user": {"type": "bool", "default": False},
            "gateway_ready_url": {"type": "str", "default": "http://127.0.0.1:18789/readyz"},
            "model_run": {"type": "bool", "default": False},
            "proxy_stopped": {"type": "bool", "default": False},
            "always": {"type": "bool", "default": False},
            "depends_on": {"type": "list", "elements": "path", "default": []},
            "receipt": {"type": "path", "default": "/var/lib/failclosed-openclaw/receipt.json"},
            "timeout": {"type": "int", "default": 180},
        },
        required_if=[("proxy_stopped", True, ["proxy_service"])],
        supports_check_mode=True,
    )
    if module.params["proxy_stopped"] and not module.params["model_run"]:
        module.fail_json(
            msg="proxy_stopped is true and model_run is false: that a request fails with the proxy stopped proves"
            " nothing unless it works with the proxy running. Set model_run (openclaw_verify_model_run) to true, too."
        )
    if module.params["proxy_stopped"] and not module.params["proxy_user"]:
        module.fail_json(
            msg="proxy_stopped is true and proxy_user is empty: the proxy is on another machine and cannot be stopped"
            " from here. Set proxy_stopped (openclaw_verify_proxy_stopped) to false for this host."
        )
    try:
        expectation = _expectation(module)
        report, changed, receipt = _verify(module, expectation)
    except (
        _verification.VerificationError,
        _audit.AuditError,
        _openclaw.OpenClawError,
        _files.FileError,
        OSError,
        ValueError,
    ) as error:
        module.fail_json(msg=f"The route could not be verified: {error}")
    result: dict[str, t.Any] = {
        "changed": changed,
        "passed": report.passed,
        "functional": report.functional,
        "compliant": report.compliant,
        "routes": report.routes,
        "health": report.health,
        "receipt_digest": hashlib.sha256(_verification.receipt_bytes(receipt)).hexdigest(),
        "receipt_document": receipt,
        "checks": receipt["checks"],
        "reused": report.reused,
        "proved_at": report.proved_at,
        "versions": report.versions,
        "receipt": module.params["receipt"],
    }
    tolerated = [
        check for check in report.checks if check.result != _verification.PASSED and check.id in report.tolerated
    ]
    if tolerated:
        module.warn(f"The route works and is not proven fail-closed. {_problems(tolerated)}")
    if report.health.get("login", {}).get("state") == "logged-out":
        module.warn(
            f"Nobody is logged in at the proxy ({report.health['login']['detail']}), so that its requests will fail."
            " Somebody who may use the credential has to sign in on that host, for claude's login with sudo"
            f" {module.params['proxy_service']}-login."
        )
    if module.check_mode or report.functional:
        if changed:
            result["diff"] = {"before": "", "after": _lines(receipt["checks"])}
        module.exit_json(**result)
    module.fail_json(msg=f"The route is not proven. {_problems(report.failures)}", **result)


if __name__ == "__main__":
    main()
