# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor as a real process under a stand-in for systemd, with real proxies, sockets and signals.

Every test runs under each interpreter: those named in FAILCLOSED_SUPERVISOR_PYTHON (paths, separated by colons), or
else the current one and every python3.9 to python3.14 on the PATH that runs; all but the oldest and the newest of these
are marked long. One that is missing is named. Some tests need a second user: run as root.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ansible_collections.failclosed.openclaw.tests.unit.python_interpreters import (
    account_for_missing,
    interpreters,
    version_of,
)

ROOT = Path(__file__).parents[3]
SUPERVISOR = ROOT / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
FAULTY_PROXY = ROOT / "tests/proof/faulty_proxy.py"
OTHER_UID = 54321
SECRET = "canary-5f0d8a"
# Two shared cores may be slow; nothing waits for it unless something is wrong.
PATIENCE = 60.0


def chosen_interpreters() -> list[str]:
    named = os.environ.get("FAILCLOSED_SUPERVISOR_PYTHON", "")
    return named.split(os.pathsep) if named else list(interpreters().values())


def interpreter_parameters() -> list[Any]:
    """What the ones in between would show alone is seen with ./test --all."""
    last = len(chosen_interpreters()) - 1
    return [
        pytest.param(path, marks=[] if number in (0, last) else pytest.mark.long, id="-".join(Path(path).parts[-3:]))
        for number, path in enumerate(chosen_interpreters())
    ]


def test_every_interpreter_is_here() -> None:
    if "FAILCLOSED_SUPERVISOR_PYTHON" in os.environ:
        assert [path for path in chosen_interpreters() if version_of(path) is None] == []
    else:
        account_for_missing()


@pytest.fixture(params=interpreter_parameters(), scope="module")
def python(request: pytest.FixtureRequest) -> str:
    return request.param


# What it does follows from files in its directory, so that a test decides when.
FAKE_PROXY = r"""
import json, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path

here, port, *addresses = sys.argv[1:]
here = Path(here)
has = lambda name: (here / name).exists()
write = lambda name, text: ((here / (name + ".part")).write_text(text), (here / (name + ".part")).rename(here / name))

write("environment", json.dumps(dict(os.environ)))
write("pid", str(os.getpid()))
if has("say"):
    os.write(1, (here / "say").read_bytes())
if has("reloads"):
    signal.signal(signal.SIGUSR1, lambda *_: write("reloaded", "yes"))
if has("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if has("grandchild"):
    code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    grandchild = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    grandchild.stdout.readline()
    write("grandchild-pid", str(grandchild.pid))
if has("helper"):
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1], 'w').close());"
        " print(flush=True); time.sleep(600)"
    )
    helper = subprocess.Popen([sys.executable, "-I", "-c", code, str(here / "helper-told")], stdout=subprocess.PIPE)
    helper.stdout.readline()
    write("helper-pid", str(helper.pid))
if has("orphan"):
    orphan = "import os\nif os.fork() == 0:\n    print(os.getpid(), flush=True)"
    write("orphan-pid", subprocess.check_output([sys.executable, "-I", "-c", orphan], text=True))
if has("exit"):
    sys.exit(int((here / "exit").read_text()))

def serve(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()

def answer(connection):
    with connection:
        request = connection.recv(65536)
        # A body comes in a packet of its own.
        while request.startswith(b"POST ") and request.endswith(b"\r\n\r\n"):
            request += connection.recv(65536)
        write("request", request.decode())
        if request.startswith(b"POST "):
            write("question", request.decode())
            answer = (here / "answer").read_bytes() if has("answer") else b"{}"
            code = b"200 OK" if has("granted") else b"401 No"
            head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (code, len(answer))
            connection.sendall(head + answer)
            return
        if has("drip"):
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600:
                connection.sendall(bytes([byte]))
                time.sleep(0.2)
        status = b"200 OK" if has("healthy") else b"503 Not Yet"
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")

listening = {}
while True:
    for address in addresses:
        wanted = has("listen") and not has("deaf-" + address)
        if wanted and address not in listening:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            dual = family == socket.AF_INET6 and not has("v6only")
            listening[address] = socket.create_server((address, int(port)), family=family, dualstack_ipv6=dual)
            threading.Thread(target=serve, args=(listening[address],), daemon=True).start()
        elif not wanted and address in listening:
            listener = listening.pop(address)
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
    time.sleep(0.02)
"""

SQUATTER = r"""
import json, os, socket, sys, time
address, port, uid, options = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
os.setuid(int(uid))
squatter = socket.socket(family)
squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_INET6:
    squatter.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options == "v6only"))
squatter.bind((address, int(port)))
squatter.listen()
print("squatting", flush=True)
while True:
    connection, _ = squatter.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.close()
"""


# As systemd hands over what it kept: from 3 on, for this very process (sd_listen_fds(3)).
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(int(sys.argv[1]), int(sys.argv[1]) == 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="front")
os.execv(sys.argv[2], sys.argv[2:])
"""


def eventually(condition: Callable[[], Any], what: str, more: Callable[[], str] = str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}; {more()}"
        time.sleep(0.02)


def state(pid: int) -> str:
    """The state letter of proc(5), or nothing when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_gone(pid: int) -> bool:
    # A dead process whose new parent has not looked yet is gone for everybody else.
    return state(pid) in ("", "Z", "X")


def received(manager: socket.socket, kept: list[int] | None = None) -> list[str]:
    messages = []
    with contextlib.suppress(BlockingIOError):
        while True:
            text, descriptors, _flags, _address = socket.recv_fds(manager, 65536, 4)
            messages.append(text.decode())
            if kept is not None:
                kept += descriptors
    return messages


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as any_family:
        any_family.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        any_family.bind(("::", 0))
        return any_family.getsockname()[1]


