# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring about faults of a proxy's service on this host, and compare what comes of them with what is expected.

Usage: fault_proxy.py SETTINGS | --boot-identity. The JSON file has service, port, credential, home, controls (see
faulty_proxy.py), faults (see proxy_faults.yml), and for a restart of the host boot_before, its
identity before that. Prints a JSON list with what was observed of each, and ends with 1 if one was otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 90.0
PROPERTIES = "ActiveState,SubState,Result,NRestarts,StatusText,MainPID,ExecMainStatus"
JOURNALD = [
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "systemd-journald-audit.socket",
    "systemd-journald.service",
]
STRANGER = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200, "stranger")
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass
while True:
    try:
        server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    except OSError:
        continue
    server.serve_forever()
"""


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Service:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.name, self.port = settings["service"], int(settings["port"])
        self.credential, self.home = Path(settings["credential"]), Path(settings["home"])
        self.controls = Path(settings["controls"])
        self.cursor = ""
        self.boot_before = str(settings.get("boot_before", ""))

    def show(self) -> dict[str, str]:
        lines = run("systemctl", "show", f"--property={PROPERTIES}", self.name).splitlines()
        return {name: value for name, _equals, value in (line.partition("=") for line in lines)}

    @property
    def supervisor(self) -> int:
        return int(self.show()["MainPID"])

    @property
    def child(self) -> int:
        supervisor = self.supervisor
        return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])

    def answers(self) -> bool | str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
        except OSError:
            return False
        finally:
            connection.close()
        return "stranger" if answer.reason == "stranger" else answer.status == 200

    def journal(self) -> str:
        run("journalctl", "--sync")
        since = f"--after-cursor={self.cursor}" if self.cursor else f"--since=@{init_started():.0f}"
        return run("journalctl", f"--unit={self.name}", since, "--output=cat", "--quiet")

    def begin(self) -> None:
        """Have a healthy service whose starts and restarts are counted from here."""
        subprocess.run(["systemctl", "reset-failed", self.name], check=False)
        run("systemctl", "restart", self.name)
        self.mark()

    def mark(self) -> None:
        """What the journal says up to here does not count any more."""
        run("journalctl", "--sync")
        lines = run("journalctl", "--lines=1", "--show-cursor", "--output=cat", "--quiet").splitlines()
        self.cursor = lines[-1].partition("cursor: ")[2]

    def observe(self) -> dict[str, Any]:
        shown = self.show()
        return {
            "state": shown["ActiveState"],
            "answers": self.answers(),
            "restarts": int(shown["NRestarts"]),
            "status": shown["StatusText"],
        }

    def differs(self, expected: dict[str, Any]) -> str:
        """Return what is not as expected, empty when everything is."""
        observed = self.observe()
        for name in ("state", "answers"):
            if observed[name] != expected[name]:
                return f"{name} is {observed[name]!r}: {observed}"
        fewest, _to, most = str(expected["restarts"]).partition(" to ")
        if not int(fewest) <= observed["restarts"] <= int(most or fewest):
            return f"restarts are {observed['restarts']}: {observed}"
        if expected.get("status", "") not in observed["status"]:
            return f"STATUS= is {observed['status']!r}"
        if "journal" in expected and expected["journal"] not in self.journal():
            return f"the journal does not say {expected['journal']!r}: {self.journal()[-2000:]}"
        return ""

    @contextlib.contextmanager
    def stranger(self) -> Iterator[None]:
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        process = subprocess.Popen([*command, sys.executable, "-I", "-c", STRANGER, str(self.port)])
        try:
            yield
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def kill_proxy(service: Service) -> Iterator[None]:
    os.kill(service.child, signal.SIGKILL)
    yield


@contextlib.contextmanager
def kill_supervisor(service: Service) -> Iterator[None]:
    child = service.child
    os.kill(service.supervisor, signal.SIGKILL)
    yield
    if Path(f"/proc/{child}").exists():
        raise AssertionError(f"the proxy of the killed supervisor still runs as {child}")


@contextlib.contextmanager
def hang_proxy(service: Service) -> Iterator[None]:
    os.kill(service.child, signal.SIGSTOP)
    yield


@contextlib.contextmanager
def exit_once(service: Service) -> Iterator[None]:
    # It ends with 0 when its requests have ended.
    os.kill(service.child, signal.SIGTERM)
    yield


@contextlib.contextmanager
def exit_always(service: Service) -> Iterator[None]:
    (service.controls / "exit").write_text("3")
    try:
        os.kill(service.child, signal.SIGKILL)
        yield
    finally:
        (service.controls / "exit").unlink()


@contextlib.contextmanager
def squat_before(service: Service) -> Iterator[None]:
    run("systemctl", "stop", service.name)
    with service.stranger():
        eventually(lambda: "" if service.answers() == "stranger" else "the stranger does not listen")
        run("systemctl", "start", "--no-block", service.name)
        yield
    eventually(lambda: "" if service.answers() is True else f"it did not come back: {service.observe()}")


@contextlib.contextmanager
def squat_during(service: Service) -> Iterator[None]:
    with service.stranger():
        os.kill(service.child, signal.SIGUSR1)
        yield
    eventually(lambda: "" if service.answers() is True else f"it did not come back: {service.observe()}")


@contextlib.contextmanager
def lose_credential(service: Service) -> Iterator[None]:
    kept = service.credential.with_suffix(".kept")
    service.credential.rename(kept)
    try:
        run("systemctl", "restart", "--no-block", service.name)
        yield
    finally:
        kept.rename(service.credential)


@contextlib.contextmanager
def close_home(service: Service) -> Iterator[None]:
    os.chown(service.home, 0, 0)
    service.home.chmod(0)
    run("systemctl", "restart", service.name)
    yield


@contextlib.contextmanager
def fill_home(service: Service) -> Iterator[None]:
    if shutil.disk_usage(service.home).total > 64 << 20:
        raise AssertionError(f"{service.home} is no small file system of its own, and the machine's is not filled")
    filler = service.home / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        if shutil.disk_usage(service.home).free:
            raise AssertionError(f"{service.home} is not full")
        # What is full at the start must not matter either.
        run("systemctl", "restart", service.name)
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def exhaust_memory(service: Service) -> Iterator[None]:
    proxy = service.child
    os.kill(proxy, signal.SIGUSR2)
    children = Path(f"/proc/{proxy}/task/{proxy}/children")
    eventually(lambda: "" if children.read_text() else "there is no child that takes memory")
    # A zombie has no memory any more; the proxy of this test collects nobody.
    child = int(children.read_text().split()[0])
    eventually(lambda: "" if state_of(child) in ("", "Z") else "the kernel does not kill the child")
    yield
    if service.child != proxy:
        raise AssertionError("the proxy itself was killed, too")


def state_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@contextlib.contextmanager
def stop_journald(service: Service) -> Iterator[None]:
    proxy = service.child
    run("systemctl", "stop", *JOURNALD)
    try:
        for _attempt in range(5):
            os.kill(proxy, signal.SIGHUP)
            time.sleep(0.3)
        if service.answers() is not True or service.child != proxy:
            raise AssertionError(f"without a journal: {service.observe()}")
    finally:
        run("systemctl", "start", *JOURNALD)
    # The first line after it may be the one that finds the old connection closed.
    time.sleep(1.5)
    os.kill(proxy, signal.SIGHUP)
    time.sleep(1.5)
    service.mark()
    os.kill(proxy, signal.SIGHUP)
    yield


@contextlib.contextmanager
def jump_clock(service: Service) -> Iterator[None]:
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0]
    offset = Path("/run/faketime-offset")
    drop_in = Path(f"/run/systemd/system/{service.name}.service.d/faketime.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(
        f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={offset} FAKETIME_NO_CACHE=1"
        " FAKETIME_DONT_FAKE_MONOTONIC=1\n"
    )
    # Begun in another year, so that the time in STATUS= shows whose clock it is.
    set_offset(offset, "+365d")
    try:
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", service.name)
        proxy = service.child
        status = service.show()["StatusText"]
        if not any(day in status for day in days_around(365)):
            raise AssertionError(f"the supervisor's clock is not the one of libfaketime: {status}")
        for jump, days in (("-365d", -365), ("+365d", 365)):
            set_offset(offset, jump)
            seen = days_ahead(library, offset)
            if seen != days:
                raise AssertionError(f"with {jump} a process sees a clock that is {seen} days ahead")
            # Longer than the watchdog has patience, and long enough for two checks.
            time.sleep(6)
            if service.child != proxy:
                raise AssertionError(f"after {jump} the proxy is another one: {service.observe()}")
        yield
    finally:
        drop_in.unlink()
        run("systemctl", "daemon-reload")


def set_offset(path: Path, offset: str) -> None:
    """Say how far the clock is off, at once: libfaketime ends a process that reads half of it."""
    written = path.with_suffix(".new")
    written.write_text(f"{offset}\n")
    written.chmod(0o644)
    written.replace(path)


def days_around(days: int) -> set[str]:
    """The days that it may be in so many days, by a clock that is right."""
    return {time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86400 + more)) for more in (-60, 0)}


def days_ahead(library: str, offset: Path) -> int:
    """How many days the clock of a process is ahead that is started as the service is."""
    faked = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    command = [sys.executable, "-I", "-c", "import time; print(time.time())"]
    environment = {"PATH": os.environ["PATH"], "FAKETIME_DONT_FAKE_MONOTONIC": "1", **faked}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return round((float(shown) - time.time()) / 86400)


def init_ticks() -> int:
    """When the init of this host was started, in clock ticks since the kernel was (proc(5))."""
    return int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])


def init_started() -> float:
    """The same as seconds since the epoch."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + init_ticks() / os.sysconf("SC_CLK_TCK")


