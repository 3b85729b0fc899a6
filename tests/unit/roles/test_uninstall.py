# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/uninstall.yml refuses what may not be removed before it removes anything, and takes nothing but its own.

The plays run in check mode on local hosts, up to the first removal.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
    interpreter,
)
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
        found = run(tmp_path, guard["tasks"], {"host": {**guard["vars"], "openclaw_hosts": hosts}})
        assert ("No host to work on" in found) is refused, found


# A gateway's user: root may not be one, and only root can become somebody else.
PERSON = pwd.getpwnam("daemon") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
ROUTED: dict[str, Any] = {
    "meta": {},
    "gateway": {"mode": "local"},
    "models": {
        "providers": {
            "anthropic-max-proxy": {
                "baseUrl": "http://127.0.0.1:4000",
                "api": "openai-responses",
                "models": [{"id": "hers", "name": "hers"}],
            }
        }
    },
    "agents": {"defaults": {"utilityModel": "", "workspace": "/x"}},
    "plugins": {"entries": {"anthropic-max-proxy": {"enabled": True}}},
}
# With what becomes empty when they go.
OWN_PATHS = ("models", "agents.defaults.utilityModel", "plugins")
NOBODY = "fc-nobody"
COPIES = "/var/backups/failclosed-openclaw"


class Adopted:
    """A gateway that somebody else runs, as a host's variables; nobody listens at its port."""

    def __init__(self, root: Path, openclaw: Path, *, text: str = json.dumps(ROUTED), **variables: Any) -> None:
        self.state = root / "state"
        plugin = self.state / "extensions/anthropic-max-proxy"
        plugin.mkdir(parents=True)
        if text:
            (self.state / "openclaw.json").write_text(text)
        if "anthropic-max-proxy" not in text:
            plugin.rmdir()
        for path in (self.state, self.state / "extensions", *self.state.glob("openclaw.json")):
            os.chown(path, PERSON.pw_uid, PERSON.pw_gid)
            path.chmod(0o600 if path.suffix else 0o700)
        self.variables = {
            "openclaw_gateway_manage": False,
            "openclaw_gateway_user": PERSON.pw_name,
            "openclaw_gateway_port": 9,
            "openclaw_gateway_node": interpreter(),
            "openclaw_gateway_package_directory": str(openclaw),
            "openclaw_gateway_state_dir": str(self.state),
            **variables,
        }


def removal(directory: Path, gateways: dict[str, Adopted]) -> str:
    """The playbook's own tasks on the gateways up to the proxy's removal, and then what would be removed beside it."""
    (play,) = [play for play in yaml.safe_load(PLAYBOOK.read_text()) if "openclaw_hosts" in play["hosts"]]
    names = [task["name"] for task in play["tasks"]]
    end = names.index("Remove the gateway, or what was added to it")
    # Where the tests run there need be no systemd.
    tasks = [task for task in play["tasks"][:end] if not task["name"].startswith("Stop a gateway")]
    known = [{**task, "when": False} for task in play["tasks"][end:] if "ansible.builtin.import_role" in task]
    listed = {
        "name": "Write down what is listed",
        "ansible.builtin.copy": {
            "content": "{{ [openclaw_verify_own_directories] | to_json }}",
            "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
            "mode": "0600",
        },
        "check_mode": False,
    }
    settings = {key: play[key] for key in ("gather_facts", "any_errors_fatal")}
    tested = [{"name": "Uninstall", "hosts": "openclaw", **settings, "tasks": [*tasks, listed, *known]}]
    hosts = {name: {**ELSEWHERE, **gateway.variables} for name, gateway in gateways.items()}
    return f"{directory}\n{test_bad_input.run_playbook(directory, tested, hosts)['output']}"


def warning_of(output: str, name: str) -> str:
    found = re.findall(rf"^ok: \[{name}\] => (\{{\n.*WARNING: .*\n\}})$", output, re.MULTILINE)
    assert len(found) <= 1, found
    return str(json.loads(found[0])["msg"]) if found else ""


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> str:
    openclaw, old = FakeOpenClaw(), FakeOpenClaw(version="2026.5.7")
    root = tmp_path_factory.mktemp("adopted")
    broken = json.dumps({**ROUTED, "ui": {"x": "INVALID"}})
    gateways = {
        "stopped": Adopted(root / "stopped", openclaw.directory),
        "account-gone": Adopted(root / "account-gone", openclaw.directory, openclaw_gateway_user=NOBODY),
        "program-gone": Adopted(root / "program-gone", Path("/nonexistent")),
        "too-old": Adopted(root / "too-old", old.directory),
        "refused": Adopted(root / "refused", openclaw.directory, text=broken),
        "no-json": Adopted(root / "no-json", openclaw.directory, text="{ anthropic-max-proxy"),
        "only-the-plugin": Adopted(root / "only-the-plugin", openclaw.directory, text=""),
        "all-gone": Adopted(root / "all-gone", Path("/nonexistent"), openclaw_gateway_user=NOBODY, text=""),
        "taken-out-before": Adopted(root / "taken-out-before", Path("/nonexistent"), text='{"gateway": {}}'),
    }
    shutil.rmtree(gateways["all-gone"].state)
    (gateways["only-the-plugin"].state / "extensions/anthropic-max-proxy").mkdir()
    output = removal(root, gateways)
    (root / "commands").write_text("\n".join(openclaw.commands()))
    return output


