# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One system service converged whole: unit, accompanying files, running process, readiness. Private to this collection.

Whether a restart is due is not remembered by a handler, which a failed run would lose. It follows from what can be
seen: systemd's word that the loaded unit is the file's, and the main process having started after every file that it
reads was last replaced. Both are root's word; the environment and the files of the service itself are not believed.
"""

from __future__ import annotations

import calendar
import hashlib
import os
import posixpath
import stat
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _readiness

UNIT_DIRECTORY = "/etc/systemd/system"
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "NeedDaemonReload",
    "MainPID",
    "NRestarts",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "ExecMainStartTimestamp",
    "ExecMainStartTimestampMonotonic",
    "StatusText",
)
# Between the two readings of a clock this process may have waited for the processor.
_READING_SECONDS = 0.1

RunCommand = t.Callable[[list[str]], tuple[int, str, str]]


class ServiceError(Exception):
    """The service could not be brought into the wanted state; the message says what was seen and what to do."""


@dataclass(frozen=True)
class ManagedFile:
    """A root-owned file that belongs to the service. ``restart``: a new content makes a restart due."""

    path: str
    content: bytes = field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    restart: bool = True
    show: bool = True


@dataclass(frozen=True)
class Ready:
    """Where to ask for readiness; ``timeout`` in seconds."""

    url: str
    json_key: str | None
    timeout: float


@dataclass(frozen=True)
class Service:
    """The wanted service. ``unit`` is the text of the unit file; ``inputs`` are texts that it depends on."""

    name: str
    unit: str
    inputs: tuple[str, ...] = ()
    files: tuple[ManagedFile, ...] = ()
    watched: tuple[str, ...] = ()
    ready: Ready | None = None

    @property
    def unit_name(self) -> str:
        return f"{self.name}.service"

    @property
    def unit_file(self) -> ManagedFile:
        return ManagedFile(posixpath.join(UNIT_DIRECTORY, self.unit_name), self.unit_text().encode())

    def unit_text(self) -> str:
        """The unit with a line that changes with the inputs, so that a new release makes a new unit."""
        digest = hashlib.sha256("\0".join(self.inputs).encode()).hexdigest()
        return f"# Inputs: {digest}\n{self.unit.rstrip()}\n"


@dataclass
class Outcome:
    """What was found and done. ``reasons`` say why the service was, or would be, started or restarted."""

    changed: bool = False
    action: str = "none"
    reasons: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    state: str = "unknown"
    main_pid: int = 0
    seconds: float = 0.0


class Systemd:
    """The service manager, asked and told through systemctl."""

    def __init__(self, run: RunCommand) -> None:
        self._run = run

    def show(self, unit: str) -> dict[str, str]:
        """Return the properties of a unit that this module looks at; a missing property is an empty string."""
        # Times are shown in the host's zone, whose name alone does not tell which one it is.
        command = ["env", "TZ=UTC", "systemctl", "show", f"--property={','.join(_PROPERTIES)}", unit]
        code, output, error = self._run(command)
        if code != 0:
            raise ServiceError(f"systemctl show {unit} failed with status {code}: {error.strip()}")
        found = dict.fromkeys(_PROPERTIES, "")
        for line in output.splitlines():
            name, separator, value = line.partition("=")
            if separator and name in found:
                found[name] = value
        return found

    def call(self, *arguments: str) -> tuple[int, str]:
        code, _output, error = self._run(["systemctl", *arguments])
        return code, error.strip()

    def require(self, *arguments: str) -> None:
        code, error = self.call(*arguments)
        if code != 0:
            raise ServiceError(f"systemctl {' '.join(arguments)} failed with status {code}: {error}")


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def extra_values(path: str, section: str, name: str) -> list[str]:
    """The values of one name in a section of a unit file that systemd ignores (X-...); raises OSError.

    See systemd.syntax(7).
    """
    values, inside = [], False
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            text = line.strip()
            if text.startswith("["):
                inside = text == f"[{section}]"
            elif inside and text.startswith(f"{name}="):
                values.append(text.partition("=")[2])
    return values


def _changed_at(path: str) -> float | None:
    """Seconds since the epoch at which the file was last replaced or changed; None when it does not exist."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return None


