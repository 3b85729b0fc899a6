# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real OpenClaw with a home of its own, as a user on a terminal and as a gateway."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from pathlib import Path
from typing import Any

PLUGIN_ID = "anthropic-max-proxy"
PLUGIN_SOURCE = Path(__file__).resolve().parents[2] / "plugin"
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][AB0]|\r")


def required_environment(name: str) -> str:
    """A variable that the caller must set; a missing one is a failure, because a skip would look like a pass."""
    value = os.environ.get(name, "")
    if not value:
        raise RuntimeError(f"set {name}; tests/plugin/README.md says to what")
    return value


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Any, *, seconds: float, what: str) -> Any:
    """The first true value of ``condition()``; fails the test with ``what`` when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class OpenClaw:
    """One home directory with the plugin in it, and the commands that run there."""

    def __init__(self, home: Path, *, run_as: tuple[int, int] | None = None, package: Path | None = None) -> None:
        self.home = home
        self.identity: dict[str, Any] = {}
        self.state = home / ".openclaw"
        self.config_path = self.state / "openclaw.json"
        self.gateway_port = free_port()
        node = required_environment("FAILCLOSED_NODE")
        package = package or Path(required_environment("FAILCLOSED_OPENCLAW"))
        self.version = str(json.loads((package / "package.json").read_text())["version"])
        self.command = [node, str(package / "openclaw.mjs")]
        self.environment = {
            "HOME": str(home),
            "PATH": f"{Path(node).parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "NO_COLOR": "1",
            "NODE_DISABLE_COMPILE_CACHE": "1",
            "OPENCLAW_STATE_DIR": str(self.state),
            "UNRELATED_SERVICE_TOKEN": "a-secret-of-the-gateway",
        }
        self.state.mkdir(parents=True)
        self.state.chmod(0o700)
        if run_as is not None:
            uid, gid = run_as
            self.identity = {"user": uid, "group": gid, "extra_groups": []}
            for directory in (home, self.state):
                os.chown(directory, uid, gid)
            # pytest keeps its directories closed to others.
            for directory in home.parents:
                if not directory.stat().st_mode & 0o001:
                    directory.chmod(0o711)
        self.gateway: subprocess.Popen[bytes] | None = None
        self.log_path = home / "gateway.log"

    def place_plugin(self) -> Path:
        """Copy what the package ships into the extensions directory."""
        target = self.state / "extensions" / PLUGIN_ID
        target.mkdir(parents=True)
        for name in [*json.loads((PLUGIN_SOURCE / "package.json").read_text())["files"], "package.json"]:
            shutil.copy(PLUGIN_SOURCE / name, target / name)
        return target

    def write_config(self, *, plugin_config: dict[str, Any] | None, **members: Any) -> None:
        meta: dict[str, Any] = {"lastTouchedVersion": self.version}
        # 2026.9.6 migrates the file when these are missing; 2026.9.2 refuses the second, and 2026.8.1 both.
        if self.version >= "2026.9":
            meta["migrations"] = {"modelPolicyAllowlist": True}
        if self.version >= "2026.9.6":
            meta["migrations"]["utilityModelSeparation"] = True
        document = {
            "meta": meta,
            "gateway": {
                "mode": "local",
                "bind": "loopback",
                "port": self.gateway_port,
                "auth": {"mode": "token", "token": "test-token"},
            },
            "telemetry": {"enabled": False},
            "update": {"checkOnStart": False},
            **members,
        }
        if plugin_config is not None:
            document["plugins"] = {"entries": {PLUGIN_ID: {"enabled": True, "config": plugin_config}}}
        self.config_path.write_text(json.dumps(document, indent=2))
        self.config_path.chmod(0o600)
        os.chown(self.config_path, self.state.stat().st_uid, self.state.stat().st_gid)

    def config(self) -> Any:
        return json.loads(self.config_path.read_text())

    def run(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **self.identity,
        )

    def run_json(self, *arguments: str) -> Any:
        completed = self.run(*arguments)
        assert completed.returncode == 0, completed.stderr + completed.stdout
        return json.loads(completed.stdout)

    def converse(
        self, arguments: list[str], answers: list[tuple[str, str]], *, timeout: float = 240
    ) -> tuple[int, str]:
        """Run a command on a terminal; type each answer (Ctrl-U first) when its question has appeared.

        An answer of "" just presses Enter and so accepts what is pre-filled. Returns (status, screen text).
        """
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            os.execve(self.command[0], [*self.command, *arguments], self.environment)
        # Without a size the prompts wrap after each character.
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        screen = ""
        seen = 0
        deadline = time.monotonic() + timeout
        pending = list(answers)
        try:
            while time.monotonic() < deadline:
                ready, _writable, _exceptional = select.select([terminal], [], [], 0.3)
                if ready:
                    try:
                        piece = os.read(terminal, 65536)
                    except OSError:
                        break
                    if not piece:
                        break
                    screen += _TERMINAL_CODES.sub("", piece.decode("utf-8", "replace"))
                elif pending and pending[0][0] in screen[seen:]:
                    _question, answer = pending.pop(0)
                    seen = len(screen)
                    if answer:
                        os.write(terminal, b"\x15" + answer.encode())
                        time.sleep(0.2)
                    os.write(terminal, b"\r")
            else:
                os.kill(pid, signal.SIGKILL)
            _pid, status = os.waitpid(pid, 0)
        finally:
            os.close(terminal)
        assert not pending, f"never asked: {pending[0][0]!r}\n{screen}"
        return os.waitstatus_to_exitcode(status), screen

    def start_gateway(self, *, seconds: float = 90) -> None:
        with self.log_path.open("ab") as log:
            self.gateway = subprocess.Popen(
                [*self.command, "gateway", "--port", str(self.gateway_port)],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self.is_ready, seconds=seconds, what=f"gateway ready\n{self.log()}")

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway_port}/readyz", timeout=2) as response:
                return json.load(response).get("ready") is True
        except (OSError, ValueError):
            return False

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop_gateway(self, how: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> None:
        if self.gateway is None:
            return
        if self.gateway.poll() is None:
            self.gateway.send_signal(how)
            try:
                self.gateway.wait(seconds)
            except subprocess.TimeoutExpired:
                self.gateway.kill()
                self.gateway.wait(10)
                raise AssertionError("the gateway did not stop") from None
        self.gateway = None


class Terminal:
    """A shell on a terminal, in which somebody types commands; it finds ``openclaw`` and ``npm``."""

    PROMPT = "typed-here> "

    def __init__(self, openclaw: OpenClaw, directory: Path) -> None:
        programs = openclaw.home / "bin"
        programs.mkdir()
        node, program = openclaw.command
        npm = Path(node).resolve().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
        for name, script in (("openclaw", program), ("npm", str(npm))):
            (programs / name).write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
            (programs / name).chmod(0o755)
        environment = {**openclaw.environment, "PS1": self.PROMPT}
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(directory)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], environment)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
        self._read_until(self.PROMPT, 20)

    def _read_until(self, text: str, seconds: float) -> str:
        screen = ""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _writable, _exceptional = select.select([self._terminal], [], [], 0.3)
            if ready:
                piece = os.read(self._terminal, 65536).decode("utf-8", "replace")
                screen += _TERMINAL_CODES.sub("", piece)
            elif text in screen:
                return screen
        raise AssertionError(f"not within {seconds:.0f} s: {text!r}\n{screen}")

    def type(self, line: str, answers: list[tuple[str, str]] | None = None, *, seconds: float = 180) -> str:
        """Type a line and an answer to each question ("" accepts what is there); what a command that succeeds says."""
        os.write(self._terminal, line.encode() + b"\r")
        screen = ""
        for question, answer in answers or []:
            screen += self._read_until(question, seconds)
            if answer:
                os.write(self._terminal, b"\x15" + answer.encode())
                time.sleep(0.2)
            os.write(self._terminal, b"\r")
        screen += self._read_until(self.PROMPT, seconds)
        os.write(self._terminal, b"echo status=$?\r")
        status = self._read_until(self.PROMPT, 20)
        assert "status=0" in status.replace("echo status=", ""), f"{line}\n{screen}{status}"
        return screen

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)


def processes_with(mark: str) -> list[int]:
    """Process ids whose environment holds ``mark``, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes() and "(Z" not in (entry / "status").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
