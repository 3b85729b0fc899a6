#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_plugin
short_description: Install, enable, disable or remove a plugin of an OpenClaw gateway
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Places a plugin in the C(extensions) directory of an OpenClaw state directory, in one step, and removes it again.
  - What is there is judged by the files - manifest, package version, a digest over all files, owner and modes.
    OpenClaw's own record of installs is read as well, and where it differs from the files, that is reported. No node
    process is started when nothing has to change.
  - A source outside of the host is fetched by a user that nobody else is, without running a script of the package, and
    kept in C(/var/cache/failclosed-openclaw/plugins). An exact source is therefore fetched once.
  - OpenClaw's own installer runs only for ClawHub and marketplaces, and then in a scratch home with a configuration of
    its own, from which the files are taken. It never sees the live configuration or the live state.
  - The placed files belong to the user who runs the module, normally root, so that the gateway's user and the tools
    that its agents run cannot change them.
  - Other plugins are never touched.
  - A running gateway keeps the version that it has loaded until it is restarted.
attributes:
  check_mode:
    support: full
    description:
      - Nothing is written. Sources on npm and git are fetched into memory. A source that does not exist yet on the host
        counts as a change, and so does one that only OpenClaw could fetch, unless O(version) is installed already.
  diff_mode:
    support: full
    description: Shows version, source and digest, and the redacted difference of C(openclaw.json).
  idempotent:
    support: full
    description: The same source gives the same files, and a second run changes nothing and starts no process.
