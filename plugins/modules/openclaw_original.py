#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: openclaw_original
short_description: Find what openclaw.json said about models before this collection wrote to it
version_added: 0.1.0
description:
  - Looks through the copies of C(openclaw.json) that M(failclosed.openclaw.openclaw_config) keeps, for the one from
    right before the provider O(provider) was last written, and compares its model defaults and agents' models with the
    file as it is now.
  - Returns a merge patch that puts back what is gone or was replaced by O(declared). Where something else stands now,
    that stays.
  - Says which model is the default from then on. Only model references and aliases are returned.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: Never changes anything.
  diff_mode:
    support: none
    description: Never changes anything, so that there is nothing to compare.
  idempotent:
    support: full
    description: Never changes anything.
options:
  path:
    description: Absolute path of C(openclaw.json).
    type: path
    required: true
  declared:
    description: The merge patch that this collection applied. What still is as declared there counts as gone.
    type: dict
    default: {}
  backup_dir:
    description: Where the copies are.
    type: path
    default: /var/backups/failclosed-openclaw
  provider:
    description: The provider that this collection added.
    type: str
    default: anthropic-max-proxy
seealso:
  - module: failclosed.openclaw.openclaw_config
"""

EXAMPLES = r"""
- name: Find what the configuration said about models before
  failclosed.openclaw.openclaw_original:
    path: /home/alice/.openclaw/openclaw.json
  register: original

- name: Put that back
  failclosed.openclaw.openclaw_config:
    path: /home/alice/.openclaw/openclaw.json
    create: false
    user: alice
    patch: "{{ original.patch }}"
"""

RETURN = r"""
found:
  description: Path of the copy that was taken; empty when there is none from before.
  type: str
  returned: always
  sample: /var/backups/failclosed-openclaw/srv-openclaw.json-991e4a529922/20261123T211006.482113Z-0c1e6fd0a1b2
patch:
  description: The merge patch that puts back what is gone.
  type: dict
  returned: always
  sample: {agents: {defaults: {model: {primary: anthropic/claude-opus-5, fallbacks: []}}}}
default_model:
  description: The default model once the patch is applied; empty when none is set, and OpenClaw chooses one.
  type: str
  returned: always
  sample: anthropic/claude-opus-5
summary:
  description: All of it in one sentence.
  type: str
  returned: always
  sample: "agents.defaults.model is anthropic/claude-opus-5 again, as it was before."
