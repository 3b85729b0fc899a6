# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one proxy command as a systemd service that says the truth about it.

systemd starts this file as the service's unprivileged user (Type=notify, NotifyAccess=main):

    python3 -I openclaw_proxy_supervisor.py --configuration /etc/openclaw-proxy/supervisor.json

With --ask-login or --become it is no service: see openclaw-proxy-login, which root starts.

It refuses a port that somebody else holds, reports ready only when the service's own uid listens on every
requested address and the liveness path answers, feeds systemd's watchdog only while that stays true, hands
credentials to the command's environment and nowhere else (the command that is asked for the login gets none), passes
the command's output on line by line, and leaves no process behind. Whether the proxy is alive, is logged in, and works
are three questions with three answers, in STATUS= and in the state file. SETTINGS and the tables below it are the
whole configuration.

Exit status: 0 stopped on request; 1 the command ended by itself or did not become ready; 75 the port is held;
78 the configuration or a credential is wrong, so that starting again cannot help (RestartPreventExitStatus=78).
Signals: SIGTERM and SIGINT stop. SIGHUP reloads where reload_signal is set, and is ignored otherwise, because the
configuration is read once: restart instead.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import errno
import http.client
import ipaddress
import json
import os
import pwd
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from typing import BinaryIO

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
START_POLL_SECONDS = 0.1
UNWATCHED_CHECK_SECONDS = 10.0
LEFTOVER_SECONDS = 5.0
GRACE_SECONDS = 1.0
# What a proxy's line may be long; journald would split it at 48 KiB
LONGEST_LINE = 8192
# Shorter ones would black out ordinary words
SHORTEST_HIDDEN_CREDENTIAL = 8
JOURNAL_SECONDS = 1.0
NOTIFY_SECONDS = 5.0
LONGEST_ANSWER = 65536
# At most so long the proxy has to accept what has reached it, before it is told to stop
SETTLING_SECONDS = 2.0
FLUSH_SECONDS = 2.0
# Two descriptors each, below the unit's LimitNOFILE=16384
FRONT_CONNECTIONS = 4096
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


class Journal:
    """Standard error, on which a line is worth less than the proxy: one that is not taken in time is lost and counted.

    A journald that was stopped closes the connection, and one that hangs takes nothing. The first is connected to
    again when it is back, as sd_journal_stream_fd(3) does it.
    """

    SOCKET = "/run/systemd/journal/stdout"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lost, self.torn = 0, False
        self.next_connection = 0.0

    def write(self, line: bytes) -> None:
        with self.lock:
            if self.lost and self.send(f"<{WARNING}>event=output_lost lines={self.lost}\n".encode()):
                self.lost = 0
            if self.lost or not self.send(line + b"\n"):
                self.lost += 1

    def send(self, data: bytes) -> bool:
        # The beginning of a line that went out without its end must not become a part of this one.
        data = b"\n" + data if self.torn else data
        deadline = time.monotonic() + (0 if self.lost else JOURNAL_SECONDS)
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        try:
            while data:
                left = max(0, deadline - time.monotonic())
                if not poll.poll(left * 1000):
                    return False
                sent = os.write(2, data[:4096])
                self.torn = sent < len(data)
                data = data[sent:]
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                self.connect()
            return False
        return True

    def connect(self) -> None:
        if "JOURNAL_STREAM" not in os.environ or time.monotonic() < self.next_connection:
            return
        self.next_connection = time.monotonic() + JOURNAL_SECONDS
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.settimeout(JOURNAL_SECONDS)
            stream.connect(self.SOCKET)
            # Identifier, unit, priority, prefixes of levels, and nothing forwarded.
            stream.sendall(f"{own_name()}\n\n{INFO}\n1\n0\n0\n0\n".encode())
            stream.settimeout(None)
            os.dup2(stream.fileno(), 2, inheritable=False)
            self.torn = False


