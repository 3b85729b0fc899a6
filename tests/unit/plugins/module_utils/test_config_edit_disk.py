# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit whose process is killed at each of its system calls, and one on a disk that fails, is full or read-only.

Whatever happens: the file is the old or the new one, complete, with its owner, mode and ACL; nobody else can read
what was left lying about; what the error says is true; and the next run succeeds.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _files
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.editing_process import (
    EditingProcess,
    SystemCall,
)

CANARY = "CANARY-7f3a-do-not-show"
OLD = b'// by hand\n{ meta: {}, gateway: { mode: "local", auth: { token: "old ' + CANARY.encode() + b'" } } }\n'
NEW = OLD.replace(b"old ", b"new ").replace(b" } }\n", b", port: 18790 } }\n")
CREATED = b"""\
{
  "meta": {},
  "gateway": {
    "port": 18790,
    "auth": {
      "token": "new CANARY-7f3a-do-not-show"
    }
  }
}
"""
OWNER = 65534
ANYBODY = 0xFFFFFFFF
# Owner rw-, user 4242 r--, group ---, mask r--, others ---
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, ANYBODY), (2, 4, 4242), (4, 0, ANYBODY), (16, 4, ANYBODY), (32, 0, ANYBODY))
)


class Host:
    """A gateway's directory with its file, and root's directories; made anew for each edit."""

    def __init__(self, root: Path, *, exists: bool = True, acl: bytes | None = None) -> None:
        self.root = root
        self.state = root / "state"
        self.path = self.state / "openclaw.json"
        self.exists = exists
        self.acl = acl

    def request(self) -> dict[str, Any]:
        return {
            "file": {"path": str(self.path), "backup_directory": str(self.root / "backups")},
            "desired": {
                "patch": {"meta": {}, "gateway": {"port": 18790}},
                "secrets": {"gateway.auth.token": "new " + CANARY},
            },
            "cache": str(self.root / "cache"),
        }

    def reset(self) -> None:
        for path in self.root.iterdir():
            shutil.rmtree(path)
        # On some systems of these tests it is on a disk of its own.
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(mode=0o700)
        os.chown(self.state, OWNER, OWNER)
        if self.exists:
            self.path.write_bytes(OLD)
            self.path.chmod(0o600)
            os.chown(self.path, OWNER, OWNER)
            if self.acl is not None:
                os.setxattr(self.path, _files.ACL, self.acl)

    def content(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def check(self, where: object) -> bytes | None:
        """The file is whole and has its attributes, and nobody else can read the secret anywhere."""
        content = self.content()
        assert content in ((OLD, NEW) if self.exists else (None, CREATED)), where
        if content is not None:
            status = self.path.stat()
            assert (status.st_uid, status.st_gid) == (OWNER, OWNER), where
            assert stat.S_IMODE(status.st_mode) == (0o600 if self.acl is None else 0o640), where
            found = os.getxattr(self.path, _files.ACL) if _files.ACL in os.listxattr(self.path) else None
            assert found == self.acl, where
        for path in self.root.rglob("*"):
            if path.is_file() and CANARY.encode() in path.read_bytes():
                mode = stat.S_IMODE(path.stat().st_mode)
                if self.acl is not None and path.parent == self.state:
                    acl = os.getxattr(path, _files.ACL) if _files.ACL in os.listxattr(path) else None
                    assert (mode, acl) == (0o640, ACL), (where, path)
                else:
                    assert mode == 0o600, (where, path, oct(mode))
        return content

    def run_again(self, where: object) -> None:
        """The next run succeeds, and the one after it has nothing to do."""
        request = self.request()
        for expected in (None, False):
            result = _config_edit.apply(
                _config_edit.ConfigFile(**request["file"]),
                _config_edit.DesiredState(**request["desired"]),
                _config_edit.Validation(),
                cache_directory=request["cache"],
                check_mode=False,
            )
            assert expected is None or result.changed is expected, where
            assert self.check(where) == (NEW if self.exists else CREATED), where


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditingProcess]:
    if os.geteuid() != 0:
        pytest.fail("these tests change owners and mount file systems: run them as root")
    editing = EditingProcess(tmp_path_factory.mktemp("strace"))
    yield editing
    editing.close()


# Each with the calls that make it what it is; without them the test would show something else.
REPLACE = {"openat", "mkdirat", "flock", "fchown", "fchmod", "write", "fsync", "renameat2", "unlinkat", "read"}
# Without RENAME_EXCHANGE the old file needs no removal.
SCENARIOS: dict[str, tuple[dict[str, Any], tuple[str, ...], set[str]]] = {
    "replace": ({}, (), REPLACE),
    "replace, whatever the call": ({}, (), REPLACE),
    "replace, with an ACL": ({"acl": ACL}, (), (REPLACE - {"fchmod"}) | {"fsetxattr"}),
    "replace, without renameat2": (
        {},
        ("-e", "inject=renameat2:error=EINVAL"),
        (REPLACE - {"unlinkat"}) | {"renameat"},
    ),
    "create": ({"exists": False}, (), (REPLACE - {"renameat2"}) | {"linkat"}),
}


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=pytest.mark.long if name == "replace, whatever the call" else ()) for name in SCENARIOS],
)
def test_killed_at_every_system_call(process: EditingProcess, tmp_path: Path, scenario: str) -> None:
    options, tracing, needed = SCENARIOS[scenario]
    host = Host(tmp_path, **options)
    host.reset()
    calls = process.system_calls(host.request(), *tracing)
    assert needed <= {call.name for call in calls}
    assert host.check(scenario) == (NEW if host.exists else CREATED)
    contents = []
    # Between two calls that change the disk, one moment is like another; ./test --all shows it for all of them.
    if scenario != "replace, whatever the call":
        calls = [
            call for before, call in pairwise([calls[0], *calls]) if before.changes_the_disk or call.changes_the_disk
        ]
    for call in calls:
        if tracing and call.name == "renameat2":
            continue
        host.reset()
        ended = process.kill_at(call, host.request(), *tracing)
        assert ended.killed, (call, ended.report)
        contents.append(host.check(call))
        host.run_again(call)
    # Once the new file is there, it stays: both have been seen, and no old one after a new one.
    first_new = next(number for number, content in enumerate(contents) if content not in (OLD, None))
    assert first_new > 0 and all(content not in (OLD, None) for content in contents[first_new:])


