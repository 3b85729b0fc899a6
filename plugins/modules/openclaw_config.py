#!/usr/bin/python

# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_config
short_description: Edit openclaw.json without losing, leaking or breaking anything
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Makes an C(openclaw.json) say what the task says, and leaves every other byte of it as it is, comments, key order
    and formatting included. The file is JSON5.
  - Whether something changes is decided by value, never by text. What stands inside C(meta) belongs to OpenClaw and is
    ignored; only a missing C(meta) is a change, if O(patch) has one.
  - The result is validated before it replaces anything, also in check mode. This collection's own schema of the part
    that it manages comes first, then the schema that the installed OpenClaw exports, and then
    C(openclaw config validate), whose word is final.
  - The new file is written beside the old one with its final owner, mode and ACL, flushed to the disk, and renamed. A
    reader sees the old file or the new one. A file that another program changed in between is read again, and the edit
    is made again; a warning says so.
  - A file that is already right costs one read. Node is not started, and C(jsonschema) is not imported when the same
    content was validated before.
  - Secrets appear in the diff and in the returned values as short fingerprints only, old ones too.
attributes:
  check_mode:
    support: full
    description: Validates the result like a real run and changes nothing. A host on which the program, its user or the
      directory does not exist yet is no error in check mode.
  diff_mode:
    support: full
    description: Shows only what changes, with secrets replaced by fingerprints in both halves.
  idempotent:
    support: full
    description: A second run with the same options changes nothing.
  safe_file_operations:
    support: full
    description: Writes through directory descriptors, follows no link that another user could have planted, flushes
      file and directory, and renames. It does not use Ansible's own C(atomic_move), which does not flush.
requirements:
  - The Python library C(jsonschema) (3.2 or newer; package C(python3-jsonschema)) on the target, for the first two
    checks. Without it they are left out with a warning if O(openclaw_command) is given, and the task fails otherwise.
  - OpenClaw 2026.8.1 or newer, if O(openclaw_command) is given.
