# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor as a real process under a stand-in for systemd, with real proxies, sockets and signals.

Every test runs under each interpreter: those named in FAILCLOSED_SUPERVISOR_PYTHON (paths, separated by colons), or
else the current one and every python3.9 to python3.14 on the PATH that runs. Some need a second user: run as root.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SUPERVISOR = Path(__file__).parents[3] / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
OTHER_UID = 54321
SECRET = "canary-5f0d8a"
# Two shared cores may be slow; nothing waits for it unless something is wrong.
PATIENCE = 20.0


@functools.cache
def interpreters() -> list[str]:
    named = os.environ.get("FAILCLOSED_SUPERVISOR_PYTHON", "")
    if named:
        return named.split(os.pathsep)
    found = {sys.version_info[1]: sys.executable}
    for minor in range(9, 15):
        path = shutil.which(f"python3.{minor}")
        # A pyenv shim exists for versions that are not selected, and then fails.
        if path and subprocess.run([path, "-I", "-c", ""], capture_output=True, check=False).returncode == 0:
            found.setdefault(minor, path)
    return [path for _minor, path in sorted(found.items())]


def interpreter_parameters() -> list[Any]:
    """What the ones in between would show alone is seen with ./test --all."""
    last = len(interpreters()) - 1
    return [
        pytest.param(path, marks=[] if number in (0, last) else pytest.mark.long, id="-".join(Path(path).parts[-3:]))
        for number, path in enumerate(interpreters())
    ]


@pytest.fixture(params=interpreter_parameters())
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
if has("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if has("grandchild"):
    code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    grandchild = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    grandchild.stdout.readline()
    write("grandchild-pid", str(grandchild.pid))
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
        write("request", request.decode())
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
        self.manager = cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.bind(str(directory / "notify"))
        self.manager.setblocking(False)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "NOTIFY_SOCKET": str(directory / "notify"),
            "CREDENTIALS_DIRECTORY": str(self.credentials),
            "WATCHDOG_USEC": "800000",
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
        self.log_file = self.cleanup.enter_context((self.directory / "log").open("wb"))
        self.process = subprocess.Popen(
            [self.python, "-I", str(SUPERVISOR), "--configuration", str(configuration)],
            env=self.environment,
            stdout=self.log_file,
            stderr=self.log_file,
        )
        self.cleanup.callback(self.remove)

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
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self.manager.recv(65536).decode())
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
        return self.process.wait(PATIENCE)

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
    time.sleep(1)
    assert service.heard()[heard:]
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
    time.sleep(1.5)
    assert service.heard()[heard:]
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


@pytest.mark.parametrize(
    ("change", "key", "found"),
    [
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
    ],
)
def test_a_wrong_setting_is_named_with_the_remedy(
    service: Service, change: dict[str, Any], key: str, found: str
) -> None:
    service.settings.update(change)
    for name in [name for name, value in service.settings.items() if value is MISSING]:
        del service.settings[name]
    service.start()
    assert service.ends() == 78
    lines = service.log.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f'<3>event=configuration_wrong key="{key}" found="')
    assert found in lines[0]
    assert ' remedy="' in lines[0]
    assert SECRET not in service.log
    assert key in service.hears("STATUS=failed: configuration_wrong")


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
    time.sleep(1)
    assert not any("WATCHDOG" in message for message in service.heard())
