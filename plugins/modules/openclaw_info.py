#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_info
short_description: Look at a host, and at the OpenClaw that may be on it
version_added: 0.1.0
description:
  - Reports in one call what the roles of this collection have to know before they change anything, namely the operating
    system, systemd, Python and the installed Debian packages.
  - With O(user), also finds an OpenClaw that somebody else installed, its version, its configuration file, and whether
    its gateway is ready.
  - Reads files only. It starts no node, and starts C(systemctl) only where the version of systemd cannot be read from
    the file system.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: The module never changes anything.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: The module never changes anything.
options:
  packages:
    description: Debian packages to look for.
    type: list
    elements: str
    default: []
  files:
    description: Absolute paths to look for.
    type: list
    elements: path
    default: []
  user:
    description:
      - The user that runs OpenClaw on this host. Without it the module looks at the host only.
    type: str
  package_directory:
    description:
      - The directory that holds OpenClaw's C(package.json). Without it the module looks at the gateway that O(user)
        runs, and then into the global prefixes of npm, for the system and for the home of O(user).
    type: path
  state_dir:
    description:
      - OpenClaw's state directory. The default is C(.openclaw) in the home of O(user).
    type: path
  ready_url:
    description:
      - Address of the gateway's readiness endpoint, for example V(http://127.0.0.1:18789/readyz). It is asked once.
    type: str
seealso:
  - module: failclosed.openclaw.openclaw_config
"""

EXAMPLES = r"""
- name: Look at the host
  failclosed.openclaw.openclaw_info:
    packages: [python3-venv, ca-certificates]
  register: host

- name: Find the OpenClaw that user alice installed with npm
  failclosed.openclaw.openclaw_info:
    user: alice
    ready_url: http://127.0.0.1:18789/readyz
  register: adopted

- name: Say which release runs there
  ansible.builtin.debug:
    msg: "OpenClaw {{ adopted.openclaw.version }} in {{ adopted.openclaw.package_directory }}"
  when: adopted.openclaw.found
"""

RETURN = r"""
os_id:
  description: C(ID) of os-release.
  type: str
  returned: always
  sample: debian
os_version:
  description: C(VERSION_ID) of os-release; empty where the system has none.
  type: str
  returned: always
  sample: "12"
os_name:
  description: C(PRETTY_NAME) of os-release.
  type: str
  returned: always
  sample: Debian GNU/Linux 12 (bookworm)
architecture:
  description: Machine hardware name.
  type: str
  returned: always
  sample: x86_64
python_version:
  description: Version of the Python that runs the module.
  type: str
  returned: always
  sample: 3.11.2
systemd_running:
  description: Whether systemd is the host's service manager.
  type: bool
  returned: always
  sample: true
systemd_version:
  description: Version of systemd; 0 where systemd does not run or the version is unknown.
  type: int
  returned: always
  sample: 252
net_admin:
  description: Whether the module ran with CAP_NET_ADMIN, which a kernel rule needs; without become it does not.
  type: bool
  returned: always
  sample: true
packages_installed:
  description: Those of O(packages) that are installed, sorted.
  type: list
  elements: str
  returned: always
  sample: [ca-certificates]
files_present:
  description: Those of O(files) that are regular files, sorted.
  type: list
  elements: str
  returned: always
  sample: [/etc/systemd/system/openclaw-proxy.service]
