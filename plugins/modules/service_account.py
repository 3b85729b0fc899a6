#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account
short_description: A service's user, its directories and its secrets in one call
version_added: 0.1.0
description:
  - Creates a system user with a group of the same name, the directories that its service needs, and the files that hold
    its secrets.
  - A secret file has its final owner and mode before its first byte. A secret can be made on the host, so that it never
    travels, or be the copy of another file of the host.
  - Follows no link in a directory that a user other than root can write.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: Predicts what would be created or corrected, also where the user does not exist yet.
  diff_mode:
    support: full
    description: Shows names, owners and modes; of a secret only that its content would be new.
  idempotent:
    support: partial
    description: With C(rotate) in O(secrets) a new secret is made on every run.
options:
  state:
    description:
      - With V(absent), O(directories) are removed with everything below them, and so is the account of O(name) with its
        group, its processes, O(home), and what it left in the directories for temporary files. O(secrets) may not be
        named then; they go with their directory.
      - With both, an account that is not the service's is refused before anything changes, and so is a directory of the
        system such as C(/etc) or of a person, in O(directories) and O(home). The service's account has a uid from 100
        on and below those of people (C(UID_MIN) in C(/etc/login.defs)), and the home of O(home). With V(present) the
        home may be another one if the account has the comment of O(comment), which tells that it was made here; it is
        corrected then.
      - What is mounted below a directory is not removed, and an error.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the user and of its group. Without it no account is touched, and every directory and secret has to name
        its owner and group.
    type: str
  home:
    description: Home directory of the user. It is created only where O(directories) names it.
    type: path
  shell:
    description: Login shell.
    type: path
    default: /usr/sbin/nologin
  comment:
    description: What the account is for. Written when the user is created; it tells later that it was made here.
    type: str
    default: ""
  directories:
    description: Directories, created in the order given. Missing parents are created as C(root:root 0755).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Owner; O(name) by default.
        type: str
      group:
        description: Group; O(name) by default.
        type: str
      mode:
        description: Permission bits, octal, as a string.
        type: str
        default: "0755"
      only_if_empty:
        description:
          - With O(state=absent), whether it is left alone unless nothing, or nothing but what goes before it, is in it.
          - A directory of the system is always left alone then, also with O(state=present).
        type: bool
        default: false
      exclusive:
        description:
          - Whether every file directly in it that O(secrets) does not name is removed, such as that of a secret that is
            not given any more. Directories in it stay.
        type: bool
        default: false
  secrets:
    description: Files with one secret each.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path; its directory must exist or be named in O(directories).
        type: path
        required: true
      owner:
        description: Owner; O(name) by default.
        type: str
      group:
        description: Group; O(name) by default.
        type: str
      mode:
        description: Permission bits, octal, as a string.
        type: str
        default: "0400"
      state:
        description: Whether the file shall be there.
        type: str
        choices: [present, absent]
        default: present
      generate:
        description:
          - Make a secret of this many random bytes on the host, in hexadecimal, if the file is missing or empty.
        type: int
      prefix:
        description: Text before a generated secret, for programs that demand one.
        type: str
        default: ""
      rotate:
        description: Make a new secret although there is one.
        type: bool
        default: false
      generation:
        description:
          - With O(secrets[].generate), which secret in a row it is. Another number replaces the secret, once. The
            number stands in the secret itself, after O(secrets[].prefix), from the second one on.
          - Without it any secret that is there stays.
        type: int
      copy_of:
        description: Path of a file on the host whose content this file shall have.
        type: path
      replaced_mark:
        description:
          - Path of an empty file that is written before another content takes the place of the secret. As long as it is
            there, RV(replaced) names the secret. Whoever has told the program that uses it removes the file; what a
            failed run did not come to is then made up for by the next.
          - Its directory must be one that only root can write.
        type: path
  certificates:
    description:
      - Certificates with their private keys, in PEM, by their paths, in O(contents) or already on the host. Before
        anything is written, a key with a passphrase is refused, and one that belongs to another certificate.
    type: list
    elements: dict
    default: []
    suboptions:
      certificate:
        description: Absolute path of the certificate, with those that lead to its authority after it.
        type: path
        required: true
      private_key:
        description: Absolute path of its private key.
        type: path
        required: true
  contents:
    description:
      - Path of a file in O(secrets) to the secret that it shall hold.
      - An option of its own, so that Ansible writes nothing of it into the host's log. Inside of a list a secret with a
        backslash or quotes would appear there in Python's notation, in which Ansible does not find it to mask it.
    type: dict
    default: {}
