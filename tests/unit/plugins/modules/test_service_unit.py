# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import stat
import types
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.failclosed.openclaw.plugins.module_utils import _service_unit
from ansible_collections.failclosed.openclaw.plugins.modules import service_unit

# With what Python's notation of a text inside of a list would write differently.
CANARY = "CANARY-51d0 \\ 'quoted' \"twice\" \n \u00e4"
MARK = "CANARY-51d0"

# A service that runs, from 2100 on, so that only a changed file makes a restart due.
SYSTEMCTL = """#!/bin/sh
[ "$1" = show ] || exit 0
printf '%s\\n' LoadState=loaded ActiveState=active UnitFileState=enabled NeedDaemonReload=no \\
  ExecMainStartTimestampMonotonic=4102444800000000 'ExecMainStartTimestamp=Fri 2100-01-01 00:00:00 UTC'
"""


class Host:
    """Runs the module in this process, with a systemctl and a log of the host that are the test's own."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: str
    ) -> None:
        self.root = root
        self.logged: list[str] = []
        self.printed = ""
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in ("system", "programs"):
            (root / name).mkdir()
        systemctl = root / "programs/systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        monkeypatch.setenv("PATH", str(root / "programs"), prepend=os.pathsep)
        monkeypatch.setattr(_service_unit, "UNIT_DIRECTORY", str(root / "system"))
        # The last calls of Ansible before a text is the host's: which one depends on the Python there.
        monkeypatch.setattr(basic, "has_journal", log == "journal")
        monkeypatch.setattr(basic, "journal", types.SimpleNamespace(send=self._send), raising=False)
        monkeypatch.setattr(basic.syslog, "syslog", self._send)

    def _send(self, *texts: object, **fields: object) -> None:
        self.logged += map(str, (*texts, *fields.values()))

    def file(self, **options: Any) -> dict[str, Any]:
        return {"path": f"{self.root}/settings", "owner": str(os.geteuid()), "group": str(os.getegid()), **options}

    def __call__(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        self.logged.clear()
        given = {
            "name": "fc-test",
            "content": "[Service]\nExecStart=/bin/true\n",
            **arguments,
            "_ansible_check_mode": check_mode,
            "_ansible_diff": True,
        }
        self._monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        self._monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            service_unit.main()
        captured = self._capsys.readouterr()
        self.printed = captured.out + captured.err
        result: dict[str, Any] = json.loads(captured.out)
        return result


@pytest.fixture(params=["syslog", "journal"])
def host(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Host:
    return Host(tmp_path, monkeypatch, capsys, request.param)


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_hidden_content_is_neither_logged_nor_printed(host: Host, check_mode: bool) -> None:
    settings = host.root / "settings"
    for content in (CANARY, f"other {CANARY}"):
        result = host(files=[host.file()], contents={str(settings): content}, check_mode=check_mode)
        assert result["changed"] is True, result
        assert "(new content)" in result["diff"]["after"]
        assert MARK not in "\n".join(host.logged) + host.printed
        # Whoever looks there sees what is logged: the file, and that there is more.
        logged = "\n".join(host.logged)
        assert str(settings) in logged and "NOT_LOGGING_PARAMETER" in logged
        assert settings.exists() is not check_mode
    if not check_mode:
        assert settings.read_text() == f"other {CANARY}"
        assert stat.S_IMODE(settings.stat().st_mode) == 0o644


def test_the_log_would_show_it(host: Host) -> None:
    """The control: a content that is not hidden appears in all of these places."""
    host(files=[host.file(content=CANARY)])
    assert MARK in "\n".join(host.logged) and MARK in host.printed


def test_hidden_content_that_is_there_already_is_no_change(host: Host) -> None:
    arguments = {"files": [host.file()], "contents": {f"{host.root}/settings": CANARY}}
    assert [host(**arguments)["action"], host(**arguments)["action"]] == ["restart", "none"]
    assert host(**arguments)["changed"] is False
    # Shown or hidden, it is the same file.
    assert host(files=[host.file(content=CANARY)])["changed"] is False


def test_a_hidden_content_may_be_empty(host: Host) -> None:
    assert host(files=[host.file()], contents={f"{host.root}/settings": ""})["changed"] is True
    assert (host.root / "settings").read_text() == ""


def test_a_hidden_content_is_a_text(host: Host) -> None:
    result = host(files=[host.file()], contents={f"{host.root}/settings": {"key": MARK}})
    assert result["msg"] == f"contents: {host.root}/settings is a dict: give the text of the file."
    assert MARK not in "\n".join(host.logged) + host.printed
    assert not (host.root / "settings").exists()


@pytest.mark.parametrize(
    ("shown", "hidden", "message"),
    [
        ({}, {}, "has no content: give either content or a member of contents."),
        ({"content": "x"}, {"settings": MARK}, "has a content, and another in contents: give either"),
        ({"content": "x"}, {"other": MARK}, "/other is no path of a file in files; name it there, or correct it."),
    ],
)
def test_a_file_has_one_content(host: Host, shown: dict[str, str], hidden: dict[str, str], message: str) -> None:
    contents = {f"{host.root}/{name}": content for name, content in hidden.items()}
    result = host(files=[host.file(**shown)], contents=contents)
    assert result["failed"] is True and message in result["msg"]
    assert MARK not in "\n".join(host.logged) + host.printed
    assert not (host.root / "settings").exists() and not list((host.root / "system").iterdir())
