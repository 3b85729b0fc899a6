# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one proxy command as a systemd service that says the truth about it.

systemd starts this file as the service's unprivileged user (Type=notify, NotifyAccess=main):

    python3 -I openclaw_proxy_supervisor.py --configuration /etc/openclaw-proxy/supervisor.json

It refuses a port that somebody else holds, reports ready only when the service's own uid listens on every
requested address and the liveness path answers, feeds systemd's watchdog only while that stays true, hands
credentials to the command's environment and nowhere else, and leaves no process behind. SETTINGS and LIVENESS
below are the whole configuration.

Exit status: 0 stopped on request; 1 the command ended by itself or did not become ready; 75 the port is held;
78 the configuration or a credential is wrong, so that starting again cannot help (RestartPreventExitStatus=78).
Signals: SIGTERM and SIGINT stop. SIGHUP is ignored, because the configuration is read once: restart instead.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import ipaddress
import json
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

EX_FAILED, EX_TEMPFAIL, EX_CONFIG = 1, 75, 78
ERROR, WARNING, INFO = 3, 4, 6
ANY_V4, ANY_V6 = ipaddress.IPv4Address(0), ipaddress.IPv6Address(0)
# From linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
# From include/net/tcp_states.h, as /proc/net/tcp prints it
TCP_LISTEN = "0A"
# The kernel's name for every uid that the user namespace of PrivateUsers= does not map
OVERFLOW_UID = 65534
PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "TMPDIR")
# Linux refuses a longer environment string (MAX_ARG_STRLEN)
LARGEST_CREDENTIAL = 100_000
START_POLL_SECONDS = 0.5
UNWATCHED_CHECK_SECONDS = 10.0
LEFTOVER_SECONDS = 5.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
HANDLED_SIGNALS = STOP_SIGNALS | {signal.SIGCHLD, signal.SIGHUP}

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


class ServiceError(Exception):
    """Ends the service: exit status, name of the event, and what the log line says about it."""

    def __init__(self, status: int, event: str, **fields: object) -> None:
        super().__init__(event)
        self.status, self.event, self.fields = status, event, fields


def wrong(key: str, found: str, remedy: str) -> ServiceError:
    return ServiceError(EX_CONFIG, "configuration_wrong", key=key, found=found, remedy=remedy)


def log(level: int, event: str, **fields: object) -> None:
    """One line of key=value pairs with the level prefix of sd-daemon(3); quoting keeps foreign text on that line."""
    pairs = "".join(f" {name}={json.dumps(value)}" for name, value in fields.items())
    with contextlib.suppress(OSError):  # a journal that is gone must not take the proxy down
        os.write(2, f"<{level}>event={event}{pairs}\n".encode())


