# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""npm from a registry on loopback, git from a repository on this host, ClawHub and marketplaces by a fake OpenClaw."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _plugin_fetch,
    _plugin_package,
    _plugin_source,
    _unprivileged,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_fetch import Cache, FetchError, Tools
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_package import PackageError, PackedFile

from . import standin_registry

IS_ROOT = os.geteuid() == 0


def package(version: str = "1.0.0", **description: object) -> _plugin_package.Package:
    document = {"name": "example", "version": version, **description}
    files = {
        "openclaw.plugin.json": PackedFile(json.dumps({"id": "example", "configSchema": {}}).encode()),
        "package.json": PackedFile(json.dumps(document).encode()),
        "index.js": PackedFile(f"export default {version!r}\n".encode()),
    }
    return _plugin_package.from_files(files, "test")


@pytest.fixture
def shared():
    """A directory that every user can reach, unlike pytest's."""
    path = Path(tempfile.mkdtemp(prefix="plugin-fetch-"))
    path.chmod(0o755)
    old = os.umask(0o022)
    yield path
    os.umask(old)
    shutil.rmtree(path)


@pytest.fixture
def cache(tmp_path):
    return Cache(str(tmp_path / "cache"), write=True)


@pytest.fixture
def programs(monkeypatch):
    """Every program that is started: (arguments, environment, uid)."""
    started = []
    run = _unprivileged.InstallUser.run

    def noted(self, argv, **options):
        started.append((list(argv), dict(options["environment"]), self.uid))
        return run(self, argv, **options)

    monkeypatch.setattr(_unprivileged.InstallUser, "run", noted)
    yield started
    # Whatever ran, ran as nobody else, and left neither a process nor a file.
    for _argv, _environment, uid in started:
        assert (uid in _unprivileged.TRANSIENT_UIDS) is IS_ROOT
        assert not IS_ROOT or uid not in _unprivileged.processes_by_uid()
    assert not list(Path(_plugin_fetch._DISK).glob("failclosed-plugin-*"))


def fetch(text, cache, tools, version=None, **options):
    return _plugin_fetch.fetch(_plugin_source.parse(text), version, "example", tools, cache, **options)


# npm


@pytest.fixture
def registry(shared):
    directory = shared / "registry"
    directory.mkdir()
    (directory / "requests").touch()
    touched = shared / "a-script-ran"
    touched.touch()
    touched.chmod(0o666)
    scripts = dict.fromkeys(("preinstall", "install", "postinstall", "prepack", "prepare"), f"echo ran >> {touched}")
    for version in ("1.0.0", "1.1.0"):
        archive = _plugin_package.pack(package(version, scripts=scripts))
        (directory / f"example-{version}.tgz").write_bytes(archive)
    with standin_registry.running(directory) as address:
        # npm would try again for a minute and a half.
        once = {"npm_config_fetch_retries": "0"}
        yield directory, Tools(node=os.environ["FAILCLOSED_NODE"], registry=address, environment=once)
    assert touched.read_text() == "", "no script of a package may run"


def test_npm_gives_the_published_archive_once(registry, cache, programs):
    directory, tools = registry
    fetched = fetch("npm:example@1.0.0", cache, tools)
    assert (fetched.identity, fetched.package.version) == ("npm:example@1.0.0", "1.0.0")
    assert fetched.archive == (directory / "example-1.0.0.tgz").read_bytes()
    ((argv, environment, _uid),) = programs
    assert argv[2:4] == ["pack", "example@1.0.0"] and "--ignore-scripts" in argv
    assert environment["npm_config_registry"] == tools.registry
    before = (directory / "requests").read_text()
    assert fetch("npm:example@1.0.0", cache, tools) == fetched
    assert ((directory / "requests").read_text(), len(programs)) == (before, 1)


def test_npm_refuses_what_the_registry_did_not_announce(registry, cache, programs):
    directory, tools = registry
    (directory / "lies").touch()
    with pytest.raises(FetchError, match="EINTEGRITY"):
        fetch("npm:example@1.0.0", cache, tools)
    assert programs


def test_npm_without_that_version_or_registry_or_npm(registry, cache, programs):
    directory, tools = registry
    without_npm = directory / "node"
    without_npm.touch(0o755)
    with pytest.raises(FetchError, match=r"npm:example@9\.9\.9: npm could not fetch it: .*9\.9\.9"):
        fetch("npm:example@9.9.9", cache, tools)
    with pytest.raises(FetchError, match="could not fetch it"):
        fetch(
            "npm:example@1.0.0",
            cache,
            Tools(node=tools.node, registry="http://127.0.0.1:9/", environment=tools.environment),
        )
    with pytest.raises(FetchError, match="node: nothing is no program"):
        fetch("npm:example@1.0.0", cache, Tools())
    with pytest.raises(FetchError, match="has no npm beside it"):
        fetch("npm:example@1.0.0", cache, Tools(node=str(without_npm)))
    assert programs