options:
  path:
    description:
      - Absolute path of C(openclaw.json).
      - A symlink is refused, because OpenClaw itself replaces a symlink by a file.
      - The directory must exist, except in check mode.
    type: path
    required: true
  state:
    description:
      - With V(present), the file says what is declared.
      - With V(absent), what O(patch), O(secrets) and O(members_present) declare is taken back. A value goes only if it
        still is the declared one; another value is kept and named in a warning. Objects that become empty by it go
        too. C(meta) stays.
      - O(absent_paths) and O(members_absent) mean the same in both states. Neither state ever deletes the file.
    type: str
    choices: [present, absent]
    default: present
  patch:
    description:
      - A merge patch as in RFC 7396. Dictionaries merge, lists and scalars replace, and null removes.
      - A literal at a place where a secret belongs is refused, because C(-vvv) prints this option. Put it into
        O(secrets), give a SecretRef (a dictionary with C(source), C(provider) and C(id)) or C(${NAME}), or name its
        path in O(public_paths) if it is no secret.
    type: dict
    default: {}
  replace_paths:
    description:
      - Paths in O(patch) whose dictionary is the whole dictionary, so that what is no longer declared goes.
      - Paths in this and all other options are in OpenClaw's notation, for example C(models.providers["my.proxy"]) or
        C(agents.list[0].model).
    type: list
    elements: str
    default: []
  absent_paths:
    description:
      - Paths that must not exist. What they hold is removed whatever it is.
      - An element of a list is refused, for example C(plugins.allow[0]), because each run would remove another one; use
        O(members_absent). A member of an element is possible, for example C(agents.list[0].model).
    type: list
    elements: str
    default: []
  assert_paths:
    description:
      - Path to value. The task fails, and changes nothing, if the file says something else before the edit.
      - A null expects that there is nothing.
    type: dict
    default: {}
  members_present:
    description:
      - Path of a list to strings that it must contain. Other members stay.
      - A literal where a secret belongs is refused here too, and in O(members_absent) and O(assert_paths).
      - A missing list is created. Beware of C(plugins.allow), since OpenClaw loads no plugin that an existing list
        does not name; creating it gives a warning. O(optional_paths) leaves it missing.
    type: dict
    default: {}
  optional_paths:
    description:
      - Paths in O(members_present) whose list is completed where there is one, and not created where there is none.
    type: list
    elements: str
    default: []
  members_absent:
    description:
      - Path of a list to strings that it must not contain. Other members stay.
    type: dict
    default: {}
  secrets:
    description:
      - Path to text, for literals where a secret belongs. They end up in the file in plain text; a SecretRef in
        O(patch) is better.
    type: dict
    default: {}
  public_paths:
    description:
      - Paths at which a literal in O(patch) only looks like a secret, such as the placeholder key of a local proxy.
      - Only the declared literal counts as public. What stood there before is still hidden.
    type: list
    elements: str
    default: []
  owner:
    description:
      - Owner of the file, a name or a number. Without it an existing file keeps its owner, and a new file gets that of
        its directory.
    type: str
  group:
    description:
      - Group of the file, a name or a number. Without it an existing file keeps its group, and a new file gets that of
        its directory.
    type: str
  mode:
    description:
      - Permissions of the file in octal, as a string. OpenClaw's own are V(0600).
      - On a file with a POSIX ACL, the second digit is what the owning group may do. The ACL's mask and its entries for
        other users and groups stay.
    type: str
    default: "0600"
  create:
    description:
      - Whether a missing file may be created.
    type: bool
    default: true
  backup_keep:
    description:
      - How many copies of replaced files stay. V(0) makes no copy.
    type: int
    default: 5
  backup_dir:
    description:
      - Where copies go, in a directory per file. Only the user who runs the task may write there.
      - The default is C(/var/backups/failclosed-openclaw) for root, which the gateway's user cannot change, and
        C(~/.local/state/failclosed-openclaw) for everybody else.
      - Copies are never put beside the file, where OpenClaw rotates and restores its own C(.bak) files.
    type: path
  openclaw_command:
    description:
      - The beginning of the command line of OpenClaw, absolute paths, for example the node binary and
        C(openclaw.mjs).
      - If it is given, a change needs its consent. If it is not, only this collection's own schema is applied, and a
        warning says so.
    type: list
    elements: str
    default: []
  user:
    description:
      - The user to run O(openclaw_command) as, with a clean environment. The default is the owner of the directory. If
        that is root, and a directory above it belongs to another user, this option must be given.
    type: str
  state_dir:
    description:
      - OpenClaw's state directory, where its plugins are. The default is the directory of O(path).
    type: path
  command_timeout:
    description:
      - Seconds that one start of O(openclaw_command) may take.
    type: int
    default: 120
  cache_dir:
    description:
      - Where verdicts, exported schemas and the key of the fingerprints are kept. Only the user who runs the task may
        write there.
      - The default is C(/var/cache/failclosed-openclaw) for root, and C(~/.cache/failclosed-openclaw) for everybody
        else.
    type: path
  when_invalid:
    description:
      - What to do if OpenClaw already finds the file invalid as it is. V(fail) stops. V(repair) goes on if the result
        is valid.
      - A file that is not JSON5 at all always stops the task.
    type: str
    choices: [fail, repair]
    default: fail
  allow_shrink:
    description:
      - Whether an edit may take away C(meta), C(gateway.mode) or more than half of the file. OpenClaw takes that for
        damage and puts an older copy back.
    type: bool
    default: false
  allow_hard_link:
    description:
      - Whether a file with several names may be replaced. The other names then keep the old content.
    type: bool
    default: false
  follow_include:
    description:
      - Whether to edit an included file, if C($include) makes it the owner of what changes. Otherwise the task fails
        and names that file.
      - All that changes must belong to one file.
    type: bool
    default: false
  secure_logging:
    description:
      - With V(false), the diff also says of which type each hidden value is. Secrets are hidden in both cases.
    type: bool
    default: true
