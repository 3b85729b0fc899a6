#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_proxy
short_description: Let a gateway stop the proxy that it supervises
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Switches C(autoStart) of the plugin C(anthropic-max-proxy) off in C(openclaw.json), and waits until no proxy that
    the gateway has started is left. After that another supervisor can start one without there ever being two.
  - Where the plugin is not configured and no such proxy runs, nothing is done.
attributes:
  check_mode:
    support: full
    description: Nothing is written and nothing is waited for.
  diff_mode:
    support: full
    description: Shows the redacted difference of C(openclaw.json).
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  user:
    description: The user that runs the gateway.
    type: str
    required: true
  state_dir:
    description: OpenClaw's state directory.
    type: path
    required: true
  config_path:
    description: OpenClaw's configuration file. Defaults to C(openclaw.json) in O(state_dir).
    type: path
  openclaw_command:
    description: Program and first arguments that start OpenClaw, which then validates the changed configuration.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that the gateway may take to stop its proxy.
    type: int
    default: 90
seealso:
  - module: failclosed.openclaw.openclaw_plugin
  - module: failclosed.openclaw.service_unit
"""

EXAMPLES = r"""
- name: Take the proxy out of the gateway's hands before systemd starts one
  failclosed.openclaw.gateway_proxy:
    user: openclaw
    state_dir: /var/lib/openclaw/.openclaw
"""

RETURN = r"""
config_paths:
  description: Paths in C(openclaw.json) that were changed.
  returned: success
  type: list
  elements: str
  sample: ['plugins.entries["anthropic-max-proxy"].config.autoStart']
processes:
  description: Process ids of the shells that led the gateway's proxies when the module started.
  returned: success
  type: list
  elements: int
  sample: [4711]
backup_file:
  description: Copy of C(openclaw.json) from before the change, empty when there is none.
  returned: success
  type: str
  sample: /var/backups/failclosed-openclaw/srv-openclaw.json-991e4a529922/20261123T211006.482113Z-0c1e6fd0a1b2
"""

import os
import posixpath
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _config_read, _openclaw

PLUGIN_ID = "anthropic-max-proxy"
# The plugin starts each proxy through this script, which leads the process group and watches over it.
_LEADER_SCRIPT = "/process-group.sh"
_POLL_SECONDS = 0.2


def supervised_proxies(uid: int, proc: str = "/proc") -> list[int]:
    """Process ids of the shells that lead and watch the proxies that the plugin runs as ``uid``; zombies left out."""
    found = []
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        directory = Path(proc) / entry
        try:
            if directory.stat().st_uid != uid:
                continue
            # A zombie has no command line any more.
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[1].endswith(_LEADER_SCRIPT.encode()):
            found.append(int(entry))
    return sorted(found)


def needs_switching(config: Any, *, runs: bool) -> bool:
    """Whether the gateway has a proxy or would start one: the plugin's own default is to start it."""
    value = config
    for name in ("plugins", "entries", PLUGIN_ID):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return runs
    settings = value.get("config")
    return not isinstance(settings, dict) or settings.get("autoStart") is not False


def wait_until_gone(uid: int, seconds: float) -> list[int]:
    """Wait until no proxy is left; the process ids of those that are when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        left = supervised_proxies(uid)
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "state_dir": {"type": "path", "required": True},
            "config_path": {"type": "path"},
            "openclaw_command": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    params = module.params
    path = params["config_path"] or posixpath.join(params["state_dir"], "openclaw.json")
    result: dict[str, Any] = {"changed": False, "config_paths": [], "processes": [], "backup_file": ""}
    try:
        account = _openclaw.account_of(params["user"])
    except _openclaw.OpenClawError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        module.exit_json(**result)
    try:
        result["processes"] = supervised_proxies(account.uid)
        config_file = _config_edit.ConfigFile(path=path, create=False)
        current = _config_read.read(path).value
        if current is not None and needs_switching(current, runs=bool(result["processes"])):
            edit = _config_edit.apply(
                config_file,
                _config_edit.DesiredState(
                    patch={"plugins": {"entries": {PLUGIN_ID: {"config": {"autoStart": False}}}}}
                ),
                _config_edit.Validation(
                    openclaw_command=params["openclaw_command"],
                    user=params["user"],
                    state_directory=params["state_dir"],
                ),
                cache_directory=None,
                check_mode=module.check_mode,
            )
            result.update(
                changed=bool(edit.changed_paths),
                config_paths=list(edit.changed_paths),
                backup_file=edit.backup_file or "",
                diff=edit.diff,
            )
    except _config_read.ConfigFileError as error:
        module.fail_json(msg=str(error), findings=error.findings)
    except _openclaw.OpenClawError as error:
        module.fail_json(msg=str(error))
    if result["processes"] and not module.check_mode:
        left = wait_until_gone(account.uid, params["timeout"])
        if left:
            module.fail_json(
                msg=f"The gateway of user {params['user']} still runs its own proxy (process {left[0]}) after"
                f" {params['timeout']} seconds, although autoStart is false in {path}. Nothing else was started, so"
                " that there are not two. Restart the gateway (systemctl restart openclaw-gateway), then run again.",
                **result,
            )
        result["changed"] = True
    module.exit_json(**result)


if __name__ == "__main__":
    main()