def own_name() -> str:
    """The name of the unit, which is the name of the control group; of the program where there is no unit."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.endswith(".service"):
                return line.rpartition("/")[2][: -len(".service")]
    return Path(__file__).stem


journal = Journal()


def log(level: int, event: str, **fields: object) -> None:
    """One line of key=value pairs with the level prefix of sd-daemon(3); quoting keeps foreign text on that line."""
    pairs = "".join(f" {name}={json.dumps(value)}" for name, value in fields.items())
    journal.write(f"<{level}>event={event}{pairs}".encode())


def notify(*assignments: str, descriptors: tuple[int, ...] = ()) -> bool:
    """Tell the service manager, as sd_notify(3) describes; without NOTIFY_SOCKET there is nobody to tell.

    False when it did not take the message in time: a manager that hangs must not hold up a stop.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return True
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        text = "\n".join(assignment.replace("\n", " ") for assignment in assignments)
        address = "\0" + path[1:] if path[0] == "@" else path
        sender.settimeout(NOTIFY_SECONDS)
        sender.sendmsg([text.encode(errors="replace")], rights, 0, address)
        return True
    return False


def now() -> str:
    # Only for people: no decision depends on this clock.
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


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


def is_port(value: object) -> bool:
    return is_whole(value, 1, 65535)


def is_url_path(value: object) -> bool:
    return is_text(value, "/[!-~]*")


def is_path(value: object) -> bool:
    return is_text(value, "/[^\0]*")