def _shown_time(text: str) -> int | None:
    """Seconds since the epoch, cut off, of a time that systemctl shows in UTC; None when it shows none."""
    if text in ("", "n/a"):
        return None
    try:
        # The day of the week is said, too.
        return calendar.timegm(time.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S UTC"))
    except ValueError:
        raise ServiceError(
            f"systemctl show: ExecMainStartTimestamp is '{text}', which is no time like 'Thu 2026-01-01 00:00:00 UTC';"
            " so it cannot be told whether the service has to be restarted. Restart it by hand, and report this"
        ) from None


def _started_at(properties: dict[str, str]) -> float:
    """When the service's main process started, in seconds since the epoch as files are dated; the earliest it may be.

    By the monotonic clock that is exact as long as it and the clock of the date ran side by side. While the host is
    suspended, or a virtual machine paused, only the date goes on, and the process seems to have started later than it
    did; the date of then is right after that, to the second. It is wrong where the date was set back since, and the
    monotonic clock right. Where the two disagree the earlier one counts: a restart too many is better than one too few.
    """
    seen = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    seen += _number(properties["ExecMainStartTimestampMonotonic"]) / 1e6
    shown = _shown_time(properties["ExecMainStartTimestamp"])
    if shown is None or shown - _READING_SECONDS <= seen <= shown + 1 + _READING_SECONDS:
        return seen
    return min(seen, shown)


def started_before(properties: dict[str, str], paths: t.Iterable[str]) -> str | None:
    """Return the first of ``paths`` that is newer than the service's main process; raises ServiceError."""
    started = _started_at(properties)
    for path in paths:
        changed = _changed_at(path)
        if changed is not None and changed > started:
            return path
    return None


def _date_back(paths: t.Iterable[str]) -> None:
    """Date files of the future now: since the clock was set back they would make a restart due in every run."""
    for path in paths:
        with suppress(FileNotFoundError):
            status = os.stat(path)
            if status.st_ctime > time.time():
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _read(path: str) -> _files.FileState | None:
    parent, name = posixpath.split(path)
    try:
        with _files.open_directory(parent) as descriptor:
            return _files.read_file(descriptor, name)
    except FileNotFoundError:
        return None


def _text(content: bytes) -> list[str]:
    return content.decode("utf-8", errors="replace").splitlines()


def _differs(file: ManagedFile, found: _files.FileState | None) -> bool:
    if found is None or found.content != file.content:
        return True
    try:
        wanted = (_files.user_id(file.owner), _files.group_id(file.group), file.mode)
    except _files.FileError:
        return True
    return (found.uid, found.gid, found.mode) != wanted


def _write(file: ManagedFile, found: _files.FileState | None) -> None:
    ownership = _files.Ownership(_files.user_id(file.owner), _files.group_id(file.group), file.mode)
    parent, name = posixpath.split(file.path)
    try:
        with _files.open_directory(parent) as descriptor:
            if found is not None and found.content == file.content:
                _files.set_ownership(descriptor, name, ownership)
            else:
                _files.replace_file(descriptor, name, file.content, ownership, expected=found)
    except FileNotFoundError:
        raise ServiceError(f"{parent} does not exist, so {file.path} cannot be written; create it first") from None


def _note(outcome: Outcome, file: ManagedFile, found: _files.FileState | None) -> None:
    same = found is not None and found.content == file.content
    if found is not None:
        outcome.before.append(f"{file.path} uid {found.uid} gid {found.gid} {found.mode:04o}")
        if file.show and not same:
            outcome.before += _text(found.content)
    outcome.after.append(f"{file.path} {file.owner}:{file.group} {file.mode:04o}")
    if not same:
        outcome.after += _text(file.content) if file.show else ["(new content)"]


def _failure(properties: dict[str, str], unit: str) -> str:
    parts = [
        f"state {properties['ActiveState']}/{properties['SubState']}",
        f"result {properties['Result']}",
        f"exit status {properties['ExecMainStatus']}",
    ]
    if properties["StatusText"]:
        parts.append(f"it said: {properties['StatusText']}")
    return f"{', '.join(parts)}. Look with: journalctl -u {unit} -n 50"


def _write_files(service: Service, outcome: Outcome, *, check_mode: bool) -> tuple[bool, list[str]]:
    """Bring the files into place. Returns whether the unit changed, and the reasons for a restart."""
    unit_file = service.unit_file
    unit_changed = False
    reasons = []
    for file in (*service.files, unit_file):
        found = _read(file.path)
        if not _differs(file, found):
            continue
        outcome.changed = True
        _note(outcome, file, found)
        if file is unit_file:
            unit_changed = True
        if file.restart:
            reasons.append(f"{file.path} changed")
        if not check_mode:
            _write(file, found)
    return unit_changed, reasons


def _give_up(systemd: Systemd, unit: str, restarts: int) -> t.Callable[[], str | None]:
    asked = [0.0]

    def reason() -> str | None:
        # One systemctl every two seconds is enough to notice a service that has failed for good.
        if time.monotonic() - asked[0] < 2.0:
            return None
        asked[0] = time.monotonic()
        properties = systemd.show(unit)
        if properties["ActiveState"] == "failed":
            return _failure(properties, unit)
        if _number(properties["NRestarts"]) >= restarts + 3:
            return f"it was restarted {properties['NRestarts']} times: {_failure(properties, unit)}"
        return None

    return reason


def _start(systemd: Systemd, service: Service, action: str, properties: dict[str, str]) -> None:
    unit = service.unit_name
    if properties["LoadState"] == "loaded":
        # It also sets back the counter of starts: StartLimitBurst counts those that were asked for, too.
        systemd.call("reset-failed", unit)
    code, error = systemd.call(action, unit)
    if code != 0:
        raise ServiceError(
            f"{unit} did not {action}: {_failure(systemd.show(unit), unit)} ({error.splitlines()[0] if error else ''})"
        )


def converge(service: Service, *, run: RunCommand, check_mode: bool) -> Outcome:
    """Converge files, unit, enablement, process and readiness.

    On a service that is already right this starts one process (systemctl show) and asks the readiness address once.
    Raises ServiceError, FileError or OSError.
    """
    systemd = Systemd(run)
    outcome = Outcome()
    began = time.monotonic()
    unit = service.unit_name
    unit_changed, reasons = _write_files(service, outcome, check_mode=check_mode)
    properties = systemd.show(unit)
    # A service on its way up may be one that falls over again and again; starting it waits for what comes of it.
    starting = properties["ActiveState"] == "activating"
    active = starting or properties["ActiveState"] in ("active", "reloading")
    if unit_changed or properties["NeedDaemonReload"] == "yes":
        outcome.changed = True
        if properties["NeedDaemonReload"] == "yes" and not unit_changed:
            reasons.append("the loaded unit is older than its file")
        if not check_mode:
            systemd.require("daemon-reload")
    if properties["UnitFileState"] != "enabled":
        outcome.changed = True
        outcome.before.append(f"{unit} {properties['UnitFileState'] or 'not installed'}")
        outcome.after.append(f"{unit} enabled")
        if not check_mode:
            systemd.require("enable", "--quiet", unit)
    inputs = [service.unit_file.path, *(file.path for file in service.files if file.restart), *service.watched]
    if active and not reasons:
        newer = started_before(properties, inputs)
        if newer is not None:
            reasons.append(f"{newer} is newer than the running process")
    if active and reasons:
        outcome.action, outcome.reasons = "restart", reasons
    elif not active or starting:
        outcome.action, outcome.reasons = "start", [f"it was {properties['ActiveState'] or 'absent'}"]
    if outcome.action != "none":
        outcome.changed = True
        outcome.before.append(f"{unit} {properties['ActiveState'] or 'absent'}")
        outcome.after.append(f"{unit} {outcome.action}ed: {'; '.join(outcome.reasons)}")
    if not check_mode:
        if outcome.action != "none":
            _date_back(inputs)
            _start(systemd, service, outcome.action, properties)
        if service.ready is not None:
            # A restart by hand starts the count anew; what counts is how often it falls over from here on.
            restarts = 0 if outcome.action != "none" else _number(properties["NRestarts"])
            _await_ready(systemd, service, restarts)
        if outcome.action != "none":
            properties = systemd.show(unit)
    outcome.state = properties["ActiveState"]
    outcome.main_pid = _number(properties["MainPID"])
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _await_ready(systemd: Systemd, service: Service, restarts: int) -> None:
    ready = service.ready
    if ready is None:
        return
    readiness = _readiness.wait(
        ready.url,
        json_key=ready.json_key,
        timeout=ready.timeout,
        give_up=_give_up(systemd, service.unit_name, restarts),
    )
    if not readiness.ok:
        raise ServiceError(f"{service.unit_name} is not ready at {ready.url}: {readiness.detail}")


def remove(service_name: str, paths: t.Sequence[str], *, run: RunCommand, check_mode: bool) -> Outcome:
    """Stop and disable the service and remove its unit and ``paths``; what is not there is fine."""
    systemd = Systemd(run)
    outcome = Outcome()
    unit = f"{service_name}.service"
    unit_path = posixpath.join(UNIT_DIRECTORY, unit)
    properties = systemd.show(unit)
    if properties["NeedDaemonReload"] == "yes":
        # A removal that was interrupted: systemd does not disable what it knows and whose file is gone.
        outcome.changed = True
        outcome.before.append(f"{unit} as systemd knows it")
        if not check_mode:
            systemd.require("daemon-reload")
            properties = systemd.show(unit)
    if properties["LoadState"] != "not-found":
        outcome.changed, outcome.action = True, "stop"
        outcome.before.append(f"{unit} {properties['ActiveState']}")
        if not check_mode:
            systemd.require("disable", "--now", "--quiet", unit)
    for path in (*paths, unit_path):
        found = _read(path)
        if found is None:
            continue
        outcome.changed = True
        outcome.before.append(path)
        if not check_mode:
            parent, name = posixpath.split(path)
            with _files.open_directory(parent) as descriptor:
                if stat.S_ISREG(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=descriptor)
    if outcome.changed and not check_mode:
        systemd.require("daemon-reload")
        systemd.call("reset-failed", unit)
    outcome.state = "absent"
    return outcome