def notify(*assignments: str) -> None:
    """Tell the service manager, as sd_notify(3) describes; without NOTIFY_SOCKET there is nobody to tell."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        text = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
        sender.sendto(text.encode(errors="replace"), "\0" + path[1:] if path[0] == "@" else path)


# --- configuration -----------------------------------------------------------------------------------------


class Rule(NamedTuple):
    valid: Callable[[Any], bool]
    wanted: str
    default: Any = ...


def is_whole(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 86400


def is_list(value: object, valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(valid(item) for item in value)


def is_text(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def parse_address(value: str | bytes) -> IPAddress:
    address = ipaddress.ip_address(value)
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def is_address(value: object) -> bool:
    with contextlib.suppress(ValueError):
        return is_text(value, "[0-9A-Fa-f.:]+") and bool(parse_address(str(value)))
    return False


def is_addresses(value: object) -> bool:
    return is_list(value, is_address)


def is_statuses(value: object) -> bool:
    return is_list(value, lambda item: is_whole(item, 100, 599))


def is_command(value: object) -> bool:
    return is_list(value, lambda item: is_text(item, r"[^\0]*")) and cast("list[str]", value)[0].startswith("/")


ADDRESSES = 'give a list of IP addresses without a zone, such as ["127.0.0.1"]'
COMMAND = "give a list of strings that begins with the absolute path of a program"
SECONDS = "give a number of seconds, more than 0 and at most 86400"
SETTINGS = {
    "command": Rule(is_command, COMMAND),
    "environment": Rule(is_object, "give an object of names and strings", {}),
    "credentials": Rule(is_object, "give an object of variable names and credential names", {}),
    "addresses": Rule(is_addresses, ADDRESSES),
    "port": Rule(lambda value: is_whole(value, 1, 65535), "give a whole number from 1 to 65535"),
    "liveness": Rule(is_object, 'give an object, such as {"path": "/health"}'),
    "start_timeout_seconds": Rule(is_seconds, SECONDS, 120),
    "stop_timeout_seconds": Rule(is_seconds, SECONDS, 20),
    "working_directory": Rule(lambda value: is_text(value, "/[^\0]*"), "give the absolute path of a directory", None),
}
LIVENESS = {
    "path": Rule(lambda value: is_text(value, "/[!-~]*"), "give an absolute URL path in ASCII, such as /health"),
    "host": Rule(lambda value: is_text(value, "[!-~]+"), "give the Host header to send, or leave it out", None),
    "timeout_seconds": Rule(is_seconds, SECONDS, 5),
    "expected_status": Rule(is_statuses, "give a list of HTTP status codes, such as [200]", [200]),
}


def read_settings(found: dict[str, Any], rules: dict[str, Rule], prefix: str = "") -> dict[str, Any]:
    for name in found:
        if name not in rules:
            raise wrong(prefix + name, "an unknown key", "remove it; the known keys are " + ", ".join(rules))
    for name, rule in rules.items():
        if name not in found and rule.default is ...:
            raise wrong(prefix + name, "nothing", rule.wanted)
        if name in found and not rule.valid(found[name]):
            # What stands where an object belongs may hold its values, and those may be secret.
            shown = "no object" if rule.valid is is_object else json.dumps(found[name])[:80]
            raise wrong(prefix + name, shown, rule.wanted)
    return {name: found.get(name, rule.default) for name, rule in rules.items()}


@dataclass(frozen=True)
class Configuration:
    command: list[str]
    environment: dict[str, str]
    credentials: dict[str, str]
    addresses: list[IPAddress]
    port: int
    liveness: dict[str, Any]
    start_timeout_seconds: float
    stop_timeout_seconds: float
    working_directory: str | None

    def place(self, address: IPAddress) -> str:
        return f"[{address}]:{self.port}" if address.version == 6 else f"{address}:{self.port}"


def read_configuration(path: str) -> Configuration:
    """Read and check the JSON file. Raises ServiceError (78), which names the key, what was found and the remedy."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong("--configuration", f"{path}: {error.strerror}", "give a file that the service can read") from None
    except ValueError as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its encoding"
        raise wrong("--configuration", f"{path}: not JSON ({where})", "correct the file") from None
    if not isinstance(found, dict):
        raise wrong("--configuration", f"{path}: not an object", "give an object with " + ", ".join(SETTINGS))
    settings = read_settings(found, SETTINGS)
    settings["liveness"] = read_settings(settings["liveness"], LIVENESS, "liveness.")
    settings["addresses"] = [parse_address(address) for address in settings["addresses"]]
    for key in ("environment", "credentials"):
        for name, value in settings[key].items():
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
                raise wrong(f"{key}.{name}", "a name with other characters", "use letters, digits and _ only")
            if not isinstance(value, str) or "\0" in value:
                raise wrong(f"{key}.{name}", "a value that is no string", "quote it, and use no NUL")
    for name, file_name in settings["credentials"].items():
        if not re.fullmatch("[A-Za-z0-9_.-]+", file_name) or file_name in (".", ".."):
            raise wrong(f"credentials.{name}", "no plain file name", "give the name that LoadCredential= uses")
        if name in settings["environment"]:
            raise wrong(f"credentials.{name}", "the same name in environment", "remove one of the two")
    return Configuration(**settings)


def read_credentials(names: dict[str, str]) -> dict[str, str]:
    """The values for the command's environment. Raises ServiceError (78), which names a credential, never its value."""
    values = {}
    for variable, name in names.items():
        key = f"credentials.{variable}"
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise wrong(key, "no CREDENTIALS_DIRECTORY", f"start it by systemd with LoadCredential={name}:PATH")
        try:
            with Path(directory, name).open("rb") as file:
                value = file.read(LARGEST_CREDENTIAL + 1)
        except OSError as error:
            raise wrong(key, f"credential {name}: {error.strerror}", f"add LoadCredential={name}:PATH") from None
        value = value[:-1] if value.endswith(b"\n") else value
        if not value:
            raise wrong(key, f"credential {name} is empty", "write the secret into its source file")
        if len(value) > LARGEST_CREDENTIAL:
            raise wrong(key, f"credential {name} is larger than {LARGEST_CREDENTIAL} bytes", "check its source file")
        if re.search(rb"[\n\r\0]", value):
            raise wrong(key, f"credential {name} has a line break or NUL inside", "make its source file one line")
        values[variable] = os.fsdecode(value)
    return values


# --- who listens, and who answers --------------------------------------------------------------------------


class Listener(NamedTuple):
    address: IPAddress
    uid: int


