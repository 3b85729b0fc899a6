# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files

OLD = b'{"old": true}\n'
NEW = b'{"new": true, "longer": "than the old one"}\n'


def mine(mode: int = 0o600) -> _files.Ownership:
    return _files.Ownership(os.geteuid(), os.getegid(), mode)


def read(path: Path) -> _files.FileState:
    with _files.open_directory(str(path.parent)) as directory:
        state = _files.read_file(directory, path.name)
    assert state is not None
    return state


def replace(path: Path, content: bytes, expected: _files.FileState | None, mode: int = 0o600) -> None:
    with _files.open_directory(str(path.parent)) as directory:
        _files.replace_file(directory, path.name, content, mine(mode), expected=expected)


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("this test changes owners: run it as root")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "openclaw.json"
    path.write_bytes(OLD)
    path.chmod(0o600)
    return path


class TestOpenDirectory:
    def test_follows_what_only_the_administrator_could_have_linked(self, tmp_path: Path) -> None:
        real = tmp_path / "real"
        real.mkdir()
        (real / "inside").mkdir()
        tmp_path.chmod(0o755)
        (tmp_path / "link").symlink_to("real")
        with _files.open_directory(str(tmp_path / "link" / "inside")) as directory:
            assert os.fstat(directory).st_ino == (real / "inside").stat().st_ino

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
    def test_refuses_a_link_where_others_may_write(self, tmp_path: Path, mode: int) -> None:
        open_to_all = tmp_path / "shared"
        open_to_all.mkdir()
        open_to_all.chmod(mode)
        (open_to_all / "link").symlink_to(tmp_path)
        with (
            pytest.raises(_files.FileError, match="link: is a symlink in a directory"),
            _files.open_directory(str(open_to_all / "link")),
        ):
            pass

    def test_refuses_a_link_in_the_directory_of_another_user(self, tmp_path: Path, as_root: None) -> None:
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        (home / ".openclaw").symlink_to("/etc")
        os.chown(home, 65534, 65534)
        with (
            pytest.raises(_files.FileError, match="symlink in a directory that a user other than root can write"),
            _files.open_directory(str(home / ".openclaw")),
        ):
            pass

    def test_refuses_relative_paths_dots_and_files(self, target: Path) -> None:
        for path, message in (("a/b", "absolute"), ("/tmp/../etc", "contains"), (str(target), "is not a directory")):
            with pytest.raises(_files.FileError, match=message), _files.open_directory(path):
                pass

    def test_ends_a_circle_of_links(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(_files.FileError, match="too many symlinks"), _files.open_directory(str(tmp_path / "a")):
            pass

    def test_leaves_no_descriptor_open(self, tmp_path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for path in (tmp_path, tmp_path / "missing", tmp_path / "missing" / "deeper"):
            try:
                with _files.open_directory(str(path)):
                    pass
            except FileNotFoundError:
                pass
        assert len(os.listdir("/proc/self/fd")) == before

    def test_beneath_follows_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        with _files.open_directory(str(tmp_path)) as directory:
            for relative in ("link", "../x"):
                with pytest.raises(_files.FileError), _files.open_beneath(directory, relative):
                    pass
            with _files.open_beneath(directory, "real") as below:
                assert os.fstat(below).st_ino == (tmp_path / "real").stat().st_ino


class TestReadFile:
    def test_reads_content_and_attributes(self, target: Path) -> None:
        state = read(target)
        assert (state.content, state.mode, state.links) == (OLD, 0o600, 1)
        assert state.digest == _files.digest_of(OLD)

    def test_missing_is_none(self, tmp_path: Path) -> None:
        with _files.open_directory(str(tmp_path)) as directory:
            assert _files.read_file(directory, "no.json") is None

    def test_refuses_symlink_fifo_directory_and_size(self, tmp_path: Path, target: Path) -> None:
        (tmp_path / "link").symlink_to(target)
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        with _files.open_directory(str(tmp_path)) as directory:
            for name, message in (("link", "is a symlink"), ("fifo", "regular"), ("folder", "regular")):
                with pytest.raises(_files.FileError, match=message):
                    _files.read_file(directory, name)
            with pytest.raises(_files.FileError, match="larger than 3 bytes"):
                _files.read_file(directory, target.name, limit=3)


class TestReplaceFile:
    def test_replaces_and_leaves_nothing_behind(self, target: Path) -> None:
        replace(target, NEW, read(target), mode=0o640)
        assert target.read_bytes() == NEW
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        assert os.listdir(target.parent) == [target.name]

    def test_creates(self, tmp_path: Path) -> None:
        path = tmp_path / "new.json"
        replace(path, NEW, None)
        assert path.read_bytes() == NEW
        assert path.stat().st_nlink == 1
        assert os.listdir(tmp_path) == ["new.json"]

    def test_falls_back_where_names_cannot_be_exchanged(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_files, "exchange", lambda *_arguments: False)
        replace(target, NEW, read(target))
        assert target.read_bytes() == NEW
        assert os.listdir(target.parent) == [target.name]

    def test_has_owner_and_mode_before_the_first_byte(
        self, target: Path, as_root: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        write = os.write

        def spy(descriptor: int, content: bytes) -> int:
            status = os.fstat(descriptor)
            seen.append((status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_size))
            return write(descriptor, content)

        monkeypatch.setattr(os, "write", spy)
        with _files.open_directory(str(target.parent)) as directory:
            _files.replace_file(
                directory, target.name, NEW, _files.Ownership(65534, 65534, 0o640), expected=read(target)
            )
        assert seen == [(65534, 65534, 0o640, 0)]

    def test_copes_with_short_writes(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, bytes(content)[:3]))
        replace(target, NEW, read(target))
        assert target.read_bytes() == NEW

    def test_refuses_when_the_file_changed_since(self, target: Path) -> None:
        state = read(target)
        target.write_bytes(b"somebody else")
        with pytest.raises(_files.FileChangedError):
            replace(target, NEW, state)
        assert target.read_bytes() == b"somebody else"
        assert os.listdir(target.parent) == [target.name]

    def test_refuses_when_the_same_content_is_another_file(self, target: Path) -> None:
        state = read(target)
        other = target.with_name("other")
        other.write_bytes(OLD)
        other.rename(target)
        with pytest.raises(_files.FileChangedError):
            replace(target, NEW, state)

    def test_refuses_when_the_file_appeared(self, target: Path) -> None:
        with pytest.raises(_files.FileChangedError, match="was created"):
            replace(target, NEW, None)
        assert target.read_bytes() == OLD
        assert os.listdir(target.parent) == [target.name]

    def test_gives_back_what_was_renamed_into_place_at_the_last_moment(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exchange = _files.exchange
        calls = []

        def late(directory: int, first: str, second: str) -> bool:
            if not calls:
                other = target.with_name("other")
                other.write_bytes(b"a late writer")
                other.rename(target)
            calls.append(first)
            return exchange(directory, first, second)

        monkeypatch.setattr(_files, "exchange", late)
        with pytest.raises(_files.FileChangedError):
            replace(target, NEW, read(target))
        assert len(calls) == 2, "this system does not exchange names: the test shows nothing"
        assert target.read_bytes() == b"a late writer"
        assert os.listdir(target.parent) == [target.name]

    def test_the_newest_of_several_late_writers_keeps_the_name(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exchange = _files.exchange
        late_contents = [b"second", b"third"]

        def late(directory: int, first: str, second: str) -> bool:
            if late_contents:
                other = target.with_name("other")
                other.write_bytes(late_contents.pop(0))
                other.rename(target)
            return exchange(directory, first, second)

        monkeypatch.setattr(_files, "exchange", late)
        with pytest.raises(_files.FileChangedError):
            replace(target, NEW, read(target))
        assert not late_contents and target.read_bytes() == b"third"
        # What the third one had overwritten is not thrown away by us.
        assert [path.read_bytes() for path in target.parent.glob(".openclaw.json.failclosed-*")] == [b"second"]

    def test_a_disk_that_fails_after_the_exchange_gets_the_old_file_back(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = read(target)
        read_file = _files.read_file
        looks = []

        def failing(directory: int, name: str) -> _files.FileState | None:
            looks.append(name)
            if len(looks) == 2:
                raise OSError(errno.EIO, "broken disk")
            return read_file(directory, name)

        monkeypatch.setattr(_files, "read_file", failing)
        with pytest.raises(OSError, match="broken disk"):
            replace(target, NEW, state)
        assert target.read_bytes() == OLD and os.listdir(target.parent) == [target.name]

    def test_a_disk_that_fails_when_it_is_read_again_says_that_the_file_is_new(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = read(target)
        read_file = _files.read_file
        looks = []

        def failing(directory: int, name: str) -> _files.FileState | None:
            looks.append(name)
            if len(looks) == 3:
                raise OSError(errno.EIO, "broken disk")
            return read_file(directory, name)

        monkeypatch.setattr(_files, "read_file", failing)
        with pytest.raises(_files.FlushFailedError, match=r"was replaced, but could not be read again \(broken disk\)"):
            replace(target, NEW, state)
        assert target.read_bytes() == NEW

    def test_refuses_a_symlink_planted_in_place_of_the_file(self, target: Path, tmp_path: Path) -> None:
        state = read(target)
        victim = tmp_path / "victim"
        victim.write_bytes(b"victim")
        target.unlink()
        target.symlink_to(victim)
        with pytest.raises(_files.FileChangedError):
            replace(target, NEW, state)
        assert victim.read_bytes() == b"victim"

    def test_a_planted_candidate_is_not_followed(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_files, "_random_name", lambda: "0" * 16)
        victim = target.with_name("victim")
        victim.write_bytes(b"victim")
        target.with_name(f".{target.name}.failclosed-{'0' * 16}").symlink_to(victim)
        with pytest.raises(FileExistsError):
            replace(target, NEW, read(target))
        assert victim.read_bytes() == b"victim"
        assert target.read_bytes() == OLD


STEPS = ["open", "fchmod", "write", "fsync", "rename", "exchange", "link", "unlink"]


class Killed(BaseException):
    """Stands for the end of the process at this point."""


class TestEveryStepMayFail:
    """Whatever call fails or is the last one: the file is the old or the new one, whole, with a right mode."""

    @pytest.mark.parametrize("exists", [True, False])
    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), Killed()])
    @pytest.mark.parametrize("step", STEPS)
    def test_old_or_new(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        failure: BaseException,
        moment: str,
        exists: bool,
    ) -> None:
        path = tmp_path / "openclaw.json"
        expected = None
        if exists:
            path.write_bytes(OLD)
            path.chmod(0o600)
            expected = read(path)
        if step == "rename":
            monkeypatch.setattr(_files, "exchange", lambda *_arguments: False)
        owner = _files if step == "exchange" else os
        original = getattr(owner, step)
        hits = []

        def broken(*arguments: object, **options: object) -> object:
            if hits:
                # A killed process does not clean up.
                if isinstance(failure, Killed):
                    raise failure
                return original(*arguments, **options)
            hits.append(step)
            if moment == "after":
                original(*arguments, **options)
            raise failure

        with _files.open_directory(str(tmp_path)) as directory:
            if isinstance(failure, Killed):
                monkeypatch.setattr(_files, "remove_quietly", lambda *_arguments: None)
            monkeypatch.setattr(owner, step, broken)
            outcome: BaseException | None = None
            try:
                _files.replace_file(directory, path.name, NEW, mine(), expected=expected)
            except (OSError, Killed, _files.FileError, _files.FlushFailedError) as error:
                outcome = error
            monkeypatch.undo()
        content = path.read_bytes() if path.exists() else None
        assert content in (OLD if exists else None, NEW)
        if content is not None:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if not hits:
            assert outcome is None and content == NEW
        if outcome is None:
            assert content == NEW
        if not isinstance(failure, Killed):
            leftovers = set(os.listdir(tmp_path)) - {path.name}
            assert not leftovers or step in ("unlink", "open")
        # The next run succeeds, whatever the last one left.
        with _files.open_directory(str(tmp_path)) as directory:
            state = _files.read_file(directory, path.name)
            if state is not None:
                assert _files.foreign_links(directory, path.name, state) == 0
            _files.remove_stale_candidates(directory, path.name, older_than_seconds=-1)
            state = _files.read_file(directory, path.name)
            _files.replace_file(directory, path.name, NEW + b"// again\n", mine(), expected=state)
        assert path.read_bytes() == NEW + b"// again\n"
        assert os.listdir(tmp_path) == [path.name]

    def test_every_step_is_reached(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reached = set()
        for step in STEPS:
            owner = _files if step == "exchange" else os
            original = getattr(owner, step)

            def spy(*arguments: object, _step: str = step, _original: object = original, **options: object) -> object:
                reached.add(_step)
                return _original(*arguments, **options)  # type: ignore[operator]

            monkeypatch.setattr(owner, step, spy)
        path = tmp_path / "openclaw.json"
        replace(path, OLD, None)
        replace(path, NEW, read(path))
        monkeypatch.setattr(_files, "exchange", lambda *_arguments: False)
        replace(path, OLD, read(path))
        assert reached == set(STEPS)

    def test_a_failed_flush_of_the_directory_says_that_the_file_is_new(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsync = os.fsync

        def broken(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EIO, "broken disk")
            fsync(descriptor)

        state = read(target)
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(_files.FlushFailedError, match="was replaced, but"):
            replace(target, NEW, state)
        assert target.read_bytes() == NEW


def test_a_reader_never_sees_a_torn_file(target: Path) -> None:
    contents = {bytes([65 + number]) * 200_000 for number in range(4)}
    target.write_bytes(sorted(contents)[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def watch() -> None:
        while not stop.is_set():
            seen.add(target.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _round in range(10):
            for content in sorted(contents):
                replace(target, content, read(target))
    finally:
        stop.set()
        watcher.join()
    assert seen <= contents
    assert len(seen) > 1, "the reader saw one content only: the test shows nothing"


READS, WRITES = 4, 2
OWNER, USER, GROUP, MASK, OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY_ID = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel stores one: `setfacl -m u:4242:r` on a file with mode 0600 gives the first of the examples."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


READABLE_BY_4242 = acl(
    (OWNER, READS | WRITES, NOBODY_ID),
    (USER, READS, 4242),
    (GROUP, 0, NOBODY_ID),
    (MASK, READS, NOBODY_ID),
    (OTHERS, 0, NOBODY_ID),
)


def can_read(path: Path, uid: int) -> bool:
    """Ask the kernel, as that user."""
    for parent in path.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(["cat", str(path)], user=uid, group=uid, extra_groups=[], capture_output=True, check=False)
    return done.returncode == 0


class TestAccessControlList:
    """With real ACLs, as setfacl writes them and the kernel enforces them."""

    @pytest.fixture
    def shared(self, target: Path) -> Path:
        os.setxattr(target, _files.ACL, READABLE_BY_4242)
        # What stat shows as the group's bits is the mask now.
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        return target

    def test_stays_and_works(self, shared: Path, as_root: None) -> None:
        assert can_read(shared, 4242) and not can_read(shared, 4243)
        replace(shared, NEW, read(shared))
        assert shared.read_bytes() == NEW
        assert os.getxattr(shared, _files.ACL) == READABLE_BY_4242
        assert can_read(shared, 4242) and not can_read(shared, 4243)

    def test_its_mask_is_not_taken_for_the_mode(self, shared: Path) -> None:
        assert read(shared).mode == 0o600
        with _files.open_directory(str(shared.parent)) as directory:
            assert _files.set_ownership(directory, shared.name, mine()) is False
        assert os.getxattr(shared, _files.ACL) == READABLE_BY_4242

    def test_the_mode_sets_owner_group_and_others(self, shared: Path) -> None:
        with _files.open_directory(str(shared.parent)) as directory:
            assert _files.set_ownership(directory, shared.name, mine(0o644)) is True
            assert _files.set_ownership(directory, shared.name, mine(0o644)) is False
        expected = acl(
            (OWNER, READS | WRITES, NOBODY_ID),
            (USER, READS, 4242),
            (GROUP, READS, NOBODY_ID),
            (MASK, READS, NOBODY_ID),
            (OTHERS, READS, NOBODY_ID),
        )
        assert os.getxattr(shared, _files.ACL) == expected
        replace(shared, NEW, read(shared), mode=0o600)
        assert os.getxattr(shared, _files.ACL) == READABLE_BY_4242

    @pytest.mark.parametrize("exists", [True, False])
    def test_the_default_of_the_directory_opens_nothing(self, tmp_path: Path, exists: bool) -> None:
        path = tmp_path / "openclaw.json"
        if exists:
            path.write_bytes(OLD)
            path.chmod(0o640)
        os.setxattr(tmp_path, "system.posix_acl_default", READABLE_BY_4242)
        (tmp_path / "control").touch()
        assert _files.ACL in os.listxattr(tmp_path / "control"), "the default has no effect: the test shows nothing"
        replace(path, NEW, read(path) if exists else None, mode=0o640)
        assert _files.ACL not in os.listxattr(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    @pytest.mark.parametrize("value", [b"", b"\x03\0\0\0", READABLE_BY_4242[:-1]])
    def test_another_format_is_refused(self, value: bytes) -> None:
        with pytest.raises(_files.FileError, match="setfacl -b"):
            _files.mode_of_acl(value)

    @pytest.mark.parametrize("call", ["getxattr", "setxattr"])
    def test_is_not_lost_in_silence(self, shared: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        state = read(shared)

        def broken(*_arguments: object, **_options: object) -> bytes:
            raise OSError(errno.EIO, "broken disk")

        monkeypatch.setattr(os, call, broken)
        with pytest.raises((_files.FileError, OSError), match="broken disk"):
            replace(shared, NEW, state)
        monkeypatch.undo()
        assert shared.read_bytes() == OLD and os.listdir(shared.parent) == [shared.name]


class TestLabel:
    """SELinux as a stand-in for the kernel's attribute: this does not run on a machine that enforces labels."""

    @pytest.fixture
    def labels(self, monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
        """Inode to label; what a new file gets is the label of its directory."""
        found: dict[int, bytes] = {}

        def getxattr(descriptor: int, name: str) -> bytes:
            if name != _files.SELINUX:
                raise OSError(errno.ENODATA, "none")
            return found.setdefault(os.fstat(descriptor).st_ino, b"system_u:object_r:var_lib_t:s0\0")

        def setxattr(descriptor: int, name: str, value: bytes) -> None:
            assert name == _files.SELINUX
            found[os.fstat(descriptor).st_ino] = value

        monkeypatch.setattr(os, "getxattr", getxattr)
        monkeypatch.setattr(os, "setxattr", setxattr)
        return found

    def test_stays(self, target: Path, labels: dict[int, bytes]) -> None:
        label = b"system_u:object_r:openclaw_conf_t:s0\0"
        labels[target.stat().st_ino] = label
        replace(target, NEW, read(target))
        assert target.read_bytes() == NEW and labels[target.stat().st_ino] == label

    def test_is_not_set_where_it_is_right_already(
        self, target: Path, labels: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A policy may forbid even that.
        monkeypatch.setattr(os, "setxattr", lambda *_arguments: pytest.fail("must not be called"))
        replace(target, NEW, read(target))

    def test_that_cannot_be_kept_is_an_error(
        self, target: Path, labels: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels[target.stat().st_ino] = b"another"
        state = read(target)

        def forbidden(*_arguments: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "setxattr", forbidden)
        with pytest.raises(_files.FileError, match=r"cannot keep its security\.selinux: Permission denied"):
            replace(target, NEW, state)
        assert target.read_bytes() == OLD and os.listdir(target.parent) == [target.name]


class TestSetOwnership:
    def test_changes_mode_once(self, target: Path) -> None:
        target.chmod(0o644)
        with _files.open_directory(str(target.parent)) as directory:
            assert _files.set_ownership(directory, target.name, mine()) is True
            assert _files.set_ownership(directory, target.name, mine()) is False
        assert stat.S_IMODE(target.stat().st_mode) == 0o600

    def test_does_not_reach_a_file_elsewhere(self, target: Path, tmp_path: Path) -> None:
        target.chmod(0o644)
        os.link(target, tmp_path / "elsewhere")
        with _files.open_directory(str(tmp_path)) as directory, pytest.raises(_files.FileError, match="hard links"):
            _files.set_ownership(directory, target.name, mine())
        assert stat.S_IMODE(target.stat().st_mode) == 0o644


class TestPrivateDirectory:
    def test_makes_it_private(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b"
        with _files.private_directory(str(path)):
            pass
        assert stat.S_IMODE(path.stat().st_mode) == 0o700

    def test_creates_nothing_when_it_may_not(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), _files.private_directory(str(tmp_path / "a"), create=False):
            pass
        assert not (tmp_path / "a").exists()

    def test_refuses_one_that_others_may_write(self, tmp_path: Path) -> None:
        path = tmp_path / "shared"
        path.mkdir()
        path.chmod(0o770)
        with pytest.raises(_files.FileError, match="others may write there"), _files.private_directory(str(path)):
            pass

    def test_refuses_one_of_another_user(self, tmp_path: Path, as_root: None) -> None:
        path = tmp_path / "theirs"
        path.mkdir(mode=0o700)
        os.chown(path, 65534, 65534)
        with pytest.raises(_files.FileError, match="belongs to uid 65534"), _files.private_directory(str(path)):
            pass


class TestBackups:
    def ring(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))

    def test_keeps_the_newest(self, tmp_path: Path, target: Path) -> None:
        ring = tmp_path / "ring"
        with _files.private_directory(str(ring)) as directory:
            for number in range(5):
                target.write_bytes(b"%d" % number)
                _files.keep_backup(directory, read(target), keep=3)
        assert [(ring / name).read_bytes() for name in self.ring(ring)] == [b"2", b"3", b"4"]
        assert {stat.S_IMODE((ring / name).stat().st_mode) for name in self.ring(ring)} == {0o600}

    def test_the_same_content_is_kept_once(self, tmp_path: Path, target: Path) -> None:
        with _files.private_directory(str(tmp_path / "ring")) as directory:
            first = _files.keep_backup(directory, read(target), keep=3)
            assert _files.keep_backup(directory, read(target), keep=3) == first
        assert self.ring(tmp_path / "ring") == [first]

    def test_none_when_none_is_wanted(self, tmp_path: Path, target: Path) -> None:
        with _files.private_directory(str(tmp_path / "ring")) as directory:
            assert _files.keep_backup(directory, read(target), keep=0) is None
        assert self.ring(tmp_path / "ring") == []

    def test_leaves_foreign_files_alone(self, tmp_path: Path, target: Path) -> None:
        ring = tmp_path / "ring"
        ring.mkdir(mode=0o700)
        (ring / "notes.txt").write_text("mine")
        with _files.private_directory(str(ring)) as directory:
            for number in range(3):
                target.write_bytes(b"%d" % number)
                _files.keep_backup(directory, read(target), keep=1)
        assert "notes.txt" in self.ring(ring)
        assert len(self.ring(ring)) == 2


class TestLock:
    def test_is_exclusive_and_says_so(self, tmp_path: Path) -> None:
        with _files.private_directory(str(tmp_path / "locks")) as directory:
            with _files.exclusive_lock(directory, "x.lock", timeout_seconds=1):
                started = time.monotonic()
                with (
                    pytest.raises(_files.FileError, match="another run has been editing"),
                    _files.exclusive_lock(directory, "x.lock", timeout_seconds=0.2),
                ):
                    pass
                assert time.monotonic() - started < 5
            with _files.exclusive_lock(directory, "x.lock", timeout_seconds=0.2):
                pass


def test_names_for_paths_are_distinct() -> None:
    assert _files.key_for("/a-b") != _files.key_for("/a/b")
    assert "/" not in _files.key_for("/../../etc/passwd")


def test_unknown_accounts_are_named() -> None:
    with pytest.raises(_files.FileError, match="user 'no-such-user' does not exist"):
        _files.user_id("no-such-user")
    with pytest.raises(_files.FileError, match="group 'no-such-group' does not exist"):
        _files.group_id("no-such-group")
    assert (_files.user_id("root"), _files.user_id("4242"), _files.group_id("0")) == (0, 4242, 0)
