# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
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
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_edit,
    _config_memory,
    _config_read,
    _install_record,
    _openclaw,
    _plugin_package,
    _plugin_state,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_package import PackedFile
from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_plugin

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")

CONFIG = """{
  // kept
  gateway: {mode: "local", bind: "loopback"},
  meta: {lastTouchedVersion: "2026.9.6"},
  plugins: %s,
}
"""


def package(version: str = "1.0.0", floor: str = ">=2026.8.1") -> _plugin_package.Package:
    description = {"version": version, "openclaw": {"install": {"minHostVersion": floor}}}
    files = {
        "openclaw.plugin.json": PackedFile(json.dumps({"id": "example", "configSchema": {}}).encode()),
        "package.json": PackedFile(json.dumps(description).encode()),
        "index.js": PackedFile(f"export default {version!r}\n".encode()),
    }
    return _plugin_package.from_files(files, "test")


def content(version: str = "1.0.0", floor: str = ">=2026.8.1") -> str:
    return base64.b64encode(_plugin_package.pack(package(version, floor))).decode()


CONSENT = {"accept_source": True, "accept_capabilities": True}


@pytest.fixture
def home(tmp_path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def config(home):
    def write(plugins: str = "{}") -> Path:
        path = home / "openclaw.json"
        path.write_text(CONFIG % plugins)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def run(home, capsys, tmp_path, monkeypatch):
    apply = _config_edit.apply

    def apply_in_scratch(*arguments, cache_directory, **options):
        assert cache_directory is None
        return apply(*arguments, cache_directory=str(tmp_path / "cache"), **options)

    def config_file(task):
        path = task.params["config_path"]
        return _config_edit.ConfigFile(path=path, create=False, backup_directory=str(tmp_path / "backups"))

    monkeypatch.setattr(_config_memory, "default_directory", lambda: str(tmp_path / "cache"))
    warned = []
    # exit_json leaves warnings out in a process that has loaded the controller's side of Ansible.
    monkeypatch.setattr(openclaw_plugin.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    monkeypatch.setattr(_config_edit, "apply", apply_in_scratch)
    monkeypatch.setattr(openclaw_plugin.Task, "_config_file", config_file)

    def call(check=False, **options):
        arguments = {"name": "example", "_ansible_check_mode": check, "_ansible_diff": True, **options}
        if "user" not in options:
            arguments.setdefault("state_dir", str(home))
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            openclaw_plugin.main()
        result = json.loads(capsys.readouterr().out)
        assert (ended.value.code == 0) is not result.get("failed", False)
        told = warned[:]
        warned.clear()
        return {**result, "warned": told}

    return call


@pytest.fixture
def no_processes(monkeypatch):
    def refuse(*arguments, **_options):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    # A fork is how the record of installs is read with dropped rights; it starts no program.
    for name in ("execv", "execve", "execvp", "execvpe"):
        monkeypatch.setattr(os, name, refuse)


def test_check_install_again(home, run, no_processes):
    predicted = run(check=True, content=content())
    assert predicted["changed"] and not (home / "extensions").exists()
    done = run(content=content())
    assert done["diff"] == predicted["diff"]
    assert (done["version"], done["previous_version"], done["files_changed"]) == ("1.0.0", "", True)
    assert done["digest"] == package().digest
    assert done["directory"] == str(home / "extensions/example")
    assert (home / "extensions/example/index.js").read_text() == "export default '1.0.0'\n"
    again = run(content=content())
    assert (again["changed"], again["files_changed"], again["diff"]) == (False, False, [])


def test_upgrade_and_downgrade_show_version_source_and_digest(run):
    run(content=content("1.0.0"))
    for before, after in (("1.0.0", "2.0.0"), ("2.0.0", "1.0.0")):
        done = run(content=content(after))
        assert (done["previous_version"], done["version"]) == (before, after)
        (shown,) = done["diff"]
        assert f"version: {before}\ndigest: {package(before).digest}\n" in shown["before"]
        assert f"version: {after}\ndigest: {package(after).digest}\nsource: content\n" in shown["after"]


def test_a_directory_and_an_archive_on_the_host(run, tmp_path):
    directory = tmp_path / "source"
    directory.mkdir()
    for name, file in package().files.items():
        (directory / name).write_bytes(file.content)
        (directory / name).chmod(0o644)
    assert run(source=str(directory))["changed"]
    path = tmp_path / "example-1.0.0.tgz"
    path.write_bytes(_plugin_package.pack(package()))
    path.chmod(0o644)
    assert not run(source=str(path))["changed"]
    missing = run(check=True, source=str(tmp_path / "later.tgz"))
    assert "does not exist yet" in missing["warned"][0]
    assert "does not exist" in run(source=str(tmp_path / "later.tgz"))["msg"]


def test_tampering_is_repaired_and_named(home, run):
    run(content=content())
    (home / "extensions/example/index.js").chmod(0o666)
    (home / "extensions/example/extra.js").write_text("evil")
    predicted = run(check=True, content=content())
    done = run(content=content())
    assert predicted["diff"] == done["diff"]
    assert done["changed"] and done["repaired"] == ["index.js: has mode 0666 and not 0644"]
    assert not (home / "extensions/example/extra.js").exists()
    assert not run(content=content())["changed"]


def test_present_leaves_the_configuration_alone(home, run, config):
    path = config('{entries: {example: {enabled: false}}, deny: ["example"]}')
    before = path.read_bytes()
    assert run(content=content())["config_paths"] == []
    assert path.read_bytes() == before


def test_enabled_installs_and_switches_on(home, run, config, no_processes):
    path = config('{allow: ["other"], entries: {other: {enabled: true}}}')
    predicted = run(check=True, state="enabled", content=content())
    assert "other" in path.read_text() and "example" not in path.read_text()
    done = run(state="enabled", content=content())
    assert done["diff"] == predicted["diff"]
    assert done["config_paths"] == ["plugins.allow", "plugins.entries.example"]
    plugins = _config_read.read(str(path)).value["plugins"]
    assert plugins == {
        "allow": ["other", "example"],
        "entries": {"other": {"enabled": True}, "example": {"enabled": True}},
    }
    assert "// kept" in path.read_text()
    assert Path(done["backup_file"]).is_file()
    assert not run(state="enabled", content=content())["changed"]
    assert not run(state="enabled")["changed"]


def test_a_list_alone_is_completed(run, config):
    path = config('{allow: ["other"], entries: {example: {enabled: true}}}')
    assert run(state="enabled", content=content())["config_paths"] == ["plugins.allow"]
    plugins = _config_read.read(str(path)).value["plugins"]
    assert plugins == {"allow": ["other", "example"], "entries": {"example": {"enabled": True}}}


def test_a_missing_allow_list_is_never_created(run, config):
    path = config()
    run(state="enabled", content=content())
    plugins = _config_read.read(str(path)).value["plugins"]
    assert plugins == {"entries": {"example": {"enabled": True}}}


def test_a_denied_plugin_is_refused_until_told_otherwise(home, run, config):
    path = config('{deny: ["example", "other"]}')
    before = path.read_bytes()
    refused = run(state="enabled", content=content())
    assert "plugins.deny" in refused["msg"] and "remove_from_deny" in refused["msg"]
    assert path.read_bytes() == before and not (home / "extensions/example").exists()
    run(state="enabled", content=content(), remove_from_deny=True)
    assert _config_read.read(str(path)).value["plugins"]["deny"] == ["other"]


def test_disabled_leaves_files_and_settings(home, run, config):
    path = config("{entries: {example: {enabled: true, config: {port: 1}}}}")
    run(content=content())
    assert run(state="disabled")["changed"]
    entry = _config_read.read(str(path)).value["plugins"]["entries"]["example"]
    assert entry == {"enabled": False, "config": {"port": 1}}
    assert (home / "extensions/example").is_dir()
    assert not run(state="disabled")["changed"]


def test_absent_removes_references_before_files(home, run, config, monkeypatch):
    path = config('{allow: ["other", "example"], entries: {example: {enabled: true}, other: {}}}')
    run(content=content())
    order = []
    edit, remove = _config_edit.apply, _plugin_state.remove

    def noted_edit(*arguments, **options):
        order.append("edit")
        return edit(*arguments, **options)

    def noted_remove(*arguments):
        order.append("remove")
        return remove(*arguments)

    monkeypatch.setattr(_config_edit, "apply", noted_edit)
    monkeypatch.setattr(_plugin_state, "remove", noted_remove)
    done = run(state="absent")
    assert order == ["edit", "remove"]
    assert (done["changed"], done["previous_version"], done["version"], done["digest"]) == (True, "1.0.0", "", "")
    plugins = _config_read.read(str(path)).value["plugins"]
    assert plugins == {"allow": ["other"], "entries": {"other": {}}}
    assert not (home / "extensions/example").exists()
    assert not run(state="absent")["changed"]


def test_absent_where_nothing_is(run, tmp_path):
    assert not run(state="absent")["changed"]
    assert not run(state="absent", state_dir=str(tmp_path / "nothing"))["changed"]


def test_a_refused_configuration_leaves_the_old_version(home, run, config, monkeypatch):
    config()
    run(state="enabled", content=content("1.0.0"))
    (home / "openclaw.json").write_text(CONFIG % "{allow: []}")

    def refuse(*arguments, **options):
        assert (home / "extensions/example/index.js").read_text() == "export default '2.0.0'\n"
        raise _config_edit.ConfigEditError("refused for the test", findings=[{"path": "x", "message": "m"}])

    monkeypatch.setattr(_config_edit, "apply", refuse)
    failed = run(state="enabled", content=content("2.0.0"))
    assert failed["msg"] == "refused for the test" and failed["findings"]
    assert run(content=content("1.0.0"))["changed"] is False
    assert [path.name for path in home.iterdir() if path.name.startswith(".")] == []


def test_what_a_failed_run_did_not_restart_is_restarted_by_the_next(run, tmp_path):
    mark = tmp_path / "plugin.replaced"

    def given(version, **options):
        return run(content=content(version), replaced_mark=str(mark), **options)

    assert given("1.0.0")["replaced"] is False and not mark.exists()
    assert given("2.0.0", check=True)["replaced"] is True and not mark.exists()
    assert given("2.0.0")["replaced"] is True and mark.exists()
    # Nobody removed the mark: that run failed before it came to the gateway.
    again = given("2.0.0")
    assert (again["changed"], again["files_changed"], again["replaced"]) == (False, False, True)
    mark.unlink()
    assert given("2.0.0")["replaced"] is False
    assert run(content=content("1.0.0"))["replaced"] is True and not mark.exists()
    assert "replaced_mark" in run(content=content("1.0.0"), replaced_mark="relative")["msg"]


def test_the_mark_is_there_before_the_files_are_others_and_goes_when_they_are_not(run, tmp_path, monkeypatch):
    mark = tmp_path / "plugin.replaced"
    run(content=content("1.0.0"))

    def refuse(*_arguments):
        assert mark.exists()
        raise _plugin_state.PluginError("refused for the test")

    monkeypatch.setattr(_plugin_state, "place", refuse)
    for earlier in (False, True):
        if earlier:
            mark.touch()
        failed = run(content=content("2.0.0"), replaced_mark=str(mark))
        assert failed["msg"] == "refused for the test" and mark.exists() is earlier


def test_a_configuration_that_cannot_be_read_stops_before_the_files(home, run, config):
    path = config()
    path.write_text("{ broken")
    assert "JSON5" in run(state="enabled", content=content())["msg"]
    assert not (home / "extensions").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "../x", "content": "x"}, "no plugin id"),
        ({"source": "relative/path"}, "of no known form; give the absolute path of a directory"),
        ({"content": "%%%"}, "not base64"),
        ({"content": base64.b64encode(b"no archive").decode()}, "no gzip-compressed archive"),
        ({"content": content(), "version": "9.9.9"}, "has version 1.0.0, and version 9.9.9 was asked for"),
        ({"content": content(), "integrity": "sha512-" + "A" * 86 + "=="}, "was asked for; nothing was installed"),
        ({"content": content(), "name": "other"}, "is the plugin 'example', and name is 'other'"),
        ({}, "is not installed; give its source or content"),
        ({"state": "enabled", "content": content()}, "openclaw.json: does not exist; configure the gateway first"),
        ({"content": content(), "state_dir": "/no/such/directory"}, "install the gateway first"),
        ({"content": content(), "state_dir": "relative"}, "not absolute"),
        ({"content": content(), "config_path": "relative"}, "not absolute"),
        ({"content": content(), "user": "no-such-user-here"}, "does not exist on this host"),
        ({"content": content(), "source": "/x"}, "mutually exclusive"),
        ({"source": "npm:example@1.0.0", "accept_capabilities": True}, "accept_source: 'npm:example@1.0.0' is outside"),
        ({"source": "git:/x#v1", "accept_source": True}, "accept_capabilities: a plugin runs with all rights"),
        ({"source": "clawhub:example@1.0.0", "accept_source": True}, "then say accept_capabilities: true"),
        ({"source": "npm:example", **CONSENT}, "needs an exact one"),
        ({"source": "npm:example@^1.0.0", **CONSENT}, "without a range"),
        ({"source": "npm:example@1.0.0", "version": "1.0.1", **CONSENT}, "disagree"),
        ({"source": "npm:example@1.0.0", **CONSENT}, "node: nothing is no program"),
        ({"source": "clawhub:example@1.0.0", **CONSENT}, "openclaw_command: clawhub:example@1.0.0 can only be"),
        ({"source": "/x/y.tgz", "state": "latest"}, "state: latest needs a source that can be asked"),
        ({"source": "npm:example", "state": "latest", "version": "1.0.0", **CONSENT}, "looks the version up"),
        ({"source": "npm:example@1.0.0", "state": "latest", **CONSENT}, "names one; say state: present"),
        ({"state": "latest", "content": content()}, "state is latest but all of the following are missing: source"),
    ],
)
def test_bad_input_names_the_option_and_the_remedy(home, run, options, message):
    result = run(**options)
    assert result["failed"] and message in result["msg"]
    assert list(home.iterdir()) == []


