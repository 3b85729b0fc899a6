# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The truth table of the kernel rule, tried on a real host: who gets where, in every state of the proxy.

Usage, as root on the host: egress_table.py CONTROL_URL IPV4 IPV6 [PORT]
                            egress_table.py --reach USER ADDRESS PORT     (one connection; prints open or refused)

The addresses are the simulator's, which the rule denies to the gateway's user; CONTROL_URL is its control interface.
One process for each user does what it is told, so that a connection can outlive a change of the rules. Prints what was
expected and observed in each cell, and ends with status 1 when they differ anywhere.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import time
import typing as t
import urllib.request
from contextlib import suppress
from pathlib import Path

TABLE = "failclosed_openclaw"
RULE_UNIT, PROXY_UNIT = "failclosed-openclaw-egress.service", "openclaw-proxy.service"
KEY_FILE = "/etc/openclaw-proxy/credentials/inbound-key"
USERS = {"gateway": "openclaw", "proxy": "openclaw-proxy", "root": "root", "other": "nobody"}
ACTORS = tuple(USERS)
COLUMNS = ("proxy port", "direct IPv4", "direct IPv6", "open connection", "UDP/443")
FAULTS = ("401", "429", "500", "529")
HTTPS, CONTROL_PORT = 443, 8001

# refused: by the kernel, at once and counted; closed: by the kernel, because nobody listens; silent: no answer;
# open: the packets leave; cut: reset and counted; answered, error: the proxy's HTTP status says so.
MAY, MUST_NOT = "open", "refused"
EXPECTED_AT_PROXY = {
    "up": "answered",
    **dict.fromkeys(FAULTS, "error"),
    "hung": "silent",
    "stopped": "closed",
    "squatted": "silent",
}
STATES = tuple(EXPECTED_AT_PROXY)


def expected(state: str, actor: str, column: str) -> str:
    """What one cell must show."""
    if column == "proxy port":
        return MUST_NOT if actor == "other" else EXPECTED_AT_PROXY[state]
    if column == "open connection":
        return "cut" if actor == "gateway" else MAY
    return MUST_NOT if actor == "gateway" else MAY


def connect(address: str, port: int, seconds: float) -> tuple[str, socket.socket | None]:
    """open, closed, silent or the name of the error; and the connection where there is one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect((address, port))
    except ConnectionRefusedError:
        return "closed", None
    except socket.timeout:
        return "silent", None
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "error"), None
    return "open", connection


def send_datagram(address: str) -> str:
    """open when a datagram to UDP/443 left this host, closed when the kernel did not let it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(0.3)
        try:
            datagram.connect((address, HTTPS))
            datagram.send(b"hello")
        except PermissionError:
            return "closed"
        with suppress(ConnectionRefusedError, socket.timeout):
            # Nobody listens there; that answer comes once a second at most, so that it may be missing.
            datagram.recv(1)
    return "open"


def ask_proxy(port: int, key: str, seconds: float) -> str:
    """What a request to the proxy shows: answered, error, closed or silent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    body = json.dumps({"model": "claude-opus-4.6", "max_tokens": 8, "messages": [{"role": "user", "content": "ping"}]})
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key}
    try:
        connection.request("POST", "/v1/messages", body, headers)
        status = connection.getresponse().status
    except ConnectionRefusedError:
        return "closed"
    except socket.timeout:
        return "silent"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return "answered" if status == 200 else "error"


class Actions:
    """What a user's process can be told to do."""

    def __init__(self) -> None:
        self._kept: socket.socket | None = None
        self._listener: socket.socket | None = None

    def connect(self, address: str, port: int, seconds: float) -> str:
        outcome, connection = connect(address, port, seconds)
        if connection is not None:
            connection.close()
        return outcome

    def send_datagram(self, address: str) -> str:
        return send_datagram(address)

    def ask_proxy(self, port: int, key: str, seconds: float) -> str:
        return ask_proxy(port, key, seconds)

    def keep(self, address: str, port: int) -> str:
        outcome, self._kept = connect(address, port, 5)
        return outcome

    def use_kept(self) -> str:
        """A request on the connection that was opened before."""
        if self._kept is None:
            return "not connected"
        try:
            self._kept.settimeout(3)
            self._kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n")
            return "open" if self._kept.recv(64).startswith(b"HTTP/1.1 200") else "strange answer"
        except ConnectionResetError:
            return "cut"
        except OSError as error:
            return type(error).__name__
        finally:
            self._kept.close()
            self._kept = None

    def squat(self, port: int) -> str:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
            self._listener.listen(16)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "error")
        return "listening"

    def collected(self) -> str:
        """What has come in at the squatted port."""
        if self._listener is None:
            return "not listening"
        if not select.select([self._listener], [], [], 0.3)[0]:
            return "nothing"
        connection, _address = self._listener.accept()
        with connection:
            connection.settimeout(1)
            with suppress(OSError):
                return "a prompt" if connection.recv(4096) else "a connection"
        return "a connection"

    def leave(self) -> str:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        return "left"