options:
  name:
    description:
      - Id of the plugin, as in C(id) of its C(openclaw.plugin.json).
    type: str
    required: true
  state:
    description:
      - V(present) places the files and leaves C(openclaw.json) alone.
      - V(latest) is V(present) with whatever O(source) names as its newest version now. It is looked up in every run,
        needs the network, and is reported in RV(lookup). Nothing pins it, so prefer an exact O(version).
      - V(enabled) places the files if O(source) or O(content) is given, then sets C(plugins.entries.<name>.enabled),
        and adds O(name) to C(plugins.allow) if there is such a list. A missing C(plugins.allow) is never created,
        because it would switch off every plugin that it does not name.
      - V(disabled) sets C(plugins.entries.<name>.enabled) to false and leaves the files alone.
      - V(absent) removes O(name) from C(plugins.allow) and C(plugins.entries), then the files.
    type: str
    choices:
      - present
      - absent
      - enabled
      - disabled
      - latest
    default: present
  source:
    description:
      - Where the plugin comes from.
      - An absolute path, on the managed host, of a directory or of an archive (C(.tgz) or C(.tar.gz), as C(npm pack)
        makes it). Root must own it, and nobody else may be able to write there, if the module runs as root. Of a
        directory, the files count that C(npm pack) would take. C(files) in its C(package.json) may only have plain
        names; that is true of a git repository as well.
      - C(npm:NAME@VERSION), fetched by npm with the host's settings or from O(registry). The version may stand in
        O(version) instead. A tag in its place, as in C(npm:NAME@beta), needs O(state=latest).
      - C(git:https://HOST/REPOSITORY#REFERENCE), C(git:HOST/REPOSITORY#REFERENCE) or
        C(git:/ABSOLUTE/PATH#REFERENCE), with a tag or a full commit as the reference. A branch needs O(state=latest).
        Repositories are not reached by ssh, because the user that fetches has no key.
      - C(clawhub:NAME@VERSION), fetched by OpenClaw.
      - C(marketplace:PLUGIN@MARKETPLACE), fetched by OpenClaw, with an absolute path, C(OWNER/REPOSITORY) or an https
        address as the marketplace, and with O(version).
      - The last two were tested with a program in OpenClaw's place, and with a marketplace in a directory; ClawHub
        itself and marketplaces elsewhere were never reached by a test.
      - Dependencies are not installed. A plugin that has some must bring them along in its C(node_modules).
    type: str
  content:
    description:
      - An archive with the plugin, encoded in base64. This saves copying a file to the host first.
      - The lookup P(failclosed.openclaw.plugin_archive#lookup) makes it from a directory on the controller.
    type: str
  version:
    description:
      - The version that the plugin must have, exactly. Another one is refused.
    type: str
  integrity:
    description:
      - Digest that the plugin must have. Another one is refused.
      - For an archive and for a package of npm, C(sha512-) or C(sha256-) with the digest in base64, as npm shows it.
      - For every source the value that this module returns as RV(digest).
    type: str
  user:
    description:
      - The user that the gateway runs as, and who owns the state directory.
      - Defaults to the owner of O(state_dir).
    type: str
  state_dir:
    description:
      - OpenClaw's state directory. Defaults to C(.openclaw) in the home directory of O(user).
    type: path
  config_path:
    description:
      - OpenClaw's configuration file. Defaults to C(openclaw.json) in O(state_dir).
    type: path
  replaced_mark:
    description:
      - Path of an empty file that is written before other files take the place of those that were there. As long as it
        is there, RV(replaced) is true. Whoever has restarted the gateway removes the file; what a failed run did not
        come to is then made up for by the next.
      - Its directory must be one that only root can write.
    type: path
  openclaw_command:
    description:
      - Program and first arguments that start OpenClaw, for example C([/usr/bin/node, /opt/x/openclaw.mjs]).
      - With it OpenClaw itself validates a changed configuration, and a plugin that needs a newer OpenClaw is refused.
      - Required for a source on ClawHub or a marketplace.
    type: list
    elements: str
    default: []
  accept_source:
    description:
      - Says that you have looked at a O(source) on npm, git or a marketplace and trust it, which OpenClaw's own
        installer asks as well. Without it such a source is refused.
    type: bool
    default: false
  accept_capabilities:
    description:
      - Accepts what the plugin declares that it does. OpenClaw's own installer asks for it. Without it a source outside
        of the host is refused.
      - A plugin is code that runs with all rights of the gateway, whatever it declares.
    type: bool
    default: false
  node:
    description:
      - The node to run npm with, for a source on npm. The default is the first word of O(openclaw_command) where that
        is a node. npm must have come with it.
    type: path
  registry:
    description:
      - Address of the npm registry, for a source on npm. The default is the host's own setting for npm.
    type: str
  ca_file:
    description:
      - File on the host with certificate authorities (PEM) to trust while fetching.
    type: path
  environment:
    description:
      - More variables for the programs that fetch, for example for an HTTP proxy. Not for secrets.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds that fetching may take.
    type: int
    default: 600
  remove_from_deny:
    description:
      - Whether V(enabled) for O(state) removes O(name) from C(plugins.deny).
      - Otherwise a plugin that is denied there is an error, because somebody decided so.
    type: bool
    default: false
seealso:
  - module: failclosed.openclaw.openclaw_config
  - plugin: failclosed.openclaw.plugin_archive
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Install the plugin of this collection, without copying it first
  failclosed.openclaw.openclaw_plugin:
    name: anthropic-max-proxy
    content: "{{ lookup('failclosed.openclaw.plugin_archive', '/srv/plugins/anthropic-max-proxy') }}"
    user: openclaw
  notify: Restart the gateway

- name: Install from an archive on the host, of which the digest is known, and enable it
  failclosed.openclaw.openclaw_plugin:
    name: anthropic-max-proxy
    source: /opt/openclaw/plugins/anthropic-max-proxy-0.1.0.tgz
    integrity: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
    version: 0.1.0
    state: enabled
    state_dir: /var/lib/openclaw/.openclaw

- name: Install a released version from npm, and pin what was published
  failclosed.openclaw.openclaw_plugin:
    name: example
    source: npm:@example/openclaw-plugin@1.4.2
    integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
    accept_source: true
    accept_capabilities: true
    node: /opt/openclaw/node/current/bin/node
    user: openclaw

- name: Install a tag of a git repository
  failclosed.openclaw.openclaw_plugin:
    name: example
    source: git:https://git.example.com/openclaw-plugin#v1.4.2
    version: 1.4.2
    accept_source: true
    accept_capabilities: true
    user: openclaw

- name: Remove it
  failclosed.openclaw.openclaw_plugin:
    name: anthropic-max-proxy
    state: absent
    user: openclaw
"""

RETURN = r"""
directory:
  description: Directory of the plugin.
  returned: success
  type: str
  sample: /var/lib/openclaw/.openclaw/extensions/anthropic-max-proxy
version:
  description: Version of the plugin after the run, empty when it is not there.
  returned: success
  type: str
  sample: "0.1.0"
previous_version:
  description: Version before the run, empty when it was not there.
  returned: success
  type: str
  sample: "0.0.9"
digest:
  description: Digest over paths, contents and executable bits of all files after the run, empty when there are none.
  returned: success
  type: str
  sample: "tree-sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
lookup:
  description: What O(state=latest) found, empty otherwise.
  returned: success
  type: str
  sample: latest of the npm package @example/openclaw-plugin is 1.4.2
record:
  description: OpenClaw's own record of this plugin, and how it differs from the files after the run.
  returned: success
  type: dict
  contains:
    found:
      description: Whether there is a record. OpenClaw keeps none of files that it has not placed itself.
      type: bool
    source:
      description: Kind of source that it names.
      type: str
    version:
      description: Version that it names.
      type: str
    path:
      description: Directory that it names.
      type: str
    differences:
      description: What it says that is not so. Each is a warning as well.
      type: list
      elements: str
  sample:
    found: true
    source: path
    version: 0.0.9
    path: /var/lib/openclaw/.openclaw/extensions/anthropic-max-proxy
    differences: ["it says that version 0.0.9 is installed, and the files are version 0.1.0"]
replaced:
  description:
    - Whether other files took the place of those that were there, in this run or since O(replaced_mark) was written, so
      that a running gateway has to be restarted to load them.
  returned: success
  type: bool
  sample: true
files_changed:
  description: Whether the files of the plugin were changed.
  returned: success
  type: bool
  sample: true
repaired:
  description: What was wrong with the files that were there, apart from another version or content.
  returned: success
  type: list
  elements: str
  sample:
    - "index.js: belongs to uid 999 and not to uid 0"
config_paths:
  description: Paths in C(openclaw.json) that were changed.
  returned: success
  type: list
  elements: str
  sample:
    - plugins.entries["anthropic-max-proxy"].enabled
backup_file:
  description: Copy of C(openclaw.json) from before the change, empty when there is none.
  returned: success
  type: str
  sample: /var/backups/failclosed-openclaw/srv-openclaw.json-991e4a529922/20261123T211006.482113Z-0c1e6fd0a1b2
"""

import base64
import binascii
import os
import posixpath
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _account,
    _config_edit,
    _config_read,
    _files,
    _install_record,
    _openclaw,
    _plugin_fetch,
    _plugin_package,
    _plugin_source,
    _plugin_state,
)

INSTALLING = ("present", "enabled", "latest")


class RefusedError(Exception):
    """What was asked for is wrong or unsafe; nothing was changed."""


def state_directory(params: dict[str, Any]) -> str:
    """The state directory that the options name; raises RefusedError when they name none."""
    if params["state_dir"]:
        path = str(params["state_dir"])
        if not path.startswith("/"):
            raise RefusedError(f"state_dir: {path!r} is not absolute; give the whole path")
        return path
    if not params["user"]:
        raise RefusedError("state_dir: give it, or the gateway's user in 'user'")
    try:
        home = pwd.getpwnam(params["user"]).pw_dir
    except KeyError:
        raise RefusedError(
            f"user: {params['user']!r} does not exist on this host; create it, or give state_dir"
        ) from None
    return posixpath.join(home, ".openclaw")


def read_local(params: dict[str, Any]) -> tuple[_plugin_package.Package, bytes | None]:
    """The package in ``content``, or in a path on this host, and the archive if it is one."""
    if params["content"] is not None:
        try:
            archive = base64.b64decode(params["content"], validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError("content: is not base64; use the lookup failclosed.openclaw.plugin_archive") from None
        return _plugin_package.read_archive(archive, "content"), archive
    where = str(params["source"])
    trusted = frozenset({0, os.geteuid()})
    if os.path.isdir(where):
        return _plugin_package.read_directory(where, trusted_uids=trusted), None
    return _plugin_package.read_archive_file(where, trusted_uids=trusted)


def fetch_tools(params: dict[str, Any]) -> _plugin_fetch.Tools:
    """What the options allow for fetching."""
    command = params["openclaw_command"]
    starts_node = bool(command) and posixpath.basename(command[0]).startswith("node")
    return _plugin_fetch.Tools(
        openclaw_command=command,
        node=params["node"] or (command[0] if starts_node else ""),
        registry=params["registry"],
        ca_file=params["ca_file"],
        environment={str(name): str(value) for name, value in params["environment"].items()},
        accept_source=params["accept_source"],
        accept_capabilities=params["accept_capabilities"],
        timeout_seconds=float(params["timeout"]),
    )


def require_version(params: dict[str, Any], version: str | None, where: str) -> None:
    """Refuse a version other than the wanted one."""
    if params["version"] and version != params["version"]:
        raise RefusedError(
            f"{where}: has version {version or 'unknown'}, and version {params['version']} was asked for"
        )


def require_host(params: dict[str, Any], package: _plugin_package.Package) -> None:
    """Refuse a plugin that declares to need a newer OpenClaw than the installed one."""
    if not params["openclaw_command"] or package.minimum_host is None:
        return
    version = _openclaw.installed_version(params["openclaw_command"])
    try:
        too_old = version is not None and not _openclaw.is_at_least(version, package.minimum_host)
    except ValueError:
        return
    if too_old:
        raise RefusedError(
            f"{package.plugin_id} {package.version or ''} needs OpenClaw {package.minimum_host} or newer, and {version}"
            " is installed; upgrade OpenClaw, or install an older plugin"
        )


def desired_config(params: dict[str, Any], current: Any) -> _config_edit.DesiredState | None:
    """What openclaw.json must say for ``state``; None when it says so already, or does not matter."""
    name = params["name"]
    plugins = current.get("plugins") if isinstance(current, dict) else None
    plugins = plugins if isinstance(plugins, dict) else {}
    allow, deny, entries = plugins.get("allow"), plugins.get("deny"), plugins.get("entries")
    is_allowed = isinstance(allow, list) and name in allow
    is_denied = isinstance(deny, list) and name in deny
    has_entry = isinstance(entries, dict) and name in entries
    entry = entries[name] if isinstance(entries, dict) and has_entry else None
    switch = entry.get("enabled") if isinstance(entry, dict) else None
    if params["state"] == "enabled":
        if is_denied and not params["remove_from_deny"]:
            raise RefusedError(
                f"plugins.deny in {params['config_path']} names {name}, so that it would not load;"
                " remove it there, or set remove_from_deny: true"
            )
        is_missing = isinstance(allow, list) and not is_allowed
        if switch is True and not is_missing and not is_denied:
            return None
        return _config_edit.DesiredState(
            patch={} if switch is True else {"plugins": {"entries": {name: {"enabled": True}}}},
            members_present={"plugins.allow": [name]} if is_missing else {},
            members_absent={"plugins.deny": [name]} if is_denied else {},
        )
    if params["state"] == "disabled" and switch is not False:
        return _config_edit.DesiredState(patch={"plugins": {"entries": {name: {"enabled": False}}}})
    if params["state"] == "absent" and (is_allowed or has_entry):
        return _config_edit.DesiredState(
            patch={"plugins": {"entries": {name: None}}} if has_entry else {},
            members_absent={"plugins.allow": [name]} if is_allowed else {},
        )
    return None


class Task:
    """One run of the module: what is there, what is wanted, and the way between."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = dict(module.params)
        self.state_path = state_directory(self.params)
        if not self.params["config_path"]:
            self.params["config_path"] = posixpath.join(self.state_path, "openclaw.json")
        self.path = posixpath.join(self.state_path, _plugin_state.EXTENSIONS, self.params["name"])
        self.identity = ""
        self.lookup = ""
        self.is_unfetched = False
        self.record: _install_record.InstallRecord | None = None

    def run(self) -> dict[str, Any]:
        """Do it; returns what the module returns."""
        state = self.params["state"]
        package = self._wanted_package() if state in INSTALLING else None
        try:
            with _plugin_state.open_state_directory(self.state_path) as directory:
                self._require_owner(directory)
                return self._converge(directory, package)
        except FileNotFoundError:
            if state == "absent":
                return self._result(_plugin_state.ABSENT, _plugin_state.ABSENT, None)
            if not self.module.check_mode:
                raise RefusedError(
                    f"{self.state_path}: does not exist; install the gateway first, or correct state_dir"
                ) from None
            return self._result(_plugin_state.ABSENT, self._after(_plugin_state.ABSENT, package), None, changed=True)

    def _wanted_package(self) -> _plugin_package.Package | None:
        if self.params["source"] is None and self.params["content"] is None:
            return None
        where = str(self.params["source"] or "content")
        read = self._read_package(where)
        if read is None:
            self.is_unfetched = True
            return None
        package, archive = read
        if package.plugin_id != self.params["name"]:
            raise RefusedError(
                f"{where}: is the plugin {package.plugin_id!r}, and name is {self.params['name']!r};"
                " give the id that stands in openclaw.plugin.json"
            )
        if self.params["integrity"]:
            _plugin_package.require_integrity(package, archive, self.params["integrity"], where)
        require_version(self.params, package.version, where)
        require_host(self.params, package)
        return package

    def _read_package(self, where: str) -> tuple[_plugin_package.Package, bytes | None] | None:
        """The package and its archive; None when check mode cannot know it yet."""
        source = None if self.params["source"] is None else _plugin_source.parse(self.params["source"])
        if source is None or not source.is_remote:
            self.identity = where
            if self.module.check_mode and source is not None and not os.path.lexists(where):
                self.module.warn(f"{where} does not exist yet, so that check mode cannot say which version it will be")
                return None
            return read_local(self.params)
        name, tools = self.params["name"], fetch_tools(self.params)
        cache = _plugin_fetch.Cache(write=not self.module.check_mode)
        fetched: _plugin_fetch.Fetched | None = None
        is_lookup = self.params["state"] == "latest"
        if is_lookup and self.module.check_mode and source.kind in _plugin_source.BY_OPENCLAW:
            self.lookup = f"the newest of {source.text} is not looked up in check mode"
        elif is_lookup:
            fetched, self.lookup = _plugin_fetch.fetch_latest(source, name, tools, cache)
        else:
            fetched = _plugin_fetch.fetch(
                source,
                self.params["version"],
                name,
                tools,
                cache,
                may_start_openclaw=not self.module.check_mode,
            )
        if fetched is None:
            self.identity = source.text
            self.module.warn(
                f"{where} is fetched by OpenClaw, which check mode does not start; its digest is not known"
            )
            return None
        self.identity = fetched.identity
        return fetched.package, fetched.archive

    def _require_owner(self, directory: _plugin_state.StateDirectory) -> None:
        user = self.params["user"]
        if not user:
            return
        account = _openclaw.account_of(user)
        if account.uid != directory.uid:
            raise RefusedError(
                f"{self.state_path}: belongs to uid {directory.uid} and not to user {user} (uid {account.uid});"
                " correct user or state_dir, or change the owner"
            )

    def _converge(
        self, directory: _plugin_state.StateDirectory, package: _plugin_package.Package | None
    ) -> dict[str, Any]:
        before = _plugin_state.look(directory, self.params["name"])
        self._read_record(directory)
        if self.params["state"] in INSTALLING:
            self._require_installable(directory, before, package)
        desired = self._desired_config()
        replaces = package is not None and (before.digest != package.digest or bool(before.problems))
        removes = self.params["state"] == "absent" and before.present
        after = self._after(before, package if replaces else None)
        changed = replaces or removes or desired is not None or before != after
        if replaces:
            self._warn_of_policy()
        edit = None
        if not self.module.check_mode:
            with self._marked(replaces and before.present):
                edit = self._change(directory, package if replaces else None, removes, desired)
        elif desired is not None:
            edit = self._edit_config(desired, directory)
        return self._result(before, after, edit, changed=changed)

    def _read_record(self, directory: _plugin_state.StateDirectory) -> None:
        try:
            records = _install_record.read(self.state_path, directory.uid, directory.gid)
        except _install_record.RecordError as error:
            self.module.warn(
                f"{posixpath.join(self.state_path, _install_record.DATABASE)}: OpenClaw's record of installs could not"
                f" be read ({error}), so that it was not compared with the files"
            )
            return
        self.record = records.get(self.params["name"])
        if self.record is None or _install_record.is_at(self.record, self.path):
            return
        if self.params["state"] != "disabled" and _is_plugin(self.record.path, self.params["name"]):
            raise RefusedError(
                f"{self.record.path}: OpenClaw's own installer has put {self.params['name']} there, and one in"
                f" {self.path} would be a second one; run 'openclaw plugins uninstall {self.params['name']}' as the"
                " gateway's user first"
            )

    def _warn_of_policy(self) -> None:
        try:
            value = _config_read.read(self.params["config_path"]).value
        except _config_read.ConfigFileError:
            # Where the file has to be read, what is wrong with it is an error of its own.
            return
        security = value.get("security") if isinstance(value, dict) else None
        if isinstance(security, dict) and security.get("installPolicy"):
            self.module.warn(
                f"{self.params['config_path']}: security.installPolicy is asked by OpenClaw's own installer only,"
                " and not by this task, which places the files itself"
            )

    @contextmanager
    def _marked(self, replaces: bool) -> Iterator[None]:
        """Leave the mark of what was replaced, unless the files that were there are there again."""
        mark = self.params["replaced_mark"]
        if mark is None or not replaces or os.path.lexists(mark):
            yield
            return
        _account.mark_replaced(mark)
        try:
            yield
        except BaseException:
            os.unlink(mark)
            raise

    def _change(
        self,
        directory: _plugin_state.StateDirectory,
        package: _plugin_package.Package | None,
        removes: bool,
        desired: _config_edit.DesiredState | None,
    ) -> _config_edit.EditResult | None:
        """Files before configuration when something is added, the reverse when it is removed."""
        edit = None
        if removes:
            if desired is not None:
                edit = self._edit_config(desired, directory)
            _plugin_state.remove(directory, self.params["name"]).commit()
            return edit
        placement = None if package is None else _plugin_state.place(directory, package)
        try:
            if desired is not None:
                edit = self._edit_config(desired, directory)
        except BaseException:
            if placement is not None:
                placement.undo()
            raise
        if placement is not None:
            placement.commit()
        return edit

    def _require_installable(
        self,
        directory: _plugin_state.StateDirectory,
        before: _plugin_state.InstalledPlugin,
        package: _plugin_package.Package | None,
    ) -> None:
        name = self.params["name"]
        if package is None and not self.is_unfetched:
            if not before.present:
                raise RefusedError(f"{self.path}: {name} is not installed; give its source or content")
            require_version(self.params, before.version, self.path)
            if self.params["integrity"] and self.params["integrity"] != before.digest:
                raise RefusedError(
                    f"{self.path}: has digest {before.digest}, and integrity asks for {self.params['integrity']}"
                )
            if before.problems:
                raise RefusedError(
                    f"{self.path}: {'; '.join(before.problems[:3])}; give source or content to repair it"
                )
        others = _plugin_state.other_directories_with(directory, name)
        if others:
            raise RefusedError(
                f"{posixpath.join(self.state_path, _plugin_state.EXTENSIONS)}: {', '.join(others)} is the plugin {name}"
                " too, and OpenClaw loads only one of them; remove it first"
            )

    def _desired_config(self) -> _config_edit.DesiredState | None:
        if self.params["state"] == "present":
            return None
        snapshot = _config_read.read(self.params["config_path"])
        if snapshot.value is None:
            if self.params["state"] != "enabled" or self.module.check_mode:
                return None
            raise RefusedError(f"{self.params['config_path']}: does not exist; configure the gateway first")
        return desired_config(self.params, snapshot.value)

    def _config_file(self) -> _config_edit.ConfigFile:
        return _config_edit.ConfigFile(path=self.params["config_path"], create=False)

    def _edit_config(
        self, desired: _config_edit.DesiredState, directory: _plugin_state.StateDirectory
    ) -> _config_edit.EditResult:
        validation = _config_edit.Validation(
            openclaw_command=self.params["openclaw_command"],
            user=self.params["user"] or str(directory.uid),
            state_directory=self.state_path,
        )
        return _config_edit.apply(
            self._config_file(), desired, validation, cache_directory=None, check_mode=self.module.check_mode
        )

    def _after(
        self, before: _plugin_state.InstalledPlugin, package: _plugin_package.Package | None
    ) -> _plugin_state.InstalledPlugin:
        if self.params["state"] == "absent":
            return _plugin_state.ABSENT
        if self.is_unfetched:
            wanted = self.params["version"] or ""
            if before.present and wanted and before.version == wanted and not before.problems:
                return before
            return _plugin_state.InstalledPlugin(present=True, version=wanted or None)
        if package is None:
            return before
        return _plugin_state.InstalledPlugin(present=True, version=package.version, digest=package.digest)

    def _result(
        self,
        before: _plugin_state.InstalledPlugin,
        after: _plugin_state.InstalledPlugin,
        edit: _config_edit.EditResult | None,
        *,
        changed: bool = False,
    ) -> dict[str, Any]:
        files_changed = before != after
        mark = self.params["replaced_mark"]
        marked = mark is not None and os.path.lexists(mark)
        diff: list[dict[str, Any]] = []
        if files_changed:
            diff.append(
                {
                    "before_header": self.path,
                    "after_header": self.path,
                    "before": _described(before, None),
                    "after": _described(after, self.identity),
                }
            )
        if edit is not None:
            diff.extend(edit.diff)
            # In check mode OpenClaw misses the plugin that is not there yet, and that is no news.
            foreseen = self.module.check_mode and not before.present
            for finding in () if foreseen else edit.findings:
                self.module.warn(f"{self.params['config_path']}: {finding['path']}: {finding['message']}")
        differences = _install_record.differences(
            self.record, path=self.path, version=after.version, present=after.present
        )
        for difference in differences:
            self.module.warn(f"OpenClaw's own record of {self.params['name']} is wrong: {difference}")
        record = asdict(self.record or _install_record.InstallRecord("", "", ""))
        return {
            "lookup": self.lookup,
            "record": {"found": self.record is not None, "differences": differences, **record},
            "changed": changed,
            "directory": self.path,
            "version": after.version or "",
            "previous_version": before.version or "",
            "digest": after.digest or "",
            "replaced": after.present and (marked or (files_changed and before.present)),
            "files_changed": files_changed,
            "repaired": list(before.problems) if files_changed else [],
            "config_paths": [] if edit is None else list(edit.changed_paths),
            "backup_file": "" if edit is None else edit.backup_file or "",
            "diff": diff,
        }


def _is_plugin(path: str, plugin_id: str) -> bool:
    """Whether a directory has the manifest of this plugin."""
    try:
        with _files.open_directory(path) as directory:
            found = _files.read_file(directory, _plugin_package.MANIFEST, limit=1024 * 1024)
        document = {} if found is None else _plugin_package.parse(found.content)
    except (_files.FileError, OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("id") == plugin_id


def _described(plugin: _plugin_state.InstalledPlugin, source: str | None) -> str:
    if not plugin.present:
        return ""
    lines = [f"version: {plugin.version or 'unknown'}", f"digest: {plugin.digest or 'not known yet'}"]
    if source:
        lines.append(f"source: {source}")
    lines += [f"problem: {problem}" for problem in plugin.problems]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "enabled", "disabled", "latest"],
                "default": "present",
            },
            "source": {"type": "str"},
            # No secret, but thousands of characters that would fill every verbose log.
            "content": {"type": "str", "no_log": True},
            "version": {"type": "str"},
            "integrity": {"type": "str"},
            "user": {"type": "str"},
            "state_dir": {"type": "path"},
            "config_path": {"type": "path"},
            "replaced_mark": {"type": "path"},
            "openclaw_command": {"type": "list", "elements": "str", "default": []},
            "remove_from_deny": {"type": "bool", "default": False},
            "accept_source": {"type": "bool", "default": False},
            "accept_capabilities": {"type": "bool", "default": False},
            "node": {"type": "path"},
            "registry": {"type": "str"},
            "ca_file": {"type": "path"},
            "environment": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 600},
        },
        mutually_exclusive=[("source", "content")],
        required_one_of=[("state_dir", "user")],
        required_if=[("state", "latest", ["source"])],
        supports_check_mode=True,
    )
    try:
        require_options(module.params)
        result = Task(module).run()
    except (
        RefusedError,
        _plugin_fetch.FetchError,
        _plugin_package.PackageError,
        _plugin_source.SourceError,
        _plugin_state.PluginError,
        _openclaw.OpenClawError,
    ) as error:
        module.fail_json(msg=str(error))
    except _config_read.ConfigFileError as error:
        module.fail_json(msg=str(error), findings=error.findings)
    else:
        module.exit_json(**result)


