# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks and collection metadata that users start from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
INVENTORIES = sorted((ROOT / "inventory").glob("*.yml"))


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_playbook_parses_in_a_clone(playbook: Path) -> None:
    run = ansible("ansible-playbook", "--syntax-check", "-i", str(INVENTORIES[0]), str(playbook.relative_to(ROOT)))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_every_example_inventory_has_hosts_for_the_playbooks(inventory: Path) -> None:
    run = ansible("ansible", "--list-hosts", "-i", str(inventory), "openclaw")
    assert run.returncode == 0, run.stderr
    assert "hosts (0)" not in run.stdout


def test_no_inventory_is_used_that_nobody_named() -> None:
    run = ansible("ansible", "--list-hosts", "all")
    assert run.returncode == 0, run.stderr
    assert "hosts (0)" in run.stdout


def test_the_collection_depends_on_ansible_core_alone() -> None:
    galaxy: dict[str, Any] = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    runtime: dict[str, Any] = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    environment: dict[str, Any] = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())
    assert galaxy["dependencies"] == {}
    assert runtime["requires_ansible"] == ">=2.18.0"
    assert environment["dependencies"] == {}