def on_the_disk(calls: list[SystemCall]) -> list[SystemCall]:
    """The calls that a disk can fail; walking to a directory and closing it is the same each time."""
    names = {"read", "getdents64", "fgetxattr"}
    return [
        call
        for before, call in pairwise([calls[0], *calls])
        if call.changes_the_disk
        or call.name in names
        or (call.name == "openat" and "O_PATH" not in call.arguments)
        or (call.name == "close" and before.changes_the_disk)
    ]


@pytest.mark.parametrize("scenario", ["replace, with an ACL", "create"])
def test_the_disk_fails_at_every_system_call(process: EditingProcess, tmp_path: Path, scenario: str) -> None:
    options, _tracing, needed = SCENARIOS[scenario]
    host = Host(tmp_path, **options)
    host.reset()
    calls = on_the_disk(process.system_calls(host.request()))
    assert needed <= {call.name for call in calls}
    refused = 0
    for call in calls:
        host.reset()
        ended = process.fail_at(call, "EIO", host.request())
        assert not ended.killed and "crash" not in ended.report, (call, ended.report)
        content = host.check(call)
        error = ended.report.get("error")
        if error is None:
            assert content in (NEW, CREATED), (call, ended.report)
        elif "othing was changed" in error:
            refused += 1
            assert content in (OLD, None), (call, error)
        else:
            assert "was replaced" in error and content in (NEW, CREATED), (call, error)
        assert CANARY not in str(ended.report)
        host.run_again(call)
    assert refused > 20


class Disk:
    """A small file system of its own, with the host on it."""

    def __init__(self, mount_point: Path) -> None:
        self.mount_point = mount_point
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", str(mount_point)], check=True)

    def fill(self) -> None:
        with suppress(OSError), (self.mount_point / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 512):
                pass
        assert os.statvfs(self.mount_point).f_bavail == 0

    def make_room(self) -> None:
        (self.mount_point / "filler").unlink()

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.mount_point)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.mount_point)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mounted = Disk(mount_point)
    yield mounted
    mounted.unmount()


def apply(host: Host, **places: str) -> _config_edit.EditResult:
    request = host.request()
    return _config_edit.apply(
        _config_edit.ConfigFile(**{**request["file"], "backup_directory": places.get("backups", str(host.root / "b"))}),
        _config_edit.DesiredState(**request["desired"]),
        _config_edit.Validation(),
        cache_directory=places.get("cache", str(host.root / "c")),
        check_mode=False,
    )


class TestDisk:
    """A file system that really is full or read-only."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        host = Host(tmp_path / "host")
        host.root.mkdir()
        return host

    @pytest.mark.parametrize("exists", [True, False])
    def test_no_space_for_the_file(self, host: Host, disk: Disk, exists: bool) -> None:
        host.exists = exists
        host.state = disk.mount_point / "state"
        host.path = host.state / "openclaw.json"
        host.reset()
        disk.fill()
        with pytest.raises(_config_edit.ConfigEditError, match=r"No space left on device.*othing was changed"):
            apply(host)
        assert host.check("full") == (OLD if exists else None)
        assert os.listdir(host.state) == (["openclaw.json"] if exists else [])
        disk.make_room()
        assert apply(host).changed
        assert host.check("again") == (NEW if exists else CREATED)

    @pytest.mark.parametrize("place", ["backups", "cache"])
    def test_no_space_for_copy_or_memory(self, host: Host, disk: Disk, place: str) -> None:
        host.reset()
        disk.fill()
        places = {place: str(disk.mount_point / place)}
        with pytest.raises(_config_edit.ConfigEditError, match=r"No space left on device.*othing was changed"):
            apply(host, **places)
        assert host.check("full") == OLD and os.listdir(host.state) == ["openclaw.json"]
        disk.make_room()
        assert apply(host, **places).changed
        assert host.check("again") == NEW

    def test_no_space_to_remember_the_verdict_is_no_failure(self, host: Host, disk: Disk) -> None:
        host.reset()
        cache = disk.mount_point / "cache"
        (cache / "locks").mkdir(parents=True, mode=0o700)
        cache.chmod(0o700)
        (cache / "fingerprint.key").write_bytes(bytes(32))
        (cache / "fingerprint.key").chmod(0o600)
        (cache / "locks" / f"{_files.key_for(str(host.path))}.lock").touch(mode=0o600)
        disk.fill()
        result = apply(host, cache=str(cache))
        assert result.changed and host.check("written") == NEW
        assert "could not be remembered: No space left on device" in result.findings[0]["message"]

    def test_read_only(self, host: Host, disk: Disk) -> None:
        host.state = disk.mount_point / "state"
        host.path = host.state / "openclaw.json"
        host.reset()
        disk.remount("ro")
        with pytest.raises(_config_edit.ConfigEditError, match=r"Read-only file system.*othing was changed"):
            apply(host)
        assert host.check("read-only") == OLD
        disk.remount("rw")
        assert apply(host).changed
        assert host.check("again") == NEW
