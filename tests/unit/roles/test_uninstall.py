# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/uninstall.yml refuses what may not be removed before it removes anything, and takes nothing but its own.

The plays run in check mode on local hosts, up to the first removal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

PLAYBOOK = test_bad_input.ROOT / "playbooks/uninstall.yml"
ABSENT = "fc-absent"
ELSEWHERE: dict[str, Any] = {
    "openclaw_gateway_user": ABSENT,
    "openclaw_proxy_user": ABSENT,
    "openclaw_ingress_user": ABSENT,
    "openclaw_uninstall_keep_data": False,
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "proxy-configuration": (
        {"openclaw_proxy_config_dir": "/etc/nginx"},
        "/etc/nginx: is not a directory of one service",
    ),
    "proxy-home": ({"openclaw_proxy_home": "/home/alice"}, "/home/alice: is not a directory of one service"),
    "gateway-programs": ({"openclaw_gateway_install_dir": "//usr"}, "//usr: is not a directory of one service"),
    "gateway-state": (
        {"openclaw_gateway_state_dir": "/var/lib/dpkg"},
        "/var/lib/dpkg: is not a directory of one service",
    ),
    "receipt": ({"openclaw_verify_receipt": "/etc/cron.d"}, "/etc/cron.d: is not a directory of one service"),
}


def run(directory: Path, tasks: list[dict[str, Any]], hosts: dict[str, dict[str, Any]]) -> str:
    play = [{"name": "Uninstall", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]
    variables = {name: {**ELSEWHERE, **given} for name, given in hosts.items()}
    return str(test_bad_input.run_playbook(directory, play, variables)["output"])


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("uninstall")
    plays = yaml.safe_load(PLAYBOOK.read_text())
    gateways = next(play for play in plays if "openclaw_hosts" in play["hosts"])
    (refusal,) = [task for task in gateways["tasks"] if task["name"].startswith("Refuse what may not be removed")]
    removals = [task for task in gateways["tasks"] if task["name"].startswith(("Stop a gateway", "Take", "Remove"))]
    assert gateways["tasks"].index(refusal) < min(gateways["tasks"].index(task) for task in removals)
    # Parsed, and not run: it is how the playbook knows the roles' variables.
    known = [{**task, "when": False} for task in removals if "ansible.builtin.import_role" in task]
    # Those that were listed are written down one by one.
    listed = {
        "name": "Write down what is listed",
        "ansible.builtin.copy": {
            "content": "{{ [openclaw_gateway_own_directories, openclaw_verify_own_directories] | to_json }}",
            "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
            "mode": "0600",
        },
        "check_mode": False,
    }
    hosts = {name: variables for name, (variables, _words) in REFUSED.items()}
    hosts["nothing-wrong"] = {}
    hosts["receipt-of-a-person"] = {"openclaw_verify_receipt": "/home/alice/receipt.json"}
    hosts["state-elsewhere"] = {"openclaw_gateway_state_dir": "/srv/openclaw-state"}
    found = run(directory, [listed, refusal, *known], hosts)
    return f"{directory}\n{found}"


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_not_be_removed_is_refused(output: str, name: str) -> None:
    # Ansible prints what a loop's item failed with; nothing else names the path together with these words.
    assert REFUSED[name][1] in output
    assert f"failed: [{name}]" in output


@pytest.mark.parametrize("name", ["nothing-wrong", "receipt-of-a-person", "state-elsewhere"])
def test_what_belongs_to_the_service_is_not_refused(output: str, name: str) -> None:
    assert f"[{name}]" in output and f"failed: [{name}]" not in output and f"fatal: [{name}]" not in output, output


def listed_by(output: str, name: str) -> dict[str, bool]:
    lists = json.loads((Path(output.partition("\n")[0]) / f"{name}.json").read_text())
    return {each["path"]: each.get("only_if_empty", False) for found in lists for each in found}


def test_of_the_receipts_directory_only_the_receipt_goes(output: str) -> None:
    listed = listed_by(output, "receipt-of-a-person")
    assert listed["/home/alice/receipt.json"] is False
    assert listed["/home/alice"] is True
    assert listed["/var/lib/failclosed-openclaw"] is False


def test_a_state_directory_outside_of_the_home_goes_with_the_data(output: str) -> None:
    assert listed_by(output, "state-elsewhere")["/srv/openclaw-state"] is False
    assert not any(path.endswith("/.openclaw") for path in listed_by(output, "nothing-wrong"))


def test_the_login_helper_goes_with_the_proxy() -> None:
    tasks = yaml.safe_load((test_bad_input.ROOT / "roles/openclaw_proxy/tasks/absent.yml").read_text())
    paths = [each["path"] for each in tasks[0]["failclosed.openclaw.service_unit"]["files"]]
    assert "{{ openclaw_proxy_login_program }}" in paths


def test_an_inventory_without_hosts_is_refused(tmp_path: Path) -> None:
    (guard, *_rest) = yaml.safe_load(PLAYBOOK.read_text())
    for hosts, refused in (("openclaw", False), ("openclow", True)):
        found = run(tmp_path, guard["tasks"], {"host": {"openclaw_hosts": hosts}})
        assert ("No host to work on" in found) is refused, found