def require_options(params: dict[str, Any]) -> None:
    """Refuse what can be seen to be wrong from the options alone."""
    if not _plugin_state.PLUGIN_ID.match(params["name"]):
        raise RefusedError(f"name: {params['name']!r} is no plugin id; letters, digits, '.', '_' and '-' are allowed")
    if params["source"] is not None:
        require_source(params)
    for option in ("config_path", "replaced_mark"):
        if params[option] is not None and not params[option].startswith("/"):
            raise RefusedError(f"{option}: {params[option]!r} is not absolute; give the whole path")


def require_source(params: dict[str, Any]) -> None:
    """Refuse a source of no known form, one that is not exact, and one that nobody has consented to."""
    source = _plugin_source.parse(params["source"])
    is_lookup = params["state"] == "latest"
    if is_lookup and params["version"]:
        raise RefusedError("version: state latest looks the version up; give an exact version with state: present")
    if is_lookup and not source.is_remote:
        raise RefusedError(
            f"state: latest needs a source that can be asked for its newest version, and {source.text!r} is a path;"
            " say state: present"
        )
    if is_lookup and source.reference and _plugin_source.EXACT_VERSION.match(source.reference):
        raise RefusedError(f"state: latest looks the version up, and {source.text!r} names one; say state: present")
    if not source.is_remote or params["state"] not in INSTALLING:
        return
    if not is_lookup:
        _plugin_source.exact_version(source, params["version"])
    if source.kind in _plugin_source.ASKS_FOR_TRUST and not params["accept_source"]:
        raise RefusedError(
            f"accept_source: {source.text!r} is outside of this host and of ClawHub's review; look at the plugin, then"
            " say accept_source: true"
        )
    if not params["accept_capabilities"]:
        raise RefusedError(
            f"accept_capabilities: a plugin runs with all rights of the gateway; look at what {source.text!r} declares,"
            " then say accept_capabilities: true"
        )


if __name__ == "__main__":
    main()
