# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host for the audit: a configuration as the roles write it, databases as OpenClaw 2026.9.6 makes them, a unit."""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _audit,
    _merge_patch,
    _openclaw,
)

TODAY = datetime.date(2026, 11, 26)
PROXY = "anthropic-max-proxy"
DEFAULT = f"{PROXY}/claude-opus-4.6"
PINNED = {"primary": DEFAULT, "fallbacks": []}

# What site.yml leaves on a host with the default variables.
CONVERGED: dict[str, Any] = {
    "meta": {"migrations": {"modelPolicyAllowlist": True, "utilityModelSeparation": True}},
    "gateway": {
        "mode": "local",
        "port": 18789,
        "bind": "loopback",
        "auth": {"mode": "token", "token": {"source": "file", "provider": "gateway-token", "id": "value"}},
    },
    "secrets": {
        "providers": {
            "gateway-token": {"source": "file", "path": "/etc/openclaw/credentials/t", "mode": "singleValue"},
            "proxy-inbound-key": {"source": "file", "path": "/etc/openclaw/credentials/k", "mode": "singleValue"},
        }
    },
    "models": {
        "providers": {
            PROXY: {
                "baseUrl": "http://127.0.0.1:3456",
                "api": "anthropic-messages",
                "apiKey": {"source": "file", "provider": "proxy-inbound-key", "id": "value"},
                "models": [
                    {"id": "claude-opus-4.6", "name": "claude-opus-4.6", "input": ["text", "image"]},
                    {"id": "claude-sonnet-4.5", "name": "claude-sonnet-4.5", "input": ["text", "image"]},
                ],
            }
        }
    },
    "agents": {
        "defaults": {
            "model": PINNED,
            "imageModel": PINNED,
            "pdfModel": PINNED,
            "subagents": {"model": PINNED},
            "utilityModel": "",
            "modelPolicy": {"allow": [f"{PROXY}/*"]},
            "models": {DEFAULT: {"alias": "claude-max-proxy"}, f"{PROXY}/claude-sonnet-4.5": {}},
        }
    },
    "plugins": {
        "entries": {
            PROXY: {
                "enabled": True,
                "config": {
                    "autoStart": False,
                    "command": ["bunx", "opencode-claude-max-proxy"],
                    "host": "127.0.0.1",
                    "port": 3456,
                    "models": ["claude-opus-4.6", "claude-sonnet-4.5"],
                },
            }
        }
    },
}

UNIT = """\
[Service]
User={user}
ExecStart=/opt/openclaw/node/current/bin/node /opt/openclaw/gateway/current/dist/index.js gateway --port 18789
Environment="HOME={home}"
Environment="NO_PROXY=127.0.0.1,localhost,::1"
Environment=OPENCLAW_CONFIG_READONLY=1
UnsetEnvironment=ANTHROPIC_API_KEY
"""

_SHARED_TABLES = """
CREATE TABLE config_machine_state (state_key TEXT NOT NULL PRIMARY KEY, value_json TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL, enabled INTEGER NOT NULL,
  payload_kind TEXT NOT NULL, job_json TEXT NOT NULL, updated_at INTEGER NOT NULL,
  PRIMARY KEY (store_key, job_id)) STRICT;
CREATE TABLE secret_store_entries (scope_kind TEXT NOT NULL, scope_id TEXT NOT NULL, name TEXT NOT NULL,
  value TEXT NOT NULL, kind TEXT NOT NULL, deleted_at_ms INTEGER, PRIMARY KEY (scope_kind, scope_id, name)) STRICT;
"""
_AGENT_TABLES = """
CREATE TABLE session_nodes (session_key TEXT NOT NULL PRIMARY KEY, current_session_id TEXT NOT NULL,
  entry_json TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT;
CREATE TABLE auth_profile_store (store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT NOT NULL,
  updated_at INTEGER NOT NULL) STRICT;
"""