def test_npm_latest_is_a_lookup(registry, cache, programs):
    _directory, tools = registry
    for text, version, tag in (("npm:example", "1.1.0", "latest"), ("npm:example@next", "1.0.0", "next")):
        fetched, line = _plugin_fetch.fetch_latest(_plugin_source.parse(text), "example", tools, cache)
        assert (fetched.package.version, line) == (version, f"{tag} of the npm package example is {version}")
    with pytest.raises(FetchError, match="npm knows no version for nothing"):
        _plugin_fetch.fetch_latest(_plugin_source.parse("npm:example@nothing"), "example", tools, cache)
    assert programs


def test_a_changed_cache_is_no_other_version(registry, cache, tmp_path, programs):
    _directory, tools = registry
    fetch("npm:example@1.0.0", cache, tools)
    (kept,) = (tmp_path / "cache/plugins").iterdir()
    kept.write_bytes(_plugin_package.pack(package("6.6.6")))
    with pytest.raises(FetchError, match=r"has version 6\.6\.6 inside"):
        fetch("npm:example@1.0.0", cache, tools)
    (tmp_path / "cache/plugins").chmod(0o777)
    with pytest.raises(FetchError, match="others may write there"):
        fetch("npm:example@1.0.0", cache, tools)
    assert programs


def test_check_mode_keeps_nothing(registry, tmp_path, programs):
    _directory, tools = registry
    assert fetch("npm:example@1.0.0", Cache(str(tmp_path / "none"), write=False), tools) is not None
    assert not (tmp_path / "none").exists()
    assert programs


def test_the_cache_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_plugin_fetch, "_KEPT_ARCHIVES", 2)
    cache = Cache(str(tmp_path), write=True)
    for number in range(4):
        cache.put(str(number), b"x")
        os.utime(tmp_path / "plugins" / _plugin_fetch._cache_name(str(number)), (number, number))
    assert [cache.get(str(number)) is not None for number in range(4)] == [False, False, True, True]


# git


