# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``openclaw_plugin`` and a real OpenClaw: others keep what they have, and OpenClaw's installer stays in a scratch."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from openclaw_under_test import PLUGIN_ID, PLUGIN_SOURCE, OpenClaw

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_edit,
    _config_memory,
    _install_record,
    _plugin_package,
)
from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_plugin

pytestmark = [pytest.mark.openclaw, pytest.mark.long]

OTHERS = [f"neighbour-{number}" for number in range(1, 6)]


@pytest.fixture
def openclaw(tmp_path):
    under_test = OpenClaw(tmp_path / "home")
    under_test.write_config(plugin_config=None)
    return under_test


@pytest.fixture
def run(openclaw, capsys, tmp_path, monkeypatch):
    apply = _config_edit.apply
    kept = _config_edit.ConfigFile

    def apply_in_scratch(*arguments, cache_directory, **options):
        return apply(*arguments, cache_directory=str(tmp_path / "cache"), **options)

    monkeypatch.setattr(_config_memory, "default_directory", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(_config_edit, "apply", apply_in_scratch)
    monkeypatch.setattr(
        _config_edit, "ConfigFile", lambda **options: kept(**options, backup_directory=str(tmp_path / "backups"))
    )

    def call(**options):
        arguments = {
            "name": PLUGIN_ID,
            "state_dir": str(openclaw.state),
            "openclaw_command": openclaw.command,
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            openclaw_plugin.main()
        result = json.loads(capsys.readouterr().out)
        assert not result.get("failed"), result
        return result

    return call


def neighbour(directory: Path, name: str) -> Path:
    source = directory / name
    source.mkdir()
    manifest = {"id": name, "name": name, "description": "a neighbour", "configSchema": {"type": "object"}}
    description = {"name": name, "version": "1.0.0", "type": "module", "openclaw": {"extensions": ["./index.js"]}}
    (source / "openclaw.plugin.json").write_text(json.dumps(manifest))
    (source / "package.json").write_text(json.dumps(description))
    (source / "index.js").write_text(f"export default {{ id: {name!r}, name: {name!r}, register() {{}} }};\n")
    return source


def state_of_the_others(openclaw: OpenClaw) -> dict:
    """All of their files, their install records, and what the configuration says of them."""
    files = {}
    for name in OTHERS:
        for path in sorted([openclaw.state / "extensions" / name, *(openclaw.state / "extensions" / name).rglob("*")]):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            files[str(path)] = (
                content,
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                status.st_ino,
            )
    connection = sqlite3.connect(f"file:{openclaw.state / _install_record.DATABASE}?mode=ro", uri=True)
    (text,) = connection.execute(
        "SELECT value_json FROM config_machine_state WHERE state_key = ?", (_install_record.STATE_KEY,)
    ).fetchone()
    connection.close()
    records = json.loads(text)["index"]["installRecords"]
    entries = openclaw.config()["plugins"]["entries"]
    return {
        "files": files,
        "records": {name: records[name] for name in OTHERS},
        "entries": {name: entries[name] for name in OTHERS},
    }


def version_of_the_plugin(version: str) -> _plugin_package.Package:
    shipped = _plugin_package.read_directory(str(PLUGIN_SOURCE), trusted_uids=None)
    files = dict(shipped.files)
    for name in ("package.json", "openclaw.plugin.json"):
        document = json.loads(files[name].content)
        document["version"] = version
        files[name] = _plugin_package.PackedFile(json.dumps(document).encode())
    return _plugin_package.from_files(files, "test")


def test_five_others_stay_as_they_are(openclaw, run, tmp_path):
    for name in OTHERS:
        source = neighbour(tmp_path, name)
        installed = openclaw.run("plugins", "install", str(source), "--force", "--accept-capabilities")
        assert installed.returncode == 0, installed.stdout + installed.stderr
    before = state_of_the_others(openclaw)
    assert len(before["files"]) == 5 * 4 and len(before["records"]) == 5

    for version in ("1.0.0", "2.0.0", "1.5.0"):
        package = version_of_the_plugin(version)
        content = base64.b64encode(_plugin_package.pack(package)).decode()
        done = run(content=content, state="enabled")
        assert (done["changed"], done["version"], done["record"]["found"]) == (True, version, False)
        assert state_of_the_others(openclaw) == before
        assert not run(content=content, state="enabled")["changed"]
    listed = {plugin["id"]: plugin for plugin in openclaw.run_json("plugins", "list", "--json")["plugins"]}
    assert all(listed[name]["enabled"] for name in (*OTHERS, PLUGIN_ID))
    assert listed[PLUGIN_ID]["version"] == "1.5.0"
    # OpenClaw has just read everything, and may have written.
    between = state_of_the_others(openclaw)
    assert between == before

    assert run(state="absent")["changed"]
    assert state_of_the_others(openclaw) == before
    assert not (openclaw.state / "extensions" / PLUGIN_ID).exists()
    assert "allow" not in openclaw.config()["plugins"]


def test_files_that_openclaw_placed_are_taken_over_and_its_record_is_seen_to_be_old(openclaw, run, tmp_path):
    source = tmp_path / "old.tgz"
    source.write_bytes(_plugin_package.pack(version_of_the_plugin("0.9.0")))
    installed = openclaw.run("plugins", "install", str(source), "--force", "--accept-capabilities")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    content = base64.b64encode(source.read_bytes()).decode()
    agreed = run(content=content, state="enabled")
    assert (agreed["version"], agreed["previous_version"], agreed["record"]["differences"]) == ("0.9.0", "0.9.0", [])
    content = base64.b64encode(_plugin_package.pack(version_of_the_plugin("1.0.0"))).decode()
    done = run(content=content, state="enabled")
    assert (done["previous_version"], done["record"]["version"]) == ("0.9.0", "0.9.0")
    assert done["record"]["differences"] == ["it says that version 0.9.0 is installed, and the files are version 1.0.0"]
    # OpenClaw loads what is on the disk, whatever its record says.
    plugin = openclaw.run_json("plugins", "inspect", PLUGIN_ID, "--runtime", "--json")["plugin"]
    assert (plugin["status"], plugin["version"]) == ("loaded", "1.0.0")


def test_a_marketplace_in_a_directory_by_openclaws_own_installer(openclaw, run, monkeypatch):
    marketplace = Path(tempfile.mkdtemp(prefix="marketplace-"))
    try:
        marketplace.chmod(0o755)
        (marketplace / ".claude-plugin").mkdir()
        entry = {"name": PLUGIN_ID, "source": "./plugin", "version": "3.0.0"}
        document = {"name": "test", "owner": {"name": "test"}, "plugins": [entry]}
        (marketplace / ".claude-plugin/marketplace.json").write_text(json.dumps(document))
        (marketplace / "plugin").mkdir()
        package = version_of_the_plugin("3.0.0")
        for name, file in package.files.items():
            (marketplace / "plugin" / name).write_bytes(file.content)
        before = sorted((path, path.stat().st_mtime_ns) for path in openclaw.state.rglob("*"))
        config = openclaw.config_path.read_bytes()
        options = {
            "source": f"marketplace:{PLUGIN_ID}@{marketplace}",
            "version": "3.0.0",
            "accept_source": True,
            "accept_capabilities": True,
        }
        done = run(**options)
        assert (done["changed"], done["version"]) == (True, "3.0.0")
        assert {path.name for path in (openclaw.state / "extensions" / PLUGIN_ID).iterdir()} == set(package.files)
        assert {path.owner() for path in (openclaw.state / "extensions" / PLUGIN_ID).iterdir()} == {
            Path("/proc/self").owner()
        }
        # OpenClaw's installer has left nothing in the live state, and no configuration was written.
        after = sorted(
            (path, path.stat().st_mtime_ns)
            for path in openclaw.state.rglob("*")
            if "extensions" not in path.relative_to(openclaw.state).parts
        )
        assert (after, openclaw.config_path.read_bytes()) == (before, config)

        def refuse(*arguments, **_options):
            raise AssertionError(f"started {arguments}")

        monkeypatch.setattr(subprocess, "Popen", refuse)
        assert not run(**options)["changed"]
    finally:
        shutil.rmtree(marketplace)
    assert os.path.isdir(openclaw.state / "extensions" / PLUGIN_ID)
