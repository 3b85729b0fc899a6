# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""An OpenClaw installation: its version, its paths, and the one runner for its command line.

The version is read from ``package.json``, which costs no node process. The runner drops to the
gateway's user and passes an environment that is written here, not inherited.
"""

from __future__ import annotations

import json
import os
import posixpath
import pwd
import re
import selectors
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _redact

MINIMUM_VERSION = "2026.8.1"
PACKAGE_NAME = "openclaw"
MAXIMUM_OUTPUT_BYTES = 16 * 1024 * 1024
# A hostile home directory cannot make root read more than this.
_MAXIMUM_PACKAGE_BYTES = 1024 * 1024
# mkdtemp makes a directory that nobody else can enter.
_DISK = "/var/tmp"  # noqa: S108
_MAXIMUM_PLUGINS = 2000
_SHOWN_OUTPUT_CHARACTERS = 600
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z")


class OpenClawError(Exception):
    """An installation that is not usable, or a command that failed; the text holds no secret."""


def parse_version(text: str) -> tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]:
    """A sort key for OpenClaw's calendar versions.

    ``2026.9.6-beta.1`` sorts before ``2026.9.6``, and ``2026.7.1-2`` (a re-release) after ``2026.7.1``.
    Raises ValueError for anything else.
    """
    match = _VERSION.match(text.strip())
    if match is None:
        raise ValueError(f"not a version: {text!r}")
    numbers = [int(part) for part in match.group(1).split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    suffix = match.group(2)
    if suffix is None:
        return (tuple(numbers), 0, ())
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"[.-]", suffix))
    stage = 1 if parts[0][0] == 0 else -1
    return (tuple(numbers), stage, parts)


def is_at_least(version: str, minimum: str) -> bool:
    """Whether a version is the minimum or later; raises ValueError for text that is no version."""
    return parse_version(version) >= parse_version(minimum)


def package_directory(command: Sequence[str]) -> str | None:
    """The directory of the ``openclaw`` package that a command prefix starts; None for a wrapper."""
    for argument in reversed(command):
        if not argument.startswith("/"):
            continue
        directory = posixpath.dirname(os.path.realpath(argument))
        for candidate in (directory, posixpath.dirname(directory)):
            if _package_field(candidate, "name") == PACKAGE_NAME:
                return candidate
    return None


def _package_field(directory: str, field: str) -> str | None:
    try:
        descriptor = os.open(posixpath.join(directory, "package.json"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            document = json.loads(stream.read(_MAXIMUM_PACKAGE_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    value = document.get(field) if isinstance(document, dict) else None
    return value if isinstance(value, str) else None


def installed_version(command: Sequence[str]) -> str | None:
    """The version of the package that a command prefix starts, without starting it; None if unknown."""
    directory = package_directory(command)
    return None if directory is None else _package_field(directory, "version")


def require_supported(command: Sequence[str]) -> str | None:
    """The installed version; raises OpenClawError when it is older than MINIMUM_VERSION or not a version."""
    version = installed_version(command)
    try:
        supported = version is None or is_at_least(version, MINIMUM_VERSION)
    except ValueError as error:
        raise OpenClawError(f"{package_directory(command)}/package.json: {error}; reinstall OpenClaw") from None
    if not supported:
        raise OpenClawError(
            f"OpenClaw {version} is installed, and {MINIMUM_VERSION} is the oldest version that this"
            " collection can check; upgrade OpenClaw, or leave openclaw_command out"
        )
    return version


def state_directory(home: str, environment: Mapping[str, str]) -> str:
    """Where OpenClaw keeps its state: OPENCLAW_STATE_DIR, else ``.openclaw`` below OPENCLAW_HOME or home."""
    explicit = environment.get("OPENCLAW_STATE_DIR", "").strip()
    if explicit:
        return explicit
    return posixpath.join(environment.get("OPENCLAW_HOME", "").strip() or home, ".openclaw")


def config_path(home: str, environment: Mapping[str, str]) -> str:
    """Which file OpenClaw reads: OPENCLAW_CONFIG_PATH before OPENCLAW_STATE_DIR before OPENCLAW_HOME."""
    explicit = environment.get("OPENCLAW_CONFIG_PATH", "").strip()
    return explicit or posixpath.join(state_directory(home, environment), "openclaw.json")


class Account(NamedTuple):
    """A user as a process needs it: numbers, supplementary groups, home."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def account_of(user: str | int) -> Account:
    """The account of a name or uid; raises OpenClawError when it does not exist."""
    try:
        numeric = isinstance(user, int) or user.isdigit()
        entry = pwd.getpwuid(int(user)) if numeric else pwd.getpwnam(str(user))
    except KeyError:
        raise OpenClawError(
            f"user {user!r} does not exist on this host; create it, or name the gateway's user in 'user'"
        ) from None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