def git(repository: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "init.defaultBranch=main"]
    completed = subprocess.run(
        ["git", "-C", str(repository), *identity, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return completed.stdout.strip()


@pytest.fixture
def repository(shared):
    """Two tagged versions; hooks and scripts that must not run; a test that must not be installed."""
    path = shared / "repository"
    path.mkdir()
    git(path, "init", "--quiet")
    for version in ("1.0.0", "1.1.0"):
        for name, file in package(version, files=["index.js"], scripts={"prepare": "exit 1"}).files.items():
            (path / name).write_bytes(file.content)
        (path / "test.js").write_text("not packed")
        git(path, "add", "--all")
        git(path, "commit", "--quiet", "--message", version)
        git(path, "tag", f"v{version}", *(["--annotate", "--message", "signed off"] if version == "1.1.0" else []))
    return path


def test_git_by_tag_and_by_commit(repository, cache, programs):
    for version in ("1.0.0", "1.1.0"):
        commit = git(repository, "rev-parse", f"v{version}^{{commit}}")
        fetched = fetch(f"git:{repository}#v{version}", cache, Tools())
        assert fetched.identity == f"git:{repository}#{commit}"
        assert (fetched.package.version, fetched.archive) == (version, None)
        assert sorted(fetched.package.files) == ["index.js", "openclaw.plugin.json", "package.json"]
        started = len(programs)
        assert fetch(f"git:{repository}#{commit}", cache, Tools()) == fetched
        assert len(programs) == started, "a commit that was fetched starts no program"
    for _argv, environment, _uid in programs:
        assert environment["GIT_CONFIG_NOSYSTEM"] == "1" and environment["GIT_ALLOW_PROTOCOL"] == "https:file"
        assert environment["HOME"].startswith(_plugin_fetch._DISK)


def test_git_by_a_commit_that_no_name_leads_to_directly(repository, cache, programs):
    commit = git(repository, "rev-parse", "v1.0.0")
    git(repository, "tag", "--delete", "v1.0.0")
    assert fetch(f"git:{repository}#{commit}", cache, Tools()).package.version == "1.0.0"
    assert programs


def test_git_refuses_what_moves_or_is_missing(repository, cache, programs):
    with pytest.raises(FetchError, match=r"main is a branch, which moves; give a tag or the commit [0-9a-f]{40}"):
        fetch(f"git:{repository}#main", cache, Tools())
    with pytest.raises(FetchError, match="the repository has no v9"):
        fetch(f"git:{repository}#v9", cache, Tools())
    with pytest.raises(FetchError, match="could not fetch commit"):
        fetch(f"git:{repository}#{'0' * 39}1", cache, Tools())
    with pytest.raises(FetchError, match="could not read the repository"):
        fetch("git:/no/such/repository#v1", cache, Tools())
    assert programs


def test_git_latest_is_a_lookup(repository, cache, programs):
    git(repository, "checkout", "--quiet", "-b", "older", "v1.0.0")
    git(repository, "checkout", "--quiet", "main")
    for text, version in ((f"git:{repository}", "1.1.0"), (f"git:{repository}#older", "1.0.0")):
        fetched, line = _plugin_fetch.fetch_latest(_plugin_source.parse(text), "example", Tools(), cache)
        assert fetched.package.version == version
        assert line.endswith(f"is {git(repository, 'rev-parse', f'v{version}^{{commit}}')}")
    assert programs


def test_a_repository_cannot_run_anything(repository, shared, cache, programs):
    touched = shared / "ran"
    touched.touch()
    touched.chmod(0o666)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        path = repository / ".git/hooks" / hook
        path.write_text(f"#!/bin/sh\necho {hook} >> {touched}\n")
        path.chmod(0o755)
    git(repository, "config", "filter.evil.smudge", f"sh -c 'echo smudge >> {touched}; cat'")
    git(repository, "config", "core.fsmonitor", f"echo fsmonitor >> {touched}")
    (repository / ".gitattributes").write_text("*.js filter=evil\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "--quiet", "--message", "attributes")
    git(repository, "tag", "v2")
    touched.write_text("")
    assert fetch(f"git:{repository}#v2", cache, Tools()).package.version == "1.1.0"
    assert touched.read_text() == ""
    # The control: the same repository does run them for somebody who works in it.
    git(repository, "checkout", "--quiet", "v1.0.0")
    assert "post-checkout" in touched.read_text()
    assert programs


def test_a_repository_with_a_link_in_the_plugin_is_refused(repository, cache, programs):
    (repository / "index.js").unlink()
    (repository / "index.js").symlink_to("/etc/passwd")
    git(repository, "commit", "--quiet", "--all", "--message", "link")
    git(repository, "tag", "v3")
    with pytest.raises(PackageError, match=r"index\.js: is a symlink"):
        fetch(f"git:{repository}#v3", cache, Tools())
    assert programs


# ClawHub and marketplaces. Nothing here reaches ClawHub; tests/plugin installs from a marketplace in a directory.

FAKE = r"""
import json, os, pathlib, sqlite3, sys
here = pathlib.Path(__file__).resolve().parent
behaviour = json.loads((here / "behaviour.json").read_text())
config = pathlib.Path(os.environ["OPENCLAW_CONFIG_PATH"])
with (here / "calls").open("a") as log:
    log.write(json.dumps({"argv": sys.argv[1:], "environment": dict(os.environ), "uid": os.getuid(),
                          "config": json.loads(config.read_text()), "cwd": os.getcwd()}) + "\n")
if "fail" in behaviour:
    print(behaviour["fail"])
    sys.exit(1)
state = pathlib.Path(os.environ["OPENCLAW_STATE_DIR"])
target = state / "extensions" / behaviour["id"]
target.mkdir(parents=True)
for name, content in behaviour["files"].items():
    (target / name).write_text(content)
(state / "state").mkdir()
connection = sqlite3.connect(state / "state/openclaw.sqlite")
connection.execute("CREATE TABLE config_machine_state (state_key TEXT, value_json TEXT, updated_at_ms INTEGER)")
records = {behaviour["id"]: {"source": "x", "version": "x", "installPath": behaviour.get("path", str(target))}}
connection.execute("INSERT INTO config_machine_state VALUES ('plugins.installedIndex', ?, 0)",
                   (json.dumps({"index": {"installRecords": records}}),))
connection.commit()
config.write_text(json.dumps({"plugins": {"entries": {behaviour["id"]: {"enabled": True}}}}))
"""


class FakeOpenClaw:
    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.program = directory / "openclaw.py"
        self.program.write_text(FAKE)
        (directory / "calls").touch()
        (directory / "calls").chmod(0o666)
        self.command = [sys.executable, "-I", str(self.program)]
        self.behave(package())

    def behave(self, wanted: _plugin_package.Package, **more: str) -> None:
        files = {path: file.content.decode() for path, file in wanted.files.items()}
        (self.directory / "behaviour.json").write_text(json.dumps({"id": "example", "files": files, **more}))

    @property
    def calls(self) -> list[dict]:
        return [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]

    def tools(self, **options) -> Tools:
        return Tools(openclaw_command=self.command, **{"accept_source": True, "accept_capabilities": True, **options})


@pytest.fixture
def fake(shared):
    return FakeOpenClaw(shared / "openclaw")


@pytest.mark.parametrize(
    ("text", "version", "accepted", "words"),
    [
        ("clawhub:example@1.0.0", None, True, ["clawhub:example@1.0.0", "--accept-capabilities"]),
        ("clawhub:example", "1.0.0", False, ["clawhub:example@1.0.0"]),
        (
            "marketplace:example@owner/market",
            "1.0.0",
            True,
            ["example", "--marketplace", "owner/market", "--force", "--accept-capabilities"],
        ),
        ("marketplace:example@/srv/market", "1.0.0", False, ["example", "--marketplace", "/srv/market"]),
    ],
)
def test_openclaw_is_called_in_a_scratch_home(fake, cache, programs, text, version, accepted, words):
    tools = fake.tools(
        accept_source=accepted, accept_capabilities=accepted, environment={"HTTPS_PROXY": "http://p.example"}
    )
    fetched = fetch(text, cache, tools, version)
    assert fetched.package == package()
    (call,) = fake.calls
    assert call["argv"] == ["plugins", "install", *words]
    home = call["environment"]["HOME"]
    work = str(Path(home).parent)
    assert work.startswith(f"{_plugin_fetch._DISK}/failclosed-plugin-") and call["cwd"] == work
    assert call["environment"] == {
        "HOME": f"{work}/home",
        "HTTPS_PROXY": "http://p.example",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "NODE_DISABLE_COMPILE_CACHE": "1",
        "NO_COLOR": "1",
        "OPENCLAW_CONFIG_PATH": f"{work}/config/openclaw.json",
        "OPENCLAW_STATE_DIR": f"{work}/state",
        "PATH": f"{Path(sys.executable).parent}:{_plugin_fetch._SYSTEM_PATH}",
        "TMPDIR": f"{work}/tmp",
    }
    assert call["config"] == {
        "gateway": {"mode": "local", "bind": "loopback", "port": 1},
        "telemetry": {"enabled": False},
        "update": {"checkOnStart": False},
    }
    assert not Path(work).exists()
    assert fetch(text, cache, tools, version) == fetched
    assert len(programs) == 1, "the second time nothing is started"


def test_check_mode_does_not_start_openclaw(fake, cache, programs):
    assert fetch("clawhub:example@1.0.0", cache, fake.tools(), may_start_openclaw=False) is None
    assert (fake.calls, programs) == ([], [])
    fetch("clawhub:example@1.0.0", cache, fake.tools())
    assert fetch("clawhub:example@1.0.0", cache, fake.tools(), may_start_openclaw=False) is not None


def test_latest_from_clawhub_is_a_lookup(fake, cache, programs):
    fetched, line = _plugin_fetch.fetch_latest(_plugin_source.parse("clawhub:example"), "example", fake.tools(), cache)
    assert (fetched.package.version, line) == ("1.0.0", "the newest of clawhub:example is 1.0.0")
    assert fake.calls[0]["argv"] == ["plugins", "install", "clawhub:example", "--accept-capabilities"]
    assert len(programs) == 1


def test_what_openclaw_says_when_it_refuses_is_shown(fake, cache, programs):
    fake.behave(package(), fail='Plugin "example" requires capability consent.')
    with pytest.raises(FetchError, match=r"OpenClaw could not install it: .*capability consent"):
        fetch("clawhub:example@1.0.0", cache, fake.tools())
    assert programs


def test_openclaw_is_not_believed(fake, cache, programs):
    fake.behave(package("2.0.0"))
    with pytest.raises(FetchError, match=r"has version 2\.0\.0, and version 1\.0\.0 was asked for"):
        fetch("clawhub:example@1.0.0", cache, fake.tools())
    fake.behave(package(), path="/etc")
    with pytest.raises(FetchError, match="outside of its state"):
        fetch("clawhub:example@1.0.0", cache, fake.tools())
    fake.behave(package(), id="other")
    with pytest.raises(FetchError, match="installed other from it, and name is 'example'"):
        fetch("clawhub:example@1.0.0", cache, fake.tools())
    with pytest.raises(FetchError, match=r"openclaw_command: .* can only be fetched by OpenClaw"):
        fetch("clawhub:example@1.0.0", cache, Tools(accept_capabilities=True))
    assert programs


def test_a_fetch_that_does_not_end_is_ended(fake, cache, programs):
    fake.program.write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(FetchError, match="did not end in time"):
        fetch("clawhub:example@1.0.0", cache, fake.tools(timeout_seconds=0.5))
    assert programs


def test_integrity_is_that_of_the_published_archive(registry, cache, programs):
    directory, tools = registry
    archive = (directory / "example-1.0.0.tgz").read_bytes()
    published = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    fetched = fetch("npm:example@1.0.0", cache, tools)
    _plugin_package.require_integrity(fetched.package, fetched.archive, published, "npm")
    assert programs
