# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _account, _files

OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = "root" if os.geteuid() == 0 else OWNER


class Commands:
    """Records command lines and answers them with a status; rm, and nothing else, is run."""

    def __init__(self, status: int = 0) -> None:
        self.seen: list[list[str]] = []
        self._status = status

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        if command[0] == "rm":
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        self.seen.append(command)
        return self._status, "", "it is broken" if self._status else ""


def secret(path: Path, **options: object) -> _account.Secret:
    return _account.Secret(path=str(path), owner=OWNER, group=GROUP, mode=0o400, **options)  # type: ignore[arg-type]


def converge(
    *,
    account: _account.Account | None = None,
    directories: list[_account.Directory] | None = None,
    secrets: list[_account.Secret] | None = None,
    run: Commands | None = None,
    check_mode: bool = False,
) -> _account.Outcome:
    return _account.converge(account, directories or [], secrets or [], run=run or Commands(), check_mode=check_mode)


def test_missing_user_is_created_with_its_group_and_without_a_home() -> None:
    run = Commands()
    outcome = converge(account=_account.Account("fc-absent", "/var/lib/fc", comment="A service"), run=run)
    assert run.seen == [
        [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/var/lib/fc",
            "--shell",
            "/usr/sbin/nologin",
            "--comment",
            "A service",
            "fc-absent",
        ]
    ]
    assert outcome.changed


def test_check_mode_predicts_the_user_and_starts_nothing() -> None:
    run = Commands()
    assert converge(account=_account.Account("fc-absent", "/var/lib/fc"), run=run, check_mode=True).changed
    assert run.seen == []


def test_failing_useradd_is_an_error_with_its_words() -> None:
    with pytest.raises(_account.AccountError, match="useradd fc-absent failed with status 3: it is broken"):
        converge(account=_account.Account("fc-absent", "/var/lib/fc"), run=Commands(status=3))


def there_is(monkeypatch: pytest.MonkeyPatch, uid: int, home: str, comment: str = "", name: str = "fc-there") -> None:
    entry = pwd.struct_passwd((name, "x", uid, uid, comment, home, "/usr/sbin/nologin"))
    known = {name: entry}
    monkeypatch.setattr(pwd, "getpwnam", known.__getitem__)


def test_user_that_is_right_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, 998, "/var/lib/fc", "made by an administrator")
    run = Commands()
    assert not converge(account=_account.Account("fc-there", "/var/lib/fc", comment="A service"), run=run).changed
    assert run.seen == []


def test_shell_of_a_user_with_the_wanted_home_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, 998, "/var/lib/fc/")
    run = Commands()
    assert converge(account=_account.Account("fc-there", "/var/lib/fc", "/bin/sh"), run=run).changed
    assert run.seen == [["usermod", "--home", "/var/lib/fc", "--shell", "/bin/sh", "fc-there"]]


def test_another_home_of_a_user_that_was_made_here_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, 998, "/var/lib/fc-before", "A service")
    wanted = _account.Account("fc-there", "/var/lib/fc", comment="A service")
    run = Commands()
    assert converge(account=wanted, run=run, check_mode=True).changed
    assert run.seen == []
    assert converge(account=wanted, run=run).changed
    assert run.seen == [["usermod", "--home", "/var/lib/fc", "--shell", "/usr/sbin/nologin", "fc-there"]]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("uid", "home", "comment", "message"),
    [
        # proxy of every Debian, also after something gave it the service's home and comment.
        (13, "/bin", "proxy", "with uid 13: below 100 are accounts of the distribution"),
        (13, "/var/lib/fc", "A service", "with uid 13: below 100 are accounts of the distribution"),
        (99, "/var/lib/fc", "A service", "with uid 99: below 100"),
        # Of a package.
        (111, "/var/run/stunnel4", "stunnel4 service system account", "home /var/run/stunnel4 and comment 'stunnel4 "),
        (111, "/var/lib/fc-other", "", "nothing tells that it is this service's"),
        (1000, "/var/lib/fc", "A service", "with uid 1000: that is a person's account"),
        (65534, "/nonexistent", "nobody", "with uid 65534: that is a person's account"),
    ],
)
def test_account_of_somebody_else_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, home: str, comment: str, message: str, check_mode: bool
) -> None:
    there_is(monkeypatch, uid, home, comment)
    run = Commands()
    with pytest.raises(_account.AccountError, match=f"user fc-there .*{message}"):
        converge(
            account=_account.Account("fc-there", "/var/lib/fc", comment="A service"),
            directories=[_account.Directory(str(tmp_path / "own"), OWNER, GROUP, 0o700)],
            run=run,
            check_mode=check_mode,
        )
    assert run.seen == [] and list(tmp_path.iterdir()) == []


