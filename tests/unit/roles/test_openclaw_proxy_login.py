# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the login helper has claude run with stands in no program and no command line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

PASSWORD = 'canary-"5a1b"\\$x`y %h'
IMPLEMENTATIONS = ("opencode-claude-max-proxy", "litellm")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("login")
    role = test_bad_input.ROOT / "roles/openclaw_proxy"
    # Where a lookup outside of the role looks for its templates.
    (directory / "templates").symlink_to(role / "templates")
    tasks = [
        {
            "name": "Parse the role",
            "ansible.builtin.import_role": {"name": "failclosed.openclaw.openclaw_proxy", "tasks_from": "gateway"},
            "when": False,
        },
        {
            "name": "Read what is known of the proxy",
            "ansible.builtin.include_vars": {
                "file": f"{role}/vars/supported/{{{{ openclaw_proxy_implementation }}}}.yml",
            },
        },
        {
            "name": "Write the files down",
            "ansible.builtin.copy": {
                "content": "{{ openclaw_proxy_program_files | to_json }}",
                "dest": f"{directory}/{{{{ inventory_hostname }}}}.files",
                "mode": "0600",
            },
            "check_mode": False,
            "vars": {"role_path": str(role)},
        },
    ]
    hosts = {
        name: {
            **test_bad_input.KEY,
            "openclaw_host_info": test_bad_input.HOST,
            "openclaw_proxy_implementation": name,
            "openclaw_proxy_environment": {"HTTPS_PROXY": PASSWORD},
        }
        for name in IMPLEMENTATIONS
    }
    play = [{"name": "Files", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]
    output = test_bad_input.run_playbook(directory, play, hosts)["output"]
    found = {}
    for name in IMPLEMENTATIONS:
        path = directory / f"{name}.files"
        assert path.exists(), output
        found[name] = {each["path"]: each for each in json.loads(path.read_text())}
    return found


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_no_setting_is_in_the_helper(files: dict[str, dict[str, Any]], name: str) -> None:
    assert files[name]["/usr/local/sbin/openclaw-proxy-login"]["mode"] == "0700"
    assert not [path for path, each in files[name].items() if "canary" in each["content"]]


def test_the_command_line_of_the_helper_has_no_setting(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    recorded, program = tmp_path / "recorded", tmp_path / "systemd-run"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{recorded}\n')
    program.chmod(0o755)
    text = files[IMPLEMENTATIONS[0]]["/usr/local/sbin/openclaw-proxy-login"]["content"]
    assert text.count("/usr/bin/systemd-run") == 1
    identity = tmp_path / "id"
    identity.write_text("#!/bin/sh\necho 0\n")
    identity.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", text.replace("/usr/bin/systemd-run", str(program)), "helper", "login"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "ANTHROPIC_API_KEY": "canary-of-the-session"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    arguments = recorded.read_text().splitlines()
    assert "canary" not in recorded.read_text()
    assert arguments[-4:] == ["--become", "/opt/openclaw-proxy/claude/current/bin/claude", "auth", "login"]
