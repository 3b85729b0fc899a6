# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy's unit as text: what each release of systemd is given, and that the start limit can trip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

TEMPLATE = Path(__file__).parents[3] / "roles/openclaw_proxy/templates/openclaw-proxy.service.j2"
VERSIONS = range(247, 259)
OLD = """
Description Documentation Wants After Type NotifyAccess User Group WorkingDirectory ExecStart ExecReload
Restart RestartSec RestartPreventExitStatus TimeoutStartSec TimeoutStopSec WatchdogSec KillMode TasksMax
LimitNOFILE LimitCORE UMask NoNewPrivileges ReadWritePaths ProtectHome PrivateTmp PrivateDevices DevicePolicy
ProtectKernelTunables ProtectControlGroups CapabilityBoundingSet AmbientCapabilities RestrictRealtime
RestrictAddressFamilies SystemCallArchitectures SystemCallFilter SystemCallErrorNumber WantedBy
SyslogIdentifier RuntimeDirectory RuntimeDirectoryMode FileDescriptorStoreMax ProtectSystem
"""
# The release of systemd that brought each directive or value, from its manual pages and NEWS. What is not in here is a
# directive that nobody has looked up.
SINCE = {
    **dict.fromkeys(OLD.split(), 231),
    "MemoryMax": 231,
    "ProtectKernelModules": 232,
    "PrivateUsers": 232,
    "RemoveIPC": 232,
    "RestrictNamespaces": 233,
    "StartLimitBurst": 230,
    "StartLimitIntervalSec": 230,
    "StateDirectory": 235,
    "StateDirectoryMode": 235,
    "KeyringMode": 235,
    "LockPersonality": 235,
    "LogRateLimitIntervalSec": 240,
    "LogRateLimitBurst": 240,
    "WatchdogSignal": 240,
    "ProtectHostname": 242,
    "RestrictSUIDSGID": 242,
    "OOMPolicy": 243,
    "ProtectKernelLogs": 244,
    "ProtectClock": 245,
    "ProtectProc": 247,
    "ProcSubset": 247,
    "LoadCredential": 247,
    "PrivateIPC": 248,
    "PrivateUsers=identity": 257,
}
VARIABLES: dict[str, Any] = {
    "openclaw_proxy_service": "openclaw-proxy",
    "openclaw_proxy_user": "openclaw-proxy",
    "openclaw_proxy_home": "/var/lib/openclaw-proxy",
    "openclaw_proxy_python": "/usr/bin/python3",
    "openclaw_proxy_supervisor_program": "/usr/local/lib/openclaw-proxy/openclaw_proxy_supervisor.py",
    "openclaw_proxy_supervisor_configuration": "/etc/openclaw-proxy/supervisor.json",
    "openclaw_proxy_credentials_loaded": [
        {"name": "inbound-key", "path": "/etc/openclaw-proxy/credentials/inbound-key"}
    ],
    "openclaw_proxy_start_timeout": 180,
    "openclaw_proxy_stop_timeout": 20,
    "openclaw_proxy_restart_delay": 3,
    "openclaw_proxy_watchdog": 30,
    "openclaw_proxy_memory_max": "2G",
    "openclaw_proxy_tasks_max": 512,
    "openclaw_proxy_reload": "SIGHUP",
    "openclaw_proxy_socket_activation": True,
    "openclaw_proxy_occupied": ["port 3456"],
    "openclaw_proxy_systemd_version": 252,
}


def render(**changed: Any) -> list[tuple[str, str]]:
    # As ansible.builtin.template does it.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters.update(bool=bool, to_json=json.dumps)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render({**VARIABLES, **changed})
    lines = text.partition("[X-OpenclawProxy]")[0].splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith(("#", "["))]
    assert all(separator for _name, separator, _value in pairs)
    return [(name, value) for name, _separator, value in pairs]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("changed", [{}, {"openclaw_proxy_home": "/srv/proxy"}], ids=["default", "another home"])
def test_no_release_of_systemd_is_given_what_it_does_not_know(version: int, changed: dict[str, Any]) -> None:
    for name, value in render(openclaw_proxy_systemd_version=version, **changed):
        assert name in SINCE, f"since when does systemd know {name}?"
        assert SINCE[name] <= version
        assert SINCE.get(f"{name}={value}", 0) <= version


def test_a_newer_systemd_is_given_more() -> None:
    assert "PrivateIPC" not in dict(render(openclaw_proxy_systemd_version=247))
    assert dict(render(openclaw_proxy_systemd_version=248))["PrivateIPC"] == "true"
    assert dict(render(openclaw_proxy_systemd_version=256))["PrivateUsers"] == "true"
    assert dict(render(openclaw_proxy_systemd_version=257))["PrivateUsers"] == "identity"


@pytest.mark.parametrize(
    ("start", "stop", "watchdog", "delay"), [(180, 20, 30, 3), (15, 10, 4, 1), (600, 300, 120, 60), (1, 1, 1, 0)]
)
def test_the_start_limit_trips_however_slowly_each_start_fails(
    start: int, stop: int, watchdog: int, delay: int
) -> None:
    unit = dict(
        render(
            openclaw_proxy_start_timeout=start,
            openclaw_proxy_stop_timeout=stop,
            openclaw_proxy_watchdog=watchdog,
            openclaw_proxy_restart_delay=delay,
        )
    )
    # The slowest failure: it comes up at the last moment, hangs at once, and has to be killed.
    longest = int(unit["TimeoutStartSec"]) + watchdog + int(unit["TimeoutStopSec"]) + delay
    assert int(unit["StartLimitIntervalSec"]) >= int(unit["StartLimitBurst"]) * longest
    # The supervisor keeps its own limits before systemd steps in: the command, its word and second, what is left, what
    # is still to be written.
    assert int(unit["TimeoutStopSec"]) >= stop + 2 + 1 + 5 + 2 + 2
    assert int(unit["TimeoutStartSec"]) >= start + stop


def test_what_is_not_asked_for_is_not_there() -> None:
    names = dict(render(openclaw_proxy_reload="", openclaw_proxy_socket_activation=False))
    assert "ExecReload" not in names
    assert "FileDescriptorStoreMax" not in names
    assert names["StateDirectory"] == "openclaw-proxy"
    elsewhere = dict(render(openclaw_proxy_home="/srv/proxy"))
    assert "StateDirectory" not in elsewhere
    assert elsewhere["ReadWritePaths"] == "/srv/proxy"


def test_one_dead_child_does_not_end_the_service_and_the_journal_is_not_flooded() -> None:
    unit = dict(render())
    assert unit["OOMPolicy"] == "continue"
    assert unit["KillMode"] == "mixed"
    assert unit["LogRateLimitIntervalSec"] == "30"
    assert unit["LogRateLimitBurst"] == "2000"