seealso:
  - name: Editing openclaw.json safely
    description: The guarantees one by one, where each ends, and the test that shows it.
    link: https://github.com/failclosed/openclaw/blob/main/docs/docsite/rst/editing_openclaw_json.rst
  - module: failclosed.openclaw.openclaw_plugin
"""

EXAMPLES = r"""
- name: Route everything to the local proxy, and nowhere else when it fails
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: &openclaw
      - /opt/openclaw/node/current/bin/node
      - /opt/openclaw/gateway/current/node_modules/openclaw/openclaw.mjs
    user: openclaw
    patch:
      models:
        providers:
          anthropic-max-proxy:
            baseUrl: http://127.0.0.1:3456
            api: anthropic-messages
            apiKey: proxy-local
            models:
              - id: claude-opus-4.6
                name: Claude Opus 4.6
      agents:
        defaults:
          model:
            primary: anthropic-max-proxy/claude-opus-4.6
            fallbacks: []
    # The proxy wants some key and looks at none.
    public_paths:
      - models.providers.anthropic-max-proxy.apiKey

- name: The provider is exactly this; keys that were dropped from the variable go
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    patch:
      models:
        providers:
          anthropic-max-proxy: "{{ my_provider }}"
    replace_paths:
      - models.providers.anthropic-max-proxy

- name: Keep the proxy's key in a file that only OpenClaw reads
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    patch:
      secrets:
        providers:
          files:
            source: file
            path: /run/credentials/openclaw-gateway.service/proxy-key
            mode: singleValue
      models:
        providers:
          anthropic-max-proxy:
            apiKey:
              source: file
              provider: files
              id: value

- name: Write a token that has to stand in the file itself
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    secrets:
      channels.telegram.botToken: "{{ vault_telegram_token }}"

- name: Allow one more plugin without touching those that others allowed
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    members_present:
      plugins.allow:
        - anthropic-max-proxy

- name: Remove a fallback that somebody added by hand, and a provider that is gone
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    members_absent:
      agents.defaults.model.fallbacks:
        - anthropic/claude-opus-5
    absent_paths:
      - models.providers["old.proxy"]

- name: Move the port, but only from the one that is known
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    assert_paths:
      models.providers.anthropic-max-proxy.baseUrl: http://127.0.0.1:3456
    patch:
      models:
        providers:
          anthropic-max-proxy:
            baseUrl: http://127.0.0.1:9999

- name: Start a file of its own for a new gateway
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    owner: openclaw
    group: openclaw
    openclaw_command: *openclaw
    patch:
      # The marks of OpenClaw 2026.9.6; 2026.9.2 and older ones know the first one only.
      meta:
        migrations:
          modelPolicyAllowlist: true
          utilityModelSeparation: true
      gateway:
        mode: local
        bind: loopback

- name: Mend a file that OpenClaw refuses since the upgrade
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    when_invalid: repair
    absent_paths:
      - gateway.legacyKey

- name: Edit the file of a person who runs OpenClaw under their own account, agents section in an include
  become: true
  become_user: alice
  failclosed.openclaw.openclaw_config:
    path: /home/alice/.openclaw/openclaw.json
    openclaw_command:
      - /home/alice/.nvm/versions/node/v24.19.0/bin/node
      - /home/alice/.nvm/versions/node/v24.19.0/lib/node_modules/openclaw/openclaw.mjs
    follow_include: true
    patch:
      agents:
        defaults:
          utilityModel: ""

- name: Take back what the first example declared
  failclosed.openclaw.openclaw_config:
    path: /var/lib/openclaw/.openclaw/openclaw.json
    openclaw_command: *openclaw
    state: absent
    patch:
      agents:
        defaults:
          model:
            primary: anthropic-max-proxy/claude-opus-4.6
            fallbacks: []
    absent_paths:
      - models.providers.anthropic-max-proxy