def boot_identity() -> str:
    """What is another after every boot, also of a container, whose kernel stays."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{init_ticks()}"


@contextlib.contextmanager
def restart_host(service: Service) -> Iterator[None]:
    # Somebody outside has done it, and what the journal says from before does not count.
    if service.boot_before in ("", boot_identity()):
        raise AssertionError(f"the host was not restarted: before and now it is {service.boot_before!r}")
    yield


FAULTS: dict[str, Callable[[Service], contextlib.AbstractContextManager[None]]] = {
    function.__name__: function
    for function in (
        kill_proxy,
        kill_supervisor,
        hang_proxy,
        exit_once,
        exit_always,
        squat_before,
        squat_during,
        lose_credential,
        close_home,
        fill_home,
        exhaust_memory,
        stop_journald,
        jump_clock,
        restart_host,
    )
}


def eventually(problem: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = problem()
        if not found:
            return
        if time.monotonic() >= deadline:
            raise AssertionError(found)
        time.sleep(0.2)


def main(path: str) -> int:
    if path == "--boot-identity":
        print(boot_identity())
        return 0
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    service = Service(settings)
    results = []
    for fault in settings["faults"]:
        began, found = time.monotonic(), ""
        try:
            if fault["do"] == "restart_host":
                service.cursor = ""
            else:
                service.begin()
            with FAULTS[fault["do"]](service):
                eventually(functools.partial(service.differs, fault["expected"]))
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            found = f"{error} {getattr(error, 'stderr', '') or ''}"
        results.append({"do": fault["do"], "wrong": found, "seconds": round(time.monotonic() - began, 1)})
    subprocess.run(["systemctl", "reset-failed", service.name], check=False)
    run("systemctl", "start", service.name)
    print(json.dumps(results))
    return int(any(result["wrong"] for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
