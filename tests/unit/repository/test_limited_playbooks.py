# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With --limit Ansible leaves out localhost: what a playbook checks or reports there must not go with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCAL = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    # Nobody is this user: the hosts can be asked, and the answer is "unknown".
    "openclaw_gateway_user": "fc-absent",
}
INVENTORY = {
    "openclaw": {"hosts": {"first": LOCAL, "second": {**LOCAL, "openclaw_provider_fail_closed": False}}},
    "others": {"hosts": {"other": LOCAL}},
}


def run(directory: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "inventory.json").write_text(json.dumps(INVENTORY))
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(directory / "inventory.json"),
            *arguments,
            str(ROOT / "playbooks" / playbook),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
            "PWD": str(directory),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        },
    )


def audited(directory: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = run(directory, "audit.yml", *arguments)
    report = directory / "reports" / "audit.json"
    assert report.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(report.read_text()), done.stdout


def test_an_audit_reports_on_every_host(tmp_path: Path) -> None:
    status, document, output = audited(tmp_path)
    assert status != 0
    assert (document["unknown"], document["outside_limit"]) == (["first", "second"], [])
    assert "0 drifted, 2 unknown, 0 compliant" in output
    # What somebody wants otherwise is said even of a host that nothing else is known of.
    assert [each["fail_closed"] for each in document["hosts"]] == [True, False]
    assert "openclaw_provider_fail_closed is false" in output
    assert "<code>openclaw_provider_fail_closed</code> is false" in (tmp_path / "reports" / "audit.html").read_text()


def test_an_audit_of_some_hosts_reports_on_them_and_names_the_others(tmp_path: Path) -> None:
    status, document, output = audited(tmp_path, "--limit", "first")
    assert status != 0
    assert (document["unknown"], document["outside_limit"]) == (["first"], ["second"])
    assert "not looked at, outside --limit: second" in output
    # Whoever closed the directory to others finds it closed.
    (tmp_path / "reports").chmod(0o700)
    assert audited(tmp_path, "--limit", "first", "-e", '{"openclaw_audit_fail_on": ["drifted"]}')[0] == 0
    assert (tmp_path / "reports").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("playbook", ["audit.yml", "drill.yml", "site.yml", "uninstall.yml"])
def test_a_limit_that_leaves_no_host_is_refused(tmp_path: Path, playbook: str) -> None:
    done = run(tmp_path, playbook, "--limit", "other")
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert "leaves none of" in output
    assert "other" in output
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("playbook", ["audit.yml", "drill.yml", "site.yml", "uninstall.yml"])
def test_a_group_that_has_no_host_is_refused(tmp_path: Path, playbook: str) -> None:
    done = run(tmp_path, playbook, "-e", "openclaw_hosts=nobody")
    assert done.returncode != 0
    assert "the inventory has no hosts that match 'nobody'" in " ".join(done.stdout.split())