class Service:
    """One supervisor, its fake proxy, and the service manager that it reports to."""

    def __init__(self, python: str, directory: Path, cleanup: contextlib.ExitStack) -> None:
        self.python, self.directory, self.cleanup = python, directory, cleanup
        self.port = free_port()
        self.control = directory / "control"
        self.control.mkdir()
        self.credentials = directory / "credentials"
        self.credentials.mkdir()
        self.proxy = directory / "fake_proxy.py"
        self.proxy.write_text(FAKE_PROXY)
        self.settings: dict[str, Any] = {
            "command": self.command("127.0.0.1"),
            "addresses": ["127.0.0.1"],
            "port": self.port,
            "liveness": {"path": "/health/liveliness"},
        }
        self.messages: list[str] = []
        # What systemd would have kept, and where the supervisor's own words go instead of a file.
        self.kept: list[int] = []
        self.stderr: socket.socket | None = None
        self.manager = cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.bind(str(directory / "notify"))
        self.manager.setblocking(False)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "NOTIFY_SOCKET": str(directory / "notify"),
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            "WATCHDOG_USEC": "400000",
            # A liveness request through these would fail.
            "http_proxy": "http://127.0.0.1:1",
            "ALL_PROXY": "http://127.0.0.1:1",
        }

    def command(self, *addresses: str) -> list[str]:
        return [sys.executable, "-I", str(self.proxy), str(self.control), str(self.port), *addresses]

    def let(self, *names: str) -> None:
        for name in names:
            (self.control / name).touch()

    def stop_letting(self, *names: str) -> None:
        for name in names:
            (self.control / name).unlink()

    def start(self, *controls: str, content: bytes | None = None) -> None:
        self.let(*controls)
        configuration = self.directory / "supervisor.json"
        configuration.write_bytes(json.dumps(self.settings).encode() if content is None else content)
        self.log_file = self.cleanup.enter_context((self.directory / "log").open("ab"))
        command = [self.python, "-I", str(SUPERVISOR), "--configuration", str(configuration)]
        if self.kept:
            command = [sys.executable, "-I", "-c", HAND_OVER, str(self.kept[0]), *command]
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            stdout=self.log_file,
            stderr=self.stderr or self.log_file,
            pass_fds=self.kept,
        )
        self.cleanup.callback(self.remove)

    def answers_as(self, answer: dict[str, Any] | str) -> None:
        """What the command says that is asked whether somebody is logged in."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        (self.control / "login").write_text(text)
        command = [sys.executable, "-I", str(FAULTY_PROXY), "--login", str(self.control)]
        self.settings["login"] = {"command": command, "interval_seconds": 0.2}

    @property
    def levels(self) -> dict[str, Any]:
        return json.loads((self.directory / "health.json").read_text())

    def stand_behind_a_front(self) -> int:
        """Run the proxy of the fault tests behind a front, which listens on the returned port."""
        backend = free_port()
        self.settings.update(
            command=[sys.executable, "-I", str(FAULTY_PROXY), "127.0.0.1", str(backend), str(self.control)],
            port=backend,
            front={"addresses": ["127.0.0.1"], "port": self.port},
            environment={"INBOUND_KEY": SECRET},
        )
        self.cleanup.callback(lambda: [os.close(descriptor) for descriptor in self.kept])
        return self.port

    def remove(self) -> None:
        for pid in [self.process.pid, *(self.number(file.name) for file in self.control.glob("*pid"))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def number(self, name: str) -> int:
        return int(eventually(lambda: (self.control / name).exists() and (self.control / name).read_text(), name))

    @property
    def child(self) -> int:
        return self.number("pid")

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def heard(self) -> list[str]:
        self.messages += received(self.manager, self.kept)
        return self.messages

    def hears(self, text: str, since: int = 0) -> str:
        """Wait until the manager got a message with the text; the messages before the number `since` do not count."""
        return eventually(
            lambda: next((message for message in self.heard()[since:] if text in message), None),
            f"a message with {text!r}",
            lambda: f"log: {self.log}; last messages: {self.messages[-3:]}",
        )

    def becomes_ready(self) -> None:
        self.start("listen", "healthy")
        self.hears("READY=1")

    def ends(self) -> int:
        # Somebody has to take the messages: the kernel keeps few of them.
        eventually(lambda: [self.heard(), self.process.poll() is not None][1], "its end", lambda: self.log)
        return self.process.wait()

    def squat(self, address: str, uid: int, options: str = "") -> None:
        if uid != os.getuid():
            assert os.getuid() == 0, "this test needs a second user: run it as root"
        squatter = subprocess.Popen(
            [sys.executable, "-I", "-c", SQUATTER, address, str(self.port), str(uid), options], stdout=subprocess.PIPE
        )
        self.cleanup.callback(squatter.wait)
        self.cleanup.callback(squatter.kill)
        assert squatter.stdout is not None
        self.cleanup.enter_context(squatter.stdout)
        assert squatter.stdout.readline() == b"squatting\n"


@pytest.fixture
def service(python: str) -> Iterator[Service]:
    # Not tmp_path: the address of a socket has at most 107 characters.
    with contextlib.ExitStack() as cleanup:
        yield Service(python, Path(cleanup.enter_context(tempfile.TemporaryDirectory())), cleanup)


def test_ready_only_when_listening_and_answering(service: Service) -> None:
    service.start()
    waiting = service.hears("STATUS=starting: nothing listens")
    assert f"nothing listens on 127.0.0.1:{service.port}" in waiting
    assert int(waiting.split("EXTEND_TIMEOUT_USEC=")[1].split("\n")[0]) >= 5_000_000
    service.let("listen")
    service.hears(f"STATUS=starting: GET /health/liveliness on 127.0.0.1:{service.port} answered 503")
    assert not [message for message in service.heard() if "READY" in message or "WATCHDOG" in message]
    service.let("healthy")
    ready = service.hears("READY=1")
    assert f"STATUS=alive: listening on 127.0.0.1:{service.port} and answering since 2" in ready
    service.hears("WATCHDOG=1\nSTATUS=alive")
    assert "<6>event=alive" in service.log
    assert service.process.poll() is None


def test_expected_status_and_host_header_come_from_the_configuration(service: Service) -> None:
    service.settings["liveness"] = {"path": "/up", "host": "proxy.example", "expected_status": [204, 503]}
    service.start("listen")
    service.hears("READY=1")
    request = (service.control / "request").read_bytes().decode()
    assert request.startswith("GET /up HTTP/1.1\r\n")
    assert "\r\nHost: proxy.example\r\n" in request


@pytest.mark.parametrize(
    ("address", "uid", "options", "wanted"),
    [
        ("127.0.0.1", OTHER_UID, "", "127.0.0.1"),
        ("0.0.0.0", OTHER_UID, "", "127.0.0.1"),
        ("::", OTHER_UID, "", "127.0.0.1"),
        ("::ffff:127.0.0.1", OTHER_UID, "", "127.0.0.1"),
        ("127.0.0.1", OTHER_UID, "", "0.0.0.0"),
        ("127.0.0.1", OTHER_UID, "", "::"),
        ("::1", OTHER_UID, "", "::1"),
        ("::", OTHER_UID, "v6only", "::1"),
        ("127.0.0.1", os.getuid(), "", "127.0.0.1"),
    ],
)
def test_a_held_port_is_refused_before_the_command_starts(
    service: Service, address: str, uid: int, options: str, wanted: str
) -> None:
    service.squat(address, uid, options)
    service.settings["addresses"] = [wanted]
    service.settings["command"] = service.command(wanted)
    service.start("listen", "healthy")
    assert service.ends() == 75
    assert "event=port_held" in service.log
    assert f"is held by uid {uid}" in service.log
    assert f":{service.port}" in service.log
    assert "remedy=" in service.log
    assert not (service.control / "pid").exists()
    assert "STATUS=failed: port_held" in service.hears("STATUS=failed")
    assert not any("READY" in message for message in service.heard())


@pytest.mark.parametrize(("address", "wanted"), [("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1")])
def test_another_address_on_the_same_port_is_no_conflict(service: Service, address: str, wanted: str) -> None:
    service.squat(address, OTHER_UID)
    service.becomes_ready()
    assert service.process.poll() is None


def test_an_answer_from_another_users_socket_never_counts(service: Service) -> None:
    # The command starts, and then somebody else is quicker to take the port.
    service.start("healthy")
    service.hears("STATUS=starting: nothing listens")
    service.squat("127.0.0.1", OTHER_UID)
    service.hears(f"STATUS=starting: 127.0.0.1:{service.port} is held by uid {OTHER_UID}")
    assert not any("READY" in message for message in service.heard())


def test_the_watchdog_starves_when_another_user_takes_the_port(service: Service) -> None:
    service.becomes_ready()
    service.stop_letting("listen")
    service.hears("STATUS=not alive: nothing listens on")
    service.squat("127.0.0.1", OTHER_UID)
    service.hears(f"STATUS=not alive: 127.0.0.1:{service.port} is held by uid {OTHER_UID}")
    heard = len(service.heard())
    eventually(lambda: len(service.heard()) > heard + 2, "more reports")
    assert not any("WATCHDOG" in message for message in service.heard()[heard:])
    assert "<3>event=not_alive" in service.log


def test_a_more_specific_socket_of_ours_wins_over_a_wildcard_of_others(service: Service) -> None:
    # Connections to 127.0.0.1 never reach it, so it must not bring the service down.
    service.becomes_ready()
    service.squat("::", OTHER_UID, "v6only")
    heard = len(service.heard())
    service.hears("WATCHDOG=1", since=heard + 1)
    assert not any("not alive" in message for message in service.heard())


def test_a_hung_proxy_starves_the_watchdog_and_recovers(service: Service) -> None:
    service.settings["liveness"]["timeout_seconds"] = 0.3
    service.becomes_ready()
    service.hears("WATCHDOG=1")
    os.kill(service.child, signal.SIGSTOP)
    service.hears("STATUS=not alive: GET /health/liveliness")
    heard = len(service.heard())
    eventually(lambda: len(service.heard()) > heard + 1, "more reports")
    assert not any("WATCHDOG" in message for message in service.heard()[heard:])
    os.kill(service.child, signal.SIGCONT)
    service.hears("WATCHDOG=1\nSTATUS=alive", since=heard)


@pytest.mark.parametrize(("status", "found"), [("0", "exit status 0"), ("3", "exit status 3")])
def test_an_end_that_nobody_asked_for_is_a_failure(service: Service, status: str, found: str) -> None:
    (service.control / "exit").write_text(status)
    service.start()
    assert service.ends() == 1
    assert f'<3>event=command_ended found="{found}"' in service.log
    assert found in service.hears("STATUS=failed: command_ended")


@pytest.mark.parametrize(("number", "found"), [(signal.SIGKILL, "signal 9 (Killed)"), (signal.SIGRTMAX - 1, "signal ")])
def test_a_killed_proxy_is_a_failure(service: Service, number: int, found: str) -> None:
    service.becomes_ready()
    os.kill(service.child, number)
    assert service.ends() == 1
    assert f'event=command_ended found="{found}' in service.log


def test_what_a_dead_proxy_leaves_behind_is_ended(service: Service) -> None:
    service.settings["stop_timeout_seconds"] = 0.5
    service.let("grandchild")
    service.becomes_ready()
    grandchild = service.number("grandchild-pid")
    os.kill(service.child, signal.SIGKILL)
    assert service.ends() == 1
    assert is_gone(grandchild)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_requested_stop_is_a_success(service: Service, number: signal.Signals) -> None:
    service.becomes_ready()
    child = service.child
    service.process.send_signal(number)
    assert service.ends() == 0
    assert is_gone(child)
    service.hears("STOPPING=1")
    assert "WATCHDOG" not in service.messages[-1]
    assert "event=stopped" in service.log


def test_a_stop_that_systemd_sends_to_everybody_is_a_success(service: Service) -> None:
    service.becomes_ready()
    child = service.child
    # KillMode=control-group: our own signal comes first, but the child's end may be seen first.
    os.kill(service.process.pid, signal.SIGSTOP)
    eventually(lambda: state(service.process.pid) == "T", "stopped supervisor")
    os.kill(service.process.pid, signal.SIGTERM)
    os.kill(child, signal.SIGTERM)
    eventually(lambda: is_gone(child), "end of the child")
    os.kill(service.process.pid, signal.SIGCONT)
    assert service.ends() == 0


def test_a_stop_ends_processes_that_ignore_it_and_left_the_group(service: Service) -> None:
    service.settings["stop_timeout_seconds"] = 1
    service.let("stubborn", "grandchild")
    service.becomes_ready()
    child, grandchild = service.child, service.number("grandchild-pid")
    started = time.monotonic()
    service.process.terminate()
    assert service.ends() == 0
    assert 0.9 < time.monotonic() - started < 1 + 5
    assert is_gone(child)
    assert is_gone(grandchild)
    assert '<4>event=still_running after_signal="SIGTERM" seconds="1"' in service.log


def test_a_stop_before_readiness_is_prompt(service: Service) -> None:
    # The liveness answer would take two minutes.
    service.start("listen", "drip")
    eventually((service.control / "request").exists, "liveness request")
    child = service.child
    started = time.monotonic()
    service.process.terminate()
    assert service.ends() == 0
    assert time.monotonic() - started < 4
    assert is_gone(child)


def test_an_answer_that_drips_in_does_not_extend_the_start(service: Service) -> None:
    service.settings["start_timeout_seconds"] = 2
    service.start("listen", "drip")
    assert service.ends() == 1
    assert "event=start_timeout" in service.log


def test_a_proxy_that_never_listens_fails_with_the_reason(service: Service) -> None:
    service.settings["start_timeout_seconds"] = 1.5
    service.start()
    child = service.child
    assert service.ends() == 1
    assert '<3>event=start_timeout limit="1.5 s"' in service.log
    assert f"nothing listens on 127.0.0.1:{service.port}" in service.log
    assert is_gone(child)


def test_no_proxy_survives_the_death_of_the_supervisor(service: Service) -> None:
    service.let("stubborn")
    service.becomes_ready()
    child = service.child
    service.process.kill()
    service.ends()
    eventually(lambda: is_gone(child), "end of the child")


def test_an_error_of_the_system_is_one_log_line(service: Service) -> None:
    program = service.directory / "no-interpreter-line"
    program.write_text("exit 0")
    program.chmod(0o755)
    service.settings["command"] = [str(program)]
    service.start()
    assert service.ends() == 1
    assert service.log.startswith("<3>event=system_error found=")
    assert "Exec format error" in service.log
    assert len(service.log.splitlines()) == 1


def test_sighup_changes_nothing(service: Service) -> None:
    service.becomes_ready()
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "event=signal_ignored" in service.log, "log line")
    heard = len(service.heard())
    service.hears("WATCHDOG=1", since=heard)
    assert state(service.child) not in ("", "Z")


@pytest.mark.parametrize(
    ("address", "shown"),
    [("::1", "[::1]"), ("::", "[::]"), ("0.0.0.0", "0.0.0.0"), ("::ffff:127.0.0.1", "127.0.0.1")],
)
def test_other_addresses(service: Service, address: str, shown: str) -> None:
    service.settings["addresses"] = [address]
    service.settings["command"] = service.command(address)
    service.becomes_ready()
    assert f"listening on {shown}:{service.port}" in service.hears("STATUS=alive")


def test_a_wildcard_of_ours_serves_a_requested_address(service: Service) -> None:
    service.settings["command"] = service.command("::")
    service.becomes_ready()
    assert f"listening on 127.0.0.1:{service.port}" in service.hears("STATUS=alive")


def test_a_wildcard_of_ours_for_ipv6_only_does_not_serve_ipv4(service: Service) -> None:
    service.settings["command"] = service.command("::")
    service.start("listen", "healthy", "v6only")
    service.hears(f"on 127.0.0.1:{service.port}: no answer (ConnectionRefusedError)")
    assert not any("READY" in message for message in service.heard())


def test_every_requested_address_counts(service: Service) -> None:
    service.settings["addresses"] = ["127.0.0.1", "::1"]
    service.settings["command"] = service.command("127.0.0.1", "::1")
    service.start("listen", "healthy", "deaf-::1")
    service.hears(f"STATUS=starting: nothing listens on [::1]:{service.port}")
    assert not any("READY" in message for message in service.heard())
    service.stop_letting("deaf-::1")
    service.hears("READY=1")
    service.let("deaf-127.0.0.1")
    service.hears(f"STATUS=not alive: nothing listens on 127.0.0.1:{service.port}")


def test_credentials_reach_the_command_and_nobody_else(service: Service) -> None:
    (service.credentials / "upstream-key").write_text(SECRET + "\n")
    service.settings["credentials"] = {"UPSTREAM_API_KEY": "upstream-key"}
    service.settings["environment"] = {"LITELLM_LOG": "WARNING", "HOME": "/var/lib/example"}
    service.environment.update({"LANG": "C.UTF-8", "ANTHROPIC_API_KEY": "stray", "PYTHONPATH": "/stray"})
    service.becomes_ready()
    seen = json.loads((service.control / "environment").read_text())
    seen.pop("LC_CTYPE", None)  # Python's own doing (PEP 538)
    assert seen == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/var/lib/example",
        "LITELLM_LOG": "WARNING",
        "UPSTREAM_API_KEY": SECRET,
    }
    for pid in (service.process.pid, service.child):
        assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    try:
        environment = Path(f"/proc/{service.process.pid}/environ").read_bytes()
    except PermissionError:
        # The supervisor is not dumpable: without CAP_SYS_PTRACE, as in a container, the kernel hides it even from root.
        environment = b""
    assert SECRET.encode() not in environment
    assert SECRET not in service.log
    assert not any(SECRET in message for message in service.heard())


def test_neither_dumps_core_and_the_supervisor_is_opaque(service: Service) -> None:
    service.becomes_ready()
    for pid in (service.process.pid, service.child):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
    probe = (
        "import ctypes, importlib.util, sys\n"
        f"specification = importlib.util.spec_from_file_location('supervisor', {str(SUPERVISOR)!r})\n"
        "supervisor = importlib.util.module_from_spec(specification)\n"
        "sys.modules['supervisor'] = supervisor\n"
        "specification.loader.exec_module(supervisor)\n"
        "get_dumpable, get_subreaper = 3, 37\n"
        "before = supervisor.libc.prctl(get_dumpable, 0, 0, 0, 0)\n"
        "supervisor.protect_self()\n"
        "print(before, supervisor.libc.prctl(get_dumpable, 0, 0, 0, 0))\n"
    )
    shown = subprocess.run([service.python, "-I", "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["1", "0"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "credential upstream-key: No such file or directory"),
        (b"", "credential upstream-key is empty"),
        (b"\n", "credential upstream-key is empty"),
        (SECRET.encode() + b"\nmore\n", "line break or NUL inside"),
        (SECRET.encode() + b"\n\n", "line break or NUL inside"),
        (SECRET.encode() + b"\r\n", "line break or NUL inside"),
        (SECRET.encode() + b"\0", "line break or NUL inside"),
        (SECRET.encode() * 20_000, "is larger than"),
    ],
)
def test_an_unusable_credential_is_named_and_not_shown(service: Service, content: bytes | None, found: str) -> None:
    if content is not None:
        (service.credentials / "upstream-key").write_bytes(content)
    service.settings["credentials"] = {"UPSTREAM_API_KEY": "upstream-key"}
    service.start("listen", "healthy")
    assert service.ends() == 78
    assert 'event=configuration_wrong key="credentials.UPSTREAM_API_KEY"' in service.log
    assert found in service.log
    assert "remedy=" in service.log
    assert SECRET not in service.log
    assert not any(SECRET in message for message in service.heard())
    assert not (service.control / "pid").exists()


def test_credentials_need_systemd(service: Service) -> None:
    del service.environment["CREDENTIALS_DIRECTORY"]
    service.settings["credentials"] = {"UPSTREAM_API_KEY": "upstream-key"}
    service.start()
    assert service.ends() == 78
    assert "no CREDENTIALS_DIRECTORY" in service.log
    assert "LoadCredential=upstream-key:PATH" in service.log


MISSING = object()
WRONG_SETTINGS: list[tuple[dict[str, Any], str, str]] = [
    ({"command": MISSING}, "command", "nothing"),
    ({"command": []}, "command", "[]"),
    ({"command": "/bin/true"}, "command", "/bin/true"),
    ({"command": ["true"]}, "command", "true"),
    ({"command": ["/bin/true", 1]}, "command", "1"),
    ({"command": ["/bin/true\0"]}, "command", "u0000"),
    ({"command": ["/nonexistent/proxy"]}, "command", "/nonexistent/proxy: No such file"),
    ({"command": ["/etc/passwd"]}, "command", "/etc/passwd: Permission denied"),
    ({"addresses": MISSING}, "addresses", "nothing"),
    ({"addresses": []}, "addresses", "[]"),
    ({"addresses": "127.0.0.1"}, "addresses", "127.0.0.1"),
    ({"addresses": ["localhost"]}, "addresses", "localhost"),
    ({"addresses": ["fe80::1%lo"]}, "addresses", "fe80::1%lo"),
    ({"addresses": [2130706433]}, "addresses", "2130706433"),
    ({"port": MISSING}, "port", "nothing"),
    ({"port": 0}, "port", "0"),
    ({"port": 65536}, "port", "65536"),
    ({"port": "3456"}, "port", "3456"),
    ({"port": True}, "port", "true"),
    ({"port": 3456.5}, "port", "3456.5"),
    ({"liveness": MISSING}, "liveness", "nothing"),
    ({"liveness": "/health"}, "liveness", "no object"),
    ({"liveness": {}}, "liveness.path", "nothing"),
    ({"liveness": {"path": "health"}}, "liveness.path", "health"),
    ({"liveness": {"path": "/a b"}}, "liveness.path", "/a b"),
    ({"liveness": {"path": "/\r\nX: y"}}, "liveness.path", "X: y"),
    ({"liveness": {"path": "/", "host": "a\nb"}}, "liveness.host", "a"),
    ({"liveness": {"path": "/", "timeout_seconds": 0}}, "liveness.timeout_seconds", "0"),
    ({"liveness": {"path": "/", "timeout_seconds": float("inf")}}, "liveness.timeout_seconds", "Infinity"),
    ({"liveness": {"path": "/", "expected_status": 200}}, "liveness.expected_status", "200"),
    ({"liveness": {"path": "/", "expected_status": [20]}}, "liveness.expected_status", "[20]"),
    ({"liveness": {"path": "/", "body": "ok"}}, "liveness.body", "an unknown key"),
    ({"start_timeout_seconds": -1}, "start_timeout_seconds", "-1"),
    ({"start_timeout_seconds": float("nan")}, "start_timeout_seconds", "NaN"),
    ({"stop_timeout_seconds": "20"}, "stop_timeout_seconds", "20"),
    ({"stop_timeout_seconds": True}, "stop_timeout_seconds", "true"),
    ({"working_directory": "relative"}, "working_directory", "relative"),
    ({"working_directory": "/nonexistent"}, "working_directory", "/nonexistent: No such file"),
    ({"environment": [SECRET]}, "environment", "no object"),
    ({"environment": {"A-B": SECRET}}, "environment.A-B", "other characters"),
    ({"environment": {"KEY": 5}}, "environment.KEY", "no string"),
    ({"environment": {"KEY": SECRET + "\0"}}, "environment.KEY", "NUL"),
    ({"credentials": {"KEY": "../" + SECRET}}, "credentials.KEY", "no plain file name"),
    ({"credentials": {"KEY": ".."}}, "credentials.KEY", "no plain file name"),
    ({"credentials": {"1KEY": "name"}}, "credentials.1KEY", "other characters"),
    ({"credentials": {"KEY": "name"}, "environment": {"KEY": SECRET}}, "credentials.KEY", "same name"),
    ({"comand": ["/bin/true"]}, "comand", "an unknown key"),
    ({"login": {}}, "login.command", "nothing"),
    ({"login": {"command": ["claude"]}}, "login.command", "claude"),
    ({"login": {"command": ["/bin/true"], "interval_seconds": 0}}, "login.interval_seconds", "0"),
    ({"works": {"path": "/v1/messages"}}, "works.body", "nothing"),
    ({"works": {"path": "/", "body": {}, "credential": "no-such"}}, "credentials.WORKS", "CREDENTIALS_DIRECTORY"),
    ({"front": {"addresses": ["127.0.0.1"]}}, "front.port", "nothing"),
    ({"front": {"addresses": ["localhost"], "port": 3456}}, "front.addresses", "localhost"),
    ({"port": 3456, "front": {"addresses": ["127.0.0.1"], "port": 3456}}, "front.port", "3456"),
    ({"reload_signal": "SIGKILL"}, "reload_signal", "SIGKILL"),
    ({"state_file": "health.json"}, "state_file", "health.json"),
]
# One start of the interpreter for all of them: nothing of the supervisor outlives main() here.
MANY_CONFIGURATIONS = r"""
import importlib.util, os, sys
from pathlib import Path
program, directory = sys.argv[1:]
specification = importlib.util.spec_from_file_location("supervisor", program)
supervisor = importlib.util.module_from_spec(specification)
sys.modules["supervisor"] = supervisor
specification.loader.exec_module(supervisor)
for path in sorted(Path(directory).glob("*.json")):
    descriptor = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    os.environ["NOTIFY_SOCKET"] = str(path.with_suffix(".notify"))
    sys.argv = [program, "--configuration", str(path)]
    path.with_suffix(".status").write_text(str(supervisor.main()))
