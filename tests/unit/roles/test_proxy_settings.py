# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role hands to the supervisor and to the login helper for each proxy, as Ansible makes it of the variables.

Every case is a host of one run, so that Ansible starts once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

ROOT = Path(__file__).resolve().parents[3]
WORKS = {"openclaw_proxy_works_interval": 3600}
UNLOCKED = {"openclaw_proxy_inbound_key": False}
PRIVATE = "http://user:canary-9d3e@192.0.2.1:3128"
CUSTOM = {"openclaw_proxy_implementation": "custom", "openclaw_proxy_command": ["/usr/bin/proxy"], **WORKS}
CASES: dict[str, dict[str, Any]] = {
    "litellm": {**test_bad_input.KEY, **WORKS},
    "litellm-without-a-key": {**test_bad_input.KEY, **WORKS, **UNLOCKED},
    "litellm-with-a-map": {**test_bad_input.KEY, **WORKS, "openclaw_proxy_model_map": {"mine": "claude-opus-4-6"}},
    "ccproxy-api": {
        "openclaw_proxy_implementation": "ccproxy-api",
        "openclaw_proxy_environment": {"HTTPS_PROXY": PRIVATE},
        **WORKS,
    },
    "claude-max-api-proxy": {"openclaw_proxy_implementation": "claude-max-api-proxy", **WORKS, **UNLOCKED},
    "claude-max-api-proxy-token": {
        "openclaw_proxy_implementation": "claude-max-api-proxy",
        "openclaw_proxy_credential": "token",
        "openclaw_proxy_upstream_token": "sk-ant-canary-77aa",
        **UNLOCKED,
    },
    "responses": {**CUSTOM, **UNLOCKED, "openclaw_proxy_api": "openai-responses", "openclaw_proxy_base_path": "/v1"},
    "own-login": {**CUSTOM, **UNLOCKED, "openclaw_proxy_login_command": ["/usr/bin/proxy", "--who"]},
    "litellm-shown": {**test_bad_input.KEY, "openclaw_proxy_secure_logging": False},
    "wrong-credential": {**test_bad_input.KEY, "openclaw_proxy_credential": "foo"},
}
MADE = {
    "settings": "{{ openclaw_proxy_supervisor_settings }}",
    "files": "{{ openclaw_proxy_files }}",
    "hidden": "{{ openclaw_proxy_hidden_contents }}",
    "login_program": "{{ openclaw_proxy_login_program }}",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("settings")
    (directory / "templates").symlink_to(ROOT / "roles/openclaw_proxy/templates")
    tasks = [
        {
            "name": "Check",
            "ansible.builtin.import_role": {"name": "failclosed.openclaw.openclaw_proxy", "tasks_from": "preflight"},
        },
        {
            "name": "Write down what is made of the variables",
            "ansible.builtin.copy": {
                "dest": f"{directory}/{{{{ inventory_hostname }}}}.made",
                "content": "{{ made | to_json }}",
                "mode": "0600",
            },
            "vars": {"role_path": str(ROOT / "roles/openclaw_proxy"), "made": MADE},
            "check_mode": False,
        },
    ]
    play = [{"name": "Make", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]
    hosts = {name: {"openclaw_host_info": test_bad_input.HOST, **variables} for name, variables in CASES.items()}
    result = test_bad_input.run_playbook(directory, play, hosts)
    found = {path.stem: json.loads(path.read_text()) for path in directory.glob("*.made")}
    return {**found, "output": result["output"]}


def of(made: dict[str, Any], name: str) -> dict[str, Any]:
    assert name in made, made["output"][-4000:]
    settings: dict[str, Any] = made[name]["settings"]
    return settings


@pytest.mark.parametrize(
    ("name", "path", "model", "header"),
    [
        ("litellm", "/v1/messages", "claude-opus-4.6", "x-api-key"),
        ("litellm-without-a-key", "/v1/messages", "claude-opus-4.6", None),
        ("litellm-with-a-map", "/v1/messages", "mine", "x-api-key"),
        ("ccproxy-api", "/claude/v1/messages", "claude-opus-4-6", "Authorization"),
        ("claude-max-api-proxy", "/v1/chat/completions", "claude-opus-4", None),
        ("responses", "/v1/responses", "claude-opus-4.6", None),
    ],
)
def test_the_real_request_is_one_that_the_proxy_takes(
    made: dict[str, Any], name: str, path: str, model: str, header: str | None
) -> None:
    works = of(made, name)["works"]
    assert (works["path"], works["body"]["model"], works.get("header")) == (path, model, header)
    assert works.get("credential") == ("inbound-key" if header else None)
    if name == "responses":
        assert works["body"] == {"max_output_tokens": 16, "input": "ping", "model": model}


@pytest.mark.parametrize("name", [name for name in CASES if name != "wrong-credential"])
def test_the_supervisor_takes_its_settings(made: dict[str, Any], name: str, tmp_path: Path) -> None:
    path = tmp_path / "supervisor.json"
    path.write_text(json.dumps(of(made, name)))
    specification = importlib.util.spec_from_file_location(
        "openclaw_proxy_supervisor", ROOT / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
    )
    assert specification is not None
    assert specification.loader is not None
    supervisor = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = supervisor
    try:
        specification.loader.exec_module(supervisor)
        assert supervisor.read_configuration(str(path)).port == 3456
    finally:
        del sys.modules[specification.name]


def test_the_configuration_is_hidden_unless_it_shall_be_shown(made: dict[str, Any]) -> None:
    shown, hidden = ({file["path"]: file for file in made[name]["files"]} for name in ("litellm-shown", "litellm"))
    supervisor, litellm = "/etc/openclaw-proxy/supervisor.json", "/etc/openclaw-proxy/litellm.yaml"
    assert shown.keys() == hidden.keys() and made["litellm-shown"]["hidden"] == {}
    assert made["litellm"]["hidden"].keys() == {supervisor, litellm}
    assert json.loads(made["litellm"]["hidden"][supervisor]) == of(made, "litellm")
    for path, file in hidden.items():
        is_configuration = path in (supervisor, litellm)
        assert ("content" in file) is not is_configuration and isinstance(shown[path]["content"], str)
        assert not is_configuration or (file["mode"], file["group"]) == ("0640", "openclaw-proxy")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("ccproxy-api", ["/opt/openclaw-proxy/claude/current/bin/claude", "auth", "status"]),
        ("claude-max-api-proxy-token", None),
        ("litellm", None),
        ("own-login", ["/usr/bin/proxy", "--who"]),
    ],
)
def test_the_login_is_asked_for_where_there_is_one(made: dict[str, Any], name: str, command: list[str] | None) -> None:
    assert of(made, name).get("login", {}).get("command") == command