"""

RETURN = r"""
changed_paths:
  description: The paths whose value changes, in OpenClaw's notation. Objects are compared member by member.
  returned: success
  type: list
  elements: str
  sample: ["models.providers.anthropic-max-proxy.baseUrl", "agents.defaults.model"]
edited_file:
  description: The file that was or would be edited. It differs from O(path) if O(follow_include) led to another one.
  returned: success
  type: str
  sample: /var/lib/openclaw/.openclaw/openclaw.json
backup_file:
  description: The copy of the file that was replaced, or null if there is none.
  returned: success
  type: str
  sample: /var/backups/failclosed-openclaw/srv-openclaw.json-991e4a529922/20261123T211006.482113Z-0c1e6fd0a1b2
digest:
  description: SHA-256 of the edited file as it is afterwards, or as it would be in check mode. Empty if there is none.
  returned: success
  type: str
  sample: 0c1e6fd0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c
findings:
  description: What the validators said. On success these are warnings.
  returned: always
  type: list
  elements: dict
  sample:
    - path: plugins.entries.other
      rule: program
      message: "plugin not found: other"
      remedy: see `openclaw config schema` and OpenClaw's documentation of this key
      source: program
      severity: warning
  contains:
    path:
      description: Where, in OpenClaw's notation; C(<root>) for the whole file.
      type: str
      returned: always
      sample: plugins.entries.other
    rule:
      description: Which rule is broken. A keyword of JSON Schema, V(program) for OpenClaw's own rules, V(note) for
        the module's.
      type: str
      returned: always
      sample: required
    message:
      description: What is wrong. It never holds a value of the file.
      type: str
      returned: always
      sample: this key is required
    remedy:
      description: What to do.
      type: str
      returned: always
      sample: add it
    source:
      description: Who says so, V(managed_schema), V(exported_schema), V(program) or V(edit).
      type: str
      returned: always
      sample: managed_schema
    severity:
      description: V(error) or V(warning).
      type: str
      returned: always
      sample: warning
openclaw_version:
  description: The version of OpenClaw that the file was validated against, or null if it was not.
  returned: success
  type: str
  sample: 2026.9.6
validated:
  description: Who had a say about this content, in this run or before. V(managed_schema), V(exported_schema),
    V(program).
  returned: success
  type: list
  elements: str
  sample: ["managed_schema", "exported_schema", "program"]
diff:
  description: What changes, with secrets replaced by fingerprints, and the change of owner and mode.
  returned: success
  type: list
  elements: dict
  sample:
    - before_header: /var/lib/openclaw/.openclaw/openclaw.json
      after_header: /var/lib/openclaw/.openclaw/openclaw.json
      before: "{\n  \"gateway\": {\n    \"port\": 18789\n  }\n}\n"
      after: "{\n  \"gateway\": {\n    \"port\": 18790\n  }\n}\n"
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_memory

_SHOWN_WARNINGS = 10


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options, as DOCUMENTATION describes them."""
    return {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "patch": {"type": "dict", "default": {}},
        "replace_paths": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "absent_paths": {"type": "list", "elements": "str", "default": []},
        "assert_paths": {"type": "dict", "default": {}},
        "members_present": {"type": "dict", "default": {}},
        "members_absent": {"type": "dict", "default": {}},
        "optional_paths": {"type": "list", "elements": "str", "default": []},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "public_paths": {"type": "list", "elements": "str", "default": []},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "str", "default": "0600"},
        "create": {"type": "bool", "default": True},
        "backup_keep": {"type": "int", "default": 5},
        "backup_dir": {"type": "path"},
        "openclaw_command": {"type": "list", "elements": "str", "default": []},
        "user": {"type": "str"},
        "state_dir": {"type": "path"},
        "command_timeout": {"type": "int", "default": 120},
        "cache_dir": {"type": "path"},
        "when_invalid": {"type": "str", "choices": ["fail", "repair"], "default": "fail"},
        "allow_shrink": {"type": "bool", "default": False},
        "allow_hard_link": {"type": "bool", "default": False},
        "follow_include": {"type": "bool", "default": False},
        "secure_logging": {"type": "bool", "default": True},
    }


def permission_bits(text: str) -> int:
    """The number that an octal mode stands for; raises ValueError."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(f"mode: {text!r} must be three octal digits as a string, for example '0600'")
    if int(text, 8) & 0o002:
        raise ValueError(f"mode: {text!r} lets everybody write the file; use '0600'")
    return int(text, 8)


