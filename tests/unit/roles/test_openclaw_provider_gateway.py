# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway learns of another key or plugin, also after a failed run, and whatever its user's group is called."""

from __future__ import annotations

import grp
import json
import pwd
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

TASKS = test_bad_input.ROOT / "roles/openclaw_provider/tasks/main.yml"
MARK = "{{ openclaw_provider_replaced_mark }}"
PLUGIN_MARK = "{{ openclaw_provider_plugin_replaced_mark }}"


def names_of(tasks: list[dict[str, Any]]) -> list[str]:
    return [name for task in tasks for name in [task["name"], *names_of(task.get("block", []))]]


def test_the_marks_of_what_was_replaced_go_after_the_gateway_was_told() -> None:
    tasks = yaml.safe_load(TASKS.read_text())
    (secret,) = next(
        task["failclosed.openclaw.service_account"]["secrets"]
        for task in tasks
        if "failclosed.openclaw.service_account" in task
    )
    assert secret["replaced_mark"] == MARK
    (plugin,) = [task for task in tasks if "failclosed.openclaw.openclaw_plugin" in task]
    assert "openclaw_provider_plugin_replaced_mark" in plugin["failclosed.openclaw.openclaw_plugin"]["replaced_mark"]
    (removal,) = [task for task in tasks if task.get("ansible.builtin.file", {}).get("path") == "{{ item.path }}"]
    assert [item["path"] for item in removal["loop"]] == [MARK, PLUGIN_MARK]
    assert removal["ansible.builtin.file"]["state"] == "absent"
    names = names_of(tasks)
    told = [names.index("Wait until the gateway is ready again"), names.index("Have the gateway read another key")]
    assert max(told) < names.index(removal["name"])
    assert not any(task.get("ignore_errors") for task in tasks)


def test_the_gateways_command_line_has_the_number_of_its_users_group(tmp_path: Path) -> None:
    names = {group.gr_name for group in grp.getgrall()}
    account = next(each for each in pwd.getpwall() if each.pw_name not in names)
    tasks = [
        {
            "name": "Look up the account",
            "ansible.builtin.getent": {"database": "passwd", "key": "{{ openclaw_provider_user }}"},
            "register": "openclaw_provider_account",
        },
        {
            "name": "Read what the role knows",
            "ansible.builtin.include_vars": {"file": str(TASKS.parents[1] / "vars/main.yml")},
        },
        {
            "name": "Write it down",
            "ansible.builtin.copy": {
                "content": "{{ openclaw_provider_gateway_call | to_json }}",
                "dest": f"{tmp_path}/call",
                "mode": "0600",
            },
            "check_mode": False,
        },
    ]
    variables = {
        "openclaw_provider_user": account.pw_name,
        "openclaw_provider_state_dir": "/x/.openclaw",
        "openclaw_provider_command": ["openclaw"],
    }
    play = [{"name": "Call", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]
    result = test_bad_input.run_playbook(tmp_path, play, {"host": variables})
    assert (tmp_path / "call").exists(), result["output"]
    call = json.loads((tmp_path / "call").read_text())
    assert call[:4] == ["setpriv", f"--reuid={account.pw_name}", f"--regid={account.pw_gid}", "--init-groups"]
