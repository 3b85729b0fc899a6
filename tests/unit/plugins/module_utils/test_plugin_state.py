# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package, _plugin_state
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_package import PackedFile
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_state import PluginError

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


def package(version: str = "1.0.0", **more: bytes) -> _plugin_package.Package:
    files = {
        "openclaw.plugin.json": PackedFile(json.dumps({"id": "example"}).encode()),
        "package.json": PackedFile(json.dumps({"version": version}).encode()),
        "index.js": PackedFile(b"x"),
        "lib/deep/tool.sh": PackedFile(b"#!/bin/sh\n", executable=True),
        **{name: PackedFile(content) for name, content in more.items()},
    }
    return _plugin_package.from_files(files, "test")


@pytest.fixture
def home(tmp_path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


def install(home: Path, wanted: _plugin_package.Package) -> None:
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.place(state, wanted).commit()


def look(home: Path, plugin_id: str = "example") -> _plugin_state.InstalledPlugin:
    with _plugin_state.open_state_directory(str(home)) as state:
        return _plugin_state.look(state, plugin_id)


def fingerprint(directory: Path) -> dict[str, tuple]:
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.lstat().st_ino,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else "",
        )
        for path in sorted(directory.rglob("*"))
    }


def test_placing_gives_exactly_the_package(home):
    wanted = package()
    assert look(home) == _plugin_state.ABSENT
    install(home, wanted)
    found = look(home)
    assert (found.present, found.version, found.digest, found.problems) == (True, "1.0.0", wanted.digest, [])
    target = home / "extensions" / "example"
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "lib/deep").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "index.js").stat().st_mode) == 0o644
    assert stat.S_IMODE((target / "lib/deep/tool.sh").stat().st_mode) == 0o755
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_looking_changes_nothing(home):
    install(home, package())
    before = fingerprint(home)
    look(home)
    assert fingerprint(home) == before