RELOAD_SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2")
ADDRESSES = 'give a list of IP addresses without a zone, such as ["127.0.0.1"]'
COMMAND = "give a list of strings that begins with the absolute path of a program"
SECONDS = "give a number of seconds, more than 0 and at most 86400"
PORT = "give a whole number from 1 to 65535"
PATH = "give an absolute URL path in ASCII, such as /health"
SETTINGS = {
    "command": Rule(is_command, COMMAND),
    "environment": Rule(is_object, "give an object of names and strings", {}),
    "credentials": Rule(is_object, "give an object of variable names and credential names", {}),
    "addresses": Rule(is_addresses, ADDRESSES),
    "port": Rule(is_port, PORT),
    "liveness": Rule(is_object, 'give an object, such as {"path": "/health"}'),
    "start_timeout_seconds": Rule(is_seconds, SECONDS, 120),
    "stop_timeout_seconds": Rule(is_seconds, SECONDS, 20),
    "working_directory": Rule(is_path, "give the absolute path of a directory", None),
    "reload_signal": Rule(lambda value: value in RELOAD_SIGNALS, "give one of " + ", ".join(RELOAD_SIGNALS), None),
    "state_file": Rule(is_path, "give the absolute path of a file that the service may write", None),
    "login": Rule(is_object, 'give an object, such as {"command": ["/usr/bin/claude", "auth", "status"]}', None),
    "works": Rule(is_object, 'give an object, such as {"path": "/v1/messages", "body": {}}', None),
    "front": Rule(is_object, 'give an object, such as {"addresses": ["127.0.0.1"], "port": 3456}', None),
}
LIVENESS = {
    "path": Rule(is_url_path, PATH),
    "host": Rule(lambda value: is_text(value, "[!-~]+"), "give the Host header to send, or leave it out", None),
    "timeout_seconds": Rule(is_seconds, SECONDS, 5),
    "expected_status": Rule(is_statuses, "give a list of HTTP status codes, such as [200]", [200]),
}
LOGIN = {
    "command": Rule(is_command, COMMAND),
    "interval_seconds": Rule(is_seconds, SECONDS, 3600),
    "timeout_seconds": Rule(is_seconds, SECONDS, 30),
}
WORKS = {
    "path": Rule(is_url_path, PATH),
    "body": Rule(is_object, "give the JSON object to send"),
    "credential": Rule(lambda value: is_text(value, "[A-Za-z0-9_.-]+"), "give the name of a credential", None),
    "header": Rule(lambda value: is_text(value, "[A-Za-z0-9-]+"), "give the header that carries it", "x-api-key"),
    "interval_seconds": Rule(is_seconds, SECONDS, 86400),
    "timeout_seconds": Rule(is_seconds, SECONDS, 120),
}
FRONT = {
    "addresses": Rule(is_addresses, ADDRESSES),
    "port": Rule(is_port, PORT),
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


class Place(NamedTuple):
    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


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
    reload_signal: str | None
    state_file: str | None
    login: dict[str, Any] | None
    works: dict[str, Any] | None
    front: dict[str, Any] | None

    @property
    def own(self) -> list[Place]:
        """Where the command has to listen."""
        return [Place(address, self.port) for address in self.addresses]

    @property
    def served(self) -> list[Place]:
        """Where clients come: at the front, if there is one."""
        if self.front is None:
            return self.own
        return [Place(address, self.front["port"]) for address in self.front["addresses"]]


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
    for key, rules in (("login", LOGIN), ("works", WORKS), ("front", FRONT)):
        if settings[key] is not None:
            settings[key] = read_settings(settings[key], rules, f"{key}.")
    for holder in (settings, settings["front"] or {"addresses": []}):
        holder["addresses"] = [parse_address(address) for address in holder["addresses"]]
    if settings["front"] and settings["front"]["port"] == settings["port"]:
        raise wrong("front.port", str(settings["port"]), "give another one than port, where the command listens")
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
    """A listening socket; ``waiting`` connections have not been accepted yet."""

    address: IPAddress
    uid: int
    waiting: int = 0


def listeners(port: int, *, quick: bool = False) -> list[Listener]:
    """Every TCP socket that listens on the port; the format is in the kernel's networking/proc_net_tcp.rst.

    ``quick`` relies on the kernel listing listening sockets before all others. Without that it would find none.
    """
    # ProcSubset=pid hides /proc/net, but not /proc/self/net; tcp6 is missing on a kernel without IPv6.
    tables = [Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")]
    found = []
    for table in tables if tables[1].exists() else tables[:1]:
        with table.open(encoding="ascii") as file:
            for line in file:
                fields = line.split(maxsplit=8)
                if quick and fields[3] not in (TCP_LISTEN, "st"):
                    break
                if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    waiting = int(fields[4].rpartition(":")[2], 16)
                    found.append(Listener(from_table(fields[1].rpartition(":")[0]), int(fields[7]), waiting))
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
    for place in configuration.own:
        for held in listeners(place.port):
            if conflicts(held.address, place.address):
                raise held_by(place, held)


def held_by(place: Place, held: Listener) -> ServiceError:
    return ServiceError(
        EX_TEMPFAIL,
        "port_held",
        address=str(place),
        found=f"{Place(held.address, place.port)} is held by {owner(held.uid)}",
        remedy=f"find it as root (ss -ltnpe sport = :{place.port}); stop it, or change the port",
    )


def find_problem(configuration: Configuration) -> str | None:
    """Why the proxy is not alive; None when every address is served by our uid and answers as expected."""
    try:
        for place in dict.fromkeys([*configuration.own, *configuration.served]):
            problem = find_stranger(place, listeners(place.port))
            if problem is None and place in configuration.own:
                problem = ask(configuration, place)
            if problem:
                return problem
    except (OSError, ValueError, IndexError) as error:
        return f"/proc/self/net cannot be read ({type(error).__name__})"
    return None


def find_stranger(place: Place, found: list[Listener]) -> str | None:
    """Why a connection to the place would not arrive at this service's own user."""
    bound = next((one for one in serving(place.address) if any(held.address == one for held in found)), None)
    if bound is None:
        return f"nothing listens on {place}"
    for held in found:
        if held.address == bound and held.uid != os.getuid():
            return f"{place} is held by {owner(held.uid)}"
    return None


def target_of(address: IPAddress) -> str:
    return {ANY_V4: "127.0.0.1", ANY_V6: "::1"}.get(address, str(address))


def ask(configuration: Configuration, place: Place) -> str | None:
    liveness = configuration.liveness
    request = f"GET {liveness['path']} on {place}"
    # http.client takes no proxy from the environment, and follows no redirect.
    connection = http.client.HTTPConnection(target_of(place.address), place.port, timeout=liveness["timeout_seconds"])
    try:
        connection.request("GET", liveness["path"], headers={"Host": liveness["host"]} if liveness["host"] else {})
        response = connection.getresponse()
        status = response.status
        # What is left unread makes the kernel reset the connection, which some proxies log each time.
        if response.length is not None and response.length <= LONGEST_ANSWER:
            response.read()
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

    def __init__(self, configuration: Configuration, state: State) -> None:
        super().__init__(name="health", daemon=True)
        self.configuration, self.state = configuration, state
        self.ready, self.ending, self.wake = threading.Event(), threading.Event(), threading.Event()
        self.reloading = False
        self.problem: str | None = "not checked yet"
        watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = int(os.environ.get("WATCHDOG_USEC") or 0) if watched else 0
        # A quarter, so that one failed check alone never reaches the limit.
        self.interval = microseconds / 4_000_000 or UNWATCHED_CHECK_SECONDS

    def run(self) -> None:
        while not self.ending.is_set():
            # Whatever is asked for from here on needs a check that begins after it.
            reloading, self.reloading = self.reloading, False
            problem = find_problem(self.configuration)
            if self.ending.is_set():
                return
            self.report(problem, reloading=reloading)
            self.wake.wait(self.interval if self.ready.is_set() else START_POLL_SECONDS)
            self.wake.clear()

    def end(self) -> None:
        self.ending.set()
        self.wake.set()

    def reload(self) -> None:
        self.reloading = True
        self.wake.set()

    def report(self, problem: str | None, *, reloading: bool) -> None:
        places = ", ".join(map(str, self.configuration.served))
        changed, self.problem = problem != self.problem, problem
        if not problem:
            if changed:
                log(INFO, "alive", listening=places)
                self.state.set_alive(True, f"alive: listening on {places} and answering since {now()}")
            news = ["WATCHDOG=1"] if self.ready.is_set() else ["READY=1"]
            if notify(*news, *(["READY=1"] if reloading else []), f"STATUS={self.state.text()}"):
                self.ready.set()
        elif self.ready.is_set():
            if changed:
                log(ERROR, "not_alive", problem=problem)
                self.state.set_alive(False, f"not alive: {problem}, since {now()}")
            self.reloading = self.reloading or reloading
            notify(f"STATUS={self.state.text()}")
        else:
            longest_check = self.configuration.liveness["timeout_seconds"] * len(self.configuration.addresses)
            notify(f"EXTEND_TIMEOUT_USEC={int(longest_check + 10) * 1_000_000}", f"STATUS=starting: {problem}")


# --- the three levels: alive, logged in, works --------------------------------------------------------------


class State:
    """What is known, for STATUS= and for the state file. One level says nothing about another."""

    def __init__(self, configuration: Configuration) -> None:
        self.path = configuration.state_file
        self.lock = threading.Lock()
        self.alive: dict[str, Any] = {"state": False, "detail": "not checked yet", "since": now()}
        asked = "not asked yet" if configuration.login else "there is no command to ask with"
        self.login: dict[str, Any] = {"state": "unknown", "detail": asked, "asked": None}
        asked = "not asked yet" if configuration.works else "not asked"
        self.works: dict[str, Any] = {"state": "unknown", "detail": asked, "asked": None}

    def set_alive(self, alive: bool, detail: str) -> None:
        self.alive = {"state": alive, "detail": detail, "since": now()}
        self.write()

    def set_login(self, state: str, detail: str) -> None:
        if state != self.login["state"]:
            log(INFO if state == "logged-in" else WARNING, "login", state=state, detail=detail)
        self.login = {"state": state, "detail": detail, "asked": now()}
        self.write()

    def set_works(self, state: str, detail: str) -> None:
        if state != self.works["state"]:
            log(INFO if state == "yes" else WARNING, "works", state=state, detail=detail)
        self.works = {"state": state, "detail": detail, "asked": now()}
        self.write()

    def text(self) -> str:
        return f"{self.alive['detail']}; login: {shown(self.login)}; works: {shown(self.works)}"

    def write(self) -> None:
        """Replace the state file, which root reads; a file system that refuses it costs the file and nothing else."""
        if self.path is None:
            return
        with self.lock:
            levels = {"format": 1, "alive": self.alive, "login": self.login, "works": self.works}
            part = Path(f"{self.path}.part")
            try:
                part.write_text(json.dumps(levels) + "\n", encoding="utf-8")
                part.replace(self.path)
            except OSError as error:
                log(WARNING, "state_not_written", found=f"{self.path}: {error.strerror}")


def shown(level: dict[str, Any]) -> str:
    if level["asked"] is None:
        return str(level["detail"])
    return f"{level['state'].replace('-', ' ')} ({level['detail']}, asked {level['asked']})"


class Question(threading.Thread):
    """One question that costs something, asked at long intervals while the proxy is alive."""

    def __init__(self, health: Health, interval_seconds: float, ask_once: Callable[[], None]) -> None:
        super().__init__(name="question", daemon=True)
        self.health, self.interval_seconds, self.ask_once = health, interval_seconds, ask_once

    def run(self) -> None:
        self.health.ready.wait()
        while not self.health.ending.is_set():
            if self.health.problem is None:
                self.ask_once()
                # systemctl status shows it at once, and not after the next check.
                self.health.wake.set()
                self.health.ending.wait(self.interval_seconds)
            else:
                self.health.ending.wait(self.health.interval)


def plain_environment(configuration: Configuration) -> dict[str, str]:
    """What the command's environment is besides the credentials."""
    inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**inherited, **configuration.environment}


# A new program inherits the mask of blocked signals, and a thread must not unblock what the main thread waits for.
UNBLOCK = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_SETMASK, ()); os.execv(sys.argv[1], sys.argv[1:])"