class Actor:
    """A child process of one user that does what it is told."""

    def __init__(self, user: str) -> None:
        account = pwd.getpwnam(user)
        self._here, there = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._here.close()
            with suppress(BaseException):
                os.setgroups([])
                os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
                os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
                self._serve(there)
            os._exit(0)
        there.close()
        self._answers = self._here.makefile("r")

    @staticmethod
    def _serve(channel: socket.socket) -> None:
        actions = Actions()
        for line in channel.makefile("r"):
            name, *arguments = json.loads(line)
            answer = getattr(actions, name)(*arguments)
            channel.sendall(json.dumps(answer).encode() + b"\n")

    def begin(self, name: str, *arguments: object) -> None:
        self._here.sendall(json.dumps([name, *arguments]).encode() + b"\n")

    def answer(self) -> str:
        return str(json.loads(self._answers.readline()))

    def do(self, name: str, *arguments: object) -> str:
        self.begin(name, *arguments)
        return self.answer()

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


class Table:
    """Runs through the states and fills the table."""

    def __init__(self, control_url: str, ipv4: str, ipv6: str, port: int) -> None:
        self._control_url = control_url
        self._ipv4, self._ipv6, self._port = ipv4, ipv6, port
        self._key = Path(KEY_FILE).read_text(encoding="ascii").strip()
        self._actors = {name: Actor(user) for name, user in USERS.items()}
        self._sources = [self._own_address(address) for address in (ipv4, ipv6)]
        self.cells: list[tuple[str, str, str, str, str]] = []

    @staticmethod
    def _own_address(other: str) -> str:
        family = socket.AF_INET6 if ":" in other else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, HTTPS))
            return str(probe.getsockname()[0])

    def _control(self, method: str, path: str, document: object = None) -> t.Any:
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self._control_url + path, data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            return json.load(response)

    def _arrived(self) -> int:
        return int(self._control("GET", "/counts")["listeners"]["direct"]["connections"])

    @staticmethod
    def _counters() -> dict[str, int]:
        listing = json.loads(run("nft", "--json", "list", "table", "inet", TABLE))["nftables"]
        return {item["counter"]["name"]: item["counter"]["packets"] for item in listing if "counter" in item}

    @staticmethod
    def unlock() -> None:
        run("nft", "delete", "table", "inet", TABLE)

    @staticmethod
    def lock() -> None:
        run("systemctl", "reload", RULE_UNIT)

    def check(self, where: str, what: str, wanted: object, observed: object) -> None:
        self.cells.append((where, "", what, str(wanted), str(observed)))

    def row(self, state: str, name: str) -> None:
        """One user in one state: all columns, and what was counted meanwhile."""
        actor = self._actors[name]
        arrived, before = self._arrived(), self._counters()
        # So many actors wait for the same answer that they would add up.
        patience = 1.0 if EXPECTED_AT_PROXY[state] == "silent" else 60.0
        observed = {
            "proxy port": actor.do("ask_proxy", self._port, self._key, patience),
            "direct IPv4": actor.do("connect", self._ipv4, HTTPS, 3),
            "direct IPv6": actor.do("connect", self._ipv6, HTTPS, 3),
            "open connection": actor.do("use_kept"),
        }
        datagrams = {actor.do("send_datagram", address) for address in (self._ipv4, self._ipv6)}
        observed["UDP/443"] = datagrams.pop() if len(datagrams) == 1 else " and ".join(sorted(datagrams))
        moved = {key: count - before[key] for key, count in self._counters().items() if count != before[key]}
        # "closed" says who refused only together with the counters.
        counted = {"proxy port": "proxy_client", "UDP/443": "denied_other"}
        for column in COLUMNS:
            outcome = observed[column]
            if outcome == "closed" and moved.get(counted.get(column, "denied_tcp")):
                outcome = MUST_NOT
            self.cells.append((state, name, column, expected(state, name, column), outcome))
        wanted = {"gateway": {"denied_tcp": 3, "denied_other": 2}, "other": {"proxy_client": 1}}.get(name, {})
        # What a squatter has to retransmit is counted with it.
        moved.pop("proxy_answer", None)
        self.check(f"{state}, {name}", "counted", wanted, moved)
        self.check(f"{state}, {name}", "arrived", 0 if name == "gateway" else 2, self._arrived() - arrived)

    def rows(self, state: str) -> None:
        """All users, each with a connection from before the rule was loaded."""
        self.unlock()
        for name, actor in self._actors.items():
            self.check(f"{state}, {name}", "opens without the rule", "open", actor.do("keep", self._ipv4, CONTROL_PORT))
        self.lock()
        for name in ACTORS:
            self.row(state, name)

    def control(self) -> None:
        """Without the rule everything is open to the gateway's user, and counted at the simulator."""
        gateway = self._actors["gateway"]
        self.unlock()
        arrived = self._arrived()
        for address in (self._ipv4, self._ipv6):
            self.check("without the rule", f"gateway to {address}", "open", gateway.do("connect", address, HTTPS, 3))
            self.check("without the rule", f"gateway, UDP to {address}", "open", gateway.do("send_datagram", address))
        self.check("without the rule", "arrived", 2, self._arrived() - arrived)
        other = self._actors["other"]
        self.check("without the rule", "other at the proxy", "error", other.do("ask_proxy", self._port, "wrong", 60))
        self.lock()

    def squatted(self) -> None:
        """Somebody listens on the port of the stopped proxy: with the rule he gets nothing, without it a prompt."""
        other, root = self._actors["other"], self._actors["root"]
        self.check("squatted", "other listens", "listening", other.do("squat", self._port))
        self.rows("squatted")
        self.check("squatted", "came in with the rule", "nothing", other.do("collected"))
        self.unlock()
        root.begin("ask_proxy", self._port, "not a key", 2.0)
        self.check("squatted", "came in without the rule", "a prompt", other.do("collected"))
        root.answer()
        other.do("leave")
        self.lock()

    def fill(self) -> None:
        self.control()
        self.rows("up")
        for fault in FAULTS:
            # Only this host's requests: another one may be at its own table.
            rules = [
                self._control(
                    "POST", "/faults", {"fault": int(fault), "listener": "upstream", "match": {"source": own}}
                )
                for own in self._sources
            ]
            self.rows(fault)
            for rule in rules:
                self._control("DELETE", f"/faults?id={rule['id']}")
        run("systemctl", "kill", "--signal=SIGSTOP", PROXY_UNIT)
        self.rows("hung")
        run("systemctl", "kill", "--signal=SIGCONT", PROXY_UNIT)
        run("systemctl", "stop", PROXY_UNIT)
        self.rows("stopped")
        self.squatted()

    def restore(self) -> None:
        """Whatever happened: the rule is loaded, the proxy runs, and nobody is left."""
        for actor in self._actors.values():
            actor.end()
        with suppress(OSError, ValueError):
            self._control("DELETE", "/faults")
        self.lock()
        with suppress(subprocess.CalledProcessError):
            run("systemctl", "kill", "--signal=SIGCONT", PROXY_UNIT)
        run("systemctl", "start", PROXY_UNIT)


def main(arguments: list[str]) -> int:
    if arguments[0] == "--reach":
        user, address, port_text = arguments[1:]
        actor = Actor(user)
        outcome = actor.do("connect", address, int(port_text), 5)
        actor.end()
        print("refused" if outcome == "closed" else outcome, end="")
        return 0
    control_url, ipv4, ipv6 = arguments[:3]
    port = int(arguments[3]) if len(arguments) > 3 else 3456
    began = time.monotonic()
    table = Table(control_url, ipv4, ipv6, port)
    try:
        table.fill()
    finally:
        table.restore()
    wrong = 0
    for where, name, what, wanted, observed in table.cells:
        differs = wanted != observed
        wrong += differs
        place = f"{where:10} {name:8}" if name else where
        print(f"{'WRONG' if differs else 'ok   '} {place} {what:16} expected {wanted}, observed {observed}")
    cells = sum(1 for cell in table.cells if cell[1])
    complete = cells == len(STATES) * len(ACTORS) * len(COLUMNS)
    print(f"{cells} cells and {len(table.cells) - cells} controls, {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 0 if complete and not wrong else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
