#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: package_lock
short_description: Lock an npm or pip package and all that it needs, with integrity hashes
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Asks npm or pip, on the machine that it runs on, which packages the wanted one needs, and writes their exact
    versions and integrity hashes into a directory from which M(failclosed.openclaw.locked_release) installs.
  - Nothing is installed and no script of a package runs. Only npm or pip is needed.
  - A tarball in O(archive) stands for a package that no registry has. It is put into the directory C(archives) beside
    the lock, for the option O(failclosed.openclaw.locked_release#module:archives_dir).
  - A lock is written only when C(locked_release) would take it.
attributes:
  check_mode:
    support: full
    description: Asks the registry and predicts what would be written.
  diff_mode:
    support: full
    description: Shows the versions that differ, with O(manager=npm) that of the package itself, and the files.
  idempotent:
    support: partial
    description: The same O(version) gives the same lock as long as the registry offers nothing newer that it may use.
options:
  manager:
    description: The package manager.
    type: str
    choices: [npm, pip]
    required: true
  package:
    description: Name of the package; for pip with extras, such as V(litellm[proxy]).
    type: str
    required: true
  version:
    description: Exact version. Empty means the newest that the registry offers, or what O(archive) is.
    type: str
    default: ""
  dest:
    description:
      - Directory that gets the lock. It is made when it is missing; its parent must exist.
      - A tarball in C(archives) that the lock there pins and the new one does not is removed. Every other file stays.
    type: path
    required: true
  archive:
    description: With O(manager=npm), a tarball of the package, as C(npm pack) makes it.
    type: path
  registry:
    description: Address of an npm registry or Python package index, or a mirror. Default is the machine's own setting.
    type: str
  npm:
    description: The npm program.
    type: path
    default: npm
  python:
    description: The Python whose pip is used. The default is the one that the module runs with.
    type: path
  pythons:
    description:
      - With O(manager=pip), Python versions for which wheels are locked, beside those for O(python) itself.
      - Which packages are needed is decided for O(python) alone.
    type: list
    elements: str
    default: []
  machines:
    description: Machine types for which wheels are locked, as C(uname -m) names them.
    type: list
    elements: str
    choices: [x86_64, aarch64]
    default: [x86_64, aarch64]
seealso:
  - module: failclosed.openclaw.locked_release
"""

EXAMPLES = r"""
- name: Lock a package of a registry
  failclosed.openclaw.package_lock:
    manager: npm
    package: claude-max-api-proxy
    version: 1.0.0
    dest: /srv/locks/claude-max-api-proxy
  delegate_to: localhost

- name: Lock a package that came as a tarball
  failclosed.openclaw.package_lock:
    manager: npm
    package: "@rynfar/meridian"
    archive: /srv/downloads/rynfar-meridian-1.62.6.tgz
    dest: /srv/locks/meridian
  delegate_to: localhost

- name: Lock a Python package for the hosts' two versions of Python
  failclosed.openclaw.package_lock:
    manager: pip
    package: ccproxy-api
    pythons: ["3.11", "3.13"]
    dest: /srv/locks/ccproxy-api
  delegate_to: localhost
"""

RETURN = r"""
versions:
  description: The locked versions; with O(manager=npm) that of the package itself.
  type: dict
  returned: success
  sample:
    claude-max-api-proxy: 1.0.0
files:
  description: Paths of the files that differ from what was there.
  type: list
  elements: str
  returned: success
  sample: [/srv/locks/claude-max-api-proxy/package-lock.json]
install_scripts:
  description: Packages with an install script, which does not run unless C(locked_release) is told to.
  type: list
  elements: str
  returned: success
  sample: []
"""

import os
import sys
import tempfile
import typing as t
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _package_lock
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import ReleaseError


def differing(dest: str, files: Mapping[str, bytes]) -> list[str]:
    """The paths below ``dest`` that are missing or have another content, and archives of the lock that was there."""
    found = []
    for name, content in files.items():
        path = Path(dest, name)
        if not path.is_file() or path.read_bytes() != content:
            found.append(str(path))
    return sorted(found + _package_lock.stale_archives(dest, files))


def write(module: AnsibleModule, dest: str, files: Mapping[str, bytes], paths: list[str]) -> None:
    """Write what differs, and remove what is of the lock that was there."""
    Path(dest).mkdir(exist_ok=True)
    for path in paths:
        name = os.path.relpath(path, dest)
        if name not in files:
            Path(path).unlink()
            continue
        Path(path).parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=module.tmpdir, delete=False) as file:
            file.write(files[name])
        Path(file.name).chmod(0o644)
        module.atomic_move(file.name, path)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "manager": {"type": "str", "choices": ["npm", "pip"], "required": True},
            "package": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "dest": {"type": "path", "required": True},
            "archive": {"type": "path"},
            "registry": {"type": "str"},
            "npm": {"type": "path", "default": "npm"},
            "python": {"type": "path"},
            "pythons": {"type": "list", "elements": "str", "default": []},
            "machines": {
                "type": "list",
                "elements": "str",
                "choices": ["x86_64", "aarch64"],
                "default": ["x86_64", "aarch64"],
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["archive"] is not None and params["manager"] != "npm":
        module.fail_json(msg="archive: only npm packages come as tarballs; give a wheel by an index of your own.")
    dest = os.path.abspath(params["dest"])
    if not os.path.isdir(os.path.dirname(dest)):
        module.fail_json(msg=f"dest: {os.path.dirname(dest)} does not exist; make it, or name another directory.")

    def run(command: list[str], directory: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
        return t.cast(
            "tuple[int, str, str]",
            module.run_command(command, cwd=directory, environ_update=dict(environment), handle_exceptions=True),
        )

    wanted = _package_lock.Wanted(
        package=params["package"],
        version=params["version"],
        archive=params["archive"],
        registry=params["registry"],
        pythons=params["pythons"],
        machines=params["machines"],
    )
    npm = params["npm"]
    if params["manager"] == "npm" and not os.path.isabs(npm):
        npm = module.get_bin_path(npm) or module.fail_json(
            msg=f"npm: {params['npm']} was not found on {os.environ.get('PATH', '')}; install npm, or give its path."
        )
    try:
        with tempfile.TemporaryDirectory() as work:
            if params["manager"] == "npm":
                made = _package_lock.lock_npm(wanted, npm=npm, work=work, run=run)
            else:
                made = _package_lock.lock_pip(wanted, python=params["python"] or sys.executable, work=work, run=run)
        paths = differing(dest, made.files)
        before = {} if paths else dict(made.versions)
        files_before = [path for path in paths if os.path.exists(path)]
        files_after = [path for path in paths if os.path.relpath(path, dest) in made.files]
        if paths and not module.check_mode:
            write(module, dest, made.files, paths)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or dest}: {error.strerror}")
    module.exit_json(
        changed=bool(paths),
        versions=dict(made.versions),
        files=paths,
        install_scripts=list(made.install_scripts),
        diff={
            "before": {"versions": before, "files": files_before},
            "after": {"versions": dict(made.versions), "files": files_after},
        },
    )


if __name__ == "__main__":
    main()
