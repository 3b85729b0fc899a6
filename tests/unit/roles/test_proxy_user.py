# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles find the proxy's user and configuration as the role openclaw_proxy sets them, also in a play without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

ROLES = test_bad_input.ROOT / "roles"
# What the operator says, and the user and the directory that follow.
HOSTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "defaults": ({}, "openclaw-proxy", "/etc/openclaw-proxy"),
    "service": ({"openclaw_proxy_service": "second-proxy"}, "second-proxy", "/etc/second-proxy"),
    "all-of-them": (
        {
            "openclaw_proxy_service": "second-proxy",
            "openclaw_proxy_user": "claude",
            "openclaw_proxy_config_dir": "/etc/claude",
        },
        "claude",
        "/etc/claude",
    ),
}


def play_of(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": "Proxy", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("proxy")
    tasks: list[dict[str, Any]] = [
        {
            "name": f"Read the defaults of {role}",
            "ansible.builtin.include_vars": {"file": str(ROLES / role / "defaults/main.yml")},
        }
        for role in ("openclaw_egress", "openclaw_ingress", "openclaw_provider", "openclaw_verify")
    ]
    values = (
        "{'users': [openclaw_egress_proxy_user, openclaw_ingress_proxy_user, openclaw_verify_proxy_user],"
        " 'key': openclaw_provider_inbound_key_source, 'depends': openclaw_verify_depends_on}"
    )
    tasks.append(
        {
            "name": "Write them down",
            "ansible.builtin.copy": {
                "content": f"{{{{ {values} | to_json }}}}",
                "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
                "mode": "0600",
            },
            "check_mode": False,
        }
    )
    hosts = {name: variables for name, (variables, _user, _directory) in HOSTS.items()}
    result = test_bad_input.run_playbook(directory, play_of(tasks), hosts)
    assert result["status"] == 0, result["output"]
    return {name: json.loads((directory / f"{name}.json").read_text()) for name in HOSTS}


@pytest.mark.parametrize("name", HOSTS)
def test_the_roles_agree_with_the_proxys(found: dict[str, dict[str, Any]], name: str) -> None:
    _variables, user, directory = HOSTS[name]
    assert set(found[name]["users"]) == {user}
    assert found[name]["key"] == f"{directory}/credentials/inbound-key"
    assert directory in found[name]["depends"]


def test_the_role_openclaw_proxy_says_so() -> None:
    defaults = yaml.safe_load((ROLES / "openclaw_proxy/defaults/main.yml").read_text())
    assert defaults["openclaw_proxy_service"] == "openclaw-proxy"
    assert defaults["openclaw_proxy_user"] == "{{ openclaw_proxy_service }}"
    assert defaults["openclaw_proxy_config_dir"] == "/etc/{{ openclaw_proxy_service }}"


def test_a_gateway_with_the_user_that_the_proxys_service_names_is_refused(tmp_path: Path) -> None:
    role = {"name": "failclosed.openclaw.openclaw_gateway", "tasks_from": "variables"}
    tasks: list[dict[str, Any]] = [{"name": "Check the gateway", "ansible.builtin.include_role": role}]
    user = {"openclaw_gateway_user": "claude"}
    hosts = {"same": {**user, "openclaw_proxy_service": "claude"}, "other": user}
    result = test_bad_input.run_playbook(tmp_path, play_of(tasks), hosts)
    messages = test_bad_input.messages_by_host(result["output"])
    assert set(messages) == {"same"}, result["output"]
    assert "openclaw_gateway_user and openclaw_proxy_user are both 'claude'" in messages["same"]
