# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits in processes of their own, which strace(1) kills or deceives at a system call of one's choice.

Run as a program, this is a server: everything is imported once, and each edit is made in a fork that waits for
SIGUSR1. So a tracer stands by before the first system call of the edit, and counts nothing of Python's start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

# They only concern the process's own memory, clock and signals, and their number varies.
_WITHOUT_EFFECT = frozenset(
    ("mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "getrandom", "clock_gettime", "clock_nanosleep")
) | {"rt_sigaction", "rt_sigprocmask", "rt_sigtimedwait", "restart_syscall", "exit_group"}
_CALL = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
# What changes something on a disk; openat does with O_CREAT.
_CHANGING = frozenset(
    ("mkdirat", "write", "fsync", "fchown", "fchmod", "fsetxattr", "fremovexattr", "linkat", "unlinkat", "renameat")
) | {"renameat2", "flock"}


class SystemCall(NamedTuple):
    """One system call of an edit: its name, the how-manieth of this name it is (from 1), and its arguments."""

    name: str
    number: int
    arguments: str

    @property
    def changes_the_disk(self) -> bool:
        return self.name in _CHANGING or (self.name == "openat" and "O_CREAT" in self.arguments)


class Ended(NamedTuple):
    """How an edit ended: killed, or with what it reported."""

    killed: bool
    report: dict[str, Any]


class EditingProcess:
    """The server and its tracer."""

    def __init__(self, logs: Path) -> None:
        if shutil.which("strace") is None:
            raise RuntimeError("strace is missing; install the Debian package strace")
        self._log = logs / "strace.log"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(10)

    def _line(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        document: dict[str, Any] = json.loads(self._server.stdout.readline())
        return document

    def edit(self, request: dict[str, Any], tracing: Sequence[str]) -> Ended:
        """Make one edit under strace with these options."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        pid = self._line()["pid"]
        tracer = subprocess.Popen(
            ["strace", "-p", str(pid), "-o", str(self._log), *tracing], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        try:
            said = tracer.stderr.readline()
            if "attached" not in said:
                os.kill(pid, signal.SIGKILL)
                raise RuntimeError(f"strace cannot trace here: {said}")
            os.kill(pid, signal.SIGUSR1)
            report: dict[str, Any] = {}
            while True:
                line = self._line()
                if "status" in line:
                    break
                report = line
        finally:
            tracer.communicate(timeout=30)
        return Ended(os.WIFSIGNALED(line["status"]), report)

    def system_calls(self, request: dict[str, Any], *tracing: str) -> list[SystemCall]:
        """Every system call that an undisturbed edit makes and that has an effect outside the process."""
        ended = self.edit(request, [*tracing, "-s", "0"])
        assert ended.report.get("changed") is True, ended
        seen: Counter[str] = Counter()
        calls = []
        for line in self._log.read_text().splitlines():
            match = _CALL.match(line)
            if match is None or match.group(1) in _WITHOUT_EFFECT:
                continue
            name = match.group(1)
            seen[name] += 1
            calls.append(SystemCall(name, seen[name], match.group(2)))
        # The last one is the report.
        assert calls[-1].name == "write"
        return calls[:-1]

    def kill_at(self, call: SystemCall, request: dict[str, Any], *tracing: str) -> Ended:
        """End the process by SIGKILL when it enters the system call, which is not made any more."""
        inject = f"inject={call.name}:signal=KILL:when={call.number}"
        # What is not traced is not tampered with either.
        only = () if tracing else ("-e", f"trace={call.name}")
        return self.edit(request, [*only, "-e", inject, *tracing])

    def fail_at(self, call: SystemCall, code: str, request: dict[str, Any]) -> Ended:
        """Let the system call fail with an error, without being made."""
        inject = f"inject={call.name}:error={code}:when={call.number}"
        return self.edit(request, ["-e", f"trace={call.name}", "-e", inject])


def _serve() -> None:
    import ctypes  # noqa: F401
    import hmac  # noqa: F401

    from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _managed_schema, _schema

    _schema.validate({}, _managed_schema.MANAGED_SCHEMA)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

    def edit(request: dict[str, Any]) -> dict[str, Any]:
        try:
            result = _config_edit.apply(
                _config_edit.ConfigFile(**request["file"]),
                _config_edit.DesiredState(**request["desired"]),
                _config_edit.Validation(),
                cache_directory=request["cache"],
                check_mode=False,
            )
        except _config_edit.ConfigEditError as error:
            return {"error": str(error)}
        except BaseException:  # noqa: BLE001 - whatever it is, the test has to know
            return {"crash": traceback.format_exc()}
        return {"changed": result.changed}

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            # By itself, so that nothing of its own start is still to come when a tracer counts.
            os.write(1, (json.dumps({"pid": os.getpid()}) + "\n").encode())
            signal.sigwait({signal.SIGUSR1})
            report = edit(json.loads(line))
            os.write(1, (json.dumps(report) + "\n").encode())
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        os.write(1, (json.dumps({"status": status}) + "\n").encode())


if __name__ == "__main__":
    _serve()