def test_an_installed_plugin_without_a_source_is_checked(home, run):
    run(content=content())
    assert not run(version="1.0.0", integrity=package().digest)["changed"]
    assert "has version 1.0.0" in run(version="2.0.0")["msg"]
    assert "integrity asks for" in run(integrity="tree-sha256:00")["msg"]
    (home / "extensions/example/index.js").chmod(0o666)
    assert "give source or content to repair" in run()["msg"]


def test_a_plugin_for_a_newer_openclaw_is_refused(home, run, monkeypatch):
    monkeypatch.setattr(_openclaw, "installed_version", lambda _command: "2026.9.6")
    command = ["/usr/bin/node", "/opt/openclaw.mjs"]
    refused = run(content=content(floor=">=2026.10.0"), openclaw_command=command)
    assert "needs OpenClaw 2026.10.0 or newer, and 2026.9.6 is installed" in refused["msg"]
    assert not (home / "extensions").exists()
    assert run(content=content(floor=">=2026.9.6"), openclaw_command=command)["changed"]


def test_a_second_copy_of_the_plugin_is_refused(home, run):
    copy = home / "extensions/some-npm-name"
    copy.mkdir(parents=True)
    (copy / "openclaw.plugin.json").write_text('{"id": "example"}')
    assert "some-npm-name is the plugin example too" in run(content=content())["msg"]


