# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_edit,
    _config_read,
    _files,
    _json5,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_edit import (
    ConfigEditError,
    ConfigFile,
    DesiredState,
    EditResult,
    Validation,
)
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
)

CANARY = "CANARY-7f3a-do-not-show"
TEXT = """\
// hand-written
{
  meta: { lastTouchedVersion: "2026.9.6" }, // OpenClaw's
  gateway: {
    mode: 'local', bind: "loopback",
    auth: { token: "CANARY-7f3a-do-not-show" },
  },
  ui: { depth: 0x10 },
  plugins: { allow: ["memory-core"] },
}
"""


class Host:
    """A directory with an ``openclaw.json``, an installed stand-in for OpenClaw, and private directories."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.state.mkdir(mode=0o700)
        self.path = self.state / "openclaw.json"
        self.cache = root / "cache"
        self.backups = root / "backups"
        self.fake = FakeOpenClaw()
        self.write(TEXT)

    def write(self, text: str) -> None:
        self.path.write_bytes(text.encode())
        self.path.chmod(0o600)

    def text(self) -> str:
        return self.path.read_bytes().decode()

    def value(self) -> Any:
        return _json5.loads(self.text())

    def edit(self, *, check_mode: bool = False, secure_logging: bool = True, **options: Any) -> EditResult:
        def take(kind: Any) -> dict[str, Any]:
            return {name: options.pop(name) for name in list(options) if name in kind._fields}

        file_options = {"path": str(self.path), "backup_directory": str(self.backups), **take(ConfigFile)}
        desired = DesiredState(**take(DesiredState))
        validation = Validation(**{"openclaw_command": self.fake.command, **take(Validation)})
        assert not options
        return _config_edit.apply(
            ConfigFile(**file_options),
            desired,
            validation,
            cache_directory=str(self.cache),
            check_mode=check_mode,
            secure_logging=secure_logging,
        )

    def refused(self, **options: Any) -> ConfigEditError:
        """The error of an edit that must leave everything as it was."""
        before = snapshot(self.state)
        with pytest.raises(ConfigEditError) as caught:
            self.edit(**options)
        assert snapshot(self.state) == before
        assert CANARY not in str(caught.value) + json.dumps(caught.value.findings)
        return caught.value

    def copies(self) -> list[Path]:
        return sorted(path for path in self.backups.rglob("*") if path.is_file())


def snapshot(directory: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(directory))] = (status.st_ino, status.st_mode, status.st_uid, content)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


PORT = {"gateway": {"port": 18790}}


class TestSemantics:
    def test_patch_leaves_every_other_byte(self, host: Host) -> None:
        result = host.edit(patch={"gateway": {"bind": "lan"}})
        assert result.changed and result.changed_paths == ["gateway.bind"]
        assert host.text() == TEXT.replace('"loopback"', '"lan"')
        assert result.digest == _files.digest_of(host.path.read_bytes())

    def test_a_second_run_changes_nothing(self, host: Host) -> None:
        host.edit(patch=PORT)
        before = snapshot(host.root)
        result = host.edit(patch=PORT)
        assert not result.changed and result.changed_paths == [] and result.diff == [] and result.backup_file is None
        assert snapshot(host.root) == before

    @pytest.mark.parametrize(
        "patch",
        [{}, {"ui": {"depth": 16}}, {"ui": {"depth": 16.0}}, {"ui": {"nothing": None}}, {"gateway": {"mode": "local"}}],
    )
    def test_equal_values_are_no_change(self, host: Host, patch: dict[str, Any]) -> None:
        before = snapshot(host.state)
        assert not host.edit(patch=patch).changed
        assert snapshot(host.state) == before

    def test_true_is_not_one(self, host: Host) -> None:
        host.write("{ meta: {}, ui: { depth: true } }")
        assert host.edit(patch={"ui": {"depth": 1}}).changed

    def test_what_stands_in_meta_is_ignored(self, host: Host) -> None:
        assert not host.edit(patch={"meta": {"lastTouchedVersion": "1", "migrations": {"x": True}}}).changed
        assert not host.edit(patch={"meta": None}).changed

    def test_a_missing_meta_is_a_change_if_the_patch_has_one(self, host: Host) -> None:
        host.write('{ gateway: { mode: "local" } }')
        assert not host.edit(patch={"gateway": {"mode": "local"}}).changed
        assert host.edit(patch={"meta": {"migrations": {}}}).changed_paths == ["meta"]
        assert host.value()["meta"] == {"migrations": {}}

    def test_replaced_objects_lose_what_is_not_declared(self, host: Host) -> None:
        patch = {"models": {"providers": {"p": {"baseUrl": "http://127.0.0.1:1", "auth": "token"}}}}
        host.edit(patch=patch)
        host.edit(patch={"models": {"providers": {"p": {"region": "eu"}, "q": {"region": "us"}}}})
        result = host.edit(patch=patch, replace_paths=["models.providers.p"])
        assert result.changed_paths == ["models.providers.p.region"]
        assert host.value()["models"]["providers"] == {**patch["models"]["providers"], "q": {"region": "us"}}
        assert not host.edit(patch=patch, replace_paths=["models.providers.p"]).changed

    def test_absent_paths(self, host: Host) -> None:
        result = host.edit(absent_paths=["gateway.auth", 'channels["no.such"].x', "plugins.allow"])
        assert sorted(result.changed_paths) == ["gateway.auth", "plugins.allow"]
        assert "auth" not in host.value()["gateway"] and host.value()["plugins"] == {}

    @pytest.mark.parametrize("path", ["plugins.allow[0]", "plugins.allow.0", "plugins.allow[7]"])
    def test_no_element_is_removed_by_its_place(self, host: Host, path: str) -> None:
        # Each run would remove another one.
        error = str(host.refused(absent_paths=[path]))
        assert error.startswith("absent_paths: plugins.allow") and "members_absent" in error

    def test_a_patch_and_what_must_go_with_it(self, host: Host) -> None:
        """As a remedy for several findings at once: one edit, one copy, one validation."""
        host.write(
            '{ meta: {}, agents: { list: [ { id: "a", model: "x" }, { id: "b", model: "y" } ], defaults: { model: {'
            ' primary: "x", fallbacks: ["y"] } } } }'
        )
        host.fake.set_schema({"type": "object", "properties": {}})
        options: dict[str, Any] = {
            "patch": {"agents": {"defaults": {"model": {"fallbacks": []}}}},
            "absent_paths": ["agents.list[0].model", 'agents.list["1"].model', "channels.gone"],
        }
        result = host.edit(**options)
        assert sorted(result.changed_paths) == ["agents.defaults.model.fallbacks", "agents.list"]
        assert host.value()["agents"]["list"] == [{"id": "a"}, {"id": "b"}]
        assert len(host.copies()) == 1
        assert not host.edit(**options).changed

    def test_keys_with_dots(self, host: Host) -> None:
        host.edit(patch={"models": {"providers": {"my.proxy": {"region": "eu"}}}})
        result = host.edit(absent_paths=['models.providers["my.proxy"]'])
        assert result.changed_paths == ['models.providers["my.proxy"]']

    def test_assertions(self, host: Host) -> None:
        host.edit(patch=PORT, assert_paths={"gateway.bind": "loopback", "ui.depth": 16, "channels": None})
        error = host.refused(patch={"ui": {"depth": 3}}, assert_paths={"gateway.bind": "lan"})
        assert "assert_paths: gateway.bind has another value where a string was expected" in str(error)
        error = host.refused(patch={}, assert_paths={"gateway.nothing": 1})
        assert "gateway.nothing has nothing where a number was expected" in str(error)

    def test_members(self, host: Host) -> None:
        result = host.edit(
            members_present={"plugins.allow": ["a", "memory-core", "b"], "channels.x.list": ["new"]},
            members_absent={"plugins.deny": ["z"]},
        )
        assert sorted(result.changed_paths) == ["channels", "plugins.allow"]
        assert host.value()["plugins"] == {"allow": ["memory-core", "a", "b"]}
        assert host.value()["channels"] == {"x": {"list": ["new"]}}
        host.edit(members_absent={"plugins.allow": ["a", "not there"]})
        assert host.value()["plugins"] == {"allow": ["memory-core", "b"]}

    def test_an_optional_list_is_completed_and_not_created(self, host: Host) -> None:
        options: dict[str, Any] = {"members_present": {"plugins.allow": ["a"]}, "optional_paths": ["plugins.allow"]}
        assert host.edit(**options).changed_paths == ["plugins.allow"]
        assert host.value()["plugins"] == {"allow": ["memory-core", "a"]}
        host.write("{ meta: {} }")
        result = host.edit(**options)
        assert not result.changed and not result.findings

    def test_creating_the_list_of_allowed_plugins_is_said(self, host: Host) -> None:
        host.write("{ meta: {} }")
        result = host.edit(members_present={"plugins.allow": ["a"]})
        assert "plugins.allow" in [finding["path"] for finding in result.findings]
        assert "loads only what it names" in json.dumps(result.findings)

    def test_secrets(self, host: Host) -> None:
        host.edit(secrets={"channels.telegram.botToken": "new " + CANARY})
        assert host.value()["channels"] == {"telegram": {"botToken": "new " + CANARY}}
        assert not host.edit(secrets={"channels.telegram.botToken": "new " + CANARY}).changed

    def test_an_element_of_a_list(self, host: Host) -> None:
        host.write("{ meta: {}, channels: { list: [ { a: 1 }, /* two */ { a: 2 } ] } }")
        host.edit(secrets={"channels.list[1].token": CANARY}, absent_paths=["channels.list.0.a"])
        assert host.value()["channels"]["list"] == [{}, {"a": 2, "token": CANARY}]
        assert "/* two */" in host.text()

    def test_variables_and_references_stay_as_they_are_written(self, host: Host) -> None:
        reference = {"source": "env", "provider": "default", "id": "TOKEN"}
        host.edit(patch={"gateway": {"auth": {"token": "${TOKEN}"}}, "channels": {"x": {"apiKey": reference}}})
        assert "${TOKEN}" in host.text()
        assert host.value()["channels"]["x"]["apiKey"] == reference


class TestReverse:
    PATCH: dict[str, Any] = {  # noqa: RUF012
        "channels": {"x": {"a": 1, "b": {"c": [1, 2]}}},
        "gateway": {"bind": "loopback"},
        "meta": {"new": 1},
    }

    def test_takes_back_what_it_added(self, host: Host) -> None:
        options: dict[str, Any] = {
            "patch": {"channels": self.PATCH["channels"]},
            "secrets": {"channels.y.token": CANARY},
            "members_present": {"plugins.allow": ["ours"]},
        }
        host.edit(**options)
        result = host.edit(**options, reverse=True)
        assert sorted(result.changed_paths) == ["channels", "plugins.allow"]
        assert host.value() == _json5.loads(TEXT)
        assert not host.edit(**options, reverse=True).changed

    def test_keeps_what_somebody_changed_since_and_says_so(self, host: Host) -> None:
        host.edit(patch=self.PATCH)
        host.edit(patch={"channels": {"x": {"a": 2}}})
        result = host.edit(patch=self.PATCH, reverse=True)
        assert host.value()["channels"] == {"x": {"a": 2}}
        assert "bind" not in host.value()["gateway"] and "meta" in host.value()
        assert [finding["path"] for finding in result.findings if finding["source"] == "edit"] == ["channels.x.a"]

    def test_takes_a_part_that_somebody_changed_with_the_whole_and_with_what_it_empties(self, host: Host) -> None:
        options: dict[str, Any] = {"patch": self.PATCH, "absent_paths": ["channels.x"], "reverse": True}
        host.edit(patch=self.PATCH)
        host.edit(patch={"channels": {"x": {"a": 2}}})
        result = host.edit(**options)
        assert "channels" not in host.value()
        assert [finding for finding in result.findings if finding["source"] == "edit"] == []
        assert not host.edit(**options).changed

    def test_leaves_an_object_that_was_empty_before(self, host: Host) -> None:
        host.write("{ channels: {} }")
        assert not host.edit(patch={"other": 1}, reverse=True, absent_paths=["channels.x"]).changed

    def test_members_that_must_not_be_there_go_in_both_directions(self, host: Host) -> None:
        host.write('{ plugins: { deny: ["x", "y"] } }')
        host.edit(reverse=True, members_absent={"plugins.deny": ["x"]})
        assert host.value() == {"plugins": {"deny": ["y"]}}

    def test_never_creates_or_deletes_the_file(self, host: Host) -> None:
        host.path.unlink()
        assert not host.edit(patch=self.PATCH, reverse=True).changed
        assert not host.path.exists()
        host.write("{ channels: { x: 1 } }")
        host.edit(patch={"channels": {"x": 1}}, reverse=True)
        assert host.value() == {}


def install_plugin_with_hints(host: Host) -> None:
    """A plugin whose manifest marks keys as sensitive that no rule about names would find."""
    for folder in ("extensions/chat", "npm/projects/p/node_modules/@scope/other"):
        (host.state / folder).mkdir(parents=True)
    channel = {"rooms[].word": {"sensitive": True}, "hook": {"tags": ["url-secret"]}, "shown": {"label": "Shown"}}
    manifest = {
        "id": "chat",
        "uiHints": {"riddle": {"sensitive": True}, "public": {"sensitive": False}},
        "channelConfigs": {"chat": {"uiHints": channel}},
    }
    (host.state / "extensions" / "chat" / "openclaw.plugin.json").write_text(json.dumps(manifest))
    (host.state / "npm/projects/p/package.json").write_text(json.dumps({"dependencies": {"@scope/other": "1"}}))
    other = {"id": "other", "uiHints": {"deep.riddle": {"sensitive": True}}}
    (host.state / "npm/projects/p/node_modules/@scope/other/openclaw.plugin.json").write_text(json.dumps(other))


class TestRefusedOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"absent_paths": ["a..b"]}, "absent_paths: the path a..b has an empty segment"),
            ({"absent_paths": ["a.__proto__"]}, "absent_paths: .*__proto__"),
            ({"replace_paths": ["a.b"], "patch": {"a": {}}}, "replace_paths: patch has nothing at a.b"),
            ({"replace_paths": ["a"], "patch": {"a": [1]}}, "replace_paths: patch has a list at a"),
            ({"absent_paths": ["a"], "patch": {"a": {"b": 1}}}, "absent_paths: a shall go, and patch sets a.b"),
            ({"absent_paths": ["meta"]}, "absent_paths: meta must stay"),
            ({"secrets": {"a": ""}}, "secrets: a must be a text that is not empty, and is a string"),
            ({"secrets": {"a": {"x": CANARY}}}, "secrets: a must be a text that is not empty, and is an object"),
            ({"secrets": {"a.b": CANARY}, "patch": {"a": {"b": None}}}, "secrets: a.b is in patch too"),
            ({"members_present": {"a": "x"}}, "members_present: a must be a list of strings, and is a string"),
            ({"members_present": {"a": [1]}}, "members_present: a has a number; only strings fit"),
            (
                {"members_present": {"a": ["x", "y"]}, "members_absent": {"a": ["x"]}},
                "members_absent: a names x, which members_present names too",
            ),
            (
                {"members_present": {"a": ["x"]}, "optional_paths": ["b"]},
                "optional_paths: members_present has no b; name it there too",
            ),
            ({"members_present": {"gateway": ["x"]}}, "members_present: gateway is an object in the file"),
            ({"secrets": {"gateway.bind.deeper": CANARY}}, "gateway.bind is a string, and has no members"),
            ({"secrets": {"plugins.allow[7]": CANARY}}, "the list has 1 elements"),
            ({"path": "relative.json"}, "path: 'relative.json' must be the absolute path"),
            ({"path": "/tmp/../etc/x.json"}, r"contains '\.\.'"),
        ],
    )
    def test_name_the_option_and_the_path(self, host: Host, options: dict[str, Any], message: str) -> None:
        assert re.search(message, str(host.refused(**options))), str(host.refused(**options))

    @pytest.mark.parametrize(
        ("patch", "path"),
        [
            ({"gateway": {"auth": {"token": CANARY}}}, "gateway.auth.token"),
            ({"models": {"providers": {"x": {"apiKey": CANARY}}}}, "models.providers.x.apiKey"),
            ({"models": {"providers": {"x": {"headers": {"X-A": CANARY}}}}}, "models.providers.x.headers.X-A"),
            ({"channels": {"c": {"serviceAccount": {"a": [CANARY]}}}}, "channels.c.serviceAccount.a[0]"),
            ({"channels": {"c": {"note": "Bearer " + CANARY}}}, "channels.c.note"),
            ({"channels": {"list": [{"password": CANARY}]}}, "channels.list[0].password"),
            ({"plugins": {"entries": {"chat": {"config": {"riddle": CANARY}}}}}, "plugins.entries.chat.config.riddle"),
            ({"channels": {"chat": {"rooms": [{"word": CANARY}]}}}, "channels.chat.rooms[0].word"),
            ({"channels": {"chat": {"accounts": {"b": {"hook": CANARY}}}}}, "channels.chat.accounts.b.hook"),
        ],
    )
    def test_a_literal_secret_in_the_patch_points_to_secrets(
        self, host: Host, patch: dict[str, Any], path: str
    ) -> None:
        install_plugin_with_hints(host)
        error = str(host.refused(patch=patch))
        assert error.startswith(f"patch: {path} holds a literal") and "option secrets" in error and "SecretRef" in error

    @pytest.mark.parametrize("option", ["members_present", "members_absent"])
    def test_a_literal_secret_among_members_is_refused(self, host: Host, option: str) -> None:
        for path, member in (("channels.x.tokens.token", CANARY), ("plugins.allow", "sk-" + "a" * 20)):
            error = str(host.refused(**{option: {path: [member]}}))
            assert error.startswith(f"{option}: {path}[0] holds a literal") and member not in error

    def test_a_public_literal_is_let_through(self, host: Host) -> None:
        patch = {"models": {"providers": {"x": {"apiKey": "proxy-local"}}}}
        result = host.edit(patch=patch, public_paths=["models.providers.x.apiKey"])
        assert host.value()["models"] == patch["models"]
        assert "proxy-local" in result.diff[0]["after"]

    def test_a_secret_cannot_be_asserted_in_clear(self, host: Host) -> None:
        assert "assert_paths: gateway.auth.token" in str(host.refused(assert_paths={"gateway.auth.token": CANARY}))


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


class TestFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{ a: "' + CANARY + '",, }', "line 1, column"),
            ("", "is empty (0 bytes)"),
            (" \n", "is empty (2 bytes)"),
            ("{ a: 1, \0\0\0 }", "line 1, column 9"),
            ('{ a: 1, "\x1b[31m": 2, "\x1b[31m": 3 }', "\\u001b[31m"),
            ('{ a: 1, a: "' + CANARY + '" }', "line 1"),
            ('["' + CANARY + '"]', "holds no object at its top"),
            ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "line 1"),
        ],
    )
    def test_a_broken_file_is_left_alone_and_named(self, host: Host, text: str, message: str) -> None:
        host.write(text)
        error = str(host.refused(patch=PORT))
        assert str(host.path) in error and message in error

    def test_byte_order_mark_and_line_ends_stay(self, host: Host) -> None:
        text = "\ufeff// by hand\r\n{\r\n  meta: {},\r\n  gateway: { port: 1 },\r\n}\r\n"
        host.write(text)
        host.edit(patch={**PORT, "ui": {"a": {"b": 1}}})
        assert host.text().startswith("\ufeff// by hand\r\n{\r\n  meta: {},\r\n  gateway: { port: 18790 },\r\n")
        assert "\n" not in host.text().replace("\r\n", "")

    @pytest.mark.parametrize(
        ("make", "kind"), [(os.mkdir, "a directory"), (os.mkfifo, "a FIFO"), (_make_socket, "a socket or a device")]
    )
    def test_what_is_no_file_is_named(self, host: Host, make: Callable[[Path], None], kind: str) -> None:
        host.path.unlink()
        make(host.path)
        error = str(host.refused(patch=PORT))
        assert f"openclaw.json: is {kind}, and not a regular file; move it away. Nothing was changed." in error

    def test_a_file_that_no_configuration_can_be(self, host: Host) -> None:
        with host.path.open("r+b") as stream:
            stream.truncate(_files.MAXIMUM_FILE_BYTES + 1)
        with pytest.raises(ConfigEditError, match="is larger than 33554432 bytes"):
            host.edit(patch=PORT)
        host.write("{ meta: {}, ui: { a: '" + "x" * _json5.MAX_LENGTH + "' } }")
        with pytest.raises(ConfigEditError, match="at most 8388608 are read"):
            host.edit(patch=PORT)

    def test_a_file_of_a_third_user_stays_theirs(self, host: Host) -> None:
        if os.geteuid() != 0:
            pytest.fail("this test changes owners: run it as root")
        os.chown(host.state, 65534, 65534)
        os.chown(host.path, 4242, 4243)
        host.edit(patch=PORT)
        assert (host.path.stat().st_uid, host.path.stat().st_gid) == (4242, 4243)

    def test_bytes_that_are_not_text(self, host: Host) -> None:
        host.path.write_bytes(b'{ a: "\xff" }')
        assert "not UTF-8" in str(host.refused(patch=PORT))

    def test_creates_a_file(self, host: Host) -> None:
        host.path.unlink()
        result = host.edit(patch={"meta": {}, **PORT})
        assert result.changed and result.backup_file is None
        assert host.text() == json.dumps({"meta": {}, **PORT}, indent=2) + "\n"
        assert stat.S_IMODE(host.path.stat().st_mode) == 0o600
        assert result.diff[0]["before"] == ""

    def test_creates_none_if_it_may_not(self, host: Host) -> None:
        host.path.unlink()
        assert "does not exist, and create is false" in str(host.refused(patch=PORT, create=False))

    def test_a_missing_directory_is_an_error_but_not_in_check_mode(self, host: Host) -> None:
        path = str(host.root / "none" / "openclaw.json")
        assert "create it first, mode 0700" in str(host.refused(path=path, patch=PORT))
        result = host.edit(path=path, patch=PORT, check_mode=True)
        assert result.changed and not (host.root / "none").exists()

    def test_refuses_a_symlink(self, host: Host) -> None:
        victim = host.root / "victim.json"
        host.path.rename(victim)
        host.path.symlink_to(victim)
        assert "is a symlink" in str(host.refused(patch=PORT))
        assert victim.read_text() == TEXT

    def test_refuses_hard_links_unless_told(self, host: Host) -> None:
        other = host.root / "other.json"
        os.link(host.path, other)
        assert "allow_hard_link" in str(host.refused(patch=PORT))
        assert host.edit(patch=PORT, allow_hard_link=True).changed
        assert other.read_text() == TEXT and host.value()["gateway"]["port"] == 18790

    def test_goes_on_after_a_run_that_was_killed_between_link_and_unlink(self, host: Host) -> None:
        leftover = host.path.with_name(".openclaw.json.failclosed-0123456789abcdef")
        os.link(host.path, leftover)
        assert host.edit(patch=PORT, check_mode=True).changed
        assert leftover.exists()
        assert host.edit(patch=PORT).changed
        assert os.listdir(host.state) == ["openclaw.json"]

    def test_corrects_the_mode_alone(self, host: Host) -> None:
        host.path.chmod(0o644)
        result = host.edit(check_mode=True)
        assert result.changed and result.changed_paths == [] and "mode 0644" in result.diff[0]["before"]
        assert stat.S_IMODE(host.path.stat().st_mode) == 0o644
        inode = host.path.stat().st_ino
        assert host.edit().changed
        assert (stat.S_IMODE(host.path.stat().st_mode), host.path.stat().st_ino) == (0o600, inode)
        assert not host.edit().changed

    def test_a_new_file_belongs_to_whom_its_directory_belongs(self, host: Host) -> None:
        if os.geteuid() != 0:
            pytest.fail("this test changes owners: run it as root")
        host.path.unlink()
        os.chown(host.state, 65534, 65533)
        host.edit(patch=PORT, user="nobody")
        assert (host.path.stat().st_uid, host.path.stat().st_gid) == (65534, 65533)
        assert host.fake.calls()[-1]["uid"] == 65534

    def test_owner_and_group_are_corrected(self, host: Host) -> None:
        if os.geteuid() != 0:
            pytest.fail("this test changes owners: run it as root")
        result = host.edit(owner="65534", group="65533")
        assert result.changed and "owner 65534" in result.diff[0]["after"]
        assert (host.path.stat().st_uid, host.path.stat().st_gid) == (65534, 65533)

    def test_an_unknown_owner_is_an_error_but_not_in_check_mode(self, host: Host) -> None:
        assert "user 'not-yet' does not exist" in str(host.refused(patch=PORT, owner="not-yet"))
        assert host.edit(patch=PORT, owner="not-yet", user="not-yet", check_mode=True).changed

    @pytest.mark.parametrize(
        ("options", "lost"),
        [
            ({"absent_paths": ["gateway.mode"]}, "gateway.mode"),
            ({"absent_paths": ["gateway"]}, "gateway.mode"),
            ({"absent_paths": ["channels"]}, "more than half of its"),
        ],
    )
    def test_guards_what_openclaw_takes_for_damage(self, host: Host, options: dict[str, Any], lost: str) -> None:
        host.edit(patch={"channels": {"long": ["word"] * 200}})
        error = str(host.refused(**options))
        assert lost in error and "allow_shrink" in error
        assert host.edit(**options, allow_shrink=True).changed


class TestBackups:
    def test_keep_the_old_content_out_of_reach(self, host: Host) -> None:
        result = host.edit(patch=PORT)
        assert result.backup_file is not None
        copy = Path(result.backup_file)
        assert copy.read_text() == TEXT
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600 and stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        assert copy.stat().st_uid == os.geteuid()
        # Nothing that OpenClaw could take for one of its own copies.
        assert os.listdir(host.state) == ["openclaw.json"]

    def test_ring(self, host: Host) -> None:
        for port in range(1, 6):
            host.edit(patch={"gateway": {"port": port}}, backup_keep=2)
        ports = [_json5.loads(copy.read_text())["gateway"]["port"] for copy in host.copies()]
        assert ports == [3, 4]

    def test_none(self, host: Host) -> None:
        assert host.edit(patch=PORT, backup_keep=0).backup_file is None
        assert not host.backups.exists()


class TestValidation:
    def test_exact_calls(self, host: Host) -> None:
        result = host.edit(patch=PORT)
        assert result.validated == ["managed_schema", "exported_schema", "program"]
        assert result.openclaw_version == "2026.9.6"
        calls = host.fake.calls()
        # The schema, the file as it was, the candidate.
        assert [call["argv"] for call in calls] == [
            ["config", "schema"],
            ["config", "validate", "--json"],
            ["config", "validate", "--json"],
        ]
        assert [call["config_text"] for call in calls] == [host.text(), TEXT, host.text()]
        for call in calls:
            environment = call["environment"]
            scratch = os.path.dirname(environment["OPENCLAW_CONFIG_PATH"])
            assert environment.pop("OPENCLAW_CONFIG_PATH").endswith(("/candidate.json", "/before.json"))
            assert environment.pop("TMPDIR") == environment.pop("XDG_CACHE_HOME") != scratch
            # What python itself sets.
            environment.pop("LC_CTYPE", None)
            python = os.path.dirname(host.fake.command[0])
            account = pwd.getpwuid(os.geteuid())
            assert environment == {
                "HOME": account.pw_dir,
                "USER": account.pw_name,
                "LOGNAME": account.pw_name,
                "SHELL": "/bin/sh",
                "PATH": f"{python}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "NO_COLOR": "1",
                "NO_PROXY": "127.0.0.1,localhost,::1",
                "NODE_DISABLE_COMPILE_CACHE": "1",
                "OPENCLAW_CONFIG_READONLY": "1",
                "OPENCLAW_STATE_DIR": str(host.state),
            }
            assert (call["config_mode"], call["cwd"], call["umask"]) == ("0o400", "/", 0o077)
            assert call["may_write_temporary"]
            assert not os.path.exists(scratch)

    def test_runs_as_the_owner_of_the_directory_and_cannot_write_the_candidate(self, host: Host) -> None:
        if os.geteuid() != 0:
            pytest.fail("this test changes owners: run it as root")
        for path in (host.state, host.path):
            os.chown(path, 65534, 65534)
        host.edit(patch=PORT)
        for call in host.fake.calls():
            assert (call["uid"], call["may_write_folder"], call["may_write_temporary"]) == (65534, False, True)

    def test_a_directory_of_root_that_another_user_could_have_put_there_makes_nobody_root(self, host: Host) -> None:
        if os.geteuid() != 0:
            pytest.fail("this test changes owners: run it as root")
        os.chown(host.root, 65534, 65534)
        error = str(host.refused(patch=PORT))
        assert f"{host.state} belongs to root, and {host.root} above it to uid 65534" in error and "user" in error
        assert host.fake.calls() == []
        assert host.edit(patch=PORT, user="nobody").changed

    def test_a_change_back_to_a_known_content_costs_one_call(self, host: Host) -> None:
        host.edit(patch=PORT)
        host.fake.commands()
        host.edit(patch={"gateway": {"port": 1}})
        # The schema and the verdict about the file as it was are remembered.
        assert host.fake.commands() == ["config validate --json"]

    def test_the_schema_is_read_again_when_program_or_plugins_change(self, host: Host) -> None:
        host.edit(patch=PORT)
        host.fake.commands()
        (host.state / "extensions" / "x").mkdir(parents=True)
        (host.state / "extensions" / "x" / "openclaw.plugin.json").write_text("{}")
        host.edit(patch={"gateway": {"port": 1}})
        assert host.fake.commands() == ["config schema", "config validate --json", "config validate --json"]
        host.fake.set_version("2026.9.7")
        host.edit(patch={"gateway": {"port": 2}})
        assert host.fake.commands()[0] == "config schema"

    def test_what_the_program_refuses_is_not_written(self, host: Host) -> None:
        error = host.refused(patch={"ui": {"note": "INVALID"}})
        assert "would not be valid to OpenClaw 2026.9.6: gateway.bind: Invalid input" in str(error)
        assert error.findings[-1]["source"] == "program" and error.findings[-1]["severity"] == "error"

    def test_also_in_check_mode(self, host: Host) -> None:
        host.refused(patch={"ui": {"note": "INVALID"}}, check_mode=True)
        assert "config validate --json" in host.fake.commands()

    @pytest.mark.parametrize("behaviour", ["CRASH", "HANG", "FLOOD"])
    def test_a_program_without_an_answer_is_no_consent(self, host: Host, behaviour: str) -> None:
        error = str(host.refused(patch={"ui": {"note": behaviour}}, timeout_seconds=3))
        assert "nothing was changed" in error and ("exit status 3" in error or "was stopped" in error)

    def test_a_program_that_is_missing_is_an_error_but_not_in_check_mode(self, host: Host) -> None:
        missing = [str(host.root / "node"), str(host.root / "openclaw.mjs")]
        error = str(host.refused(patch=PORT, openclaw_command=missing))
        assert "openclaw_command: " in error and "node does not exist on this host" in error
        result = host.edit(patch=PORT, openclaw_command=missing, check_mode=True)
        assert result.changed and result.validated == ["managed_schema"]
        assert "has not validated this" in json.dumps(result.findings)

    def test_an_old_program_is_refused(self, host: Host) -> None:
        host.fake.set_version("2026.5.7")
        assert "2026.8.1 is the oldest version" in str(host.refused(patch=PORT))

    def test_a_wrapper_is_asked_for_its_version(self, host: Host) -> None:
        (host.fake.directory / "package.json").unlink()
        assert host.edit(patch=PORT).openclaw_version == "2026.9.6"
        assert host.fake.commands()[0] == "--version"

    def test_without_a_program_only_our_schema_has_a_say_and_that_is_said(self, host: Host) -> None:
        result = host.edit(patch=PORT, openclaw_command=())
        assert result.validated == ["managed_schema"]
        assert "openclaw_command is not given" in json.dumps(result.findings)

    def test_our_schema_refuses_before_anything_is_started(self, host: Host) -> None:
        error = host.refused(patch={"gateway": {"port": 70000}})
        assert "gateway.port: must be at most 65535" in str(error)
        assert host.fake.calls() == []

    def test_the_exported_schema_refuses_what_was_declared(self, host: Host) -> None:
        error = host.refused(patch={"ui": {"depth": "deep"}})
        assert "the schema of OpenClaw 2026.9.6: ui.depth: is a string, and must be of type integer" in str(error)
        assert host.refused(patch={"bogus": 1}).findings[-1]["path"] == "bogus"

    def test_the_exported_schema_only_warns_elsewhere(self, host: Host) -> None:
        host.write("{ meta: {}, agents: { list: [] }, ui: { depth: 'deep' } }")
        result = host.edit(patch=PORT)
        found = {finding["path"]: finding["severity"] for finding in result.findings}
        assert found["agents.list"] == found["ui.depth"] == "warning"

    def test_our_schema_only_warns_elsewhere(self, host: Host) -> None:
        host.write("{ meta: {}, agents: { defaults: { model: 'opus' } } }")
        result = host.edit(patch=PORT)
        assert "agents.defaults.model" in [finding["path"] for finding in result.findings]

    @pytest.mark.parametrize("schema", [[], {"properties": {"a": {"$ref": "http://schema.example/"}}}])
    def test_an_unusable_exported_schema_leaves_the_word_to_the_program(self, host: Host, schema: Any) -> None:
        host.fake.set_schema(schema)
        result = host.edit(patch=PORT)
        assert result.validated == ["managed_schema", "program"]
        assert "not checked" in json.dumps(result.findings)

    def test_warnings_of_the_program_are_findings(self, host: Host) -> None:
        result = host.edit(patch=PORT)
        assert [(each["path"], each["severity"]) for each in result.findings] == [("plugins.entries.gone", "warning")]

    def test_a_file_that_is_invalid_already(self, host: Host) -> None:
        host.write("{ meta: {}, ui: { note: 'INVALID' } }")
        error = str(host.refused(patch={"ui": {"note": "fine"}}))
        assert (
            "is already invalid to OpenClaw 2026.9.6 on this host: gateway.bind" in error
            and "when_invalid: repair" in error
        )
        assert "would not be valid" in str(host.refused(patch=PORT, when_invalid="repair"))
        assert host.edit(patch={"ui": {"note": "fine"}}, when_invalid="repair").changed

    def test_without_the_library_the_program_decides_alone(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jsonschema", None)
        result = host.edit(patch=PORT)
        assert result.validated == ["program"]
        assert "python3-jsonschema" in json.dumps(result.findings)
        assert "config schema" not in host.fake.commands()

    def test_without_library_and_program_nothing_is_written(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jsonschema", None)
        error = str(host.refused(patch=PORT, openclaw_command=()))
        assert "python3-jsonschema" in error and "openclaw_command" in error
        assert host.edit(patch=PORT, openclaw_command=(), check_mode=True).validated == []


class TestNoOp:
    def test_starts_nothing_and_imports_no_jsonschema(self, host: Host) -> None:
        host.edit(patch=PORT)
        host.fake.commands()
        code = (
            "import sys, json, subprocess\n"
            "from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit as e\n"
            f"r = e.apply(e.ConfigFile(path={str(host.path)!r}), e.DesiredState(patch={PORT!r}),"
            f" e.Validation(openclaw_command={host.fake.command!r}), cache_directory={str(host.cache)!r},"
            " check_mode=False)\n"
            "print(json.dumps([r.changed, r.validated, 'jsonschema' in sys.modules]))\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        assert json.loads(done.stdout) == [False, ["managed_schema", "exported_schema", "program"], False]
        assert host.fake.calls() == []

    def test_a_content_that_was_never_validated_is_judged_by_our_schema_only(self, host: Host) -> None:
        result = host.edit(patch={"gateway": {"mode": "local"}})
        assert (result.validated, result.openclaw_version) == (["managed_schema"], None)
        assert host.fake.calls() == []

    def test_a_wrong_declared_value_is_refused_even_if_it_is_there(self, host: Host) -> None:
        host.write("{ meta: {}, gateway: { port: 70000 } }")
        assert "gateway.port" in str(host.refused(patch={"gateway": {"port": 70000}}))

    def test_a_record_for_another_declaration_does_not_count(self, host: Host) -> None:
        host.write("{ meta: {}, gateway: { port: 70000, bind: 'lan' } }")
        assert not host.edit(patch={"gateway": {"bind": "lan"}}).changed
        host.refused(patch={"gateway": {"port": 70000}})

    @pytest.mark.parametrize("content", ["", "{", "[1]", '[{"key": 1}]', "null"])
    def test_a_damaged_memory_is_no_memory(self, host: Host, content: str) -> None:
        host.edit(patch=PORT)
        for name in (host.cache / "verdicts").iterdir():
            name.write_text(content)
        for name in (host.cache / "schemas").iterdir():
            name.write_text(content)
        assert not host.edit(patch=PORT).changed
        assert host.edit(patch={"gateway": {"port": 1}}).changed

    def test_a_memory_that_others_may_write_is_not_believed(self, host: Host) -> None:
        host.edit(patch=PORT)
        (host.cache / "verdicts").chmod(0o777)
        assert "others may write there" in str(host.refused(patch=PORT))


class TestCheckMode:
    def test_predicts_and_writes_nothing(self, host: Host) -> None:
        before = snapshot(host.state)
        options: dict[str, Any] = {"patch": {**PORT, "ui": {"depth": 1}}, "members_present": {"plugins.allow": ["x"]}}
        predicted = host.edit(**options, check_mode=True)
        assert snapshot(host.state) == before
        assert not host.cache.exists() and not host.backups.exists()
        real = host.edit(**options)
        assert (predicted.changed_paths, predicted.digest) == (real.changed_paths, real.digest)
        assert predicted.diff == real.diff
        assert predicted.backup_file is None


class TestIncludes:
    @pytest.fixture
    def split(self, host: Host) -> Host:
        host.write(
            '{ meta: {}, gateway: { mode: "local" }, agents: { $include: "./agents.json5" },'
            ' channels: { $include: ["./one.json5", "./two.json5"], own: { a: 1 } } }\n'
        )
        (host.state / "agents.json5").write_text("{ defaults: { /* mine */ workspace: '/x' } }\n")
        (host.state / "one.json5").write_text("{ one: { a: 1 }, both: { a: 1 } }\n")
        (host.state / "two.json5").write_text("{ two: { a: 1 }, both: { a: 2 } }\n")
        for path in host.state.glob("*.json5"):
            path.chmod(0o600)
        return host

    def test_paths_of_the_file_itself_are_edited_there(self, split: Host) -> None:
        split.edit(patch=PORT)
        assert split.value()["gateway"] == {"mode": "local", "port": 18790}
        split.edit(patch={"channels": {"own": {"a": 2}}})
        assert split.value()["channels"]["own"] == {"a": 2}
        assert "$include" in split.text()

    def test_the_program_sees_the_merged_whole(self, split: Host) -> None:
        split.edit(patch=PORT)
        seen = json.loads(split.fake.calls()[-1]["config_text"])
        assert seen["agents"] == {"defaults": {"workspace": "/x"}}
        assert seen["channels"]["both"] == {"a": 2}

    @pytest.mark.parametrize(
        ("patch", "owner"),
        [
            ({"agents": {"defaults": {"workspace": "/y"}}}, "agents.json5"),
            ({"agents": {"defaults": {"fresh": 1}}}, "agents.json5"),
            ({"agents": {"entries": {}}}, "agents.json5"),
            ({"channels": {"one": {"a": 3}}}, "one.json5"),
            ({"channels": {"two": None}}, "two.json5"),
        ],
    )
    def test_a_path_of_an_included_file_is_refused_and_the_file_named(
        self, split: Host, patch: dict[str, Any], owner: str
    ) -> None:
        error = str(split.refused(patch=patch))
        assert str(split.state / owner) in error and "follow_include" in error

    def test_a_value_that_is_already_there_needs_no_owner(self, split: Host) -> None:
        assert not split.edit(patch={"agents": {"defaults": {"workspace": "/x"}}}).changed

    def test_follows_the_include_if_told(self, split: Host) -> None:
        main = split.text()
        result = split.edit(patch={"agents": {"defaults": {"workspace": "/y", "n": 1}}}, follow_include=True)
        assert result.edited_file == str(split.state / "agents.json5")
        assert "/* mine */ workspace: '/y', n: 1" in (split.state / "agents.json5").read_text()
        assert split.text() == main
        assert result.backup_file is not None and "agents.json5" in result.backup_file
        assert not split.edit(patch={"agents": {"defaults": {"workspace": "/y", "n": 1}}}).changed

    def test_follows_nested_includes(self, split: Host) -> None:
        (split.state / "sub").mkdir()
        (split.state / "agents.json5").write_text('{ defaults: { $include: "sub/defaults.json5" } }')
        (split.state / "sub" / "defaults.json5").write_text("{ workspace: '/x' }")
        split.edit(patch={"agents": {"defaults": {"workspace": "/y"}}}, follow_include=True)
        assert _json5.loads((split.state / "sub" / "defaults.json5").read_text()) == {"workspace": "/y"}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"patch": {**PORT, "agents": {"n": 1}}}, "cannot be replaced in one step"),
            ({"patch": {"channels": {"both": {"a": 3}}}}, "is set in several included files: one.json5, two.json5"),
            ({"patch": {"channels": {"fresh": 1}}}, "could go into any of one.json5, two.json5"),
            ({"absent_paths": ["agents"]}, "cannot be set whole|agents"),
        ],
    )
    def test_refuses_what_has_no_single_owner(self, split: Host, options: dict[str, Any], message: str) -> None:
        assert re.search(message, str(split.refused(**options, follow_include=True)))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{ $include: "./missing.json5" }', "missing.json5 does not exist"),
            ('{ $include: "../outside.json5" }', "leads out of"),
            ('{ $include: "/etc/passwd" }', "leads out of"),
            ('{ $include: "./openclaw.json" }', "in a circle"),
            ("{ $include: 5 }", "must be a text or a list of texts"),
            ('{ $include: "./link.json5" }', "is a symlink"),
            ('{ $include: "./linked/x.json5" }', "is a symlink"),
            ('{ a: { $include: "./list.json5", b: 1 } }', "has keys beside it, but is no object"),
            ('{ a: { $include: "./broken.json5" } }', "broken.json5: line 1"),
        ],
    )
    def test_refuses_includes_that_cannot_be_resolved(self, host: Host, text: str, message: str) -> None:
        host.write(text)
        (host.state / "link.json5").symlink_to("/etc/passwd")
        (host.state / "linked").symlink_to("/etc")
        (host.state / "list.json5").write_text("[]")
        (host.state / "broken.json5").write_text("{ x: '" + CANARY + "',, }")
        assert message in str(host.refused(patch=PORT))


class TestSecretsStayHidden:
    OPTIONS: dict[str, Any] = {  # noqa: RUF012
        "patch": {"gateway": {"auth": {"password": None}, "port": 18790}},
        "secrets": {"gateway.auth.token": "new " + CANARY, "odd.place": "odd " + CANARY},
    }

    @pytest.mark.parametrize("secure_logging", [True, False])
    @pytest.mark.parametrize("check_mode", [True, False])
    def test_in_the_result(self, host: Host, secure_logging: bool, check_mode: bool) -> None:
        host.fake.set_schema({"type": "object", "properties": {}})
        result = host.edit(**self.OPTIONS, secure_logging=secure_logging, check_mode=check_mode)
        shown = json.dumps(result.as_return_values())
        assert CANARY not in shown
        assert "<redacted" in result.diff[0]["before"] and "<redacted" in result.diff[0]["after"]
        assert ("<redacted str " in shown) is not secure_logging

    def test_fingerprints_tell_a_change_and_stay_the_same_between_runs(self, host: Host) -> None:
        first = host.edit(secrets={"gateway.auth.token": "one" + CANARY}).diff[0]
        second = host.edit(secrets={"gateway.auth.token": "two" + CANARY}).diff[0]
        assert first["before"] != first["after"] == second["before"] != second["after"]

    def test_the_key_of_the_fingerprints_is_private(self, host: Host) -> None:
        host.edit(patch=PORT)
        key = host.cache / "fingerprint.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32

    def test_what_a_plugin_marks_as_sensitive(self, host: Host) -> None:
        install_plugin_with_hints(host)
        host.fake.set_schema({"type": "object", "properties": {}})
        chat = f"{{ config: {{ riddle: 'one {CANARY}', public: 'seen' }} }}"
        other = f"{{ config: {{ deep: {{ riddle: 'two {CANARY}' }} }} }}"
        room = f"{{ rooms: [ {{ word: 'three {CANARY}' }} ], accounts: {{ b: {{ hook: 'four {CANARY}' }} }} }}"
        host.write(
            f"{{ meta: {{}}, plugins: {{ entries: {{ chat: {chat}, other: {other} }} }},"
            f" channels: {{ chat: {room} }} }}"
        )
        result = host.edit(absent_paths=["plugins.entries", "channels.chat"], allow_shrink=True)
        assert CANARY not in json.dumps(result.as_return_values())
        assert result.diff[0]["before"].count("<redacted ") == 4 and "seen" in result.diff[0]["before"]

    def test_nothing_steers_the_terminal_that_shows_it(self, host: Host) -> None:
        """Keys and values of the file are written by others, and so is what a plugin says about them."""
        host.fake.set_schema({"type": "object", "properties": {}})
        escape, reorder = "\x1b[2J", "\u202e"
        host.write(
            json.dumps({"meta": {}, "channels": {f"k{escape}": f"v{escape}{reorder}\x9b", "note": "INVALID" + escape}})
        )
        result = host.edit(patch={"channels": None}, when_invalid="repair", allow_shrink=True)
        error = host.refused(patch={"channels": {f"x{escape}": "INVALID" + escape + reorder}})
        for text in (result.diff[0]["before"], *result.changed_paths, str(error), json.dumps(error.findings)):
            assert not re.search("[\x1b\x9b\u202e]", text)
        assert json.loads(result.diff[0]["before"])["channels"][f"k{escape}"] == f"v{escape}{reorder}\x9b"

    def test_only_what_changes_is_shown(self, host: Host) -> None:
        diff = host.edit(patch=PORT).diff[0]
        assert json.loads(diff["after"]) == PORT
        assert "memory-core" not in diff["before"] + diff["after"]

    def test_the_old_secret_behind_a_public_path_is_hidden(self, host: Host) -> None:
        host.write('{ meta: {}, models: { providers: { x: { apiKey: "' + CANARY + '" } } } }')
        result = host.edit(
            patch={"models": {"providers": {"x": {"apiKey": "proxy-local"}}}},
            public_paths=["models.providers.x.apiKey"],
        )
        assert CANARY not in json.dumps(result.diff) and "proxy-local" in result.diff[0]["after"]

    def test_in_errors_that_quote_the_file(self, host: Host) -> None:
        # The stand-in puts the whole file, token included, into its message.
        host.refused(patch={"ui": {"note": "INVALID"}})
        host.refused(patch={"ui": {"note": "CRASH"}}, timeout_seconds=20)

    def test_on_the_disk(self, host: Host) -> None:
        places = [Path("/tmp"), Path("/var/tmp"), Path("/run")]
        before = {place: set(os.listdir(place)) for place in places}
        host.edit(**{**self.OPTIONS, "secrets": {"gateway.auth.token": "new " + CANARY}})
        for place in places:
            left = {name for name in set(os.listdir(place)) - before[place] if name.startswith("failclosed-openclaw-")}
            assert not left
        for path in (each for each in host.root.rglob("*") if each.is_file()):
            if CANARY.encode() in path.read_bytes():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                assert path == host.path or host.backups in path.parents


def _bump(arguments: tuple[str, str, str, int]) -> None:
    path, cache, backups, number = arguments
    _config_edit.apply(
        ConfigFile(path=path, backup_directory=backups),
        DesiredState(patch={"channels": {f"c{number}": {"a": number}}}),
        Validation(),
        cache_directory=cache,
        check_mode=False,
    )


class TestRaces:
    def test_two_of_our_writers_lose_nothing(self, host: Host) -> None:
        jobs = [(str(host.path), str(host.cache), str(host.backups), number) for number in range(24)]
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            pool.map(_bump, jobs)
        assert host.value()["channels"] == {f"c{number}": {"a": number} for number in range(24)}

    def test_an_edit_in_between_is_taken_over(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        replace = _files.replace_file
        interrupted: list[int] = []

        def late(*arguments: Any, **options: Any) -> _files.FileState:
            if len(interrupted) < 2:
                interrupted.append(1)
                host.write(TEXT.replace("0x10", f"0x1{len(interrupted)}"))
            return replace(*arguments, **options)

        monkeypatch.setattr(_files, "replace_file", late)
        result = host.edit(patch=PORT)
        assert host.value()["ui"] == {"depth": 0x12} and host.value()["gateway"]["port"] == 18790
        assert "another program wrote this file at the same time (2 times)" in result.findings[0]["message"]
        # What was backed up last is what was replaced.
        assert "0x12" in host.copies()[-1].read_text()

    @pytest.mark.parametrize("takes_ours_over", [True, False])
    def test_an_update_that_is_lost_right_after_it_was_written_is_made_again(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, takes_ours_over: bool
    ) -> None:
        """Another writer had read the file before us, and renames its own over ours before we look again."""
        fsync = os.fsync
        lost: list[bytes] = []

        def late(descriptor: int) -> None:
            fsync(descriptor)
            if not lost and os.fstat(descriptor).st_ino == host.state.stat().st_ino:
                lost.append(host.path.read_bytes())
                base = lost[0].decode() if takes_ours_over else TEXT
                other = host.root / "other"
                other.write_text(base.replace("0x10", "0x11"))
                other.chmod(0o600)
                other.rename(host.path)

        monkeypatch.setattr(os, "fsync", late)
        result = host.edit(patch=PORT)
        assert b"18790" in lost[0]
        assert host.value()["ui"] == {"depth": 0x11} and host.value()["gateway"]["port"] == 18790
        # It was this run that changed the file, also where the other program has kept our edit.
        assert result.changed and result.changed_paths == ["gateway.port"]
        assert result.digest == _files.digest_of(host.path.read_bytes())
        assert result.backup_file is not None and Path(result.backup_file).exists()
        assert "another program wrote this file at the same time (once)" in result.findings[0]["message"]

    def test_two_of_our_writers_with_different_locks_lose_nothing(self, host: Host) -> None:
        """As root and the gateway's user would be, each with a cache of its own."""
        jobs = [
            (str(host.path), str(host.root / f"cache{number % 2}"), str(host.root / f"backups{number % 2}"), number)
            for number in range(12)
        ]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(_bump, jobs, chunksize=1)
        assert host.value()["channels"] == {f"c{number}": {"a": number} for number in range(12)}

    def test_gives_up_after_some_attempts_and_leaves_the_others_file(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = _files.replace_file
        count = [0]

        def late(*arguments: Any, **options: Any) -> _files.FileState:
            count[0] += 1
            host.write(f"{{ meta: {{}}, ui: {{ depth: {count[0]} }} }}")
            return replace(*arguments, **options)

        monkeypatch.setattr(_files, "replace_file", late)
        with pytest.raises(ConfigEditError, match="kept changing the file during 5 attempts"):
            host.edit(patch=PORT)
        assert host.value() == {"meta": {}, "ui": {"depth": 5}}
        assert os.listdir(host.state) == ["openclaw.json"]

    def test_no_update_is_lost_against_a_writer_that_knows_nothing_of_us(self, host: Host) -> None:
        """Like OpenClaw's ``config set`` in a loop: read, change, rename, without any lock."""
        host.write("{ meta: {}, channels: { theirs: 0 } }")
        stop = threading.Event()
        lost: list[int] = []
        written = [0]

        def others() -> None:
            while not stop.is_set():
                value = host.value()
                if value["channels"]["theirs"] != written[0]:
                    lost.append(written[0])
                value["channels"]["theirs"] = written[0] = written[0] + 1
                other = host.root / "other"
                other.write_text(json.dumps(value))
                other.chmod(0o600)
                other.rename(host.path)
                stop.wait(0.02)

        writer = threading.Thread(target=others)
        writer.start()
        ended = met = 0
        try:
            for number in range(30):
                try:
                    result = host.edit(patch={"channels": {"ours": number}}, openclaw_command=())
                    ended += 1
                    met += "at the same time" in json.dumps(result.findings)
                except ConfigEditError as error:
                    assert "kept changing" in str(error)
                    met += 1
        finally:
            stop.set()
            writer.join()
        assert not lost
        assert ended and met and written[0] > 10, "the two did not meet: the test shows nothing"


def test_read(host: Host) -> None:
    snapshot_ = _config_read.read(str(host.path))
    assert (snapshot_.value, snapshot_.text) == (_json5.loads(TEXT), TEXT)
    assert snapshot_.digest == _files.digest_of(TEXT.encode())
    for missing in (host.state / "none.json", host.root / "none" / "openclaw.json"):
        assert _config_read.read(str(missing)) == _config_read.Snapshot(None, "", "")
    host.write("{")
    with pytest.raises(_config_read.ConfigFileError, match="line 1"):
        _config_read.read(str(host.path))
