# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registered variable outlives its play and wins over `vars`: one name must not be used for both.

https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_variables.html#understanding-variable-precedence
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(
    path
    for directory in ("extensions", "playbooks", "roles", "tests/proof")
    for path in (ROOT / directory).rglob("*.yml")
)


def names(node: Any) -> tuple[set[str], set[str]]:
    """What a parsed YAML file registers or sets as a fact, and what it names under `vars`."""
    registered: set[str] = set()
    scoped: set[str] = set()
    if isinstance(node, dict):
        if isinstance(node.get("register"), str):
            registered.add(node["register"])
        if isinstance(node.get("ansible.builtin.set_fact"), dict):
            registered.update(node["ansible.builtin.set_fact"])
        if isinstance(node.get("vars"), dict):
            scoped.update(node["vars"])
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        below = names(child)
        registered |= below[0]
        scoped |= below[1]
    return registered, scoped


def clashes(documents: dict[str, Any]) -> dict[str, list[str]]:
    """Names that are used for both: the files that do it."""
    registered: dict[str, set[str]] = defaultdict(set)
    scoped: dict[str, set[str]] = defaultdict(set)
    for where, document in documents.items():
        for kind, found in zip((registered, scoped), names(document)):
            for name in found:
                kind[name].add(where)
    return {name: sorted(registered[name] | scoped[name]) for name in sorted(registered.keys() & scoped.keys())}


def test_no_registered_variable_has_the_name_of_one_under_vars() -> None:
    documents = {str(path.relative_to(ROOT)): yaml.safe_load(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(documents) > 50
    assert clashes(documents) == {}


@pytest.mark.parametrize(
    "second",
    [
        [{"hosts": "all", "vars": {"proof_before": 1}}],
        [{"hosts": "all", "tasks": [{"block": [{"ansible.builtin.debug": {}, "vars": {"proof_before": 1}}]}]}],
    ],
)
def test_a_clash_between_two_files_is_seen(second: Any) -> None:
    first = [{"hosts": "all", "tasks": [{"ansible.builtin.command": "true", "register": "proof_before"}]}]
    assert clashes({"a.yml": first, "b.yml": second}) == {"proof_before": ["a.yml", "b.yml"]}
    assert clashes({"a.yml": first}) == {}
