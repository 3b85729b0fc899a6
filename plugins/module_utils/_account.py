# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's account, its directories and its secrets, converged together. Private to this collection."""

from __future__ import annotations

import grp
import os
import posixpath
import pwd
import re
import secrets
import signal
import ssl
import stat
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files

MAXIMUM_SECRET_BYTES = 65536
MINIMUM_GENERATED_BYTES = 16
# What is below belongs to the distribution, with the same number on every host; Debian Policy 9.2.2.
FIRST_SYSTEM_ID = 100
# useradd --system stays below, unless the file says otherwise; see login.defs(5).
FIRST_LOGIN_ID = 1000
LOGIN_DEFINITIONS = "/etc/login.defs"
# Where any user may leave something behind.
SHARED_DIRECTORIES = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # noqa: S108
# Somebody who names one of these as a service's own directory has mistyped; see hier(7).
_NAMES_IN_ETC = (
    "NetworkManager|X11|adduser.conf.d|alternatives|ansible|apache2|apparmor|apparmor.d|apt|audit|bash_completion.d|bind"
    "|binfmt.d|bluetooth|ca-certificates|caddy|chrony|cloud|console-setup|containerd|cron.d|cron.daily|cron.hourly"
    "|cron.monthly|cron.weekly|cron.yearly|cups|dbus-1|default|dhcp|dictionaries-common|dkms|dnf|docker|dpkg|emacs"
    "|environment.d|fail2ban|fonts|fwupd|gnupg|grafana|groff|grub.d|gss|haproxy|httpd|init|init.d|initramfs-tools|iproute2"
    "|iscsi|java|kernel|kubernetes|ld.so.conf.d|ldap|letsencrypt|lighttpd|logcheck|logrotate.d|lvm|mdadm|modprobe.d"
    "|modules-load.d|monit|mysql|netplan|network|network-scripts|networkd-dispatcher|newt|nftables.d|nginx|nut|openldap"
    "|openvpn|pam.d|perl|php|pki|polkit-1|postfix|postgresql|ppp|profile.d|prometheus|puppet|python[0-9.]*|rabbitmq"
    "|rc[0-9S].d|redis|request-key.d|rpm|rsyslog.d|runit|salt|samba|sasl2|security|selinux|sgml|skel|snmp|ssh|ssl|stunnel"
    "|sudoers.d|supervisor|sv|sysconfig|sysctl.d|systemd|telegraf|terminfo|tmpfiles.d|ucf.conf.d|udev|ufw|update-motd.d"
    "|vim|wireguard|wpa_supplicant|xdg|xml|yum|yum.repos.d|zabbix|zsh"
)
_NAMES_IN_VAR = (
    "NetworkManager|ansible|apache2|apt|aptitude|audit|cloud|containerd|cron|cups|dbus|debconf|dhcp|dkms|dnf|docker|dpkg"
    "|fail2ban|fontconfig|grafana|haproxy|initramfs-tools|installer|journal|kubelet|ldconfig|letsencrypt|logrotate|lvm|lxc"
    "|lxd|mail|man|man-db|misc|mysql|nfs|nginx|os-prober|pam|php|polkit-1|postfix|postgresql|private|prometheus|python"
    "|redis|rpm|rsyslog|samba|sgml-base|shells.d|snapd|sudo|swcatalog|systemd|ucf|unattended-upgrades|update-notifier"
    "|usbutils|vim|xml-core|yum"
)
_NAMES_IN_RUN = (
    "NetworkManager|containerd|credentials|credstore|cryptsetup|dbus|docker|initramfs|lock|log|lvm|mount|network|nscd"
    "|sendsigs.omit.d|shm|sshd|sudo|systemd|tmpfiles.d|udev|user"
)
_SYSTEM_DIRECTORIES = re.compile(
    r"/|/(boot|dev|proc|sys|bin|sbin|lib[0-9]*|root)(/.*)?|/[^/]+|/home/[^/]+"
    r"|/usr/[^/]+|/usr/(bin|games|include|lib(exec|[0-9]+)?|sbin|share|src)/[^/]+"
    r"|/usr/local/[^/]+|/usr/local/(bin|sbin|lib/(python|node_modules)[^/]*|share/(ca-certificates|fonts|man))(/.*)?"
    rf"|/etc/({_NAMES_IN_ETC})(/.*)?|/etc/opt"
    rf"|/var/[^/]+|/var/(lib|log|cache|spool)/({_NAMES_IN_VAR})(/.*)?|/run/({_NAMES_IN_RUN})(/.*)?"
)
_TERMINATION_SECONDS = 3.0