class AuditedHost:
    """The files of one host below ``root``. Every method that adds something returns the host."""

    def __init__(self, root: Path, *, config: Any = None) -> None:
        self.home = root / "home"
        self.state = self.home / ".openclaw"
        self.units = root / "units"
        self.proc = root / "proc"
        for directory in (self.state, self.units, self.proc):
            directory.mkdir(parents=True, mode=0o700)
        self.config = self.state / "openclaw.json"
        self.account = _openclaw.Account("gateway", os.geteuid(), os.getegid(), (os.getegid(),), str(self.home))
        (self.units / "openclaw-gateway.service").write_text(UNIT.format(user=self.account.name, home=self.home))
        self.write(CONVERGED if config is None else config)

    def write(self, config: Any) -> AuditedHost:
        self.config.write_text(json.dumps(config, indent=2))
        return self

    def patch(self, patch: Mapping[str, Any]) -> AuditedHost:
        return self.write(_merge_patch.apply(json.loads(self.config.read_text()), patch))

    def file(self, name: str, text: str) -> AuditedHost:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def drop_in(self, text: str) -> AuditedHost:
        directory = self.units / "openclaw-gateway.service.d"
        directory.mkdir(exist_ok=True)
        (directory / "local.conf").write_text(text)
        return self

    def process(self, environment: Mapping[str, str]) -> AuditedHost:
        directory = self.proc / "4242"
        directory.mkdir()
        (directory / "cmdline").write_bytes(b"openclaw-gateway\0")
        (directory / "environ").write_text("".join(f"{name}={value}\0" for name, value in environment.items()))
        return self

    def _database(self, path: Path, tables: str, statements: Sequence[tuple[str, tuple[Any, ...]]]) -> AuditedHost:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            if is_new:
                connection.executescript(tables)
            for statement, values in statements:
                connection.execute(statement, values)
            connection.commit()
        return self

    def shared(self, *statements: tuple[str, tuple[Any, ...]]) -> AuditedHost:
        return self._database(self.state / "state" / "openclaw.sqlite", _SHARED_TABLES, statements)

    def agent(self, *statements: tuple[str, tuple[Any, ...]]) -> AuditedHost:
        return self._database(
            self.state / "agents" / "main" / "agent" / "openclaw-agent.sqlite", _AGENT_TABLES, statements
        )

    def session(self, identifier: str = "5d1c9be1", **entry: Any) -> AuditedHost:
        values = (f"agent:main:{identifier}", identifier, json.dumps({"sessionId": identifier, **entry}), 0)
        return self.agent(("INSERT INTO session_nodes VALUES (?, ?, ?, ?)", values))

    def auth_profile(self, provider: str, **credential: Any) -> AuditedHost:
        store = {"profiles": {f"{provider}:default": {"type": "api_key", "provider": provider, **credential}}}
        values = ("authProfiles.store", json.dumps(store), 0)
        return self.shared(("INSERT INTO config_machine_state VALUES (?, ?, ?)", values))

    def cron(self, payload: Mapping[str, Any], *, enabled: bool = True, identifier: str = "nightly") -> AuditedHost:
        values = ("default", identifier, "nightly", int(enabled), payload["kind"], json.dumps({"payload": payload}), 0)
        return self.shared(("INSERT INTO cron_jobs VALUES (?, ?, ?, ?, ?, ?, ?)", values))

    def secret(self, name: str, value: str) -> AuditedHost:
        values = ("team", "", name, value, "env", None)
        return self.shared(("INSERT INTO secret_store_entries VALUES (?, ?, ?, ?, ?, ?)", values))

    @property
    def subject(self) -> _audit.Subject:
        return _audit.Subject(self.account, str(self.config), str(self.state), PROXY, "http://127.0.0.1:3456")

    def audit(self, **options: Any) -> _audit.Report:
        settings: dict[str, Any] = {"today": TODAY, "unit_directories": [str(self.units)], "proc": str(self.proc)}
        return _audit.audit(self.subject, **{**settings, **options})

    def ids(self, **options: Any) -> list[str]:
        """The ids of all findings and unknowns, sorted, each once."""
        report = self.audit(**options)
        return sorted({each.id for each in report.findings} | {each.id for each in report.unknown})