def ask_login(configuration: Configuration) -> tuple[str, str]:
    """State and detail: run the command that says whether somebody is logged in, without any of the credentials.

    Nothing of its answer is kept but the three keys.
    """
    login = cast("dict[str, Any]", configuration.login)
    name = Path(login["command"][0]).name
    try:
        environment, directory = plain_environment(configuration), configuration.working_directory
        answer = answer_of(login["command"], environment, directory, login["timeout_seconds"])
    except (OSError, subprocess.SubprocessError) as error:
        return "unknown", f"{name} did not run: {type(error).__name__}"
    if answer is None:
        limit = f"{login['timeout_seconds']:g} s"
        return "unknown", f"{name} did not end in {limit}, or said more than {LONGEST_ANSWER} bytes"
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    logged_in = document.get("loggedIn") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(logged_in, bool):
        return "unknown", f"{name} gave no answer with loggedIn"
    # Words only: an address or a name of a person has no place here.
    kept = [document.get(key) for key in ("authMethod", "subscriptionType")]
    words = [str(word) for word in kept if is_text(word, r"[A-Za-z0-9_. -]{1,40}")]
    return "logged-in" if logged_in else "logged-out", ", ".join([name, *words])


def answer_of(command: list[str], environment: dict[str, str], directory: str | None, seconds: float) -> bytes | None:
    """What a command writes to its output; None when it takes longer, or says too much. The main thread reaps it."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", UNBLOCK, *command],
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline, answer = time.monotonic() + seconds, b""
    with cast("BinaryIO", process.stdout) as output:
        while len(answer) <= LONGEST_ANSWER:
            if not select.select([output], [], [], max(0, deadline - time.monotonic()))[0]:
                break
            part = os.read(output.fileno(), LONGEST_ANSWER)
            if not part:
                process.poll()
                return answer
            answer += part
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.poll()
    return None


def ask_works(configuration: Configuration, key: str | None, state: State) -> None:
    """Spend one real request. Only a status and the type of an error are kept: an answer may hold anything."""
    works = cast("dict[str, Any]", configuration.works)
    headers = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}
    if key is not None:
        bearer = works["header"].lower() == "authorization"
        headers[works["header"]] = f"Bearer {key}" if bearer else key
    place = configuration.own[0]
    connection = http.client.HTTPConnection(target_of(place.address), place.port, timeout=works["timeout_seconds"])
    try:
        connection.connect()
        # Whoever took the port since the last check is not handed the key.
        stranger = find_stranger(place, listeners(place.port))
        if stranger:
            state.set_works("no", f"POST {works['path']}: not sent, {stranger}")
            return
        connection.request("POST", works["path"], json.dumps(works["body"]).encode(), headers)
        response = connection.getresponse()
        document = json.loads(response.read(LONGEST_ANSWER))
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        state.set_works("no", f"POST {works['path']}: no answer that can be read ({type(error).__name__})")
        return
    finally:
        connection.close()
    problem = document.get("error") if isinstance(document, dict) else "no object"
    kind = problem.get("type") if isinstance(problem, dict) else None
    detail = f"POST {works['path']} answered {response.status}"
    if is_text(kind, "[a-z_]{1,40}"):
        detail += f", {kind}"
    state.set_works("yes" if response.status == 200 and not problem else "no", detail)


# --- the front: clients wait while the proxy restarts ---------------------------------------------------------


def front_sockets(configuration: Configuration) -> list[socket.socket]:
    """The sockets that clients connect to: those that systemd kept over the restart, or new ones that it keeps.

    They belong to this service's user and not to root, as those of a socket unit would: who listens stays provable,
    and the kernel rule on who may answer from the port needs no exception. Raises ServiceError (75).
    """
    kept = []
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        # As sd_listen_fds(3) has it: from 3 on.
        kept = [socket.socket(fileno=number) for number in range(3, 3 + int(os.environ.get("LISTEN_FDS") or 0))]
    found = {place_of(each): each for each in kept}
    wanted = configuration.served if configuration.front else []
    if kept and set(found) != set(wanted):
        notify("FDSTOREREMOVE=1", "FDNAME=front")
        for each in kept:
            each.close()
        found = {}
    for each in found.values():
        each.set_inheritable(False)
    for place in wanted if not found else ():
        for held in listeners(place.port):
            if conflicts(held.address, place.address):
                raise held_by(place, held)
        family = socket.AF_INET6 if place.address.version == 6 else socket.AF_INET
        try:
            each = socket.create_server((str(place.address), place.port), family=family, backlog=FRONT_CONNECTIONS)
        except OSError as error:
            remedy = "give an address of this host, and a free port"
            raise ServiceError(EX_TEMPFAIL, "port_held", address=str(place), found=str(error), remedy=remedy) from None
        notify("FDSTORE=1", "FDNAME=front", descriptors=(each.fileno(),))
        found[place] = each
    for each in found.values():
        each.setblocking(False)
    return list(found.values())


def place_of(listener: socket.socket) -> Place:
    address, port = listener.getsockname()[:2]
    return Place(parse_address(address), port)


class Front(threading.Thread):
    """Accepts only while the proxy is alive, and carries bytes both ways; otherwise clients wait in the kernel's queue.

    A connection holds two descriptors and at most 128 KiB. It never leads to a listener of another user.
    """

    def __init__(self, configuration: Configuration, sockets: list[socket.socket], health: Health) -> None:
        super().__init__(name="front", daemon=True)
        self.configuration, self.sockets, self.health = configuration, sockets, health
        self.accepting, self.settled = True, threading.Event()
        self.connecting: set[asyncio.Task[None]] = set()
        self.failure: str | None = None
        self.loop = asyncio.new_event_loop()
        self.carried: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        self.loop.run_until_complete(self.serve())

    async def serve(self) -> None:
        slots = asyncio.Semaphore(FRONT_CONNECTIONS)
        accepting = [asyncio.ensure_future(self.accept(each, slots)) for each in self.sockets]
        while self.accepting:
            ended = next((task for task in accepting if task.done()), None)
            if ended and not self.failure:
                self.failure = repr(ended.exception())
                # Clients would wait for ever at a proxy that is alive: this wakes the main thread, which ends it all.
                os.kill(os.getpid(), signal.SIGCHLD)
            await asyncio.sleep(0.05)
        for task in accepting:
            task.cancel()
        await asyncio.wait(accepting)
        while self.connecting:
            await asyncio.sleep(0.01)
        self.settled.set()
        while self.carried:
            await asyncio.wait(self.carried)

    async def accept(self, listener: socket.socket, slots: asyncio.Semaphore) -> None:
        while True:
            await slots.acquire()
            while not self.health.ready.is_set() or self.health.problem is not None:
                await asyncio.sleep(0.05)
            try:
                await self.has_client(listener)
                client, _address = listener.accept()
            except BlockingIOError:
                slots.release()
                continue
            except OSError as error:
                log(WARNING, "front_refused", found=str(error))
                slots.release()
                await asyncio.sleep(1)
                continue
            task = self.loop.create_task(self.carry(client))
            self.connecting.add(task)
            task.add_done_callback(self.connecting.discard)
            self.carried.add(task)
            task.add_done_callback(self.carried.discard)
            task.add_done_callback(lambda _task: slots.release())

    async def has_client(self, listener: socket.socket) -> None:
        """Wait; unlike in sock_accept, a cancellation can lose nobody who was accepted already."""
        found = asyncio.Event()
        self.loop.add_reader(listener, found.set)
        try:
            await found.wait()
        finally:
            self.loop.remove_reader(listener)

    async def connect(self, proxy: socket.socket) -> bool:
        place = self.configuration.own[0]
        # It fell silent after this client was accepted.
        while find_stranger(place, listeners(place.port, quick=True)):
            if not self.accepting:
                return False
            await asyncio.sleep(0.1)
        await self.loop.sock_connect(proxy, (target_of(place.address), place.port))
        # Somebody else may have taken the port between the look and the connection.
        stranger = find_stranger(place, listeners(place.port, quick=True))
        # From here on the proxy may be told to stop.
        self.connecting -= {asyncio.current_task()}
        return not stranger

    async def carry(self, client: socket.socket) -> None:
        family = socket.AF_INET6 if self.configuration.own[0].address.version == 6 else socket.AF_INET
        with client, contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as proxy:
            for each in (client, proxy):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not await self.connect(proxy):
                return
            directions = [asyncio.ensure_future(self.pump(*pair)) for pair in ((client, proxy), (proxy, client))]
            try:
                await asyncio.gather(*directions)
            finally:
                for direction in directions:
                    direction.cancel()

    async def pump(self, source: socket.socket, target: socket.socket) -> None:
        while True:
            data = await self.loop.sock_recv(source, 65536)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            await self.loop.sock_sendall(target, data)

    def stop_accepting(self) -> None:
        """Take no new client, and return when the proxy has accepted those that are on their way to it."""
        self.accepting = False
        deadline = time.monotonic() + SETTLING_SECONDS
        self.settled.wait(SETTLING_SECONDS)
        port = self.configuration.port
        with contextlib.suppress(OSError, ValueError, IndexError):
            while any(each.waiting for each in listeners(port, quick=True)) and time.monotonic() < deadline:
                time.sleep(0.01)


# --- processes ---------------------------------------------------------------------------------------------


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def protect_self() -> None:
    """No core dump, nothing to read in /proc for other processes of the same user, and orphans come to us."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


