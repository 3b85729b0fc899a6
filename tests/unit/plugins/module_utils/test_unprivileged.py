# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _unprivileged
from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import (
    TRANSIENT_UIDS,
    UnprivilegedError,
    install_user,
    kill_all_of,
    lock_uid,
    processes_by_uid,
)

PYTHON = "/usr/bin/python3"
PLAIN = {"PATH": "/usr/bin:/bin"}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def run(user, argv, *, seconds=20.0, environment=None):
    return user.run(
        argv, cwd="/", environment=PLAIN if environment is None else environment, deadline=time.monotonic() + seconds
    )


@pytest.fixture
def locks(tmp_path):
    return str(tmp_path / "locks")


def test_a_program_gets_exactly_the_given_environment(locks):
    with install_user(locks) as user:
        finished = run(user, ["/usr/bin/env"], environment={"A": "b"})
    assert (finished.returncode, finished.output) == (0, "A=b\n")
    assert user.started == 1


def test_exit_status_and_both_outputs_are_returned(locks):
    with install_user(locks) as user:
        finished = run(user, ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (finished.returncode, finished.output) == (3, "out\nerr\n")


def test_a_program_that_takes_too_long_is_killed_with_its_children(locks, tmp_path):
    before = time.monotonic()
    with install_user(locks) as user, pytest.raises(UnprivilegedError, match="did not end in time"):
        run(user, ["/bin/sh", "-c", "sleep 613 & sleep 613"], seconds=0.3)
    assert time.monotonic() - before < 10
    assert b"sleep 613" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout


def test_a_program_that_is_missing_is_named(locks):
    with install_user(locks) as user, pytest.raises(UnprivilegedError, match="/no/such/program"):
        run(user, ["/no/such/program"])


def test_output_is_kept_to_its_end(locks, monkeypatch):
    monkeypatch.setattr(_unprivileged, "OUTPUT_LIMIT", 10)
    with install_user(locks) as user:
        assert run(user, ["/bin/sh", "-c", "echo 0123456789; echo end"]).output == "456789\nend\n"[-10:]


@needs_root
def test_root_becomes_a_uid_that_nobody_is(locks):
    with install_user(locks) as user:
        assert user.uid in TRANSIENT_UIDS
        finished = run(user, ["/bin/sh", "-c", "id -u; id -g; id -G; umask; grep NoNewPrivs /proc/self/status"])
    uid = str(user.uid)
    assert finished.output.split() == [uid, uid, uid, "0022", "NoNewPrivs:", "1"]


@needs_root
def test_what_leaves_its_process_group_is_killed_too(locks):
    program = "import os, time\nif os.fork() == 0:\n os.setsid()\n os.fork()\n time.sleep(600)"
    with install_user(locks) as user:
        assert run(user, [PYTHON, "-c", program]).returncode == 0
        assert processes_by_uid().get(user.uid, []) == []


@needs_root
def test_the_program_dies_with_the_process_that_started_it(locks):
    program = (
        "import os, sys, time\n"
        "from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import install_user\n"
        f"with install_user({locks!r}) as user:\n"
        "    print(user.uid, flush=True)\n"
        "    user.run(['/bin/sleep', '600'], cwd='/', environment={}, deadline=time.monotonic() + 600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    uid = int(child.stdout.readline())
    deadline = time.monotonic() + 10
    while not processes_by_uid().get(uid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_by_uid().get(uid), "the positive control: it ran"
    child.kill()
    child.wait()
    child.stdout.close()
    while processes_by_uid().get(uid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_by_uid().get(uid)


@needs_root
def test_two_installs_never_share_a_uid(locks, monkeypatch):
    monkeypatch.setattr(_unprivileged, "TRANSIENT_UIDS", range(60900, 60902))
    with install_user(locks) as one, install_user(locks) as two:
        assert {one.uid, two.uid} == {60900, 60901}
        with pytest.raises(UnprivilegedError, match="no free uid"), install_user(locks):
            pass
    with install_user(locks) as again:
        assert again.uid in (60900, 60901)


@needs_root
def test_a_uid_with_a_process_or_a_name_is_not_taken(locks, monkeypatch):
    monkeypatch.setattr(_unprivileged, "TRANSIENT_UIDS", range(60900, 60902))
    monkeypatch.setattr(_unprivileged, "processes_by_uid", dict)
    monkeypatch.setattr(_unprivileged, "_name_is_taken", lambda uid: uid == 60900)
    with install_user(locks) as user:
        assert user.uid == 60901
    monkeypatch.setattr(_unprivileged, "processes_by_uid", lambda: {60901: [4711]})
    with pytest.raises(UnprivilegedError, match="no free uid"), install_user(locks):
        pass


def test_a_lock_can_be_held_once(locks):
    held = lock_uid(60950, locks)
    assert held is not None
    assert lock_uid(60950, locks) is None
    os.close(held)
    again = lock_uid(60950, locks)
    assert again is not None
    os.close(again)


@pytest.mark.parametrize("uid", [0, 1, 1000, 60705, 61184, 65534, -1])
def test_only_transient_users_are_killed(uid, monkeypatch):
    monkeypatch.setattr(_unprivileged, "processes_by_uid", lambda: pytest.fail("it looked for processes"))
    with pytest.raises(ValueError, match="not a transient one"):
        kill_all_of(uid)


def test_zombies_do_not_count():
    assert _unprivileged._uids_of("State:\tZ (zombie)\nUid:\t5\t5\t5\t5\n") == set()
    assert _unprivileged._uids_of("State:\tS (sleeping)\nUid:\t5\t6\t7\t8\n") == {5, 6, 7, 8}
