# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import mmap
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _other_user

ME = (os.geteuid(), os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_work_is_done_as_the_user_and_nobody_may_look_into_it() -> None:
    def work() -> list[Any]:
        try:
            with open("/proc/self/mem", "rb"):  # noqa: PTH123
                dumpable = True
        except PermissionError:
            dumpable = False
        limits = resource.getrlimit(resource.RLIMIT_CORE)
        return [list(os.getresuid()), list(os.getresgid()), os.getgroups(), dumpable, list(limits), os.getcwd()]

    expected = [[65534] * 3, [65534] * 3, [], False, [0, 0], "/"]
    assert _other_user.call_as(65534, 65534, work, timeout_seconds=20) == expected


def test_an_error_is_named_and_does_not_unwind_here() -> None:
    def work() -> None:
        raise ValueError("\x1b[31mwrong")

    with pytest.raises(_other_user.OtherUserError, match=r"^ValueError: \[31mwrong$"):
        _other_user.call_as(*ME, work, timeout_seconds=20)


def test_a_child_that_dies_is_an_error() -> None:
    with pytest.raises(_other_user.OtherUserError, match="ended without an answer"):
        _other_user.call_as(*ME, lambda: os._exit(9), timeout_seconds=20)


def test_work_without_end_is_ended_and_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    with pytest.raises(_other_user.OtherUserError, match="takes too long"):
        _other_user.call_as(*ME, work, timeout_seconds=2)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_other_user, "MAXIMUM_ANSWER_BYTES", 100_000)
    with pytest.raises(_other_user.OtherUserError, match="too much"):
        _other_user.call_as(*ME, lambda: "x" * 1_000_000, timeout_seconds=20)


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(_other_user.OtherUserError, match="TypeError"):
        _other_user.call_as(*ME, object, timeout_seconds=20)


@pytest.mark.parametrize(
    "answer", [b"", b"5", b"null", b"[]", b'"answer"', b"{}", b'{"answer": 1', b"[" * 200_000, b"\xff"]
)
def test_an_answer_of_another_form_is_an_error(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    written = _other_user._write
    monkeypatch.setattr(_other_user, "_write", lambda descriptor, _content: written(descriptor, answer))
    with pytest.raises(_other_user.OtherUserError, match=f"^a process of uid {ME[0]} ended without an answer$"):
        _other_user.call_as(*ME, lambda: 1, timeout_seconds=20)


def test_an_answer_of_nothing_is_an_answer() -> None:
    assert _other_user.call_as(*ME, lambda: None, timeout_seconds=20) is None


@pytest.mark.parametrize("inherited", [0, 2 * _other_user.MEMORY_BYTES])
def test_the_memory_is_bounded_on_top_of_what_the_caller_has(inherited: int) -> None:
    def maps(size: int) -> bool:
        with mmap.mmap(-1, size):
            return True

    held = mmap.mmap(-1, inherited) if inherited else None
    try:
        assert _other_user.call_as(*ME, lambda: maps(_other_user.MEMORY_BYTES // 2), timeout_seconds=20)
        with pytest.raises(_other_user.OtherUserError, match="OSError"):
            _other_user.call_as(*ME, lambda: maps(2 * _other_user.MEMORY_BYTES), timeout_seconds=20)
    finally:
        if held is not None:
            held.close()


def test_a_limit_that_is_already_lower_stays() -> None:
    limit = _other_user._mapped_bytes() + _other_user.MEMORY_BYTES // 2

    def work() -> list[int]:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return _other_user.call_as(*ME, lambda: list(resource.getrlimit(resource.RLIMIT_AS)), timeout_seconds=20)

    assert _other_user.call_as(*ME, work, timeout_seconds=30) == [limit, limit]