class Completed(NamedTuple):
    """A finished command: its exit status and its output, which may hold secrets."""

    returncode: int
    stdout: str
    stderr: str


def environment_for(
    account: Account,
    *,
    command: Sequence[str],
    config: str,
    state: str,
    temporary: str,
) -> dict[str, str]:
    """The whole environment of OpenClaw's command line; nothing is inherited from ours."""
    directory = posixpath.dirname(command[0]) if command and command[0].startswith("/") else ""
    return {
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": "/bin/sh",
        "PATH": f"{directory}:{_SYSTEM_PATH}" if directory else _SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "TMPDIR": temporary,
        "XDG_CACHE_HOME": temporary,
        # Otherwise node leaves a shared cache of compiled code below /tmp.
        "NODE_DISABLE_COMPILE_CACHE": "1",
        "OPENCLAW_CONFIG_PATH": config,
        "OPENCLAW_CONFIG_READONLY": "1",
        "OPENCLAW_STATE_DIR": state,
    }


@contextmanager
def scratch_directory(account: Account) -> Iterator[tuple[str, str]]:
    """Yield (directory, temporary): one that the account can enter and not write, and one that it can.

    Both are removed afterwards. In the first one, in memory where root may use /run, OpenClaw finds a
    candidate that it cannot replace. The second one is on the disk, because OpenClaw copies its
    databases there before it reads them.
    """
    memory = "/run" if os.geteuid() == 0 and os.path.isdir("/run") else None
    disk = _DISK if os.path.isdir(_DISK) else None
    directory = tempfile.mkdtemp(prefix="failclosed-openclaw-", dir=memory)
    try:
        temporary = tempfile.mkdtemp(prefix="failclosed-openclaw-", dir=disk)
        try:
            if os.geteuid() == 0 and account.uid != 0:
                os.chown(temporary, account.uid, account.gid)
                # To be passed through by the account, which knows the file's name.
                os.chmod(directory, 0o711)  # noqa: S103
            yield directory, temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def write_scratch(directory: str, name: str, content: bytes, account: Account) -> str:
    """Put a file that only the account can read into a scratch directory; return its path."""
    path = posixpath.join(directory, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    try:
        if os.geteuid() == 0 and account.uid != 0:
            os.fchown(descriptor, account.uid, account.gid)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
    return path


def run(
    arguments: Sequence[str],
    *,
    account: Account,
    environment: Mapping[str, str],
    timeout_seconds: float,
    secrets: Sequence[str] = (),
    maximum_output_bytes: int = MAXIMUM_OUTPUT_BYTES,
) -> Completed:
    """Run one command as the account, in exactly this environment, and return its output.

    Root drops to the account with its groups; any other user can only run as itself. ``secrets``:
    texts that no error message may show. Raises OpenClawError when the command cannot be started, does
    not end in time, or prints more than ``maximum_output_bytes``; a status other than 0 is no error here.
    """
    shown = _redact.scrub(" ".join(arguments), secrets)
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        if account.uid != 0:
            identity = {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}
    elif account.uid != os.geteuid():
        raise OpenClawError(
            f"cannot run {shown} as user {account.name}: this runs as uid {os.geteuid()};"
            f" run the task as root, or become {account.name}"
        )
    try:
        process = subprocess.Popen(  # type: ignore[call-overload]
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
            close_fds=True,
            start_new_session=True,
            umask=0o077,
            **identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OpenClawError(f"cannot start {shown} as user {account.name}: {error}") from error
    try:
        output, failure = _collect(process, timeout_seconds, maximum_output_bytes)
    finally:
        _end(process)
    if failure is not None:
        raise OpenClawError(f"{shown} {failure}, and was stopped")
    returncode = process.wait()
    return Completed(
        returncode=returncode,
        stdout=bytes(output["stdout"]).decode("utf-8", "replace"),
        stderr=bytes(output["stderr"]).decode("utf-8", "replace"),
    )


def _collect(
    process: subprocess.Popen[bytes], timeout_seconds: float, limit: int
) -> tuple[dict[str, bytearray], str | None]:
    output = {"stdout": bytearray(), "stderr": bytearray()}
    deadline = time.monotonic() + timeout_seconds
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return output, f"did not end within {timeout_seconds:.0f} seconds"
            for key, _events in selector.select(min(remaining, 1.0)):
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    selector.unregister(key.fileobj)
                    continue
                output[key.data] += piece
                if len(output[key.data]) > limit:
                    return output, f"printed more than {limit} bytes"
    # WNOWAIT leaves the process unreaped, so that its number is still its own when its group is killed.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return output, f"did not end within {timeout_seconds:.0f} seconds"
        time.sleep(0.01)
    return output, None


def _end(process: subprocess.Popen[bytes]) -> None:
    # The whole session, so that nothing that the command started stays behind.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def failure_text(arguments: Sequence[str], completed: Completed, secrets: Sequence[str] = ()) -> str:
    """One line that names a failed command, its exit status and the end of its output, redacted."""
    output = (completed.stderr.strip() or completed.stdout.strip())[-_SHOWN_OUTPUT_CHARACTERS:]
    text = _redact.scrub(f"{' '.join(arguments)}: exit status {completed.returncode}: {output}", secrets)
    return re.sub(r"\s+", " ", text).strip()


def plugins_fingerprint(state: str) -> str:
    """A digest over the plugins installed below a state directory, as far as a schema depends on them.

    Names, manifests and modification times; anything unreadable counts by its absence.
    """
    lines: list[str] = []
    try:
        with _files.open_directory(state) as directory:
            for collection in ("extensions", "npm/projects"):
                lines.append(collection)
                try:
                    with _files.open_beneath(directory, collection) as parent:
                        for name in sorted(os.listdir(parent))[:_MAXIMUM_PLUGINS]:
                            lines.append(_plugin_line(parent, name))
                except (OSError, _files.FileError):
                    continue
    except (OSError, _files.FileError):
        pass
    return _files.digest_of("\n".join(lines).encode("utf-8", "surrogateescape"))


def sensitive_plugin_paths(state: str) -> tuple[tuple[str | int, ...], ...]:
    """The paths in ``openclaw.json`` that the manifests of installed plugins mark as sensitive (their ``uiHints``).

    A segment "*" stands for every key. What cannot be read marks nothing.
    """
    found: list[tuple[str | int, ...]] = []
    try:
        with _files.open_directory(state) as directory:
            for folder in _plugin_folders(directory):
                try:
                    with _files.open_beneath(directory, folder) as plugin:
                        found += _sensitive_paths(_document(plugin, "openclaw.plugin.json"))
                except (OSError, _files.FileError):
                    continue
    except (OSError, _files.FileError):
        pass
    return tuple(dict.fromkeys(found))


def _plugin_folders(directory: int) -> Iterator[str]:
    with suppress(OSError, _files.FileError), _files.open_beneath(directory, "extensions") as parent:
        yield from (f"extensions/{name}" for name in sorted(os.listdir(parent))[:_MAXIMUM_PLUGINS])
    with suppress(OSError, _files.FileError), _files.open_beneath(directory, "npm/projects") as parent:
        for name in sorted(os.listdir(parent))[:_MAXIMUM_PLUGINS]:
            with suppress(OSError, _files.FileError), _files.open_beneath(parent, name) as project:
                packages = _document(project, "package.json").get("dependencies")
                for package in list(packages if isinstance(packages, dict) else ())[:_MAXIMUM_PLUGINS]:
                    yield f"npm/projects/{name}/node_modules/{package}"


def _document(directory: int, name: str) -> dict[str, Any]:
    found = _files.read_file(directory, name, limit=_MAXIMUM_PACKAGE_BYTES)
    try:
        document = {} if found is None else json.loads(found.content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _sensitive_paths(manifest: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    def below(base: tuple[str, ...], hints: Any) -> Iterator[tuple[str | int, ...]]:
        for key, hint in hints.items() if isinstance(hints, dict) else ():
            if isinstance(hint, dict) and (hint.get("sensitive") is True or "url-secret" in (hint.get("tags") or ())):
                yield (*base, *(part for part in key.replace("[]", ".*").split(".") if part))

    if isinstance(manifest.get("id"), str):
        yield from below(("plugins", "entries", manifest["id"], "config"), manifest.get("uiHints"))
    channels = manifest.get("channelConfigs")
    for name, channel in channels.items() if isinstance(channels, dict) else ():
        if isinstance(channel, dict):
            yield from below(("channels", name), channel.get("uiHints"))
            yield from below(("channels", name, "accounts", "*"), channel.get("uiHints"))


def _plugin_line(parent: int, name: str) -> str:
    try:
        with _files.open_beneath(parent, name) as directory:
            modified = os.fstat(directory).st_mtime_ns
            digests = [
                "-" if found is None else found.digest
                for found in (
                    _files.read_file(directory, part, limit=_MAXIMUM_PACKAGE_BYTES)
                    for part in ("openclaw.plugin.json", "package.json")
                )
            ]
            return f"{name} {modified} {' '.join(digests)}"
    except (OSError, _files.FileError):
        return f"{name} unreadable"