proxy_instances:
  description: The proxies that the role P(failclosed.openclaw.openclaw_proxy#role) has set up on this host.
  type: list
  elements: dict
  returned: always
  contains:
    service:
      description: Name of the systemd service.
      type: str
    occupied:
      description: What it has for itself.
      type: list
      elements: str
  sample:
    - service: openclaw-proxy
      occupied: [user openclaw-proxy, port 3456, directory /var/lib/openclaw-proxy]
user_exists:
  description: Whether O(user) exists.
  type: bool
  returned: when O(user) is given
  sample: true
openclaw:
  description: The installation that was found.
  type: dict
  returned: when O(user) is given
  contains:
    found:
      description: Whether a package directory with OpenClaw's C(package.json) was found.
      type: bool
    version:
      description: Version in C(package.json); empty when nothing was found.
      type: str
    package_directory:
      description: The directory; empty when nothing was found.
      type: str
    node:
      description:
        - The node binary that runs the gateway, or, when no gateway of O(user) runs, one that probably belongs to the
          installation; empty when none was found.
      type: str
    command:
      description: Command line that starts OpenClaw; empty when it is not complete.
      type: list
      elements: str
    searched:
      description: The directories that were looked into.
      type: list
      elements: str
  sample:
    found: true
    version: 2026.9.6
    package_directory: /usr/lib/node_modules/openclaw
    node: /usr/bin/node
    command: [/usr/bin/node, /usr/lib/node_modules/openclaw/openclaw.mjs]
    searched: [/usr/lib/node_modules/openclaw]
config:
  description: The configuration file.
  type: dict
  returned: when O(user) is given
  contains:
    path:
      description: Where it is looked for.
      type: str
    exists:
      description: Whether a regular file is there.
      type: bool
  sample:
    path: /home/alice/.openclaw/openclaw.json
    exists: true
ready:
  description: Whether the gateway is ready.
  type: dict
  returned: when O(ready_url) is given
  contains:
    ok:
      description: Whether the gateway answers ready.
      type: bool
    detail:
      description: Why (not).
      type: str
    users:
      description: The users of this host that listen on that port.
      type: list
      elements: str
  sample:
    ok: true
    detail: HTTP status 200 and 'ready' is true
    users: [alice]
"""

import glob
import os
import pwd
import stat
import typing as t
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _host,
    _installation,
    _listening,
    _readiness,
    _service_unit,
)


def _is_regular_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _proxy_instances() -> list[dict[str, t.Any]]:
    found = []
    for path in sorted(glob.glob(os.path.join(_service_unit.UNIT_DIRECTORY, "*.service"))):
        try:
            occupied = _service_unit.extra_values(path, "X-OpenclawProxy", "Occupied")
        except OSError:
            continue
        if occupied:
            found.append({"service": os.path.basename(path)[: -len(".service")], "occupied": occupied})
    return found


def _users_listening(port: int) -> list[str]:
    names = set()
    for uid in {listener.uid for listener in _listening.listeners(port)}:
        try:
            names.add(pwd.getpwuid(uid).pw_name)
        except KeyError:
            names.add(str(uid))
    return sorted(names)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "user": {"type": "str"},
            "package_directory": {"type": "path"},
            "state_dir": {"type": "path"},
            "ready_url": {"type": "str"},
        },
        required_by={"package_directory": ["user"], "state_dir": ["user"]},
        supports_check_mode=True,
    )
    result: dict[str, t.Any] = _host.describe(module.params["packages"])
    result["proxy_instances"] = _proxy_instances()
    result["files_present"] = sorted(path for path in module.params["files"] if _is_regular_file(path))
    if module.params["user"]:
        home, running = "", []
        try:
            account = pwd.getpwnam(module.params["user"])
            home, running = account.pw_dir, _installation.running_gateways(account.pw_uid)
            result["user_exists"] = True
        except KeyError:
            result["user_exists"] = False
        installation = _installation.find(home, package_directory=module.params["package_directory"], running=running)
        result["openclaw"] = {
            "found": installation.found,
            "version": installation.version,
            "package_directory": installation.package_directory,
            "node": installation.node,
            "command": installation.command,
            "searched": installation.searched,
        }
        state_dir = module.params["state_dir"] or os.path.join(home or "/nonexistent", ".openclaw")
        path = os.path.join(state_dir, "openclaw.json")
        result["config"] = {"path": path, "exists": _is_regular_file(path)}
    if module.params["ready_url"]:
        try:
            readiness = _readiness.probe(module.params["ready_url"], json_key="ready")
        except ValueError as error:
            module.fail_json(msg=f"ready_url: {error}. Give the address of the gateway's /readyz.")
        result["ready"] = {
            "ok": readiness.ok,
            "detail": readiness.detail,
            "users": _users_listening(urlsplit(module.params["ready_url"]).port or 80),
        }
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