def check_numbers(params: dict[str, Any]) -> None:
    """Raise ValueError for a number that makes no sense."""
    if params["backup_keep"] < 0:
        raise ValueError(f"backup_keep: {params['backup_keep']} must be 0 or more")
    if params["command_timeout"] < 1:
        raise ValueError(f"command_timeout: {params['command_timeout']} must be 1 or more")


def desired_state(params: dict[str, Any]) -> dict[str, Any]:
    """The fields of the engine's DesiredState."""
    return {
        "patch": params["patch"],
        "replace_paths": params["replace_paths"],
        "absent_paths": params["absent_paths"],
        "assert_paths": params["assert_paths"],
        "members_present": params["members_present"],
        "members_absent": params["members_absent"],
        "optional_paths": params["optional_paths"],
        "secrets": params["secrets"],
        "public_paths": params["public_paths"],
        "reverse": params["state"] == "absent",
    }


def edit(module: AnsibleModule, mode: int) -> dict[str, Any]:
    """Run the engine and return its values; ends the module when it refuses."""
    # Imported here: the commonest run, on a file that is right and known, needs none of it.
    from ansible_collections.failclosed.openclaw.plugins.module_utils._config_edit import (
        ConfigEditError,
        ConfigFile,
        DesiredState,
        Validation,
        apply,
    )

    params = module.params
    try:
        result = apply(
            ConfigFile(
                path=params["path"],
                owner=params["owner"],
                group=params["group"],
                mode=mode,
                create=params["create"],
                follow_include=params["follow_include"],
                allow_shrink=params["allow_shrink"],
                allow_hard_link=params["allow_hard_link"],
                backup_keep=params["backup_keep"],
                backup_directory=params["backup_dir"],
            ),
            DesiredState(**desired_state(params)),
            Validation(
                openclaw_command=params["openclaw_command"],
                user=params["user"],
                state_directory=params["state_dir"],
                timeout_seconds=params["command_timeout"],
                when_invalid=params["when_invalid"],
            ),
            cache_directory=params["cache_dir"],
            check_mode=module.check_mode,
            secure_logging=params["secure_logging"],
        )
    except ConfigEditError as error:
        module.fail_json(msg=str(error), findings=error.findings)
    values: dict[str, Any] = result.as_return_values()
    return values


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        mode = permission_bits(params["mode"])
        check_numbers(params)
    except ValueError as error:
        module.fail_json(msg=f"{error}. Nothing was changed.", findings=[])
    values = _config_memory.recall_unchanged(
        params["path"],
        owner=params["owner"],
        group=params["group"],
        mode=mode,
        desired=desired_state(params),
        command=params["openclaw_command"],
        directory=params["cache_dir"],
    )
    if values is None:
        values = edit(module, mode)
    findings = values["findings"]
    for finding in findings[:_SHOWN_WARNINGS]:
        module.warn(f"{params['path']}: {finding['path']}: {finding['message']} ({finding['remedy']})")
    if len(findings) > _SHOWN_WARNINGS:
        module.warn(f"{params['path']}: {len(findings) - _SHOWN_WARNINGS} more findings, see 'findings'")
    module.exit_json(**values)


if __name__ == "__main__":
    main()