class Output(threading.Thread):
    """Passes what the command says on to the journal, line by line, so that neither can harm the other.

    A long line is cut, a credential is replaced by its name, and at most a line and a piece of the next are in memory.
    """

    def __init__(self, secrets: dict[str, str]) -> None:
        super().__init__(name="output", daemon=True)
        self.reader, self.writer = os.pipe()
        hidden = {os.fsencode(value): name for name, value in secrets.items()}
        self.hidden = {value: name for value, name in hidden.items() if len(value) >= SHORTEST_HIDDEN_CREDENTIAL}
        self.pattern = re.compile(b"|".join(map(re.escape, self.hidden))) if self.hidden else None
        # A credential that begins in the last byte that is shown has to be seen whole.
        self.longest = LONGEST_LINE + max(map(len, self.hidden), default=0)

    def run(self) -> None:
        pending, skipping = b"", False
        while True:
            piece = os.read(self.reader, 65536)
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                if not skipping:
                    self.pass_on(line)
                skipping = False
            if skipping:
                pending = b""
            elif len(pending) > self.longest or (pending and not piece):
                self.pass_on(pending)
                pending, skipping = b"", True
            if not piece:
                os.close(self.reader)
                return

    def pass_on(self, line: bytes) -> None:
        # With a level and a word of ours in front, no line of the command is taken for one of the supervisor.
        journal.write(f"<{INFO}>output: ".encode() + self.presentable(line))

    def presentable(self, line: bytes) -> bytes:
        parts, position = [], 0
        for found in self.pattern.finditer(line) if self.pattern else ():
            if found.start() >= LONGEST_LINE:
                break
            parts += [line[position : found.start()], f"[{self.hidden[found.group()]}]".encode()]
            position = found.end()
        parts.append(line[position:LONGEST_LINE])
        return b"".join(parts) + (b" [cut]" if len(line) > LONGEST_LINE else b"")