def test_check_mode_on_a_bare_host(run, tmp_path):
    predicted = run(check=True, content=content(), state_dir=str(tmp_path / "later"), state="enabled")
    assert (predicted["changed"], predicted["version"]) == (True, "1.0.0")
    assert predicted["diff"][0]["before"] == ""


@needs_root
def test_the_owner_of_the_state_directory_must_be_the_user(home, run):
    os.chown(home, 65534, 65534)
    refused = run(content=content(), user="root", state_dir=str(home))
    assert "belongs to uid 65534 and not to user root" in refused["msg"]
    assert run(content=content(), user="nobody", state_dir=str(home))["changed"]


@pytest.fixture
def repository():
    """A git repository with the tags v1.0.0 and v2.0.0, which every user can read."""
    path = Path(tempfile.mkdtemp(prefix="openclaw-plugin-"))
    path.chmod(0o755)
    old = os.umask(0o022)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments):
        subprocess.run(["git", *identity, *arguments], cwd=path, env=environment, capture_output=True, check=True)

    git("init", "--quiet")
    for version in ("1.0.0", "2.0.0"):
        for name, file in package(version).files.items():
            (path / name).write_bytes(file.content)
        git("add", "--all")
        git("commit", "--quiet", "--message", version)
        git("tag", f"v{version}")
    yield path
    os.umask(old)
    shutil.rmtree(path)