"""

import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _config_read, _files, _json5

# A model reference, an alias, a list of allowed models: nothing that a secret could look like gets through.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9*._:-]+){0,3}|")
_MAXIMUM_REFERENCE = 100
_DEFAULTS = ("model", "imageModel", "pdfModel", "utilityModel", "subagents", "models", "modelPolicy")
_AGENT = ("model", "imageModel", "pdfModel", "utilityModel", "subagents", "modelPolicy")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_plain(value: Any) -> bool:
    """Whether a value holds nothing but model references."""
    if isinstance(value, str):
        return len(value) <= _MAXIMUM_REFERENCE and _REFERENCE.fullmatch(value) is not None
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(each) for key, each in value.items())
    return isinstance(value, bool)


def missing(before: Any, now: Any, declared: Any) -> Any:
    """The merge patch that gives ``now`` what ``before`` has, where it has nothing or what was declared."""
    if now is None or (now == declared and now != before):
        return before if before is not None and before != now and _is_plain(before) else None
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return None
    ours = _object(declared)
    patch = {key: missing(value, now.get(key), ours.get(key)) for key, value in before.items()}
    return {key: value for key, value in patch.items() if value is not None} or None


def _selected(config: Any) -> dict[str, Any]:
    """The parts of a configuration that say which models are used."""
    agents = _object(_object(config).get("agents"))
    selected: dict[str, Any] = {
        "defaults": {key: value for key, value in _object(agents.get("defaults")).items() if key in _DEFAULTS}
    }
    subagents = _object(selected["defaults"].get("subagents"))
    if subagents:
        selected["defaults"]["subagents"] = {key: value for key, value in subagents.items() if key == "model"}
    entries = {
        name: {key: value for key, value in _object(entry).items() if key in _AGENT}
        for name, entry in _object(agents.get("entries")).items()
    }
    return {**selected, "entries": {name: entry for name, entry in entries.items() if entry}}


def restoration(before: Any, now: Any, declared: Any) -> dict[str, Any]:
    """The merge patch that puts back what an earlier configuration said about models, but no agent that is gone."""
    old, new, ours = _selected(before), _selected(now), _selected(declared)
    agents = _object(_object(now).get("agents"))
    existing = _object(agents.get("entries"))
    patch: dict[str, Any] = {}
    defaults = missing(old["defaults"], new["defaults"], ours["defaults"])
    if defaults:
        patch["defaults"] = defaults
    entries = {
        name: missing(entry, new["entries"].get(name, {}), ours["entries"].get(name))
        for name, entry in old["entries"].items()
        if name in existing
    }
    entries = {name: entry for name, entry in entries.items() if entry}
    if entries:
        patch["entries"] = entries
    return {"agents": patch} if patch else {}


def _copies(directory: str, path: str) -> list[tuple[str, Any]]:
    """The copies of a file, newest first, with their values; one that cannot be parsed is left out."""
    folder = posixpath.join(directory, _files.key_for(path))
    found: list[tuple[str, Any]] = []
    try:
        with _files.private_directory(folder, create=False) as descriptor:
            for name in sorted(os.listdir(descriptor), reverse=True):
                state = _files.read_file(descriptor, name)
                if state is None:
                    continue
                try:
                    found.append((posixpath.join(folder, name), _json5.loads(_json5.decode(state.content))))
                except ValueError:
                    continue
    except FileNotFoundError:
        return []
    return found


def _has_provider(config: Any, provider: str) -> bool:
    return provider in _object(_object(_object(config).get("models")).get("providers"))


def original(copies: list[tuple[str, Any]], now: Any, provider: str) -> tuple[str, Any]:
    """The copy from before the provider was written, of ``copies``, the newest first; an empty path when there is none.

    Taking the provider out is several edits, and what was copied in between has neither it nor what it took the place
    of. Such a copy is newer than one with the provider.
    """
    without = [(path, value) for path, value in copies if not _has_provider(value, provider)]
    seen = _has_provider(now, provider)
    for path, value in copies:
        if not _has_provider(value, provider):
            if seen:
                return path, value
        else:
            seen = True
    return without[0] if without and not seen else ("", {})


def _primary(config: Any) -> str:
    model = _object(_object(_object(config).get("agents")).get("defaults")).get("model")
    primary = _object(model).get("primary") if isinstance(model, Mapping) else model
    return primary if isinstance(primary, str) and _is_plain(primary) else ""


def summarize(found: str, patch: Mapping[str, Any], default: str) -> str:
    if _primary(patch):
        return f"The agents' default model is {default} again, as it was before (agents.defaults.model). Copy: {found}"
    if default:
        return f"The agents' default model is {default} (agents.defaults.model)."
    where = f"as before ({found})" if found else "and no copy from before is left that could say another"
    return (
        f"No default model is set, {where}: OpenClaw takes the first model of the first provider, or its own default."
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "declared": {"type": "dict", "default": {}},
            "backup_dir": {"type": "path", "default": _config_edit.SYSTEM_BACKUPS},
            "provider": {"type": "str", "default": "anthropic-max-proxy"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        now = _config_read.read(params["path"]).value
        copies = _copies(params["backup_dir"], params["path"])
    except (_config_read.ConfigFileError, _files.FileError, OSError) as error:
        module.fail_json(msg=f"{error}")
    before = original(copies, now, params["provider"])
    patch = restoration(before[1], now, params["declared"]) if now is not None else {}
    default = _primary(patch) or _primary(now)
    if default.startswith(f"{params['provider']}/"):
        # It goes with the provider.
        default = ""
    module.exit_json(
        changed=False,
        found=before[0],
        patch=patch,
        default_model=default,
        summary=summarize(before[0], patch, default),
    )


if __name__ == "__main__":
    main()