seealso:
  - module: failclosed.openclaw.service_unit
"""

EXAMPLES = r"""
- name: Create the gateway's account and its token
  failclosed.openclaw.service_account:
    name: openclaw
    home: /var/lib/openclaw
    directories:
      - path: /var/lib/openclaw
        mode: "0700"
      - path: /etc/openclaw/credentials
        owner: root
        mode: "0750"
    secrets:
      - path: /etc/openclaw/credentials/gateway-token
        generate: 32

- name: Hand the proxy its upstream key
  failclosed.openclaw.service_account:
    name: openclaw-proxy
    home: /var/lib/openclaw-proxy
    secrets:
      - path: /etc/openclaw-proxy/credentials/upstream-key
        owner: root
        group: root
    contents:
      /etc/openclaw-proxy/credentials/upstream-key: "{{ vault_upstream_key }}"

- name: Give the gateway its copy of the key that the proxy asks for
  failclosed.openclaw.service_account:
    secrets:
      - path: /etc/openclaw/credentials/proxy-inbound-key
        owner: openclaw
        group: root
        copy_of: /etc/openclaw-proxy/credentials/inbound-key

- name: Remove the proxy's account, its home, configuration, secrets and programs
  failclosed.openclaw.service_account:
    state: absent
    name: openclaw-proxy
    home: /var/lib/openclaw-proxy
    directories:
      - path: /etc/openclaw-proxy
      - path: /opt/openclaw-proxy

- name: Replace the key between gateway and proxy
  failclosed.openclaw.service_account:
    name: openclaw-proxy
    home: /var/lib/openclaw-proxy
    secrets:
      - path: /etc/openclaw-proxy/credentials/inbound-key
        owner: root
        group: root
        generate: 32
        prefix: sk-
        generation: 2
"""

RETURN = r"""
generated:
  description: Paths of the secrets that were made on the host, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [/etc/openclaw/credentials/gateway-token]
replaced:
  description:
    - Paths of the secrets that took the place of another content, or would in check mode, and of those whose
      C(replaced_mark) is still there. Who has read one of them before still uses the old one.
  type: list
  elements: str
  returned: success
  sample: [/etc/openclaw/credentials/proxy-inbound-key]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _account, _files