"""


class Refused(NamedTuple):
    status: int
    log: str
    told: list[str]


@pytest.fixture(scope="module")
def refusals(python: str) -> Iterator[list[Refused]]:
    with contextlib.ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        managers = []
        for number, (change, _key, _found) in enumerate(WRONG_SETTINGS):
            settings = {
                "command": ["/bin/true"],
                "addresses": ["127.0.0.1"],
                "port": free_port(),
                "liveness": {"path": "/health"},
                **change,
            }
            content = {name: value for name, value in settings.items() if value is not MISSING}
            (directory / f"{number:03}.json").write_text(json.dumps(content))
            managers.append(cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)))
            managers[-1].bind(str(directory / f"{number:03}.notify"))
            managers[-1].setblocking(False)
        command = [python, "-I", "-c", MANY_CONFIGURATIONS, str(SUPERVISOR), str(directory)]
        subprocess.run(command, check=True, timeout=300)
        yield [
            Refused(
                int((directory / f"{number:03}.status").read_text()),
                (directory / f"{number:03}.log").read_text(),
                received(manager),
            )
            for number, manager in enumerate(managers)
        ]


@pytest.mark.parametrize(
    ("number", "key", "found"),
    [
        pytest.param(number, key, found, id=f"{number}-{key}")
        for number, (_change, key, found) in enumerate(WRONG_SETTINGS)
    ],
)
def test_a_wrong_setting_is_named_with_the_remedy(refusals: list[Refused], number: int, key: str, found: str) -> None:
    refused = refusals[number]
    assert refused.status == 78
    lines = refused.log.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f'<3>event=configuration_wrong key="{key}" found="')
    assert found in lines[0]
    assert ' remedy="' in lines[0]
    assert SECRET not in refused.log
    assert "STATUS=failed: configuration_wrong" in refused.told[-1]
    assert key in refused.told[-1]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"{", "not JSON (line 1)"), (b"", "not JSON (line 1)"), (b"[]", "not an object"), (b'"\xff"', "its encoding")],
)
def test_a_file_that_is_no_configuration_is_refused(service: Service, content: bytes, found: str) -> None:
    service.start(content=content)
    assert service.ends() == 78
    assert 'key="--configuration"' in service.log
    assert found in service.log
    assert "supervisor.json" in service.log


def test_a_missing_configuration_is_refused(python: str) -> None:
    shown = subprocess.run(
        [python, "-I", str(SUPERVISOR), "--configuration", "/nonexistent/supervisor.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 78
    assert "/nonexistent/supervisor.json: No such file or directory" in shown.stderr


def test_checks_leak_no_file_descriptor_and_no_zombie(service: Service) -> None:
    service.environment["WATCHDOG_USEC"] = "40000"
    service.let("orphan")
    service.becomes_ready()

    def count() -> int:
        return len(os.listdir(f"/proc/{service.process.pid}/fd"))

    # One check has at most a table, a connection and a message open at a time, and on a slow machine one always runs
    # when this looks. What a hundred checks leaked would be a hundred.
    before = count()
    heard = len(service.heard())
    eventually(lambda: len(service.heard()) > heard + 100, "a hundred checks")
    # One check has at most three open at a time, and on a slow machine one always runs when this looks. What a hundred
    # checks leaked would be a hundred.
    assert count() <= before + 3
    assert eventually(lambda: state(service.number("orphan-pid")) == "", "an orphan that somebody collected")


def test_it_runs_without_a_service_manager(service: Service) -> None:
    del service.environment["NOTIFY_SOCKET"]
    del service.environment["WATCHDOG_USEC"]
    service.start("listen", "healthy")
    eventually(lambda: "event=alive" in service.log, "log line")
    service.process.terminate()
    assert service.ends() == 0


def test_a_watchdog_of_another_process_is_not_ours(service: Service) -> None:
    service.environment["WATCHDOG_PID"] = "1"
    service.becomes_ready()
    # The interval of ours would be 0.1 s.
    time.sleep(0.5)
    assert not any("WATCHDOG" in message for message in service.heard())


def test_what_the_command_says_is_passed_on_cut_and_without_credentials(service: Service) -> None:
    (service.credentials / "upstream-key").write_text(SECRET * 3 + "\n")
    service.settings["credentials"] = {"UPSTREAM_API_KEY": "upstream-key"}
    long = "x" * 8190
    (service.control / "say").write_text(
        f"<4>plain\n<0>emergency event=alive\nkey {SECRET * 3} here\n{long}{SECRET * 3} and more\n"
        f"{'y' * 300_000}\nafter\nno line end"
    )
    service.becomes_ready()
    lines = eventually(
        lambda: "no line end" not in service.log and "after" in service.log and service.log.splitlines(), ""
    )
    assert "<6>output: <4>plain" in lines
    # No level and no event of its own choice.
    assert "<6>output: <0>emergency event=alive" in lines
    assert "<6>output: key [UPSTREAM_API_KEY] here" in lines
    # The credential begins inside of what is shown.
    assert f"<6>output: {long}[UPSTREAM_API_KEY] [cut]" in lines
    assert f"<6>output: {'y' * 8192} [cut]" in lines
    assert "<6>output: after" in lines
    assert SECRET not in service.log
    service.process.terminate()
    assert service.ends() == 0
    assert "no line end" in service.log


def test_a_journal_that_hangs_costs_lines_and_not_the_proxy(service: Service) -> None:
    reader, service.stderr = socket.socketpair()
    service.cleanup.enter_context(reader)
    service.cleanup.enter_context(service.stderr)
    service.let("listen", "healthy")
    (service.control / "say").write_bytes(b"".join(b"%099d\n" % number for number in range(100_000)))
    service.start()
    # It writes ten megabytes before it listens.
    service.hears("WATCHDOG=1")
    reader.settimeout(PATIENCE)
    said = b""
    while b"event=output_lost lines=" not in said:
        said = said[-1000:] + reader.recv(65536)
        service.process.send_signal(signal.SIGHUP)
    service.hears("WATCHDOG=1", since=len(service.heard()))


def test_a_journal_that_is_gone_does_not_take_the_proxy_down(service: Service) -> None:
    reader, service.stderr = socket.socketpair()
    service.becomes_ready()
    reader.close()
    service.stderr.close()
    child = service.child
    service.process.send_signal(signal.SIGHUP)
    service.hears("WATCHDOG=1", since=len(service.heard()) + 2)
    assert service.child == child
    service.process.terminate()
    assert service.ends() == 0


@pytest.mark.parametrize(
    ("answer", "state", "detail"),
    [
        ({"loggedIn": True, "authMethod": "claude.ai", "subscriptionType": "max"}, "logged-in", ", claude.ai, max"),
        ({"loggedIn": False}, "logged-out", ""),
        ({"loggedIn": True, "authMethod": "me@example.com", "email": "me@example.com"}, "logged-in", ""),
        ({"loggedIn": "yes"}, "unknown", " gave no answer with loggedIn"),
        ("Please run claude auth login", "unknown", " gave no answer with loggedIn"),
        ("x" * 100_000, "unknown", "said more than 65536 bytes"),
        ("[" * 60_000, "unknown", " gave no answer with loggedIn"),
    ],
)
def test_the_login_is_a_level_of_its_own(
    service: Service, answer: dict[str, Any] | str, state: str, detail: str
) -> None:
    service.answers_as(answer)
    service.settings["state_file"] = str(service.directory / "health.json")
    service.becomes_ready()
    status = service.hears(f"login: {state.replace('-', ' ')} (")
    assert f"STATUS=alive: listening on 127.0.0.1:{service.port}" in status
    assert detail in status
    assert "works: not asked" in status
    levels = service.levels
    assert levels["alive"]["state"] is True
    assert levels["login"]["state"] == state
    assert levels["works"] == {"state": "unknown", "detail": "not asked", "asked": None}
    assert "example.com" not in json.dumps(levels) + service.log + "".join(service.heard())


ECHO_LOGIN = """
import json, os, sys
print(json.dumps({"loggedIn": True, "authMethod": os.environ.get("KEY", "none"), "subscriptionType": os.environ["X"]}))
"""


def test_who_is_asked_for_the_login_gets_no_credential(service: Service) -> None:
    (service.credentials / "inbound-key").write_text(SECRET + "\n")
    service.settings["credentials"] = {"KEY": "inbound-key"}
    service.settings["environment"] = {"X": "plain"}
    service.settings["login"] = {"command": [sys.executable, "-I", "-c", ECHO_LOGIN]}
    service.becomes_ready()
    assert json.loads((service.control / "environment").read_text())["KEY"] == SECRET
    assert ", none, plain, asked " in service.hears("login: logged in (")


def once(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    configuration = service.directory / "supervisor.json"
    configuration.write_text(json.dumps(service.settings))
    command = [service.python, "-I", str(SUPERVISOR), "--configuration", str(configuration), *options]
    return subprocess.run(
        command, env=service.environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    ("answer", "said", "status"),
    [
        ({"loggedIn": True, "authMethod": "claude.ai", "email": "me@example.com"}, "logged-in (", 0),
        ({"loggedIn": False, "email": "me@example.com"}, "logged-out (", 1),
        (None, "unknown (there is no command to ask with)", 1),
    ],
)
def test_the_login_can_be_asked_for_once(
    service: Service, answer: dict[str, Any] | None, said: str, status: int
) -> None:
    if answer is not None:
        service.answers_as(answer)
    completed = once(service, "--ask-login")
    assert (completed.returncode, completed.stderr) == (status, "")
    assert completed.stdout.startswith(said)
    assert "example.com" not in completed.stdout
    assert not (service.control / "pid").exists()


def test_another_program_gets_the_environment_without_credentials(service: Service) -> None:
    (service.credentials / "inbound-key").write_text(SECRET + "\n")
    service.settings["credentials"] = {"KEY": "inbound-key"}
    service.settings["environment"] = {"HTTPS_PROXY": "http://user:word@192.0.2.1"}
    service.environment.update(TERM="xterm", ANTHROPIC_API_KEY="stray")
    completed = once(service, "--become", "/usr/bin/env")
    found = dict(line.split("=", 1) for line in completed.stdout.splitlines())
    found.pop("LC_CTYPE", None)
    assert found == {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "TERM": "xterm",
        "HTTPS_PROXY": "http://user:word@192.0.2.1",
    }


def test_a_login_that_changes_is_seen_and_costs_no_process(service: Service) -> None:
    service.answers_as({"loggedIn": True})
    service.becomes_ready()
    service.hears("login: logged in")
    service.answers_as({"loggedIn": False})
    service.hears("login: logged out")
    assert '<4>event=login state="logged-out"' in service.log
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    eventually(lambda: children.read_text().split() == [str(service.child)], "only the proxy")


def test_a_command_that_never_answers_is_ended(service: Service) -> None:
    service.settings["login"] = {"command": ["/bin/sleep", "600"], "timeout_seconds": 0.3}
    service.becomes_ready()
    service.hears("login: unknown (sleep did not end in 0.3 s")
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    eventually(lambda: children.read_text().split() == [str(service.child)], "only the proxy")


def test_without_a_question_a_level_says_that_it_was_not_asked(service: Service) -> None:
    service.becomes_ready()
    assert "; login: there is no command to ask with; works: not asked" in service.hears("STATUS=alive")


def test_a_real_request_shows_whether_it_works(service: Service) -> None:
    (service.credentials / "inbound-key").write_text(SECRET + "\n")
    service.settings["credentials"] = {"KEY": "inbound-key"}
    body = {"model": "claude-x", "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}
    service.settings["works"] = {
        "path": "/v1/messages",
        "body": body,
        "credential": "inbound-key",
        "interval_seconds": 0.2,
    }
    (service.control / "answer").write_text('{"type": "error", "error": {"type": "authentication_error"}}')
    service.becomes_ready()
    no = service.hears("works: no (")
    assert "works: no (POST /v1/messages answered 401, authentication_error, asked " in no
    assert "STATUS=alive" in no
    (service.control / "answer").write_text('{"type": "message"}')
    service.let("granted")
    service.hears("works: yes (POST /v1/messages answered 200, asked ")
    head, _blank, sent = (service.control / "question").read_text().partition("\n\n")
    assert json.loads(sent) == body
    assert f"x-api-key: {SECRET}" in head
    assert SECRET not in service.log + "".join(service.heard())


def test_an_answer_that_nests_too_deep_ends_no_question(service: Service) -> None:
    service.settings["works"] = {"path": "/v1/messages", "body": {}, "interval_seconds": 0.2}
    (service.control / "answer").write_text("[" * 60_000)
    service.let("granted")
    service.becomes_ready()
    service.hears("works: no (POST /v1/messages: no answer that can be read (RecursionError)")
    (service.control / "answer").write_text("{}")
    service.hears("works: yes (")


@pytest.fixture
def supervisor() -> Any:
    """The program as a module, for what happens between two of its steps."""
    specification = importlib.util.spec_from_file_location("openclaw_proxy_supervisor", SUPERVISOR)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Where dataclasses look for the types of a class.
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[specification.name]


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def configuration_for(supervisor: Any, directory: Path, stranger: socket.socket, **more: Any) -> Any:
    settings = {
        "command": ["/bin/true"],
        "addresses": ["127.0.0.1"],
        "port": stranger.getsockname()[1],
        "liveness": {"path": "/"},
        **more,
    }
    (directory / "supervisor.json").write_text(json.dumps(settings))
    return supervisor.read_configuration(str(directory / "supervisor.json"))


def test_who_took_the_port_before_the_connection_gets_nothing_of_a_client(
    supervisor: Any, stranger: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, "it is held by uid 54321"])
    monkeypatch.setattr(supervisor, "find_stranger", lambda *_: next(looks))
    front = supervisor.Front(configuration_for(supervisor, tmp_path, stranger), [], None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        client, _address = server.accept()
    peer.sendall(b"POST / HTTP/1.1\r\nx-api-key: " + SECRET.encode())
    peer.shutdown(socket.SHUT_WR)
    front.loop.run_until_complete(asyncio.wait_for(front.carry(client), PATIENCE))
    front.loop.close()
    peer.close()
    connection, _address = stranger.accept()
    with connection:
        assert connection.recv(65536) == b""


def test_who_took_the_port_before_the_connection_is_not_asked(
    supervisor: Any, stranger: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "find_stranger", lambda *_: "it is held by uid 54321")
    configuration = configuration_for(supervisor, tmp_path, stranger, works={"path": "/v1/messages", "body": {}})
    state = supervisor.State(configuration)
    supervisor.ask_works(configuration, SECRET, state)
    assert state.works["state"] == "no"
    assert state.works["detail"] == "POST /v1/messages: not sent, it is held by uid 54321"
    connection, _address = stranger.accept()
    with connection:
        assert connection.recv(65536) == b""


def test_a_front_that_ends_by_itself_ends_the_service(
    supervisor: Any, stranger: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = configuration_for(supervisor, tmp_path, stranger)

    async def accept(_listener: socket.socket, _slots: Any) -> None:
        raise ValueError("unexpected")

    front = supervisor.Front(configuration, [stranger], None)
    monkeypatch.setattr(front, "accept", accept)
    health = supervisor.Health(configuration, supervisor.State(configuration))
    health.ready.set()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, supervisor.HANDLED_SIGNALS)
    try:
        front.start()
        with pytest.raises(supervisor.ServiceError) as raised:
            supervisor.wait(configuration, StillThere(), health, front)
    finally:
        front.stop_accepting()
        front.join(PATIENCE)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        front.loop.close()
    assert raised.value.event == "front_ended"
    assert raised.value.fields["found"] == "ValueError('unexpected')"


class StillThere:
    """A command that has not ended."""

    exit_code = None

    def reap(self) -> bool:
        return False


def test_a_reload_reaches_the_command_and_ends_when_it_answers(service: Service) -> None:
    service.settings["reload_signal"] = "SIGUSR1"
    service.let("reloads")
    service.becomes_ready()
    heard = len(service.heard())
    service.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in service.hears("RELOADING=1", since=heard)
    service.hears("READY=1\nSTATUS=alive", since=heard)
    eventually((service.control / "reloaded").exists, "the signal")


def test_a_request_under_way_finishes(service: Service) -> None:
    service.stand_behind_a_front()
    del service.settings["front"]
    service.start()
    service.hears("READY=1")
    with contextlib.closing(post(service.settings["port"], "/v1/messages?lines=10")) as connection:
        answer = connection.getresponse()
        service.process.terminate()
        assert answer.read().splitlines()[-1] == b"line 9"
    assert service.ends() == 0
    assert "still_running" not in service.log


def test_what_the_command_has_started_is_told_only_when_it_has_ended(service: Service) -> None:
    service.settings["stop_timeout_seconds"] = 1
    service.let("stubborn", "helper")
    service.becomes_ready()
    helper = service.number("helper-pid")
    started = time.time()
    service.process.terminate()
    # The command does not end in time, so that its helper has all of the time, too.
    assert service.ends() == 0
    assert is_gone(helper)
    assert (service.control / "helper-told").stat().st_mtime - started > 0.9


def post(port: int, path: str, body: bytes = b"{}") -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, {"x-api-key": SECRET})
    return connection


def test_a_request_under_way_at_the_front_finishes(service: Service) -> None:
    port = service.stand_behind_a_front()
    service.start()
    service.hears("READY=1")
    with contextlib.closing(post(port, "/v1/messages?lines=10")) as connection:
        answer = connection.getresponse()
        service.process.terminate()
        assert answer.read().splitlines()[-1] == b"line 9"
    assert service.ends() == 0


def test_a_request_that_takes_too_long_ends_within_the_bound(service: Service) -> None:
    port = service.stand_behind_a_front()
    service.settings["stop_timeout_seconds"] = 0.5
    service.start()
    service.hears("READY=1")
    with contextlib.closing(post(port, "/v1/messages?lines=600")) as connection:
        answer = connection.getresponse()
        started = time.monotonic()
        service.process.terminate()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        assert service.ends() == 0
        assert time.monotonic() - started < 0.5 + 5


def test_clients_wait_at_the_front_over_a_restart(service: Service) -> None:
    port = service.stand_behind_a_front()
    service.start()
    service.hears("READY=1")
    assert f"listening on 127.0.0.1:{port}" in service.hears("STATUS=alive")
    service.hears("FDSTORE=1\nFDNAME=front")
    refused, waited, ending = [], [], threading.Event()

    def poll() -> None:
        while not ending.is_set():
            started = time.monotonic()
            try:
                with contextlib.closing(post(port, "/v1/messages")) as connection:
                    assert connection.getresponse().read() == b'{"type": "message", "size": 2}'
            except (OSError, http.client.HTTPException) as error:
                refused.append(repr(error))
            waited.append(time.monotonic() - started)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        polls = [pool.submit(poll) for _poll in range(4)]
        try:
            for _round in range(2):
                done = len(waited)
                eventually(lambda done=done: len(waited) > done + 20, "requests")
                service.process.terminate()
                assert service.ends() == 0
                heard = len(service.heard())
                # They wait for longer than it takes to start.
                (service.control / "delay").write_text("0.5")
                service.start()
                service.hears("READY=1", since=heard)
        finally:
            ending.set()
        for each in polls:
            each.result(PATIENCE)
    assert refused == []
    assert max(waited) > 0.5


def test_a_front_that_is_not_wanted_any_more_is_given_back(service: Service) -> None:
    port = service.stand_behind_a_front()
    service.start()
    service.hears("READY=1")
    service.process.terminate()
    assert service.ends() == 0
    del service.settings["front"]
    heard = len(service.heard())
    service.start()
    service.hears("FDSTOREREMOVE=1\nFDNAME=front", since=heard)
    service.hears("READY=1", since=heard)
    descriptors = Path(f"/proc/{service.process.pid}/fd")
    assert not any(
        os.readlink(each) == os.readlink(f"/proc/self/fd/{service.kept[0]}") for each in descriptors.iterdir()
    )
    assert port != service.settings["port"]


def test_a_front_that_somebody_else_has_is_refused(service: Service) -> None:
    service.stand_behind_a_front()
    service.squat("127.0.0.1", OTHER_UID)
    service.start()
    assert service.ends() == 75
    assert f"is held by uid {OTHER_UID}" in service.log


def test_a_front_never_leads_to_another_users_socket(service: Service) -> None:
    port = service.stand_behind_a_front()
    service.start()
    service.hears("READY=1")
    service.port = service.settings["port"]
    # The proxy closes its port, and somebody else is there before the next check.
    os.kill(children_of(service.process.pid)[0], signal.SIGUSR1)
    eventually(lambda: not is_listening(service.port), "a port that is free")
    service.squat("127.0.0.1", OTHER_UID)
    connection = post(port, "/v1/messages")
    connection.sock.settimeout(1)
    with contextlib.closing(connection), pytest.raises(TimeoutError):
        connection.getresponse()
    service.hears(f"STATUS=not alive: 127.0.0.1:{service.port} is held by uid {OTHER_UID}")


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("clients", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_many_clients_slow_ones_and_a_large_body_leave_nothing_open(service: Service, clients: int) -> None:
    port = service.stand_behind_a_front()
    service.environment["WATCHDOG_USEC"] = "4000000"
    # The proxy of this test has a thread for each client, and is slow then.
    service.settings["liveness"]["timeout_seconds"] = 30
    service.start()
    service.hears("READY=1")

    def count() -> int:
        return len(os.listdir(f"/proc/{service.process.pid}/fd"))

    before = count()
    with contextlib.ExitStack() as stack:
        for number in range(clients):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            # Every one has begun a request, and none goes on.
            client.sendall(b"POST /v1/messages HTTP/1.1\r\nx: %d\r\n" % number)
        eventually(lambda: count() >= before + 2 * clients, "all connections", lambda: f"{count()} {service.log}")
        heard = len(service.heard())
        with contextlib.closing(post(port, "/v1/messages", bytes(50 << 20))) as connection:
            assert json.loads(connection.getresponse().read())["size"] == 50 << 20
        service.hears("WATCHDOG=1", since=heard)
        for name, limit in (("VmHWM", 200 << 10),):
            line = next(
                line for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines() if name in line
            )
            assert int(line.split()[1]) < limit, "memory in KiB"
    eventually(lambda: count() <= before + 3, "as few open files as before", lambda: str(count()))
    service.hears("WATCHDOG=1", since=len(service.heard()))
    assert "event=not_alive" not in service.log
