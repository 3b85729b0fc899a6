# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of each leak as files, without an OpenClaw: for the audit, and for whoever wants to look."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from leaks import ENVIRONMENT_KEY, MODEL_VARIABLE, PROFILE_KEY, Leak

from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.audited_host import AuditedHost

# What site.yml sets and the plugin's own instructions do not.
_SEED = {
    "agents": {
        "defaults": {"imageModel": None, "pdfModel": None, "subagents": None, "utilityModel": None, "modelPolicy": None}
    }
}


def write(leak: Leak, root: Path) -> AuditedHost:
    """Make the leak's host below ``root``."""
    host = AuditedHost(root)
    if leak.layout == "plain":
        host.patch(_SEED)
    host.patch(json.loads(json.dumps(leak.config).replace("{home}", str(host.home))))
    for name, text in leak.files.items():
        host.file(name, text)
    environment = {**leak.environment, **(MODEL_VARIABLE if "PLANTED_MODEL" in json.dumps(leak.config) else {})}
    if environment:
        host.process(environment)
    if leak.id == "restored-configuration":
        # Where the file may not be written to, OpenClaw does not put an older copy in its place.
        host.drop_in("[Service]\nUnsetEnvironment=OPENCLAW_CONFIG_READONLY\n")
    if leak.session:
        host.session(providerOverride="anthropic", modelOverride="claude-opus-5", modelOverrideSource="user")
    if leak.cron is not None:
        host.cron(leak.cron)
    if leak.auth_profile:
        host.auth_profile("anthropic", key=PROFILE_KEY)
    return host


def _columns(database: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """(table, column) -> type, whether NULL is refused, place in the primary key."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _number, name, kind, is_required, _default, key in connection.execute(f"PRAGMA table_info({table!r})"):
                found[table, name] = (kind, is_required, key)
    return found


def columns_that_differ(written: AuditedHost, state: Path) -> list[str]:
    """What the databases of ``written`` have otherwise than those of OpenClaw in a real state directory."""
    differences = []
    for name in ("state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite"):
        real = _columns(state / name)
        for place, properties in _columns(written.state / name).items():
            if real.get(place) != properties:
                differences.append(f"{name} {'.'.join(place)}: {properties}, in OpenClaw {real.get(place)}")
    return differences


SECRETS = (ENVIRONMENT_KEY, PROFILE_KEY)