def test_a_new_version_replaces_the_old_one_and_leaves_the_others(home):
    for name in ("one", "two"):
        directory = home / "extensions" / name
        directory.mkdir(parents=True)
        (directory / "openclaw.plugin.json").write_text(json.dumps({"id": name}))
    install(home, package("1.0.0", **{"old.js": b"old"}))
    others = {name: fingerprint(home / "extensions" / name) for name in ("one", "two")}
    install(home, package("2.0.0"))
    assert look(home).version == "2.0.0"
    assert not (home / "extensions/example/old.js").exists()
    assert {name: fingerprint(home / "extensions" / name) for name in others} == others
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_undo_puts_the_old_version_back(home):
    install(home, package("1.0.0"))
    before = fingerprint(home / "extensions/example")
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.place(state, package("2.0.0")).undo()
    assert fingerprint(home / "extensions/example") == before
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.remove(state, "example").undo()
    assert fingerprint(home / "extensions/example") == before
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_undo_of_a_first_install_leaves_nothing(home):
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.place(state, package()).undo()
    assert list((home / "extensions").iterdir()) == []
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_removing_leaves_the_others(home):
    install(home, package())
    (home / "extensions/other").mkdir()
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.remove(state, "example").commit()
    assert [path.name for path in (home / "extensions").iterdir()] == ["other"]
    assert [path.name for path in home.iterdir()] == ["extensions"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_exchange(home, monkeypatch, number):
    def refuse(*_arguments):
        if not (home / "extensions/example").exists():
            raise OSError(errno.ENOENT, "no")
        raise OSError(number, "not here")

    monkeypatch.setattr(_plugin_state, "_exchange", refuse)
    install(home, package("1.0.0"))
    install(home, package("2.0.0"))
    assert look(home).version == "2.0.0"
    assert [path.name for path in home.iterdir()] == ["extensions"]
    with _plugin_state.open_state_directory(str(home)) as state:
        _plugin_state.place(state, package("3.0.0")).undo()
    assert look(home).version == "2.0.0"


def test_another_file_system_below_is_refused_with_its_name(home, monkeypatch):
    install(home, package("1.0.0"))

    def refuse(*_arguments):
        raise OSError(errno.EXDEV, "cross-device")

    monkeypatch.setattr(_plugin_state, "_exchange", refuse)
    with pytest.raises(PluginError, match="extensions: is another file system"):
        install(home, package("2.0.0"))
    assert look(home).version == "1.0.0"
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_a_full_disk_leaves_the_old_version(home, monkeypatch):
    install(home, package("1.0.0"))
    before = fingerprint(home / "extensions")

    def fail(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_plugin_state, "_write_tree", fail)
    with pytest.raises(PluginError, match="No space left"):
        install(home, package("2.0.0"))
    assert fingerprint(home / "extensions") == before
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_a_tree_that_changes_right_after_placing_is_taken_back(home, monkeypatch):
    install(home, package("1.0.0"))
    original = _plugin_state._take_name

    def tamper(state, staging, extensions, plugin_id):
        displaced = original(state, staging, extensions, plugin_id)
        (home / "extensions/example/index.js").write_text("evil")
        return displaced

    monkeypatch.setattr(_plugin_state, "_take_name", tamper)
    with pytest.raises(PluginError, match="not what was just placed"):
        install(home, package("2.0.0"))
    assert look(home).version == "1.0.0"


def tamper_content(target: Path) -> None:
    (target / "index.js").write_text("evil")


def tamper_extra(target: Path) -> None:
    (target / "extra.js").write_text("evil")


def tamper_missing(target: Path) -> None:
    (target / "index.js").unlink()


def tamper_mode(target: Path) -> None:
    (target / "index.js").chmod(0o666)


def tamper_directory_mode(target: Path) -> None:
    (target / "lib").chmod(0o777)


def tamper_link(target: Path) -> None:
    (target / "link.js").symlink_to("/etc/passwd")


def tamper_hard_link(target: Path) -> None:
    os.link(target / "index.js", target.parent / "second-name")


def tamper_fifo(target: Path) -> None:
    os.mkfifo(target / "pipe")


def tamper_id(target: Path) -> None:
    (target / "openclaw.plugin.json").write_text(json.dumps({"id": "other"}))


@pytest.mark.parametrize(
    "tamper",
    [
        tamper_content,
        tamper_extra,
        tamper_missing,
        tamper_mode,
        tamper_directory_mode,
        tamper_link,
        tamper_hard_link,
        tamper_fifo,
        tamper_id,
    ],
)
def test_tampering_is_seen_and_repaired(home, tamper):
    wanted = package()
    install(home, wanted)
    tamper(home / "extensions/example")
    found = look(home)
    assert found.digest != wanted.digest or found.problems
    install(home, wanted)
    repaired = look(home)
    assert (repaired.digest, repaired.problems) == (wanted.digest, [])


@needs_root
def test_a_foreign_owner_is_seen_and_repaired(home):
    wanted = package()
    install(home, wanted)
    os.chown(home / "extensions/example/index.js", NOBODY, NOBODY)
    assert any("belongs to uid 65534" in problem for problem in look(home).problems)
    install(home, wanted)
    assert look(home).problems == []


@needs_root
def test_files_belong_to_root_and_a_new_extensions_directory_to_the_gateway(home):
    os.chown(home, NOBODY, NOBODY)
    install(home, package())
    assert (home / "extensions").stat().st_uid == NOBODY
    owners = {path.lstat().st_uid for path in (home / "extensions/example").rglob("*")}
    assert owners == {0}
    assert look(home).problems == []


@pytest.mark.parametrize("name", ["extensions", "extensions/example"])
def test_a_symlink_on_the_way_is_refused_and_not_followed(home, tmp_path, name):
    outside = tmp_path / "outside"
    (outside / "example").mkdir(parents=True)
    (outside / "keep").write_text("keep")
    if name == "extensions/example":
        (home / "extensions").mkdir()
    (home / name).symlink_to(outside)
    before = fingerprint(outside)
    with pytest.raises(PluginError, match="symlink"):
        look(home)
    with pytest.raises(PluginError, match="symlink"):
        install(home, package())
    assert fingerprint(outside) == before
    assert (home / name).is_symlink()


def test_a_link_that_took_the_place_of_an_old_version_is_removed_as_a_link(home, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    install(home, package())
    with _plugin_state.open_state_directory(str(home)) as state:
        placement = _plugin_state.place(state, package("2.0.0"))
        staged = next(path for path in home.iterdir() if path.name.startswith(".failclosed-plugin-"))
        (staged / "lib").rename(staged / "moved")
        (staged / "lib").symlink_to(outside)
        placement.commit()
    assert (outside / "keep").read_text() == "keep"
    assert [path.name for path in home.iterdir()] == ["extensions"]


def test_a_state_directory_that_others_can_write_is_refused(home):
    home.chmod(0o777)
    with pytest.raises(PluginError, match="set its mode to 0700"):
        look(home)


def test_an_extensions_directory_that_others_can_write_is_refused(home):
    (home / "extensions").mkdir()
    (home / "extensions").chmod(0o777)
    with pytest.raises(PluginError, match="not be writable for others"):
        look(home)


@needs_root
def test_an_extensions_directory_of_a_third_user_is_refused(home):
    (home / "extensions").mkdir()
    os.chown(home / "extensions", NOBODY, NOBODY)
    with pytest.raises(PluginError, match="must belong to the gateway's user or root"):
        look(home)


def test_a_missing_state_directory_is_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "nothing")


def test_a_second_directory_with_the_same_id_is_found(home):
    install(home, package())
    for name, text in {"copy": '{"id": "example"}', "broken": "{", "other": '{"id": "other"}', "list": "[]"}.items():
        (home / "extensions" / name).mkdir()
        (home / "extensions" / name / "openclaw.plugin.json").write_text(text)
    (home / "extensions" / "link").symlink_to(home / "extensions/copy")
    with _plugin_state.open_state_directory(str(home)) as state:
        assert _plugin_state.other_directories_with(state, "example") == ["copy"]


def test_what_a_killed_run_left_is_removed_once_it_is_old(home, monkeypatch):
    for name in (".failclosed-plugin-" + "a" * 16, ".failclosed-plugin-notes", "else"):
        (home / name).mkdir()
    install(home, package())
    assert (home / (".failclosed-plugin-" + "a" * 16)).exists()
    monkeypatch.setattr(_plugin_state, "_STALE_SECONDS", -1.0)
    install(home, package("2.0.0"))
    assert sorted(path.name for path in home.iterdir()) == [".failclosed-plugin-notes", "else", "extensions"]