def test_a_wrong_credential_is_named(made: dict[str, Any]) -> None:
    assert "wrong-credential" not in made
    message = test_bad_input.messages_by_host(made["output"])["wrong-credential"]
    assert "openclaw_proxy_credential is 'foo': it is login, token or api_key" in message


SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$@" >> {log}
while [ "${{1#--}}" != "$1" ]; do shift; done
exec "$@"
"""


def test_the_login_helper_has_the_proxys_variables_and_shows_none(made: dict[str, Any], tmp_path: Path) -> None:
    settings = of(made, "ccproxy-api")
    files = {each["path"]: each for each in made["ccproxy-api"]["files"]}
    file = files[made["ccproxy-api"]["login_program"]]
    assert file["mode"] == "0700"
    assert settings["environment"]["HTTPS_PROXY"] == PRIVATE
    assert "canary" not in file["content"]
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    claude = tmp_path / "claude"
    claude.write_text('#!/bin/sh\necho "$*|$HTTPS_PROXY|$ANTHROPIC_API_KEY"\n')
    (bin_directory / "id").write_text("#!/bin/sh\necho 0\n")
    (bin_directory / "systemd-run").write_text(SYSTEMD_RUN.format(log=tmp_path / "arguments"))
    settings["login"]["command"] = ["/bin/echo", '{"loggedIn": false, "email": "me@example.com"}']
    (tmp_path / "supervisor.json").write_text(json.dumps(settings))
    text = file["content"]
    for old, new in (
        ("/usr/bin/systemd-run", bin_directory / "systemd-run"),
        ("/etc/openclaw-proxy/supervisor.json", tmp_path / "supervisor.json"),
        ("/opt/openclaw-proxy/claude/current/bin/claude", claude),
        (
            "/usr/local/lib/openclaw-proxy/openclaw_proxy_supervisor.py",
            ROOT / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py",
        ),
    ):
        assert old in text
        text = text.replace(old, str(new))
    helper = tmp_path / "openclaw-proxy-login"
    helper.write_text(text)
    for program in (claude, helper, *bin_directory.iterdir()):
        program.chmod(0o755)

    def run(action: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{bin_directory}:{os.environ['PATH']}", "ANTHROPIC_API_KEY": "stray"}
        return subprocess.run(
            [str(helper), action], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    assert run("login").stdout.splitlines()[0] == f"auth login|{PRIVATE}|"
    status = run("status")
    assert (status.returncode, status.stdout) == (1, "logged-out (echo)\n")
    assert "canary" not in (tmp_path / "arguments").read_text()
