# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenClaw in the private network, as a user of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

UID = 64321
GATEWAY_PORT = 18789
TOKEN = "test-token"
_READ_AT_EACH_TURN = "channels.modelByChannel"
_WRAPPER = """
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec setpriv --reuid=%(uid)d --regid=%(uid)d --clear-groups -- "$@"
"""


def from_environment(name: str) -> Path:
    value = os.environ.get(name, "")
    if not value or not Path(value).exists():
        raise RuntimeError(f"{name} is {value!r}; ./test leaks sets it, and tests/leaks/README.md says to what")
    return Path(value)


def wait_until(condition: Callable[[], Value], *, seconds: float, what: Callable[[], str]) -> Value:
    """The first true value of ``condition()``; fails with ``what()`` when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what()}"
        time.sleep(0.1)


class RealOpenClaw:
    """One home directory, one state directory, and the commands and the gateway that run there.

    :param home: is made here.
    :param mounts: files that take another file's place for the program.
    :param authority: certificate of the test authority.
    """

    def __init__(self, home: Path, *, mounts: Sequence[tuple[Path, Path]], authority: Path) -> None:
        self.home = home
        self._mounts = mounts
        self._authority = authority
        self.state = home / ".openclaw"
        self.config_path = self.state / "openclaw.json"
        self.log_path = home.parent / f"{home.name}.log"
        node = from_environment("FAILCLOSED_NODE")
        package = from_environment("FAILCLOSED_OPENCLAW")
        self.version = str(json.loads((package / "package.json").read_text())["version"])
        self.programs = home / "bin"
        mounted = [str(path) for pair in mounts for path in pair]
        self._wrapper = ["unshare", "--mount", "--propagation=private", "sh", "-ec", _WRAPPER % {"uid": UID}, "sh"]
        self._command = [*self._wrapper, *mounted, "--", str(node), str(package / "openclaw.mjs")]
        self.environment = {
            "HOME": str(home),
            "PATH": f"{self.programs}:{node.parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "NODE_COMPILE_CACHE": str(home.parent / "compile-cache"),
            "NODE_EXTRA_CA_CERTS": str(authority),
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_NO_AUTO_UPDATE": "1",
            "OPENCLAW_NO_RESPAWN": "1",
            # What the role openclaw_gateway gives a managed gateway, and what an adopted one should have.
            "NO_PROXY": "127.0.0.1,localhost",
        }
        for directory in (home, self.state, self.programs):
            directory.mkdir(mode=0o700)
            os.chown(directory, UID, UID)
        compile_cache = home.parent / "compile-cache"
        compile_cache.mkdir(exist_ok=True)
        os.chown(compile_cache, UID, UID)
        self._gateway: subprocess.Popen[bytes] | None = None

    def sibling(self, name: str) -> RealOpenClaw:
        """Another one, whose home is beside this one's."""
        return RealOpenClaw(self.home.with_name(name), mounts=self._mounts, authority=self._authority)

    def give(self, path: Path) -> None:
        os.chown(path, UID, UID)

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Write a file of the gateway's user, in one step, so that a running gateway never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.chmod(mode)
        self.give(temporary)
        for directory in path.parents:
            if directory == self.home:
                break
            self.give(directory)
        temporary.rename(path)

    def write_config(self, config: Mapping[str, Any]) -> None:
        self.write(self.config_path, json.dumps(config, indent=2) + "\n")

    def command(self, *arguments: str) -> list[str]:
        """The command line, to run with ``environment`` in ``home``."""
        return [*self._command, *arguments]

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            env={**self.environment, **(environment or {})},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run_json(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        completed = self.run(*arguments, environment=environment)
        assert completed.returncode == 0, f"openclaw {' '.join(arguments)}: {completed.stderr}{completed.stdout}"
        return json.loads(completed.stdout[completed.stdout.index("{") :])

    def call(self, method: str, parameters: Mapping[str, Any]) -> Any:
        """Call a method of the running gateway."""
        return self.run_json("gateway", "call", method, "--params", json.dumps(parameters), "--token", TOKEN, "--json")

    def start_gateway(self, environment: Mapping[str, str] | None = None, *, seconds: float = 300) -> None:
        assert self._gateway is None
        with self.log_path.open("wb") as log:
            self._gateway = subprocess.Popen(
                [*self._command, "gateway", "--port", str(GATEWAY_PORT)],
                env={**self.environment, **(environment or {})},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_ready, seconds=seconds, what=self.log)

    def _is_ready(self) -> bool:
        assert self._gateway is not None and self._gateway.poll() is None, f"the gateway ended\n{self.log()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{GATEWAY_PORT}/readyz", timeout=2) as response:
                return json.load(response).get("ready") is True
        except (OSError, ValueError):
            return False

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop_gateway(self) -> None:
        gateway, self._gateway = self._gateway, None
        if gateway is None or gateway.poll() is not None:
            return
        gateway.send_signal(signal.SIGTERM)
        try:
            gateway.wait(30)
        except subprocess.TimeoutExpired:
            gateway.kill()
            gateway.wait(10)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Give the running gateway another configuration, and wait until it has applied it."""
        seen = len(self.log())
        self.write_config(config)
        written = time.monotonic()

        def applied() -> bool:
            news = self.log()[seen:]
            assert "config reload skipped" not in news, news
            # OpenClaw says nothing more of a change for which nothing has to be loaded again.
            if f"evaluating reload ({_READ_AT_EACH_TURN})" in news:
                return time.monotonic() - written > 5
            # Some changes restart the gateway within its process.
            return "config hot reload applied" in news or ("restart" in news and "[gateway] ready" in news)

        wait_until(applied, seconds=60, what=lambda: self.log()[seen:])

    def turn(
        self,
        *,
        agent: str = "main",
        text: str = "hi",
        session: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 180,
    ) -> tuple[int, str]:
        """Run one turn of an agent in the gateway; return HTTP status and body."""
        return self.post(
            "/v1/chat/completions",
            {"model": f"openclaw/{agent}", "messages": [{"role": "user", "content": text}]},
            headers={**({"x-openclaw-session-key": session} if session else {}), **(headers or {})},
            timeout=timeout,
        )

    def post(
        self, path: str, document: object, *, headers: Mapping[str, str] | None = None, timeout: float = 180
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", GATEWAY_PORT, timeout=timeout)
        try:
            connection.request(
                "POST",
                path,
                json.dumps(document),
                {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", **(headers or {})},
            )
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def remove(self) -> None:
        self.stop_gateway()
        shutil.rmtree(self.home)
