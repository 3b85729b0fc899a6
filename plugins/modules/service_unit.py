#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_unit
short_description: A system service with its unit, its files and its readiness in one call
version_added: 0.1.0
description:
  - Writes a systemd unit and the files that belong to it, enables it, starts it, restarts it when and only when it runs
    with something older than what is on disk, and waits until it is ready.
  - A restart that a failed run did not come to is made up for by the next run, because it is decided from what is seen
    and not from what changed in this run.
  - Where everything is right already, one C(systemctl show) is started, and nothing else.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: Predicts files, start and restart. Readiness is not asked for.
  diff_mode:
    support: full
    description: Shows the files that would be replaced, except those of O(contents), and why a restart is due.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  name:
    description: Name of the service without C(.service).
    type: str
    required: true
  state:
    description: Whether the service runs, or is stopped and removed with its unit and the files of O(files).
    type: str
    choices: [started, absent]
    default: started
  content:
    description: Text of the unit file. Needed for O(state=started).
    type: str
  files:
    description: Files that belong to the service, in directories that exist already.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: Content of the file. With O(state=started), a file has either this or a member of O(contents).
        type: str
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Permission bits, octal, as a string.
        type: str
        default: "0644"
      restart:
        description: Whether the service has to be restarted when this file changed.
        type: bool
        default: true
  contents:
    description:
      - Path of a file in O(files) to a content that neither the diff nor C(-vvv) nor the host's log may show.
      - An option of its own, so that Ansible writes nothing of it into the host's log. All others are there before the
        module can tell which content to mask.
    type: dict
    default: {}
  restart_when_changed:
    description: Texts, such as the digest of a release, whose change makes a restart due.
    type: list
    elements: str
    default: []
  restart_when_replaced:
    description: Paths of files that the service reads and somebody else writes. A restart is due when one of them is
      newer than the running process.
    type: list
    elements: path
    default: []
  ready:
    description: How the service tells that it is ready. Without it, a successful start is enough, which for a unit of
      C(Type=notify) means that it is ready.
    type: dict
    suboptions:
      url:
        description: Address that answers with status 200 when the service is ready.
        type: str
        required: true
      json_key:
        description: Member of the answered JSON object that must be V(true).
        type: str
      timeout:
        description: How many seconds to wait.
        type: float
        default: 120
seealso:
  - module: ansible.builtin.systemd_service
  - module: failclosed.openclaw.service_account
"""

EXAMPLES = r"""
- name: Run a gateway
  failclosed.openclaw.service_unit:
    name: openclaw-gateway
    content: "{{ lookup('ansible.builtin.template', 'openclaw-gateway.service.j2') }}"
    restart_when_changed: ["{{ release.digest }}"]
    ready:
      url: http://127.0.0.1:18789/readyz
      json_key: ready

- name: Run a proxy with its configuration, and restart it when its key was replaced
  failclosed.openclaw.service_unit:
    name: openclaw-proxy
    content: "{{ lookup('ansible.builtin.template', 'openclaw-proxy.service.j2') }}"
    files:
      - path: /etc/openclaw-proxy/supervisor.json
        content: "{{ settings | to_nice_json }}"
        group: openclaw-proxy
        mode: "0640"
      - path: /etc/openclaw-proxy/routes.json
        group: openclaw-proxy
        mode: "0640"
    contents:
      /etc/openclaw-proxy/routes.json: "{{ private_routes | to_nice_json }}"
    restart_when_replaced: [/etc/openclaw-proxy/credentials/upstream-key]

- name: Remove the proxy's service
  failclosed.openclaw.service_unit:
    name: openclaw-proxy
    state: absent
    files:
      - path: /etc/openclaw-proxy/supervisor.json
"""

RETURN = r"""
action:
  description: What was done with the process, or would be in check mode.
  type: str
  returned: success
  sample: restart
reasons:
  description: Why.
  type: list
  elements: str
  returned: success
  sample: [/etc/openclaw-proxy/supervisor.json changed]
service_state:
  description: State of the unit afterwards; in check mode, as it was found.
  type: str
  returned: success
  sample: active
main_pid:
  description: Process id of the service; 0 when it does not run.
  type: int
  returned: success
  sample: 4711
seconds:
  description: How long it took, waiting included.
  type: float
  returned: success
  sample: 11.4
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _service_unit


def _managed_file(module: AnsibleModule, options: dict[str, t.Any]) -> _service_unit.ManagedFile:
    try:
        mode = int(options["mode"], 8)
    except ValueError:
        module.fail_json(msg=f"files: mode of {options['path']} is '{options['mode']}': give permission bits in octal.")
    hidden = module.params["contents"].get(options["path"])
    if (options["content"] is None) == (hidden is None):
        found = "no content" if hidden is None else "a content, and another in contents"
        module.fail_json(msg=f"files: {options['path']} has {found}: give either content or a member of contents.")
    if not isinstance(hidden, (str, type(None))):
        module.fail_json(msg=f"contents: {options['path']} is a {type(hidden).__name__}: give the text of the file.")
    return _service_unit.ManagedFile(
        path=options["path"],
        content=(options["content"] if hidden is None else hidden).encode(),
        owner=options["owner"],
        group=options["group"],
        mode=mode,
        restart=options["restart"],
        show=hidden is None,
    )


def _service(module: AnsibleModule) -> _service_unit.Service:
    ready = module.params["ready"]
    return _service_unit.Service(
        name=module.params["name"],
        unit=module.params["content"],
        inputs=tuple(module.params["restart_when_changed"]),
        files=tuple(_managed_file(module, options) for options in module.params["files"]),
        watched=tuple(module.params["restart_when_replaced"]),
        ready=_service_unit.Ready(ready["url"], ready["json_key"], ready["timeout"]) if ready else None,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "absent"], "default": "started"},
            "content": {"type": "str"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                    "restart": {"type": "bool", "default": True},
                },
            },
            "contents": {"type": "dict", "default": {}, "no_log": True},
            "restart_when_changed": {"type": "list", "elements": "str", "default": []},
            "restart_when_replaced": {"type": "list", "elements": "path", "default": []},
            "ready": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "json_key": {"type": "str", "no_log": False},
                    "timeout": {"type": "float", "default": 120},
                },
            },
        },
        required_if=[("state", "started", ["content"])],
        supports_check_mode=True,
    )
    name = module.params["name"]
    unknown = sorted(set(module.params["contents"]) - {options["path"] for options in module.params["files"]})
    if unknown:
        module.fail_json(msg=f"contents: {unknown[0]} is no path of a file in files; name it there, or correct it.")

    def run(command: list[str]) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", module.run_command(command))

    try:
        if module.params["state"] == "absent":
            paths = [options["path"] for options in module.params["files"]]
            outcome = _service_unit.remove(name, paths, run=run, check_mode=module.check_mode)
        else:
            outcome = _service_unit.converge(_service(module), run=run, check_mode=module.check_mode)
    except (_service_unit.ServiceError, _files.FileError, OSError, ValueError) as error:
        module.fail_json(msg=f"{name}: {error}")
    module.exit_json(
        changed=outcome.changed,
        action=outcome.action,
        reasons=outcome.reasons,
        service_state=outcome.state,
        main_pid=outcome.main_pid,
        seconds=outcome.seconds,
        diff={
            "before": "".join(f"{line}\n" for line in outcome.before),
            "after": "".join(f"{line}\n" for line in outcome.after),
        },
    )


if __name__ == "__main__":
    main()