def head(repository: Path, tag: str) -> str:
    command = ["git", "-c", f"safe.directory={repository}", "-C", str(repository), "rev-parse", tag]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_commit_is_fetched_once_and_tampering_is_repaired_without_a_program(home, run, config, repository, request):
    config('{allow: ["other"]}')
    source = f"git:{repository}#{head(repository, 'v1.0.0')}"
    predicted = run(check=True, state="enabled", source=source, **CONSENT)
    assert predicted["changed"] and not (home / "extensions").exists()
    done = run(state="enabled", source=source, version="1.0.0", integrity=package().digest, **CONSENT)
    assert (done["diff"], done["version"]) == (predicted["diff"], "1.0.0")
    assert f"source: {source}\n" in done["diff"][0]["after"]
    request.getfixturevalue("no_processes")
    assert not run(state="enabled", source=source, **CONSENT)["changed"]
    (home / "extensions/example/index.js").write_text("tampered")
    repaired = run(state="enabled", source=source, **CONSENT)
    assert (repaired["changed"], repaired["digest"]) == (True, package().digest)
    assert not run(state="enabled", source=source, **CONSENT)["changed"]


def test_latest_is_looked_up_and_said(run, repository):
    run(source=f"git:{repository}#v1.0.0", **CONSENT)
    predicted = run(check=True, source=f"git:{repository}", state="latest", **CONSENT)
    done = run(source=f"git:{repository}", state="latest", **CONSENT)
    assert done["lookup"] == predicted["lookup"] == f"HEAD of {repository} is {head(repository, 'v2.0.0')}"
    assert (done["diff"], done["previous_version"], done["version"]) == (predicted["diff"], "1.0.0", "2.0.0")
    again = run(source=f"git:{repository}", state="latest", **CONSENT)
    assert (again["changed"], again["lookup"]) == (False, done["lookup"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"source": "#v3.0.0"}, "the repository has no v3.0.0"),
        ({"source": "#v2.0.0", "version": "3.0.0"}, "has version 2.0.0, and version 3.0.0 was asked for"),
        ({"source": "#v2.0.0", "integrity": "tree-sha256:00"}, "was asked for; nothing was installed"),
        ({"source": "#v2.0.0", "integrity": "sha512-" + "A" * 86 + "=="}, "is the digest of an archive"),
    ],
)
def test_a_failed_install_leaves_the_previous_version_enabled(home, run, config, repository, wanted, message):
    path = config('{allow: ["other"]}')
    run(state="enabled", source=f"git:{repository}#v1.0.0", **CONSENT)
    before = path.read_bytes()
    failed = run(**{"state": "enabled", **wanted, **CONSENT, "source": f"git:{repository}{wanted['source']}"})
    assert failed["failed"] and message in failed["msg"]
    assert path.read_bytes() == before and b"example" in before
    assert (home / "extensions/example/index.js").read_text() == "export default '1.0.0'\n"
    assert [name for name in os.listdir(home) if name.startswith(".")] == []


