# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles would put on a host, written into a directory instead: the same variables, templates and checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

ROOT = Path(__file__).resolve().parents[2]
TASKS = [
    {
        "name": "Check the proxy's variables",
        "ansible.builtin.import_role": {"name": "failclosed.openclaw.openclaw_proxy", "tasks_from": "preflight"},
    },
    {
        "name": "Check the provider's variables",
        "ansible.builtin.import_role": {"name": "failclosed.openclaw.openclaw_provider", "tasks_from": "preflight"},
    },
    *[
        {
            "name": f"Write what the role {role} would write",
            # Its own tasks would have it.
            "vars": {"role_path": str(ROOT / "roles" / role)},
            "ansible.builtin.copy": {
                "content": content,
                "dest": f"{{{{ test_output }}}}/{role}.json",
                "mode": "0600",
            },
        }
        for role, content in (
            ("openclaw_proxy", "{{ [openclaw_proxy_files, openclaw_proxy_hidden_contents] | to_json }}"),
            ("openclaw_provider", "{{ openclaw_provider_desired_config | to_json }}"),
        )
    ],
]


def render(directory: Path, variables: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The files of the proxy, and the provider's part of openclaw.json, for these variables."""
    templates = directory / "templates"
    templates.mkdir()
    for template in ROOT.glob("roles/openclaw_pro*/templates/*.j2"):
        (templates / template.name).symlink_to(template)
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "openclaw_host_info": test_bad_input.HOST,
        "test_output": str(directory),
        **variables,
    }
    (directory / "inventory.json").write_text(json.dumps({"openclaw": {"hosts": {"here": host}}}))
    play = [{"name": "Render", "hosts": "openclaw", "gather_facts": False, "tasks": TASKS}]
    (directory / "play.json").write_text(json.dumps(play))
    completed = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *["-i", str(directory / "inventory.json"), str(directory / "play.json")],
        ],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    (files, hidden), provider = (
        json.loads((directory / f"{role}.json").read_text()) for role in ("openclaw_proxy", "openclaw_provider")
    )
    return [{**file, "content": file.get("content", hidden.get(file["path"]))} for file in files], provider