class Command:
    """The proxy and all that it started."""

    def __init__(self, configuration: Configuration, environment: dict[str, str], output: Output) -> None:
        supervisor = os.getpid()

        def prepare() -> None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before the line above
                os._exit(EX_FAILED)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        try:
            self.process = subprocess.Popen(
                configuration.command,
                env=environment,
                cwd=configuration.working_directory,
                stdin=subprocess.DEVNULL,
                stdout=output.writer,
                stderr=output.writer,
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
        """SIGTERM, and after so many seconds SIGKILL, to everybody; orphans come to us and get theirs then.

        The command alone is told first: what it started may be about to finish a request. It is told when the command
        has ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            os.kill(self.process.pid, signal.SIGTERM)
        while self.exit_code is None and not self.reap() and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, min(max(0, deadline - time.monotonic()), 0.2))
        # A claude that is killed while it renews its login may lose it, so that nobody goes without a word.
        grace = max(deadline - time.monotonic(), GRACE_SECONDS)
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, LEFTOVER_SECONDS)):
            limit = time.monotonic() + patience
            told: set[int] = set()
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, number)
            while not self.reap():
                left = limit - time.monotonic()
                if left <= 0:
                    waited = seconds if number == signal.SIGTERM else patience
                    log(WARNING, "still_running", after_signal=number.name, seconds=f"{waited:g}")
                    break
                for pid in set(self.strays()) - told:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
                    told.add(pid)
                signal.sigtimedwait({signal.SIGCHLD}, min(left, 0.2))
            else:
                return


def wait(configuration: Configuration, command: Command, health: Health, front: Front | None) -> None:
    """Return when somebody asks to stop.

    Raises ServiceError when the command or the front ends, or the command does not become ready in time.
    """
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
        if front and front.failure:
            raise ServiceError(EX_FAILED, "front_ended", found=front.failure, remedy="report it, it is a defect")
        if received == signal.SIGHUP and configuration.reload_signal and health.ready.is_set():
            log(INFO, "reloading", signal=configuration.reload_signal)
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")
            with contextlib.suppress(OSError):
                os.kill(command.process.pid, signal.Signals[configuration.reload_signal])
            health.reload()
        elif received == signal.SIGHUP:
            log(WARNING, "signal_ignored", signal="SIGHUP", remedy="restart the service to read its configuration")
        if not health.ready.is_set() and time.monotonic() >= deadline:
            limit = f"{configuration.start_timeout_seconds:g} s"
            remedy = "see its own messages above, or raise start_timeout_seconds"
            raise ServiceError(EX_FAILED, "start_timeout", limit=limit, found=health.problem, remedy=remedy)


def supervise(configuration: Configuration) -> None:
    secrets = read_credentials(configuration.credentials)
    key = None
    if configuration.works and configuration.works["credential"]:
        name = configuration.works["credential"]
        key = read_credentials({"WORKS": name})["WORKS"]
    sockets = front_sockets(configuration)
    refuse_held_port(configuration)
    # Blocked, they wait for sigwaitinfo: no handler interrupts anything, and none is lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
    environment = {**plain_environment(configuration), **secrets}
    output = Output(secrets)
    secrets.clear()
    command = Command(configuration, environment, output)
    os.close(output.writer)
    output.start()
    log(INFO, "started", program=configuration.command[0], pid=command.process.pid)
    state = State(configuration)
    health = Health(configuration, state)
    health.start()
    for asked, ask_once in (
        (configuration.login, lambda: state.set_login(*ask_login(configuration))),
        (configuration.works, lambda: ask_works(configuration, key, state)),
    ):
        if asked:
            Question(health, asked["interval_seconds"], ask_once).start()
    front = Front(configuration, sockets, health) if sockets else None
    if front:
        front.start()
    seconds = min(LEFTOVER_SECONDS, configuration.stop_timeout_seconds)
    try:
        wait(configuration, command, health, front)
        seconds = configuration.stop_timeout_seconds
    finally:
        health.end()
        notify("STOPPING=1", "STATUS=stopping")
        if front:
            front.stop_accepting()
        command.stop(seconds)
        if front:
            front.join(FLUSH_SECONDS)
        output.join(FLUSH_SECONDS)
    log(INFO, "stopped")


def say_login(configuration: Configuration) -> int:
    """Ask for the login once and print state and detail; 0 only when somebody is logged in."""
    state, detail = "unknown", "there is no command to ask with"
    if configuration.login:
        state, detail = ask_login(configuration)
    sys.stdout.write(f"{state} ({detail})\n")
    return 0 if state == "logged-in" else EX_FAILED


def become(configuration: Configuration, program: list[str]) -> None:
    terminal = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
    environment = {**terminal, **plain_environment(configuration)}
    os.execve(program[0], program, environment)  # noqa: S606 (no shell is what is wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--configuration", required=True, metavar="FILE", help="JSON file with the settings")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--ask-login", action="store_true", help="only say whether somebody is logged in")
    what = "only become this program, in the command's environment without credentials"
    instead.add_argument("--become", nargs="+", metavar="WORD", help=what)
    arguments = parser.parse_args()
    try:
        configuration = read_configuration(arguments.configuration)
        if arguments.ask_login:
            return say_login(configuration)
        if arguments.become:
            become(configuration, arguments.become)
        protect_self()
        supervise(configuration)
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