def listeners(port: int) -> list[Listener]:
    """Every TCP socket that listens on the port; the format is in the kernel's networking/proc_net_tcp.rst."""
    # ProcSubset=pid hides /proc/net, but not /proc/self/net; tcp6 is missing on a kernel without IPv6.
    tables = [Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")]
    found = []
    for table in tables if tables[1].exists() else tables[:1]:
        with table.open(encoding="ascii") as file:
            for line in file:
                fields = line.split(maxsplit=8)
                if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(Listener(from_table(fields[1].rpartition(":")[0]), int(fields[7])))
    return found


def from_table(text: str) -> IPAddress:
    words = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return parse_address(b"".join(words))


def serving(address: IPAddress) -> list[IPAddress]:
    """What a socket that receives connections to the address is bound to, in the kernel's order of preference."""
    # The tables do not show IPV6_V6ONLY, so :: counts as serving IPv4 too; the liveness request then tells.
    return [address, ANY_V4, ANY_V6] if address.version == 4 else [address, ANY_V6]


def conflicts(held: IPAddress, wanted: IPAddress) -> bool:
    return held in serving(wanted) or wanted in serving(held)


def owner(uid: int) -> str:
    if uid == OVERFLOW_UID:
        return f"uid {uid} (nobody, or a user that PrivateUsers= hides from this service)"
    with contextlib.suppress(KeyError):
        return f"uid {uid} ({pwd.getpwuid(uid).pw_name})"
    return f"uid {uid}"


def refuse_held_port(configuration: Configuration) -> None:
    found = listeners(configuration.port)
    for address in configuration.addresses:
        for held in found:
            if conflicts(held.address, address):
                raise ServiceError(
                    EX_TEMPFAIL,
                    "port_held",
                    address=configuration.place(address),
                    found=f"{configuration.place(held.address)} is held by {owner(held.uid)}",
                    remedy=f"find it as root (ss -ltnpe sport = :{configuration.port}); stop it, or change the port",
                )


def find_problem(configuration: Configuration) -> str | None:
    """Why the proxy is not alive; None when every address is served by our uid and answers as expected."""
    try:
        found = listeners(configuration.port)
    except (OSError, ValueError, IndexError) as error:
        return f"/proc/self/net cannot be read ({type(error).__name__})"
    for address in configuration.addresses:
        bound = next((one for one in serving(address) if any(held.address == one for held in found)), None)
        if bound is None:
            return f"nothing listens on {configuration.place(address)}"
        for held in found:
            if held.address == bound and held.uid != os.getuid():
                return f"{configuration.place(address)} is held by {owner(held.uid)}"
        problem = ask(configuration, address)
        if problem:
            return problem
    return None


def ask(configuration: Configuration, address: IPAddress) -> str | None:
    target = {ANY_V4: "127.0.0.1", ANY_V6: "::1"}.get(address, str(address))
    liveness = configuration.liveness
    request = f"GET {liveness['path']} on {configuration.place(address)}"
    # http.client takes no proxy from the environment, and follows no redirect.
    connection = http.client.HTTPConnection(target, configuration.port, timeout=liveness["timeout_seconds"])
    try:
        connection.request("GET", liveness["path"], headers={"Host": liveness["host"]} if liveness["host"] else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{request}: no answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if status in liveness["expected_status"] else f"{request} answered {status}"


class Health(threading.Thread):
    """Checks the proxy and reports to systemd.

    A thread of its own, so that a liveness answer that drips in byte by byte delays neither a stop nor the start
    timeout: the reports cease, and systemd's watchdog acts.
    """

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(name="health", daemon=True)
        self.configuration = configuration
        self.ready, self.ending = threading.Event(), threading.Event()
        self.problem: str | None = "not checked yet"
        self.status = ""
        watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = int(os.environ.get("WATCHDOG_USEC") or 0) if watched else 0
        # A quarter, so that one failed check alone never reaches the limit.
        self.interval = microseconds / 4_000_000 or UNWATCHED_CHECK_SECONDS

    def run(self) -> None:
        while not self.ending.is_set():
            problem = find_problem(self.configuration)
            if self.ending.is_set():
                return
            self.report(problem)
            self.ending.wait(self.interval if self.ready.is_set() else START_POLL_SECONDS)

    def report(self, problem: str | None) -> None:
        places = ", ".join(self.configuration.place(address) for address in self.configuration.addresses)
        # Only for people: no decision depends on this clock.
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        changed, self.problem = problem != self.problem, problem
        if not problem:
            if changed:
                self.status = f"STATUS=alive: listening on {places} and answering since {since}"
                log(INFO, "alive", listening=places)
            notify("WATCHDOG=1" if self.ready.is_set() else "READY=1", self.status)
            self.ready.set()
        elif self.ready.is_set():
            if changed:
                self.status = f"STATUS=not alive: {problem}, since {since}"
                log(ERROR, "not_alive", problem=problem)
            notify(self.status)
        else:
            longest_check = self.configuration.liveness["timeout_seconds"] * len(self.configuration.addresses)
            notify(f"EXTEND_TIMEOUT_USEC={int(longest_check + 10) * 1_000_000}", f"STATUS=starting: {problem}")


# --- processes ---------------------------------------------------------------------------------------------


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def protect_self() -> None:
    """No core dump, nothing to read in /proc for other processes of the same user, and orphans come to us."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


class Command:
    """The proxy and all that it started."""

    def __init__(self, configuration: Configuration, secrets: dict[str, str]) -> None:
        supervisor = os.getpid()

        def prepare() -> None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before the line above
                os._exit(EX_FAILED)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            self.process = subprocess.Popen(
                configuration.command,
                env={**inherited, **configuration.environment, **secrets},
                cwd=configuration.working_directory,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=prepare,
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            key = "working_directory" if error.filename == configuration.working_directory else "command"
            found = f"{error.filename}: {error.strerror}"
            raise wrong(key, found, "give one that exists and that the service may use") from None
        self.exit_code: int | None = None

    def reap(self) -> bool:
        """Collect whoever ended; True when no process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.process.pid:
                self.exit_code = self.process.returncode = os.waitstatus_to_exitcode(status)

    def strays(self) -> list[int]:
        """Descendants that left the process group, as far as /proc shows them."""
        parents, groups = {}, {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                parents[pid], groups[pid] = int(fields[1]), int(fields[2])
        family = {os.getpid()}
        while True:
            more = {pid for pid, parent in parents.items() if parent in family} - family
            if not more:
                return [pid for pid in family if pid != os.getpid() and groups[pid] != self.process.pid]
            family |= more

    def stop(self, seconds: float) -> None:
        """SIGTERM to everybody, and after so many seconds SIGKILL; orphans come to us and get theirs then."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, LEFTOVER_SECONDS)):
            deadline = time.monotonic() + patience
            told: set[int] = set()
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, number)
            while not self.reap():
                left = deadline - time.monotonic()
                if left <= 0:
                    log(WARNING, "still_running", after_signal=number.name, seconds=f"{patience:g}")
                    break
                for pid in set(self.strays()) - told:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
                    told.add(pid)
                signal.sigtimedwait({signal.SIGCHLD}, min(left, 0.2))
            else:
                return


def wait(configuration: Configuration, command: Command, health: Health) -> None:
    """Return when somebody asks to stop. Raises ServiceError when the command ends or does not become ready in time."""
    deadline = time.monotonic() + configuration.start_timeout_seconds
    while True:
        if health.ready.is_set():
            received = signal.sigwaitinfo(HANDLED_SIGNALS).si_signo
        else:
            information = signal.sigtimedwait(HANDLED_SIGNALS, max(0, deadline - time.monotonic()))
            received = information.si_signo if information else 0
        command.reap()
        # systemd signals the command too, so it may have ended before we read our own signal.
        if received in STOP_SIGNALS or signal.sigpending() & STOP_SIGNALS:
            return
        if command.exit_code is not None:
            code = command.exit_code
            how = f"exit status {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
            remedy = "nobody asked it to end; see its own messages above"
            raise ServiceError(EX_FAILED, "command_ended", found=how, remedy=remedy)
        if received == signal.SIGHUP:
            log(WARNING, "signal_ignored", signal="SIGHUP", remedy="restart the service to read its configuration")
        if not health.ready.is_set() and time.monotonic() >= deadline:
            limit = f"{configuration.start_timeout_seconds:g} s"
            remedy = "see its own messages above, or raise start_timeout_seconds"
            raise ServiceError(EX_FAILED, "start_timeout", limit=limit, found=health.problem, remedy=remedy)


def supervise(configuration: Configuration) -> None:
    secrets = read_credentials(configuration.credentials)
    refuse_held_port(configuration)
    # Blocked, they wait for sigwaitinfo: no handler interrupts anything, and none is lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
    command = Command(configuration, secrets)
    secrets.clear()
    log(INFO, "started", program=configuration.command[0], pid=command.process.pid)
    health = Health(configuration)
    health.start()
    seconds = LEFTOVER_SECONDS
    try:
        wait(configuration, command, health)
        seconds = configuration.stop_timeout_seconds
    finally:
        health.ending.set()
        notify("STOPPING=1", "STATUS=stopping")
        command.stop(seconds)
    log(INFO, "stopped")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--configuration", required=True, metavar="FILE", help="JSON file with the settings")
    path = parser.parse_args().configuration
    try:
        protect_self()
        supervise(read_configuration(path))
    except ServiceError as failure:
        log(ERROR, failure.event, **failure.fields)
        notify("STATUS=failed: " + ", ".join([failure.event, *(str(value) for value in failure.fields.values())]))
        return failure.status
    except (OSError, subprocess.SubprocessError) as error:
        log(ERROR, "system_error", found=str(error), remedy="see limits and sandbox of the service")
        notify(f"STATUS=failed: {error}")
        return EX_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