def edits_of(output: str, name: str) -> list[str]:
    """The tasks of the edit that would change something on a host."""
    return [
        task
        for task, text in re.findall(r"^TASK \[(?:.* : )?(.*?)\] \*+$((?:\n(?!TASK \[).*)*)", output, re.MULTILINE)
        if re.search(rf"^changed: \[{name}\]", text, re.MULTILINE) and task != "Write down what is listed"
    ]


def test_a_gateway_that_is_stopped_is_edited_with_its_own_openclaws_word(adopted: str) -> None:
    assert edits_of(adopted, "stopped") == [
        "Take back what was written into openclaw.json, and provider, plugin and key whatever was changed in them",
        "Remove the plugin",
    ]
    assert warning_of(adopted, "stopped") == ""
    assert "config validate --json" in (Path(adopted.partition("\n")[0]) / "commands").read_text()
    assert COPIES in listed_by(adopted, "stopped")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("account-gone", f"openclaw_gateway_user is '{NOBODY}', and this host has no such user"),
        ("program-gone", "No OpenClaw that could check the edit was found in /nonexistent"),
        ("too-old", "OpenClaw 2026.5.7 is installed, and 2026.8.1 is the oldest"),
        ("refused", "is already invalid to OpenClaw"),
    ],
)
def test_what_cannot_be_edited_is_left_and_named_with_its_file(adopted: str, name: str, words: str) -> None:
    warning = warning_of(adopted, name)
    directory = Path(adopted.partition("\n")[0]) / name / "state"
    assert words in warning, adopted
    assert f"{', '.join(OWN_PATHS)} in {directory}/openclaw.json; the plugin in {directory}/extensions" in warning
    assert edits_of(adopted, name) == []
    # The next run needs them, also where all data goes.
    assert COPIES not in listed_by(adopted, name)


def test_a_file_that_nobody_can_read_may_hold_everything(adopted: str) -> None:
    warning = warning_of(adopted, "no-json")
    assert "cannot be read as JSON5" in warning
    assert "models.providers.anthropic-max-proxy" in warning and "openclaw.json, as far as it is there" in warning
    assert COPIES not in listed_by(adopted, "no-json")


def test_without_a_configuration_the_plugin_goes_and_the_place_is_named(adopted: str) -> None:
    assert edits_of(adopted, "only-the-plugin") == ["Remove the plugin"]
    for name in ("only-the-plugin", "all-gone"):
        path = Path(adopted.partition("\n")[0]) / name / "state/openclaw.json"
        assert warning_of(adopted, name).startswith(f"WARNING: {path} does not exist")
        assert COPIES in listed_by(adopted, name)


def test_a_second_run_has_nothing_to_warn_of(adopted: str) -> None:
    # OpenClaw itself may have been removed in between.
    assert warning_of(adopted, "taken-out-before") == ""
    assert edits_of(adopted, "taken-out-before") == []
    assert COPIES in listed_by(adopted, "taken-out-before")


def test_no_gateway_of_somebody_else_stops_a_removal(adopted: str) -> None:
    results = re.findall(r"^(\S+)\s+: ok=.* failed=(\d+)", adopted, re.MULTILINE)
    assert len(results) == 9 and {failed for _name, failed in results} == {"0"}, adopted


def test_a_gateway_of_this_collection_is_not_removed_without_the_edit(tmp_path: Path) -> None:
    openclaw = FakeOpenClaw()
    managed = Adopted(
        tmp_path / "managed",
        openclaw.directory,
        text="{ anthropic-max-proxy",
        openclaw_gateway_manage=True,
        openclaw_uninstall_keep_data=True,
    )
    other = Adopted(tmp_path / "other", openclaw.directory)
    output = removal(tmp_path, {"managed": managed, "other": other})
    assert "cannot be read as JSON5" in test_bad_input.messages_by_host(output)["managed"]
    assert not (tmp_path / "managed.json").exists() and not (tmp_path / "other.json").exists(), output
    assert warning_of(output, "other") == "" and warning_of(output, "managed") == ""
