# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Do one thing with the authority of another user, and of nobody else.

The child executes no program. That keeps it undumpable after it gave up root, so that nobody of the same uid can look
into it or speak in its place.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

MAXIMUM_ANSWER_BYTES = 16 * 1024 * 1024
MEMORY_BYTES = 1024 * 1024 * 1024

Answer = TypeVar("Answer")


class OtherUserError(Exception):
    """There is no answer; the text says why."""


def call_as(uid: int, gid: int, function: Callable[[], Answer], *, timeout_seconds: float) -> Answer:
    """What ``function`` returns in a child process of that user; it must fit into JSON.

    Only root can become somebody else; everybody else calls it with what they have. The child has no supplementary
    groups, leaves no core, and may map MEMORY_BYTES more than the caller has. Raises OtherUserError when it fails,
    takes longer than ``timeout_seconds`` or answers more than MAXIMUM_ANSWER_BYTES.
    """
    address_space = _mapped_bytes() + MEMORY_BYTES
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            os.chdir("/")
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _lower_limit(resource.RLIMIT_AS, address_space)
            _write(writing, json.dumps({"answer": function()}).encode())
            status = 0
        finally:
            # Nothing may unwind into the parent's code, so this is where an error ends.
            error = sys.exc_info()[1]
            if error is not None:
                with suppress(OSError):
                    _write(writing, json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}).encode())
            os._exit(status)
    os.close(writing)
    content, complete = bytearray(), False
    deadline = time.monotonic() + timeout_seconds
    try:
        while not complete and len(content) <= MAXIMUM_ANSWER_BYTES:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([reading], [], [], remaining)[0]:
                break
            piece = os.read(reading, 1 << 16)
            complete = not piece
            content += piece
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not complete:
        raise OtherUserError("it takes too long, or gives too much")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not ("answer" in document or "error" in document):
        raise OtherUserError(f"a process of uid {uid} ended without an answer")
    if "error" in document:
        # What it says may come from whoever owns the files, and it ends on a terminal.
        raise OtherUserError("".join(each for each in str(document["error"]) if each.isprintable()))
    return cast("Answer", document["answer"])


def _mapped_bytes() -> int:
    """The size of this process's address space (``statm`` in proc(5))."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _lower_limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
