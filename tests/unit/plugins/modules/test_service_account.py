# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils import basic

from ansible_collections.failclosed.openclaw.plugins.modules import service_account

Run = Callable[..., "dict[str, Any]"]
USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the module in this process, where no program is found that could change an account."""
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))

    def start(*, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check_mode}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            service_account.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return start


@pytest.mark.parametrize("check_mode", [False, True])
def test_account_of_the_distribution_is_refused_and_nothing_is_made(run: Run, tmp_path: Path, check_mode: bool) -> None:
    found = pwd.getpwnam("proxy")
    own = tmp_path / "own"
    result = run(name="proxy", home="/var/lib/fc-absent", directories=[{"path": str(own)}], check_mode=check_mode)
    assert result["failed"] is True
    assert result["msg"].startswith(f"proxy: user proxy is there already, with uid {found.pw_uid}: below 100 ")
    assert not own.exists() and pwd.getpwnam("proxy") == found


@pytest.mark.parametrize("check_mode", [False, True])
def test_directory_of_the_system_is_refused_and_nothing_is_made(run: Run, tmp_path: Path, check_mode: bool) -> None:
    (tmp_path / "to-etc").symlink_to("/etc")
    foreign = f"{tmp_path}/to-etc/nginx"
    directories = [{"path": path, "owner": USER, "group": "root"} for path in (str(tmp_path / "own"), foreign)]
    result = run(directories=directories, check_mode=check_mode)
    assert result["failed"] is True
    assert result["msg"].startswith(f"{foreign}: is not a directory of one service alone, so its owner and mode")
    assert not (tmp_path / "own").exists()


def test_directory_of_the_service_is_made(run: Run, tmp_path: Path) -> None:
    directories = [{"path": str(tmp_path / "own"), "owner": USER, "group": "root", "mode": "0750"}]
    assert run(directories=directories)["changed"] is True
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o750
    assert run(directories=directories)["changed"] is False