def test_check_mode_does_not_ask_openclaw_what_only_it_can_fetch(home, run, no_processes):
    options = {"source": "clawhub:example@2.0.0", "version": "2.0.0", "openclaw_command": ["/no/such"], **CONSENT}
    predicted = run(check=True, **options)
    assert (predicted["changed"], predicted["version"], predicted["digest"]) == (True, "2.0.0", "")
    assert "check mode does not start" in predicted["warned"][0]
    run(content=content("2.0.0"))
    assert not run(check=True, **options)["changed"]
    (home / "extensions/example/index.js").chmod(0o666)
    assert run(check=True, **options)["changed"]
    newest = run(check=True, **{**options, "source": "clawhub:example", "version": None, "state": "latest"})
    assert (newest["changed"], newest["lookup"]) == (
        True,
        "the newest of clawhub:example is not looked up in check mode",
    )


def test_a_path_that_does_not_exist_yet_is_a_predicted_change(run, tmp_path):
    assert run(check=True, source=str(tmp_path / "later.tgz"))["changed"]


def write_record(home: Path, version: str, path: str) -> None:
    (home / "state").mkdir()
    connection = sqlite3.connect(home / _install_record.DATABASE)
    connection.execute("CREATE TABLE config_machine_state (state_key TEXT, value_json TEXT, updated_at_ms INTEGER)")
    records = {"example": {"source": "npm", "version": version, "installPath": path}, "other": {"version": "1"}}
    value = json.dumps({"index": {"installRecords": records}})
    connection.execute("INSERT INTO config_machine_state VALUES ('plugins.installedIndex', ?, 0)", (value,))
    connection.commit()
    connection.close()