def _mode(module: AnsibleModule, path: str, text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        module.fail_json(
            msg=f"mode of {path} is '{text}': give permission bits in octal as a string, such as \"0750\"."
        )
    return mode


def _owner(module: AnsibleModule, options: dict[str, t.Any], which: str) -> str:
    found: str = options[which] or module.params["name"] or ""
    if not found:
        module.fail_json(msg=f"{options['path']} has no {which}: without name, give owner and group with every path.")
    return found


def _secret(module: AnsibleModule, options: dict[str, t.Any]) -> _account.Secret:
    path = options["path"]
    present = options["state"] == "present"
    content = module.params["contents"].get(path)
    sources = [name for name in ("generate", "copy_of") if options[name] is not None]
    sources += ["contents"] if content is not None else []
    if present and len(sources) != 1:
        module.fail_json(
            msg=f"secrets: {path} has {' and '.join(sources) or 'no source'}: give exactly one of generate, copy_of and"
            " a member of contents."
        )
    minimum = _account.MINIMUM_GENERATED_BYTES
    if options["generate"] is not None and options["generate"] < minimum:
        module.fail_json(
            msg=f"secrets: {path} has generate: {options['generate']}; less than {minimum} bytes can be guessed."
        )
    generation = options["generation"]
    if generation is not None and (options["generate"] is None or not 1 <= generation < 10**9):
        module.fail_json(
            msg=f"secrets: {path} has generation: {generation}: it is a number from 1 on, together with generate."
        )
    if content is not None and not str(content):
        module.fail_json(msg=f"contents: the secret for {path} is empty; give the secret, or state: absent.")
    return _account.Secret(
        path=path,
        owner=_owner(module, options, "owner"),
        group=_owner(module, options, "group"),
        mode=_mode(module, path, options["mode"]),
        generate=options["generate"],
        prefix=options["prefix"],
        content=None if content is None else str(content),
        copy_of=options["copy_of"],
        rotate=options["rotate"],
        present=present,
        generation=generation,
        replaced_mark=options["replaced_mark"],
    )


def main() -> None:
    place = {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str"},
        "group": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str"},
            "home": {"type": "path"},
            "shell": {"type": "path", "default": "/usr/sbin/nologin"},
            "comment": {"type": "str", "default": ""},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **place,
                    "mode": {"type": "str", "default": "0755"},
                    "only_if_empty": {"type": "bool", "default": False},
                    "exclusive": {"type": "bool", "default": False},
                },
            },
            "secrets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    **place,
                    "mode": {"type": "str", "default": "0400"},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "generate": {"type": "int"},
                    "prefix": {"type": "str", "default": ""},
                    "rotate": {"type": "bool", "default": False},
                    "generation": {"type": "int"},
                    "copy_of": {"type": "path"},
                    "replaced_mark": {"type": "path"},
                },
            },
            "certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "certificate": {"type": "path", "required": True},
                    "private_key": {"type": "path", "required": True, "no_log": False},
                },
            },
            "contents": {"type": "dict", "default": {}, "no_log": True},
        },
        required_by={"name": ["home"], "home": ["name"]},
        supports_check_mode=True,
    )
    name = module.params["name"]
    account = None
    if name:
        account = _account.Account(name, module.params["home"], module.params["shell"], module.params["comment"])
    directories = [
        _account.Directory(
            options["path"],
            _owner(module, options, "owner"),
            _owner(module, options, "group"),
            _mode(module, options["path"], options["mode"]),
            options["only_if_empty"],
            options["exclusive"],
        )
        for options in module.params["directories"]
    ]
    secrets = [_secret(module, options) for options in module.params["secrets"]]
    unknown = sorted(set(module.params["contents"]) - {options["path"] for options in module.params["secrets"]})
    if unknown:
        module.fail_json(msg=f"contents: {unknown[0]} is no path of a file in secrets; name it there, or correct it.")

    def run(command: list[str]) -> tuple[int, str, str]:
        return t.cast("tuple[int, str, str]", module.run_command(command))

    if module.params["state"] == "absent" and secrets:
        module.fail_json(msg="secrets: with state: absent they go with their directory; name that in directories.")
    try:
        if module.params["state"] == "absent":
            outcome = _account.remove(account, directories, run=run, check_mode=module.check_mode)
        else:
            pairs = [_account.Pair(**options) for options in module.params["certificates"]]
            outcome = _account.converge(
                account, directories, secrets, run=run, check_mode=module.check_mode, pairs=pairs
            )
    except (_account.AccountError, _files.FileError, OSError) as error:
        module.fail_json(msg=f"{name}: {error}" if name else str(error))
    for unseen in outcome.unseen:
        module.warn(f"Could not be looked at, and may be something that the account left behind: {unseen}.")
    module.exit_json(
        changed=outcome.changed,
        generated=outcome.generated,
        replaced=outcome.replaced,
        diff={
            "before": "".join(f"{line}\n" for line in outcome.before),
            "after": "".join(f"{line}\n" for line in outcome.after),
        },
    )


if __name__ == "__main__":
    main()
