# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.failclosed.openclaw.plugins.action.openclaw_verify import ActionModule, keep
from ansible_collections.failclosed.openclaw.plugins.module_utils import _verification

RECEIPT = {"format": 2, "passed": True, "compliant": None, "checks": [{"id": "routes", "detail": "Ünicode"}]}


def run(directory: str, result: dict[str, Any], *, check_mode: bool = False, host: str = "one") -> dict[str, Any]:
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"controller_dir": directory}, async_val=0, diff=False, check_mode=check_mode)
    action._play_context = SimpleNamespace(check_mode=check_mode)
    action._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    action._execute_module = lambda **_arguments: result  # type: ignore[method-assign]
    answer: dict[str, Any] = action.run(task_vars={"inventory_hostname": host})
    return answer


def test_the_copy_is_the_receipt_and_its_digest_checks(tmp_path: Path) -> None:
    directory = tmp_path / "reports" / "receipts"
    keep(directory, "one", RECEIPT)
    assert (directory / "one.json").read_bytes() == _verification.receipt_bytes(RECEIPT)
    checked = subprocess.run(["sha256sum", "--check", "one.json.sha256"], cwd=directory, check=False)
    assert checked.returncode == 0
    before = (directory / "one.json").stat().st_mtime_ns
    keep(directory, "one", RECEIPT)
    assert (directory / "one.json").stat().st_mtime_ns == before
    keep(directory, "one", {**RECEIPT, "compliant": False})
    assert json.loads((directory / "one.json").read_text())["compliant"] is False
    assert sorted(path.name for path in directory.iterdir()) == ["one.json", "one.json.sha256"]


def test_a_failed_proof_leaves_its_receipt_too(tmp_path: Path) -> None:
    result = {"failed": True, "msg": "not proven", "receipt_document": RECEIPT}
    assert run(str(tmp_path / "r"), result) == result
    assert (tmp_path / "r" / "one.json").exists()


def test_names_of_hosts_cannot_leave_the_directory(tmp_path: Path) -> None:
    run(str(tmp_path / "r"), {"receipt_document": RECEIPT}, host="../../etc/passwd")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        ".._.._etc_passwd.json",
        ".._.._etc_passwd.json.sha256",
    ]


@pytest.mark.parametrize(("directory", "check_mode"), [("", False), ("r", True)])
def test_nothing_is_written_when_nothing_is_wanted(tmp_path: Path, directory: str, check_mode: bool) -> None:
    run(str(tmp_path / directory) if directory else "", {"receipt_document": RECEIPT}, check_mode=check_mode)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="controller_dir is"):
        run(str(tmp_path / "file" / "below"), {"receipt_document": RECEIPT})