def test_without_a_comment_no_account_counts_as_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    there_is(monkeypatch, 111, "/var/lib/other", "")
    with pytest.raises(_account.AccountError, match="nothing tells that it is this service's"):
        converge(account=_account.Account("fc-there", "/var/lib/fc", comment=""))


@pytest.mark.parametrize(
    ("text", "is_a_persons"),
    [
        ("UID_MIN\t\t\t 500\n", True),
        ("# UID_MIN 500\nUID_MIN\t 2000 \n", False),
        ("UID_MIN many\n", False),
        ("", False),
        (None, False),
    ],
)
def test_the_host_says_where_people_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, is_a_persons: bool
) -> None:
    definitions = tmp_path / "login.defs"
    monkeypatch.setattr(_account, "LOGIN_DEFINITIONS", str(definitions))
    if text is not None:
        definitions.write_text(text)
    there_is(monkeypatch, 600, "/var/lib/fc")
    if is_a_persons:
        with pytest.raises(_account.AccountError, match="as all are from 500 on"):
            converge(account=_account.Account("fc-there", "/var/lib/fc"))
    else:
        assert not converge(account=_account.Account("fc-there", "/var/lib/fc")).changed


@pytest.mark.parametrize(
    ("gid", "members", "is_refused"),
    [(4, [], True), (998, ["alice"], True), (1000, [], True), (998, [], False)],
)
def test_group_that_is_not_left_over_is_not_given_to_a_service(
    monkeypatch: pytest.MonkeyPatch, gid: int, members: list[str], is_refused: bool
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", gid, members)))
    run = Commands()
    wanted = _account.Account("fc-absent", "/var/lib/fc")
    if is_refused:
        for check_mode in (True, False):
            with pytest.raises(_account.AccountError, match=f"^group fc-absent is there already, with gid {gid}"):
                converge(account=wanted, run=run, check_mode=check_mode)
        assert run.seen == []
    else:
        assert converge(account=wanted, run=run).changed
        assert run.seen[0][:4] == ["useradd", "--system", "--gid", "fc-absent"]


def test_copy_of_a_file_in_a_missing_directory_names_that_file(tmp_path: Path) -> None:
    missing = tmp_path / "elsewhere/key"
    with pytest.raises(_account.AccountError, match=f"^{missing}: does not exist or is empty"):
        converge(secrets=[secret(tmp_path / "copy", copy_of=str(missing))])


def test_secret_that_replaces_another_is_reported(tmp_path: Path) -> None:
    assert converge(secrets=[secret(tmp_path / "key", content="one")]).replaced == []
    assert converge(secrets=[secret(tmp_path / "key", content="two")], check_mode=True).replaced == [f"{tmp_path}/key"]
    assert converge(secrets=[secret(tmp_path / "key", content="two")]).replaced == [f"{tmp_path}/key"]
    assert converge(secrets=[secret(tmp_path / "key", content="two")]).replaced == []


def test_what_a_failed_run_did_not_tell_a_program_is_told_by_the_next(tmp_path: Path) -> None:
    def given(content: str, *, check_mode: bool = False) -> list[str]:
        wanted = secret(tmp_path / "key", content=content, replaced_mark=str(tmp_path / "key.replaced"))
        return converge(secrets=[wanted], check_mode=check_mode).replaced

    mark, key = tmp_path / "key.replaced", str(tmp_path / "key")
    assert given("one") == [] and not mark.exists()
    assert given("two", check_mode=True) == [key] and not mark.exists()
    assert given("two") == [key] and stat.S_IMODE(mark.stat().st_mode) == 0o600
    # Nobody removed the mark: that run failed before it came to the program.
    assert given("two", check_mode=True) == [key]
    assert given("two") == [key]
    mark.unlink()
    assert given("two") == []


def test_the_mark_is_there_before_the_secret_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = secret(tmp_path / "key", content="two", replaced_mark=str(tmp_path / "key.replaced"))
    (tmp_path / "key").write_text("one")

    def killed(*_arguments: object, **_options: object) -> None:
        assert (tmp_path / "key.replaced").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(_files, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        converge(secrets=[wanted])


def test_root_is_refused_as_a_service_account() -> None:
    with pytest.raises(_account.AccountError, match="uid 0"):
        converge(account=_account.Account("root", "/var/lib/fc", "/bin/bash"))


def test_directory_is_created_with_mode_and_parents_then_left_alone(tmp_path: Path) -> None:
    wanted = _account.Directory(str(tmp_path / "a/b/c"), OWNER, GROUP, 0o700)
    assert converge(directories=[wanted]).changed
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o755
    assert not converge(directories=[wanted]).changed


def test_directory_mode_is_corrected_and_shown(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    outcome = converge(directories=[_account.Directory(str(tmp_path / "open"), OWNER, GROUP, 0o750)])
    assert outcome.before == [f"{tmp_path}/open {OWNER}:{GROUP} 0777"]
    assert outcome.after == [f"{tmp_path}/open {OWNER}:{GROUP} 0750"]
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o750


def test_check_mode_creates_no_directory(tmp_path: Path) -> None:
    assert converge(
        directories=[_account.Directory(str(tmp_path / "x/y"), "fc-absent", "fc-absent", 0o700)], check_mode=True
    ).changed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_link_in_a_foreign_directory_is_not_followed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / "state").symlink_to(target)
    os.chown(home, pwd.getpwnam("daemon").pw_uid, 1)
    with pytest.raises(_files.FileError, match="symlink"):
        converge(directories=[_account.Directory(str(home / "state"), OWNER, GROUP, 0o700)])
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_generated_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "token"
    outcome = converge(secrets=[secret(path, generate=32, prefix="sk-")])
    first = path.read_text()
    assert outcome.generated == [str(path)]
    assert first.startswith("sk-") and len(first) == 3 + 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert not converge(secrets=[secret(path, generate=32, prefix="sk-")]).changed
    assert path.read_text() == first


def test_rotation_replaces_the_secret_and_leaves_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "token"
    converge(secrets=[secret(path, generate=32)])
    first = path.read_text()
    assert converge(secrets=[secret(path, generate=32, rotate=True)]).changed
    assert path.read_text() != first
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


def test_content_is_written_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    outcome = converge(secrets=[secret(path, content="canary-7f3a")])
    assert path.read_text() == "canary-7f3a"
    assert "canary-7f3a" not in repr(outcome) + repr(secret(path, content="canary-7f3a"))
    changed = converge(secrets=[secret(path, content="canary-9b1c")])
    assert "canary" not in repr(changed)
    assert not converge(secrets=[secret(path, content="canary-9b1c")]).changed


def test_copy_follows_its_source(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("one")
    copy = secret(tmp_path / "copy", copy_of=str(tmp_path / "source"))
    assert converge(secrets=[copy]).changed
    assert not converge(secrets=[copy]).changed
    (tmp_path / "source").write_text("two")
    assert converge(secrets=[copy]).changed
    assert (tmp_path / "copy").read_text() == "two"


def test_copy_of_a_missing_file_is_an_error_but_predicted_in_check_mode(tmp_path: Path) -> None:
    copy = secret(tmp_path / "copy", copy_of=str(tmp_path / "source"))
    with pytest.raises(_account.AccountError, match="does not exist or is empty, so"):
        converge(secrets=[copy])
    assert converge(secrets=[copy], check_mode=True).changed


def test_secret_with_a_wrong_mode_is_corrected_without_a_new_content(tmp_path: Path) -> None:
    path = tmp_path / "token"
    converge(secrets=[secret(path, generate=32)])
    before = path.read_text()
    path.chmod(0o644)
    outcome = converge(secrets=[secret(path, generate=32)])
    assert outcome.changed and outcome.generated == []
    assert path.read_text() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_absent_removes_the_secret_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("x")
    assert converge(secrets=[secret(path, present=False)]).changed
    assert not path.exists()
    assert not converge(secrets=[secret(path, present=False)]).changed


def test_secret_in_a_missing_directory_names_the_directory(tmp_path: Path) -> None:
    with pytest.raises(_account.AccountError, match=f"{tmp_path}/none: does not exist"):
        converge(secrets=[secret(tmp_path / "none/token", generate=32)])


@pytest.mark.parametrize("check_mode", [False, True])
def test_absent_in_a_missing_directory_is_nothing_to_do(tmp_path: Path, check_mode: bool) -> None:
    assert not converge(secrets=[secret(tmp_path / "none/token", present=False)], check_mode=check_mode).changed
    assert not (tmp_path / "none").exists()


def test_another_generation_is_another_secret_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = secret(path, generate=32, prefix="sk-", generation=1)
    converge(secrets=[first])
    original = path.read_text()
    assert len(original) == 3 + 64
    second = secret(path, generate=32, prefix="sk-", generation=2)
    outcome = converge(secrets=[second])
    assert outcome.replaced == [str(path)]
    replaced = path.read_text()
    assert replaced.startswith("sk-2-") and original[3:] not in replaced
    assert not converge(secrets=[second]).changed
    assert path.read_text() == replaced
    # Back to the first one is another key again, and not the first.
    assert converge(secrets=[first]).changed
    assert path.read_text() != original
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_secret_that_somebody_wrote_counts_as_the_first_generation(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("written-by-hand")
    path.chmod(0o400)
    assert not converge(secrets=[secret(path, generate=32, prefix="sk-", generation=1)]).changed
    assert converge(secrets=[secret(path, generate=32, prefix="sk-", generation=7)]).changed
    assert path.read_text().startswith("sk-7-")


def remove(
    account: _account.Account | None = None, *paths: Path, run: Commands | None = None, check_mode: bool = False
) -> _account.Outcome:
    directories = [_account.Directory(str(path), OWNER, GROUP, 0o755) for path in paths]
    return _account.remove(account, directories, run=run or Commands(), check_mode=check_mode)


def test_directory_is_removed_with_everything_below_it_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    gone = tmp_path / "gone"
    (gone / "below").mkdir(parents=True)
    (gone / "below" / "file").touch()
    (gone / "link").symlink_to(kept)
    assert remove(None, gone, check_mode=True).changed
    assert gone.is_dir()
    assert remove(None, gone).changed
    assert not gone.exists() and (kept / "file").exists()
    assert not remove(None, gone).changed


def test_directory_that_is_not_empty_stays_if_only_an_empty_one_goes(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    child = parent / "child"
    child.mkdir(parents=True)
    directories = [
        _account.Directory(str(child), OWNER, GROUP, 0o755),
        _account.Directory(str(parent), OWNER, GROUP, 0o755, only_if_empty=True),
    ]
    (parent / "foreign").touch()
    _account.remove(None, directories, run=Commands(), check_mode=False)
    assert parent.exists() and not child.exists()
    (parent / "foreign").unlink()
    child.mkdir()
    predicted = _account.remove(None, directories, run=Commands(), check_mode=True)
    done = _account.remove(None, directories, run=Commands(), check_mode=False)
    assert predicted.before == done.before and len(done.before) == 2
    assert not parent.exists()


DIRECTORIES_OF_THE_SYSTEM = [
    *[
        "/",
        "//",
        "/etc",
        "//etc",
        "/etc/",
        "//usr",
        "/usr",
        "/usr/lib",
        "/usr/lib/python3",
        "/usr/local/bin",
        "/opt/..",
    ],
    *[
        "/etc/systemd/system",
        "/etc/ansible",
        "/etc/nginx",
        "/etc/cron.d",
        "/etc/rc2.d",
        "/etc/opt",
        "/etc/ssl/private",
    ],
    *["/var/lib", "/var/lib/dpkg", "/var/lib/dpkg/info", "/var/log/journal", "/var/cache/apt", "/run/systemd"],
    *["/home/alice", "/home/alice/", "/home/x/../alice", "/root", "/root/.ssh", "/proc/self/root/etc"],
]


@pytest.mark.parametrize("path", DIRECTORIES_OF_THE_SYSTEM)
def test_directory_of_the_system_is_not_removed(path: str) -> None:
    directory = _account.Directory(path, OWNER, GROUP, 0o755)
    with pytest.raises(_account.AccountError, match="is not a directory of one service alone"):
        _account.remove(None, [directory], run=Commands(), check_mode=True)
    only_if_empty = _account.Directory(path, OWNER, GROUP, 0o755, only_if_empty=True)
    assert not _account.remove(None, [only_if_empty], run=Commands(), check_mode=True).changed


@pytest.mark.parametrize(
    "path",
    [
        *[
            "/opt/openclaw",
            "/etc/openclaw",
            "/etc/openclaw/credentials",
            "/etc/openclaw-proxy",
            "/etc/failclosed-openclaw",
        ],
        *["/usr/local/lib/openclaw-proxy", "/var/lib/openclaw", "/var/lib/failclosed-openclaw", "/srv/openclaw/home"],
        *["/var/cache/failclosed-openclaw", "/var/backups/failclosed-openclaw", "/run/failclosed-openclaw-uids"],
        *["/home/alice/receipt.json", "/etc/opt/openclaw"],
    ],
)
def test_a_services_own_directory_may_be_removed(path: str) -> None:
    directory = _account.Directory(f"{path}-fc-absent", OWNER, GROUP, 0o755)
    assert not _account.remove(None, [directory], run=Commands(), check_mode=True).changed


def test_directory_that_a_link_leads_to_counts_by_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(_account.AccountError, match="is not a directory of one service alone"):
        remove(None, tmp_path / "link/nginx", check_mode=True)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("path", DIRECTORIES_OF_THE_SYSTEM)
def test_directory_of_the_system_is_not_taken_over(tmp_path: Path, path: str, check_mode: bool) -> None:
    own = _account.Directory(str(tmp_path / "own"), OWNER, GROUP, 0o755)
    run = Commands()
    # In check mode, so that a failure of this test does not give /etc away; nothing is known to differ there.
    with pytest.raises(_account.AccountError, match="is not a directory of one service alone, so its owner and mode"):
        converge(directories=[own, _account.Directory(path, "fc-absent", "fc-absent", 0o700)], check_mode=True)
    with pytest.raises(_account.AccountError, match="is not a directory of one service alone, so its owner and mode"):
        converge(account=_account.Account("fc-absent", path), directories=[own], run=run, check_mode=check_mode)
    assert run.seen == [] and list(tmp_path.iterdir()) == []
    shared = _account.Directory(path, "fc-absent", "fc-absent", 0o700, only_if_empty=True)
    assert not converge(directories=[shared], check_mode=True).changed


def test_nothing_is_removed_where_one_path_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with pytest.raises(_account.AccountError, match=r"^/etc/nginx: "):
        remove(None, tmp_path / "own", Path("/etc/nginx"))
    assert (tmp_path / "own").is_dir()


def test_a_tree_that_is_deeper_than_python_can_follow_is_removed(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _level in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert remove(None, deep).changed
    assert not deep.exists()


def test_what_rm_could_not_remove_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()

    def refuse(command: list[str]) -> tuple[int, str, str]:
        return 1, "", f"rm: cannot remove '{command[-1]}/x': Operation not permitted\x1b[0m\n"

    directory = _account.Directory(str(tmp_path / "own"), OWNER, GROUP, 0o755)
    with pytest.raises(
        _account.AccountError, match=rf"own: could not .*'{tmp_path}/own/x': Operation not permitted.\[0m$"
    ):
        _account.remove(None, [directory], run=refuse, check_mode=False)


def test_what_cannot_be_looked_at_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b-private", "c"):
        (tmp_path / name).touch()
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        if path.endswith("private"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(_account, "SHARED_DIRECTORIES", (str(tmp_path),))
    monkeypatch.setattr(os, "lstat", lstat)
    outcome = _account.Outcome()
    assert _account._left_behind(os.geteuid(), outcome) == [f"{tmp_path}/a", f"{tmp_path}/c"]
    assert outcome.unseen == [f"{tmp_path}/b-private: Permission denied"]


def test_account_that_is_not_the_services_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(_account.AccountError, match="is not removed"):
        remove(_account.Account("root", "/var/lib/fc"), check_mode=True)
    for uid, home in ((998, "/var/lib/fc-other"), (13, "/var/lib/fc"), (1000, "/var/lib/fc")):
        there_is(monkeypatch, uid, home)
        with pytest.raises(_account.AccountError, match=f"has uid {uid} and home {home}"):
            remove(_account.Account("fc-there", "/var/lib/fc"), check_mode=True)


def test_missing_account_is_fine(tmp_path: Path) -> None:
    run = Commands()
    assert not remove(_account.Account("fc-absent", str(tmp_path / "home")), run=run).changed
    assert run.seen == []


def test_the_old_secret_of_a_run_that_was_killed_goes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    converge(secrets=[secret(path, content="new")])
    # Killed between taking the name and removing what had it.
    left = tmp_path / f".key{_files.CANDIDATE_MARK}0123456789abcdef"
    left.write_text("old")
    (tmp_path / ".key.by-hand").touch()
    assert converge(secrets=[secret(path, content="new")], check_mode=True).changed and left.exists()
    assert converge(secrets=[secret(path, content="new")]).before == [f"{left} of a run that was killed"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [".key.by-hand", "key"]
    assert not converge(secrets=[secret(path, content="new")]).changed


def test_a_secret_that_is_not_given_any_more_goes_from_a_directory_of_its_own(tmp_path: Path) -> None:
    place = tmp_path / "credentials"
    plain = _account.Directory(str(place), OWNER, GROUP, 0o700)
    own = _account.Directory(str(place), OWNER, GROUP, 0o700, exclusive=True)
    both = [secret(place / "a", content="1", replaced_mark=str(place / "a.replaced")), secret(place / "b", content="2")]
    assert converge(directories=[own], secrets=both, check_mode=True).changed
    converge(directories=[own], secrets=both)
    (place / "a.replaced").touch()
    (place / "below").mkdir()
    assert not converge(directories=[own], secrets=both).changed
    assert not converge(directories=[plain], secrets=both[:1]).changed
    assert converge(directories=[own], secrets=both[:1], check_mode=True).changed and (place / "b").exists()
    outcome = converge(directories=[own], secrets=both[:1])
    assert outcome.before == [f"{place}/b present"] and not (place / "b").exists()
    assert not converge(directories=[own], secrets=both[:1]).changed


def make(tmp_path: Path, name: str, *options: str) -> tuple[str, str]:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=proxy.example.com", *options]
    certificate, key = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
    subprocess.run([*command, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True)
    return certificate.read_text(), key.read_text()


def test_a_certificate_with_another_key_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one", "-nodes")
    _other, wrong = make(tmp_path, "two", "-nodes")
    _other, locked = make(tmp_path, "three", "-passout", "pass:canary-2f6d")
    place = tmp_path / "credentials"
    pair = _account.Pair(str(place / "certificate.pem"), str(place / "private-key.pem"))

    def give(text: str) -> None:
        secrets = [
            secret(place / "certificate.pem", content=certificate),
            secret(place / "private-key.pem", content=text),
        ]
        directory = _account.Directory(str(place), OWNER, GROUP, 0o700)
        _account.converge(None, [directory], secrets, run=Commands(), check_mode=False, pairs=[pair])

    for text, words in (
        (wrong, "private-key.pem: is not the private key of"),
        (locked, "private-key.pem: has a passphrase"),
        ("no key\n", "are no certificate and key in PEM"),
    ):
        with pytest.raises(_account.AccountError, match=words):
            give(text)
        assert not place.exists()
    give(key)
    assert (place / "private-key.pem").read_text() == key


def test_a_pair_that_is_on_the_host_is_looked_at_there(tmp_path: Path) -> None:
    make(tmp_path, "one", "-nodes")
    make(tmp_path, "two", "-nodes")
    (tmp_path / "link").symlink_to(tmp_path / "one.key")
    _account.check_pair(_account.Pair(f"{tmp_path}/one.crt", f"{tmp_path}/link"), [])
    with pytest.raises(_account.AccountError, match="is not the private key"):
        _account.check_pair(_account.Pair(f"{tmp_path}/one.crt", f"{tmp_path}/two.key"), [])
