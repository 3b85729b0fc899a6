# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root edits while the owner of the directory attacks: nothing of root's is changed, read or waited for."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _json5
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import fake_openclaw

ATTACKER = 65534
SECONDS = 5
AT_MOST_SECONDS = 120
SECRET = "CANARY-7f3a-of-root"
OF_ROOT = f'{{ meta: {{}}, gateway: {{ mode: "local", note: "{SECRET}" }} }}\n'


def seen(directory: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(directory.iterdir()):
        status = path.lstat()
        found[path.name] = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_ino)
    return found


def test_root_edits_under_attack(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test is about root: run it as root")
    for parent in tmp_path.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    home, victim = tmp_path / "home", tmp_path / "victim"
    state = home / ".openclaw"
    victim.mkdir()
    (victim / "openclaw.json").write_text(OF_ROOT)
    (victim / "openclaw.json").chmod(0o600)
    # Where the kernel protects hard links, this is one that the attacker may link all the same.
    (victim / "open.json").write_text(OF_ROOT)
    (victim / "open.json").chmod(0o666)
    state.mkdir(parents=True)
    for path in (home, state):
        path.chmod(0o700)
        os.chown(path, ATTACKER, ATTACKER)
    program = Path(__file__).with_name("hostile_owner.py").read_text()
    before = seen(victim)

    attacker = subprocess.Popen(
        [fake_openclaw.interpreter(), "-I", "-c", program, str(state), str(victim)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=ATTACKER,
        group=ATTACKER,
        extra_groups=[],
    )
    assert attacker.stdin is not None and attacker.stdout is not None
    outcomes: list[str] = []
    slowest = 0.0
    try:
        assert attacker.stdout.readline() == "ready\n"
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < SECONDS or outcomes.count("changed") < 2:
            assert spent < AT_MOST_SECONDS and attacker.poll() is None, outcomes[-3:]
            outcomes.append(edit(tmp_path, state, len(outcomes)))
            slowest = max(slowest, time.monotonic() - begun - spent)
    finally:
        with suppress(BrokenPipeError):
            attacker.stdin.write("end\n")
            attacker.stdin.close()
        attacks = int(attacker.stdout.read() or 0)
        attacker.stdout.close()
        attacker.wait(30)
    assert seen(victim) == before
    assert slowest < 30
    # Both were in each other's way, and not only once.
    assert attacks > 50 and len(set(outcomes)) > 2, (attacks, set(outcomes))
    assert not any(SECRET in outcome for outcome in outcomes)
    for path in (each for each in tmp_path.rglob("*") if each.is_file() and victim not in each.parents):
        assert SECRET.encode() not in path.read_bytes(), path
        if "backups" in path.parts or "cache" in path.parts:
            assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, 0)
    # He stops, and everything is as if he had never been there.
    assert edit(tmp_path, state, -1) == "changed"
    assert _json5.loads((state / "openclaw.json").read_text())["channels"] == {"n": -1}
    assert (state / "openclaw.json").stat().st_uid == ATTACKER


def edit(root: Path, state: Path, number: int) -> str:
    """One edit; the outcome without what differs from run to run."""
    try:
        _config_edit.apply(
            _config_edit.ConfigFile(path=str(state / "openclaw.json"), backup_directory=str(root / "backups")),
            _config_edit.DesiredState(patch={"channels": {"n": number}}),
            _config_edit.Validation(user="nobody"),
            cache_directory=str(root / "cache"),
            check_mode=False,
        )
    except _config_edit.ConfigEditError as error:
        return str(error).replace(str(root), "")
    return "changed"
