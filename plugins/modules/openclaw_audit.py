#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_audit
short_description: Find every way that a model request of OpenClaw can take around the proxy
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Reads the configuration of an OpenClaw gateway, what it keeps beside it, its units and the environment of its
    running processes, and says of every model, fallback, alias, provider, address and credential where it leads.
  - Changes nothing and starts no node. The state directory is looked at with the authority of the user it belongs to.
  - What could not be looked at, or leads where nobody can tell, is unknown. Unknown is never compliant.
  - The ids of findings are stable. They are listed with the places they come from in the guide
    R(Routes and findings, ansible_collections.failclosed.openclaw.docsite.routes).
  - What an agent's own tools do is not a route of OpenClaw. Only the kernel rule of the role
    P(failclosed.openclaw.openclaw_egress#role) stops it.
attributes:
  check_mode:
    support: full
    description: Never changes anything. A O(user) that does not exist yet is no error in check mode.
  diff_mode:
    support: none
    description: Never changes anything, so that there is nothing to compare.
  idempotent:
    support: full
    description: Never changes anything.
options:
  user:
    description:
      - The user that the gateway runs as.
      - The default is C(openclaw) if that user exists, and otherwise the user who runs the module.
    type: str
  state_dir:
    description: OpenClaw's state directory. The default is C(.openclaw) in the home directory of O(user).
    type: path
  config_path:
    description: OpenClaw's configuration. The default is C(openclaw.json) in O(state_dir).
    type: path
  provider:
    description: The provider that leads to the proxy.
    type: str
    default: anthropic-max-proxy
  base_url:
    description:
      - Where the proxy is, with its port. Without it, any address of this machine's loopback counts as the proxy.
    type: str
  policy:
    description:
      - With V(strict), only the proxy is allowed.
      - With V(claude-only), models of other vendors may go elsewhere, and no Claude model may.
    type: str
    choices: [strict, claude-only]
    default: strict
  exceptions:
    description:
      - Findings, and unknown places, that somebody decided to accept for a time. They stay in the report.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Id of the finding, or a shell-style pattern such as C(code-*).
        type: str
        required: true
      path:
        description: Path of the finding, or a shell-style pattern. The default is every path.
        type: str
      reason:
        description: Why it is accepted. It appears in every report.
        type: str
        required: true
      expires:
        description: The last day (UTC) on which it is accepted, C(YYYY-MM-DD). From the next day on it is a finding
          again, and so is the exception.
        type: str
        required: true
  egress:
    description:
      - The kernel rule of the role P(failclosed.openclaw.openclaw_egress#role) is always looked at. Only where it is in
        strict mode, and loaded as it was probed, is code with a network of its own covered, such as an MCP server.
      - With V(required), a rule that is not enforced is a finding, and one of which nobody can tell is unknown.
    type: str
    choices: [optional, required]
    default: optional
  proxy_service:
    description:
      - The proxy's systemd service, for RV(health). Empty when the proxy is on another machine.
    type: str
    default: openclaw-proxy
  patch:
    description:
      - A merge patch that is about to be applied. The configuration is looked at as it will be then, also where there
        is none yet.
    type: dict
  replace_paths:
    description:
      - Paths in O(patch) whose dictionary will be the whole dictionary, as in
        O(failclosed.openclaw.openclaw_config#module:replace_paths).
    type: list
    elements: str
    default: []
  remediate:
    description:
      - What RV(remediation_patch) closes. Unless it is V(none), the patch also makes an agent's own model say that it
        has no fallbacks, where it only does not name any.
      - V(default) stands for fallbacks, aliases, and the models of single agents.
    type: str
    choices: [all, default, none]
    default: all
seealso:
  - module: failclosed.openclaw.openclaw_config
  - module: failclosed.openclaw.openclaw_verify
"""

EXAMPLES = r"""
- name: Look where model requests can go
  become: true
  failclosed.openclaw.openclaw_audit:
  register: audit

- name: Stop when a route leads around the proxy
  ansible.builtin.fail:
    msg: "{{ audit.findings }}"
  when: audit.compliant is false

- name: Allow other vendors' models, and one MCP server until the end of the year
  become: true
  failclosed.openclaw.openclaw_audit:
    user: alice
    base_url: https://proxy.example.com:3456
    policy: claude-only
    exceptions:
      - id: code-mcp-server
        path: mcp.servers.github
        reason: "Reviewed on 2026-11-02, no model calls (OPS-1234)"
        expires: "2026-12-31"
  register: audit

- name: Close what the audit found
  become: true
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    patch: "{{ audit.remediation_patch }}"
  when: audit.remediation_patch | length > 0
"""

RETURN = r"""
compliant:
  description: True, false, or null when something is unknown and nothing is wrong.
  returned: always
  type: bool
  sample: false
findings:
  description: Routes that the policy does not allow. No field holds a secret.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable id.
      type: str
    severity:
      description: V(error). Any finding makes RV(compliant) false.
      type: str
    path:
      description: Where. In C(openclaw.json) in OpenClaw's notation, otherwise the file and what it is in it.
      type: str
    resolves_to:
      description: V(bypass) for Claude on another way, V(other) for another vendor, V(unknown), or V(proxy).
      type: str
    detail:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
  sample:
    - id: agent-model-fallbacks
      severity: error
      path: agents.entries.ops.model.fallbacks[0]
      resolves_to: bypass
      detail: anthropic/claude-opus-5 is Anthropic's own
      remedy: Run site.yml, which closes it, or correct it by hand.
unknown:
  description: What could not be looked at, and what leads where nobody can tell.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable id; V(unreadable) for a place that could not be looked at.
      type: str
    path:
      description: Where.
      type: str
    reason:
      description: Why it is unknown.
      type: str
    remedy:
      description: What to do about it.
      type: str
  sample:
    - id: code-mcp-server
      path: mcp.servers.github
      reason: runs with a network of its own
      remedy: "Switch on strict egress (openclaw_egress_strict: true), remove it, or list an exception."
accepted:
  description: What an exception covers.
  returned: always
  type: list
  elements: dict
  sample:
    - id: code-mcp-server
      path: mcp.servers.github
      resolves_to: unknown
      reason: "Reviewed on 2026-11-02, no model calls (OPS-1234)"
      expires: "2026-12-31"
remediation_patch:
  description:
    - The merge patch for M(failclosed.openclaw.openclaw_config) that closes what can be closed in C(openclaw.json).
      This module never applies it.
  returned: always
  type: dict
  sample: {agents: {entries: {ops: {model: {fallbacks: []}}}}}
remediation_withheld:
  description: Paths that the patch leaves out, because it would have to repeat a secret.
  returned: always
  type: list
  elements: str
  sample: ["agents.list[0].model"]
policy:
  description: The policy that was applied.
  returned: always
  type: str
  sample: strict
egress:
  description: What is seen of the kernel rule.
  returned: always
  type: dict
  contains:
    enforced:
      description: True, false, or null for unknown.
      type: bool
    probed:
      description: Whether the very rules that were probed since the boot are loaded.
      type: bool
    mode:
      description: V(default), V(strict), or empty when there is no record.
      type: str
    digest:
      description: Digest of the loaded rules.
      type: str
    networks:
      description: The networks that are denied.
      type: list
      elements: str
    reason:
      description: Why it is not enforced.
      type: str
  sample:
    enforced: true
    probed: true
    mode: default
    digest: 0c1e6fd0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c
    networks: ["160.79.104.0/23", "2607:6bc0::/48"]
    reason: ""
health:
  description:
    - The proxy's health in three levels that say nothing about each other. What its supervisor found out; no process is
      started for it, and no request is sent.
    - It says nothing about routes, and RV(compliant) does not depend on it.
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
config_digest:
  description: SHA-256 of the configuration that was read, empty when there was none.
  returned: always
  type: str
  sample: 0c1e6fd0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c
"""

import datetime
import os
import posixpath
import pwd
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _audit, _egress, _openclaw, _proxy_health

DEFAULT_USER = "openclaw"


def account_for(user: str | None) -> _openclaw.Account:
    """The gateway's account; raises OpenClawError when a named one does not exist."""
    if user:
        return _openclaw.account_of(user)
    try:
        return _openclaw.account_of(DEFAULT_USER)
    except _openclaw.OpenClawError:
        return _openclaw.account_of(pwd.getpwuid(os.geteuid()).pw_name)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str"},
            "state_dir": {"type": "path"},
            "config_path": {"type": "path"},
            "provider": {"type": "str", "default": "anthropic-max-proxy"},
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
            "proxy_service": {"type": "str", "default": "openclaw-proxy"},
            "patch": {"type": "dict"},
            "replace_paths": {"type": "list", "elements": "str", "default": []},
            "egress": {"type": "str", "choices": ["optional", "required"], "default": "optional"},
            "remediate": {"type": "str", "choices": ["all", "default", "none"], "default": "all"},
        },
        supports_check_mode=True,
    )
    params: dict[str, Any] = module.params
    service = params["proxy_service"]
    health = _proxy_health.observe(service) if service else _proxy_health.unknown("the proxy is not on this host")
    try:
        exceptions = _audit.parse_exceptions(params["exceptions"])
        account = account_for(params["user"])
    except _audit.AuditError as error:
        module.fail_json(msg=f"{error}. Nothing was looked at.")
    except _openclaw.OpenClawError as error:
        if not module.check_mode:
            module.fail_json(msg=f"{error}. Nothing was looked at.")
        # The run that is predicted creates the user first.
        report = _audit.nothing_there(str(params["user"]))
        nothing = _audit.egress_values(_egress.observe())
        module.exit_json(
            changed=False,
            policy=params["policy"],
            egress=nothing,
            health=health,
            **_audit.as_return_values(report),
        )
    state_dir = params["state_dir"] or posixpath.join(account.home, ".openclaw")
    config_path = params["config_path"] or posixpath.join(state_dir, "openclaw.json")
    for option, path in (("state_dir", state_dir), ("config_path", config_path)):
        if not path.startswith("/"):
            module.fail_json(msg=f"{option}: {path!r} is not absolute; give the whole path. Nothing was looked at.")
    subject = _audit.Subject(account, config_path, state_dir, params["provider"], params["base_url"])
    egress = _egress.observe(account.uid)
    planned = None if params["patch"] is None else _audit.Planned(params["patch"], params["replace_paths"])
    try:
        report = _audit.audit(
            subject,
            policy=params["policy"],
            exceptions=exceptions,
            today=datetime.datetime.now(datetime.timezone.utc).date(),
            egress=egress,
            egress_required=params["egress"] == "required",
            remediate=params["remediate"],
            planned=planned,
        )
    except _audit.AuditError as error:
        module.fail_json(msg=f"{error}. Nothing was looked at.")
    module.exit_json(
        changed=False,
        policy=params["policy"],
        egress=_audit.egress_values(egress),
        health=health,
        **_audit.as_return_values(report),
    )


if __name__ == "__main__":
    main()