def test_a_record_that_lies_is_seen_and_left(home, run):
    assert run(content=content())["record"] == {
        "found": False,
        "source": "",
        "version": "",
        "path": "",
        "differences": [],
    }
    write_record(home, "1.0.0", str(home / "extensions/example"))
    before = (home / _install_record.DATABASE).read_bytes()
    agreed = run(content=content())
    assert (agreed["record"]["found"], agreed["record"]["differences"], agreed["warned"]) == (True, [], [])
    upgraded = run(content=content("2.0.0"))
    (difference,) = upgraded["record"]["differences"]
    assert difference == "it says that version 1.0.0 is installed, and the files are version 2.0.0"
    assert upgraded["warned"] == [f"OpenClaw's own record of example is wrong: {difference}"]
    # The ledger alone would have called this right.
    shutil.rmtree(home / "extensions/example")
    assert "is not installed" in run()["msg"]
    assert "does not exist" in run(state="absent")["record"]["differences"][0]
    assert (home / _install_record.DATABASE).read_bytes() == before


def test_a_second_copy_that_openclaw_installed_elsewhere_is_refused(home, run):
    elsewhere = home / "npm/projects/example/node_modules/example"
    write_record(home, "1.0.0", str(elsewhere))
    assert "the plugin is at" in run(content=content())["record"]["differences"][0]
    elsewhere.mkdir(parents=True)
    (elsewhere / "openclaw.plugin.json").write_text('{"id": "example"}')
    for options in ({"content": content("2.0.0")}, {"state": "absent"}):
        assert "would be a second one; run 'openclaw plugins uninstall example'" in run(**options)["msg"]
    assert (home / "extensions/example/index.js").read_text() == "export default '1.0.0'\n"


def test_a_record_that_cannot_be_read_is_said(home, run):
    (home / "state").mkdir()
    (home / _install_record.DATABASE).write_bytes(b"garbage" * 1000)
    done = run(content=content())
    assert done["changed"] and "OpenClaw's record of installs could not be read" in done["warned"][0]


def test_a_policy_that_is_not_asked_is_said(run, config):
    path = config()
    path.write_text('{gateway: {mode: "local"}, security: {installPolicy: {command: ["x"]}}}')
    assert "security.installPolicy is asked by OpenClaw's own installer only" in run(content=content())["warned"][0]
    assert run(content=content())["warned"] == []


def test_documentation_and_code_have_the_same_options(monkeypatch):
    class CapturedError(Exception):
        pass

    def capture(**options):
        raise CapturedError(options)

    monkeypatch.setattr(openclaw_plugin, "AnsibleModule", capture)
    with pytest.raises(CapturedError) as caught:
        openclaw_plugin.main()
    spec = caught.value.args[0]["argument_spec"]
    documented = yaml.safe_load(openclaw_plugin.DOCUMENTATION)["options"]
    assert set(spec) == set(documented)
    for name, option in documented.items():
        assert spec[name].get("default") == option.get("default"), name
    returned = yaml.safe_load(openclaw_plugin.RETURN)
    assert all("sample" in value for value in returned.values())
