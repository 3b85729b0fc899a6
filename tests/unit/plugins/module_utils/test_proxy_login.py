# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.failclosed.openclaw.plugins.module_utils import _proxy_login
from ansible_collections.failclosed.openclaw.plugins.modules import proxy_login

ME = pwd.getpwuid(os.getuid()).pw_name
# What Claude Code 2.1.332 printed, with the members that name a person.
LOGGED_IN = {
    "loggedIn": True,
    "authMethod": "claude.ai",
    "apiProvider": "firstParty",
    "email": "canary-somebody@example.com",
    "orgName": "canary organisation",
    "subscriptionType": "max",
    "configDirectory": "/var/lib/openclaw-proxy/.claude",
}
LOGGED_OUT = {"loggedIn": False, "authMethod": "none", "apiProvider": "firstParty", "loginExpiresAt": None}
CLAUDE = """#!{python} -I
import json, os, sys
with open({record!r}, "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, file)
print({output!r})
sys.exit({status})
"""


def make(tmp_path: Path, output: str, status: int) -> tuple[Path, Path]:
    program, record = tmp_path / "claude", tmp_path / "record.json"
    program.write_text(CLAUDE.format(python=sys.executable, record=str(record), output=output, status=status))
    program.chmod(0o755)
    return program, record


def test_logged_in_names_no_person() -> None:
    login = _proxy_login.read_answer(0, json.dumps(LOGGED_IN))
    assert (login.state, login.auth_method, login.subscription_type) == ("logged_in", "claude.ai", "max")
    assert "canary" not in repr(login)
    assert "does not prove" in login.detail


def test_logged_out() -> None:
    login = _proxy_login.read_answer(1, json.dumps(LOGGED_OUT))
    assert (login.state, login.auth_method) == ("logged_out", "")


@pytest.mark.parametrize(
    "output", ["", "Not logged in", "[]", "{}", '{"loggedIn": "yes"}', '{"loggedIn": null}', '{"loggedIn": tru']
)
def test_what_is_no_known_answer_is_unknown(output: str) -> None:
    assert _proxy_login.read_answer(0, output).state == "unknown"


@pytest.mark.parametrize("value", ["\x1b[2J", "a b", "x" * 41, "max\n", 5, None, ["max"]])
def test_only_plain_words_are_repeated(value: object) -> None:
    answer = {"loggedIn": True, "authMethod": value, "subscriptionType": value}
    login = _proxy_login.read_answer(0, json.dumps(answer))
    assert (login.state, login.auth_method, login.subscription_type) == ("logged_in", "", "")


def test_it_asks_for_the_status_and_in_this_environment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-stray")
    program, record = make(tmp_path, json.dumps(LOGGED_IN), 0)
    options = {"user": ME, "claude": str(program), "environment": {"HOME": str(tmp_path), "DISABLE_UPDATES": 1}}
    with patch_module_args(options), pytest.raises(SystemExit) as exit_status:
        proxy_login.main()
    assert exit_status.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["changed"], result["state"], result["subscription_type"]) == (False, "logged_in", "max")
    assert "canary" not in json.dumps(result)
    said = json.loads(record.read_text())
    assert said["arguments"] == ["auth", "status"]
    environment = {name: value for name, value in said["environment"].items() if not name.startswith(("LC_", "__"))}
    assert environment == {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "DISABLE_UPDATES": "1",
    }


def test_a_program_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    login = _proxy_login.ask(str(tmp_path / "claude"), ME, {}, timeout_seconds=5)
    assert (login.state, login.detail) == ("unknown", f"{tmp_path}/claude does not exist")


def test_a_user_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    program, _record = make(tmp_path, "", 0)
    login = _proxy_login.ask(str(program), "fc-absent", {}, timeout_seconds=5)
    assert login.state == "unknown"
    assert "fc-absent" in login.detail


def test_a_program_that_hangs_is_unknown(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\nsleep 60\n")
    program.chmod(0o755)
    login = _proxy_login.ask(str(program), ME, {}, timeout_seconds=0.5)
    assert login.state == "unknown"
    assert "did not end" in login.detail