class AccountError(Exception):
    """The host is not in a state in which the wish can be fulfilled; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """A system user with a group of the same name."""

    name: str
    home: str
    shell: str = "/usr/sbin/nologin"
    comment: str = ""


@dataclass(frozen=True)
class Directory:
    """A directory that shall exist; ``mode`` are permission bits.

    ``only_if_empty``: it may be shared with others, so it is removed only then, and one of the system is left as it is.
    ``exclusive``: no file but the given secrets stays in it.
    """

    path: str
    owner: str
    group: str
    mode: int
    only_if_empty: bool = False
    exclusive: bool = False


@dataclass(frozen=True)
class Secret:
    """A file with one secret. Exactly one of ``generate``, ``content`` and ``copy_of`` says where it comes from.

    ``generate``: random bytes, written as hexadecimal after ``prefix``. ``generation``: a secret of another one is
    replaced; None takes whatever is there. ``present`` False removes the file. ``replaced_mark``: a file that says from
    before another content is there until somebody removes it that a program may still use the old one.
    """

    path: str
    owner: str
    group: str
    mode: int
    generate: int | None = None
    prefix: str = ""
    content: str | None = field(default=None, repr=False)
    copy_of: str | None = None
    rotate: bool = False
    present: bool = True
    generation: int | None = None
    replaced_mark: str | None = None

    @property
    def mark(self) -> str:
        """What a generated secret begins with. The generation is part of it, so that no record can disagree."""
        return self.prefix + (f"{self.generation}-" if self.generation is not None and self.generation > 1 else "")

    def is_of_generation(self, content: bytes) -> bool:
        """Whether a secret that is there is of the wanted generation; one that somebody else wrote is of the first."""
        if self.generation is None:
            return True
        found = re.fullmatch(re.escape(self.prefix.encode()) + rb"([0-9]{1,9})-[0-9a-f]+", content)
        return (int(found.group(1)) if found else 1) == self.generation


@dataclass(frozen=True)
class Pair:
    """The paths of a certificate and of its private key, both in PEM."""

    certificate: str
    private_key: str


@dataclass
class Outcome:
    """What differs, as lines that are safe to show, before and after.

    ``generated`` and ``replaced`` are paths of secrets: made here, and put in the place of another content. ``unseen``:
    what could not be looked at, with the reason.
    """

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def note(self, before: str, after: str) -> None:
        if before:
            self.before.append(before)
        if after:
            self.after.append(after)


RunCommand = t.Callable[[list[str]], tuple[int, str, str]]


def _describe(path: str, status: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{path} {owner}:{group} {stat.S_IMODE(status.st_mode):04o}"


def _first_login_id() -> int:
    """The first number of people; as for useradd, a line that holds no number does not count."""
    first = FIRST_LOGIN_ID
    with suppress(FileNotFoundError), Path(LOGIN_DEFINITIONS).open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            match = re.fullmatch(r"\s*UID_MIN\s+([0-9]+)\s*", line)
            if match:
                first = int(match.group(1))
    return first


def _refuse_foreign_account(account: Account, found: pwd.struct_passwd) -> None:
    """Raise AccountError unless the account is the service's own.

    Whatever is taken for the service's own here gets another home and shell, and is removed with its processes and
    files later. So its number decides first: root, what the distribution numbers itself (proxy is 13 on every Debian)
    and people are never a service of this collection, which useradd --system numbers. In between are the accounts of
    other packages (stunnel4, postgres), and of two things one has to tell that an account is none of them:

    - It has the wanted home. So has what this module made, and what an administrator made beforehand for this service;
      that of a package has the package's, which is refused where it is a directory of the system.
    - It has the comment that this module gives. Then the module made it, and only the variable of its home is another
      now. The account itself cannot write its comment: that takes a password, and useradd gives none.
    """
    name, uid = account.name, found.pw_uid
    first_login_id = _first_login_id()
    if uid == 0:
        raise AccountError(f"user {name} is uid 0; a service needs an account of its own: choose another name")
    if uid < FIRST_SYSTEM_ID:
        raise AccountError(
            f"user {name} is there already, with uid {uid}: below {FIRST_SYSTEM_ID} are accounts of the distribution,"
            " whose home and shell are not changed here. Choose another name for the service"
        )
    if uid >= first_login_id:
        raise AccountError(
            f"user {name} is there already, with uid {uid}: that is a person's account, as all are from"
            f" {first_login_id} on, whose home and shell are not changed here. Choose another name for the service"
        )
    is_made_here = account.comment != "" and found.pw_gecos == account.comment
    if posixpath.normpath(found.pw_dir) != posixpath.normpath(account.home) and not is_made_here:
        raise AccountError(
            f"user {name} is there already, with uid {uid}, home {found.pw_dir} and comment '{found.pw_gecos}': nothing"
            f" tells that it is this service's, whose home is {account.home}, so it is left as it is. Choose another"
            f" name for the service, or, if the account is its own: usermod --home {account.home} {name}"
        )


def _refuse_foreign_group(name: str) -> None:
    """Raise AccountError unless a group without a user of its name may be what is left of a user removed by hand."""
    found = grp.getgrnam(name)
    if found.gr_mem or not FIRST_SYSTEM_ID <= found.gr_gid < _first_login_id():
        raise AccountError(
            f"group {name} is there already, with gid {found.gr_gid} and {', '.join(found.gr_mem) or 'nobody'} in it,"
            f" and there is no user {name}: the service would get what is allowed to that group. Choose another name"
            " for the service"
        )


def _refuse_directories_of_the_system(account: Account | None, directories: t.Sequence[Directory]) -> None:
    """Raise AccountError for what `remove` would refuse: it would get another owner and mode, and never them back."""
    own = [directory.path for directory in directories if not directory.only_if_empty]
    for path in own + ([account.home] if account else []):
        if _is_of_the_system(path):
            raise AccountError(
                f"{path}: is not a directory of one service alone, so its owner and mode are left as they are, and no"
                " service gets it. Name a directory that nobody else uses"
            )


def converge_account(account: Account, outcome: Outcome, *, run: RunCommand, check_mode: bool) -> None:
    """Create the user, or refuse one that is not what the caller thinks it is."""
    try:
        found = pwd.getpwnam(account.name)
    except KeyError:
        group = ["--user-group"]
        if _group_exists(account.name):
            _refuse_foreign_group(account.name)
            group = ["--gid", account.name]
        outcome.note("", f"user {account.name}, home {account.home}, shell {account.shell}")
        if check_mode:
            return
        code, _output, error = run(
            [
                "useradd",
                "--system",
                *group,
                "--no-create-home",
                "--home-dir",
                account.home,
                "--shell",
                account.shell,
                "--comment",
                account.comment,
                account.name,
            ]
        )
        if code != 0:
            raise AccountError(f"useradd {account.name} failed with status {code}: {error.strip()}") from None
        return
    _refuse_foreign_account(account, found)
    if found.pw_dir != account.home or found.pw_shell != account.shell:
        outcome.note(
            f"user {account.name}, home {found.pw_dir}, shell {found.pw_shell}",
            f"user {account.name}, home {account.home}, shell {account.shell}",
        )
        if check_mode:
            return
        code, _output, error = run(["usermod", "--home", account.home, "--shell", account.shell, account.name])
        if code != 0:
            raise AccountError(f"usermod {account.name} failed with status {code}: {error.strip()}")


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _ownership(owner: str, group: str, mode: int) -> _files.Ownership:
    return _files.Ownership(_files.user_id(owner), _files.group_id(group), mode)


def _wanted(path: str, owner: str, group: str, mode: int) -> str:
    return f"{path} {owner}:{group} {mode:04o}"


def converge_directory(directory: Directory, outcome: Outcome, *, check_mode: bool) -> None:
    """Create the directory with its owner and mode, or correct them; parents are created root-owned, 0755."""
    wanted = _wanted(directory.path, directory.owner, directory.group, directory.mode)
    try:
        with _files.open_directory(directory.path) as descriptor:
            status = os.fstat(descriptor)
            try:
                ownership = _ownership(directory.owner, directory.group, directory.mode)
            except _files.FileError:
                if not check_mode:
                    raise
                outcome.note(_describe(directory.path, status), wanted)
                return
            same_owner = (status.st_uid, status.st_gid) == (ownership.uid, ownership.gid)
            if same_owner and stat.S_IMODE(status.st_mode) == ownership.mode:
                return
            outcome.note(_describe(directory.path, status), wanted)
            if not check_mode:
                os.fchown(descriptor, ownership.uid, ownership.gid)
                os.fchmod(descriptor, ownership.mode)
            return
    except FileNotFoundError:
        outcome.note("", wanted)
    if check_mode:
        return
    parent, name = posixpath.split(directory.path.rstrip("/"))
    _make_parents(parent)
    ownership = _ownership(directory.owner, directory.group, directory.mode)
    with _files.open_directory(parent) as descriptor:
        os.mkdir(name, 0o700, dir_fd=descriptor)
        with _files.open_beneath(descriptor, name) as made:
            os.fchown(made, ownership.uid, ownership.gid)
            os.fchmod(made, ownership.mode)


def _make_parents(path: str) -> None:
    parent, name = posixpath.split(path.rstrip("/"))
    try:
        with _files.open_directory(path):
            return
    except FileNotFoundError:
        _make_parents(parent)
    with _files.open_directory(parent) as descriptor:
        os.mkdir(name, 0o755, dir_fd=descriptor)
        with _files.open_beneath(descriptor, name) as made:
            os.fchmod(made, 0o755)


def _secret_bytes(secret: Secret, found: _files.FileState | None) -> bytes:
    if secret.content is not None:
        return secret.content.encode()
    if secret.copy_of is not None:
        parent, name = posixpath.split(secret.copy_of)
        source = None
        # Of the two directories concerned it is this one that may be missing, and the message has to say so.
        with suppress(FileNotFoundError), _files.open_directory(parent) as descriptor:
            source = _files.read_file(descriptor, name, limit=MAXIMUM_SECRET_BYTES)
        if source is None or not source.content:
            raise AccountError(
                f"{secret.copy_of}: does not exist or is empty, so {secret.path} cannot be a copy of it;"
                " create it first, or do without the copy"
            )
        return source.content
    if found is not None and not secret.rotate and found.content and secret.is_of_generation(found.content):
        return found.content
    return (secret.mark + secrets.token_hex(secret.generate or 0)).encode()


def converge_secret(secret: Secret, outcome: Outcome, *, check_mode: bool) -> None:
    """Write the secret with its owner and mode from the first byte; the outcome never tells its content."""
    parent, name = posixpath.split(secret.path)
    wanted = _wanted(secret.path, secret.owner, secret.group, secret.mode)
    try:
        with _files.open_directory(parent) as descriptor:
            _converge_secret_in(descriptor, name, secret, wanted, outcome, check_mode=check_mode)
    except FileNotFoundError:
        if not secret.present:
            return
        if not check_mode:
            raise AccountError(f"{parent}: does not exist; name it in directories") from None
        outcome.note("", f"{wanted}, new content")
        return
    if (
        secret.replaced_mark is not None
        and secret.path not in outcome.replaced
        and os.path.lexists(secret.replaced_mark)
    ):
        outcome.replaced.append(secret.path)


def mark_replaced(path: str) -> None:
    """Write the empty file that says that something was replaced which a program has read before.

    Raises FileError or OSError.
    """
    parent, name = posixpath.split(path)
    with _files.open_directory(parent) as descriptor:
        _files.write_private(descriptor, name, b"")


def _converge_secret_in(
    directory: int, name: str, secret: Secret, wanted: str, outcome: Outcome, *, check_mode: bool
) -> None:
    # Another secret may be in there, of a run that was killed while it replaced one.
    for leftover in _files.leftovers(directory, name):
        outcome.note(f"{posixpath.join(posixpath.dirname(secret.path), leftover)} of a run that was killed", "")
        if not check_mode:
            os.unlink(leftover, dir_fd=directory)
    found = _files.read_file(directory, name, limit=MAXIMUM_SECRET_BYTES)
    if not secret.present:
        if found is not None:
            outcome.note(f"{secret.path} present", f"{secret.path} absent")
            if not check_mode:
                os.unlink(name, dir_fd=directory)
                os.fsync(directory)
        return
    try:
        ownership = _ownership(secret.owner, secret.group, secret.mode)
        content = _secret_bytes(secret, found)
    except (_files.FileError, AccountError):
        # On a bare host the user and the file that is to be copied only appear in the real run.
        if not check_mode:
            raise
        outcome.note("", f"{wanted}, new content")
        return
    if found is not None and found.content == content:
        if (found.uid, found.gid, found.mode) == (ownership.uid, ownership.gid, ownership.mode):
            return
        outcome.note(f"{secret.path} uid {found.uid} gid {found.gid} {found.mode:04o}", wanted)
        if not check_mode:
            _files.set_ownership(directory, name, ownership)
        return
    outcome.note(f"{secret.path}, old content" if found else "", f"{wanted}, new content")
    if secret.generate is not None:
        outcome.generated.append(secret.path)
    if found is not None:
        outcome.replaced.append(secret.path)
    if check_mode:
        return
    if found is not None and secret.replaced_mark is not None:
        mark_replaced(secret.replaced_mark)
    _files.replace_file(directory, name, content, ownership, expected=found)


def _remove_others(
    directory: Directory, secret_files: t.Sequence[Secret], outcome: Outcome, *, check_mode: bool
) -> None:
    wanted = {
        posixpath.normpath(path) for secret in secret_files for path in (secret.path, secret.replaced_mark) if path
    }
    try:
        with _files.open_directory(directory.path) as descriptor:
            for name in sorted(os.listdir(descriptor)):
                path = posixpath.join(posixpath.normpath(directory.path), name)
                if path in wanted or stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    continue
                outcome.note(f"{_printable(path)} present", f"{_printable(path)} absent")
                if not check_mode:
                    os.unlink(name, dir_fd=descriptor)
                    os.fsync(descriptor)
    except FileNotFoundError:
        if not check_mode:
            raise


class _PassphraseError(Exception):
    """A private key asked for a passphrase."""


def _no_passphrase() -> str:
    raise _PassphraseError


def check_pair(pair: Pair, secret_files: t.Sequence[Secret]) -> None:
    """Refuse a certificate and a key, as they will be, with which no server starts; raises AccountError, OSError."""
    given = {secret.path: secret.content for secret in secret_files if secret.content is not None}
    descriptors = []
    try:
        places = []
        for path in (pair.certificate, pair.private_key):
            if path not in given:
                places.append(path)
                continue
            # In memory: what may have to be refused is not put on a disk.
            descriptors.append(os.memfd_create("pair", os.MFD_CLOEXEC))
            with open(descriptors[-1], "wb", closefd=False) as stream:
                stream.write(str(given[path]).encode())
            places.append(f"/proc/self/fd/{descriptors[-1]}")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(places[0], places[1], _no_passphrase)
        except _PassphraseError:
            raise AccountError(
                f"{pair.private_key}: has a passphrase, which nobody would type; give it without one (openssl pkey)"
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise AccountError(
                    f"{pair.private_key}: is not the private key of {pair.certificate}; give two that belong together"
                ) from None
            raise AccountError(
                f"{pair.certificate} and {pair.private_key}: are no certificate and key in PEM that a server can use"
                f" ({error.reason or 'no PEM'})"
            ) from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def converge(
    account: Account | None,
    directories: t.Sequence[Directory],
    secret_files: t.Sequence[Secret],
    *,
    run: RunCommand,
    check_mode: bool,
    pairs: t.Sequence[Pair] = (),
) -> Outcome:
    """Converge account, directories and secrets in this order, after ``pairs`` were looked at.

    Raises AccountError, FileError or OSError; for an account or a directory of somebody else's before anything changes.
    """
    outcome = Outcome()
    _refuse_directories_of_the_system(account, directories)
    for pair in pairs:
        check_pair(pair, secret_files)
    if account is not None:
        converge_account(account, outcome, run=run, check_mode=check_mode)
    for directory in directories:
        if not _is_of_the_system(directory.path):
            converge_directory(directory, outcome, check_mode=check_mode)
    for secret in secret_files:
        converge_secret(secret, outcome, check_mode=check_mode)
    for directory in directories:
        if directory.exclusive:
            _remove_others(directory, secret_files, outcome, check_mode=check_mode)
    return outcome


def remove(
    account: Account | None, directories: t.Sequence[Directory], *, run: RunCommand, check_mode: bool
) -> Outcome:
    """Remove directories with everything below them, then the account with its processes, its home and what it left in
    the directories for temporary files. What is not there is fine. Raises AccountError, FileError or OSError; what is
    wrong with the paths themselves before anything is removed.
    """
    outcome = Outcome()
    whole = [directory.path for directory in directories if not directory.only_if_empty]
    for path in whole + ([account.home] if account else []):
        if _is_of_the_system(path):
            raise AccountError(f"{path}: is not a directory of one service alone, and is not removed with all below it")
    found = _service_account(account) if account is not None else None
    if found is not None:
        _end_processes(found.pw_uid, outcome, check_mode=check_mode)
    gone: set[str] = set()
    for directory in directories:
        if directory.only_if_empty:
            if _is_of_the_system(directory.path) or not _would_be_empty(directory.path, gone):
                continue
            _remove_empty(directory.path, outcome, check_mode=check_mode)
        else:
            _remove_tree(directory.path, outcome, run=run, check_mode=check_mode)
        gone.add(posixpath.normpath(directory.path))
    if account is not None:
        # A home that outlives its account goes as well: the next account might get the same uid.
        _remove_tree(account.home, outcome, run=run, check_mode=check_mode)
    if account is not None and found is not None:
        for path in _left_behind(found.pw_uid, outcome):
            _remove_tree(path, outcome, run=run, check_mode=check_mode)
        outcome.note(f"user {account.name}", "")
        if not check_mode:
            _delete_account(account.name, run)
    return outcome


def _is_of_the_system(path: str) -> bool:
    """Whether the path is, or is a part of, what does not belong to one service; also where a link leads to it."""
    plain = posixpath.normpath("/" + path.strip("/"))
    parent, name = posixpath.split(plain)
    # Not the last link itself: that one would be removed, and not what it leads to.
    resolved = posixpath.join(os.path.realpath(parent), name)
    return any(_SYSTEM_DIRECTORIES.fullmatch(each) is not None for each in (plain, resolved))


def _service_account(account: Account) -> pwd.struct_passwd | None:
    try:
        found = pwd.getpwnam(account.name)
    except KeyError:
        return None
    if not FIRST_SYSTEM_ID <= found.pw_uid < _first_login_id() or found.pw_dir != account.home:
        raise AccountError(
            f"user {account.name} has uid {found.pw_uid} and home {found.pw_dir}, so it is not the service's account"
            f" with home {account.home}, and is not removed. Name the account and the home that were installed"
        )
    return found


def _processes_of(uid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                found.append(int(name))
    return found


def _end_processes(uid: int, outcome: Outcome, *, check_mode: bool) -> None:
    running = _processes_of(uid)
    if not running:
        return
    outcome.note(f"{len(running)} processes of uid {uid}", "")
    if check_mode:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _TERMINATION_SECONDS
        for process in _processes_of(uid):
            with suppress(ProcessLookupError):
                os.kill(process, number)
        while _processes_of(uid) and time.monotonic() < deadline:
            time.sleep(0.05)
    remaining = _processes_of(uid)
    if remaining:
        raise AccountError(f"processes {remaining} of uid {uid} do not end, so the account stays; look at them with ps")


def _left_behind(uid: int, outcome: Outcome) -> list[str]:
    found = []
    for directory in SHARED_DIRECTORIES:
        try:
            names = sorted(os.listdir(directory))
        except FileNotFoundError:
            continue
        except OSError as error:
            outcome.unseen.append(f"{directory}: {error.strerror}")
            continue
        for name in names:
            path = posixpath.join(directory, name)
            try:
                owner = os.lstat(path).st_uid
            except FileNotFoundError:
                continue
            except OSError as error:
                # A file system of somebody's own, which nobody else may look at.
                outcome.unseen.append(f"{_printable(path)}: {error.strerror}")
                continue
            if owner == uid:
                found.append(path)
    return found


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _would_be_empty(path: str, gone: set[str]) -> bool:
    try:
        with _files.open_directory(path) as descriptor:
            names = os.listdir(descriptor)
    except FileNotFoundError:
        return True
    return all(posixpath.join(posixpath.normpath(path), name) in gone for name in names)


def _remove_empty(path: str, outcome: Outcome, *, check_mode: bool) -> None:
    parent, name = posixpath.split(posixpath.normpath(path))
    try:
        with _files.open_directory(parent) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            outcome.note(_describe(path, status), "")
            if not check_mode:
                os.rmdir(name, dir_fd=descriptor)
    except FileNotFoundError:
        return


def _remove_tree(path: str, outcome: Outcome, *, run: RunCommand, check_mode: bool) -> None:
    parent, name = posixpath.split(posixpath.normpath(path))
    try:
        with _files.open_directory(parent) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            outcome.note(f"{_describe(path, status)}, with everything below it", "")
            if check_mode:
                return
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(name, dir_fd=descriptor)
                return
            # The parent is this very directory, whatever its path leads to by now. rm follows no link below it, and
            # takes a tree of any depth, which whoever owned it may have made so deep that Python cannot.
            place = f"/proc/{os.getpid()}/fd/{descriptor}/{name}"
            code, _output, error = run(["rm", "--recursive", "--force", "--one-file-system", "--", place])
            if code != 0:
                why = _printable((error.strip().splitlines() or [f"status {code}"])[-1]).replace(place, path)
                raise AccountError(f"{path}: could not be removed as a whole: {why}")
    except FileNotFoundError:
        return


def _delete_account(name: str, run: RunCommand) -> None:
    code, _output, error = run(["userdel", name])
    if code != 0:
        raise AccountError(f"userdel {name} failed with status {code}: {error.strip()}")
    if _group_exists(name):
        code, _output, error = run(["groupdel", name])
        if code != 0:
            raise AccountError(f"groupdel {name} failed with status {code}: {error.strip()}")
