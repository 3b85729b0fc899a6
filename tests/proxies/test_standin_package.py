# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tarball that no registry has: locked by the playbook, installed by the role's module, started as the file says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standin_package
import yaml
from ansible.module_utils.testing import patch_module_args
from openclaw_under_test import free_port, required_environment

from ansible_collections.failclosed.openclaw.plugins.modules import locked_release

pytestmark = pytest.mark.registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that the user who installs can reach."""
    path = Path(tempfile.mkdtemp(prefix="standin-package-"))
    path.chmod(0o755)
    old = os.umask(0o022)
    yield path
    os.umask(old)
    shutil.rmtree(path)


def lock(directory: Path, archive: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            str(ROOT / "playbooks/lock_proxy.yml"),
            *["-e", "openclaw_proxy_implementation=meridian"],
            *["-e", "openclaw_proxy_lock_dir=lock"],
            *["-e", f"openclaw_proxy_package_archive={archive.name}"],
        ],
        cwd=directory,
        env={**os.environ, "PWD": str(directory), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def call(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args({"timeout": 300, **options}), pytest.raises(SystemExit):
        locked_release.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def ask(port: int, path: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode() if body else None, headers={"x-api-key": key}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_tarball_goes_the_way_of_every_package(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = standin_package.make("@rynfar/meridian", directory)
    made = lock(directory, archive)
    assert made.returncode == 0, made.stdout + made.stderr

    node = required_environment("FAILCLOSED_NODE")
    options = {
        "path": str(directory / "release"),
        "manager": "npm",
        "package_json": (directory / "lock/package.json").read_text(),
        "package_lock": (directory / "lock/package-lock.json").read_text(),
        "node": node,
        "archives_dir": str(directory / "lock/archives"),
    }
    # The registry has no such package, so it can only come from the tarball: without it the install fails.
    without = call(capsys, **{**options, "archives_dir": None})
    assert without["failed"]
    assert "404" in without["msg"]
    result = call(capsys, **options)
    assert not result.get("failed"), result
    assert result["versions"] == {"@rynfar/meridian": standin_package.VERSION}
    assert (directory / "release/current/node_modules/is-number/package.json").is_file()
    again = call(capsys, **options)
    assert (again["changed"], again["started_processes"]) == (False, 0)

    supported = yaml.safe_load((ROOT / "roles/openclaw_proxy/vars/supported/meridian.yml").read_text())
    proxy = supported["openclaw_proxy_supported"]
    port = free_port()
    command = [
        word.replace("{{ openclaw_proxy_node_binary }}", node).replace(
            "{{ openclaw_proxy_install_dir }}", str(directory)
        )
        for word in proxy["command"]
    ]
    environment = {
        "PATH": "/usr/bin:/bin",
        **proxy["environment"],
        proxy["host_variable"]: "127.0.0.1",
        proxy["port_variable"]: str(port),
        proxy["credentials"]["inbound-key"]: "sk-inbound",
    }
    with subprocess.Popen(command, env=environment) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    status, _text = ask(port, proxy["liveness_path"], "")
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert status == 200
            assert ask(port, "/v1/messages", "sk-wrong", {"model": "x"})[0] == 401
            status, text = ask(port, "/v1/messages", "sk-inbound", {"model": "x"})
            assert (status, json.loads(text)["content"][0]["text"]) == (200, "STANDIN node passthrough=1")
        finally:
            process.terminate()


def test_another_tarball_than_the_locked_one_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = standin_package.make("@rynfar/meridian", directory)
    made = lock(directory, archive)
    assert made.returncode == 0, made.stdout + made.stderr
    (tarball,) = (directory / "lock/archives").iterdir()
    content = tarball.read_bytes()
    tarball.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    result = call(
        capsys,
        path=str(directory / "release"),
        manager="npm",
        package_json=(directory / "lock/package.json").read_text(),
        package_lock=(directory / "lock/package-lock.json").read_text(),
        node=required_environment("FAILCLOSED_NODE"),
        archives_dir=str(directory / "lock/archives"),
    )
    assert result["failed"]
    assert "integrity mismatch" in result["msg"]
    assert "@rynfar/meridian@0.0.1" in result["msg"]
    assert not (directory / "release/current").exists()
