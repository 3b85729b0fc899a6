# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _installation


def install(prefix: Path, version: str, *, node: bool = True, name: str = "openclaw") -> Path:
    directory = prefix / "lib/node_modules/openclaw"
    directory.mkdir(parents=True)
    (directory / "package.json").write_text(json.dumps({"name": name, "version": version}))
    (directory / "openclaw.mjs").touch()
    if node:
        (prefix / "bin").mkdir()
        (prefix / "bin/node").touch(mode=0o755)
    return directory


def test_npm_prefix_in_the_home_is_found(tmp_path: Path) -> None:
    directory = install(tmp_path / ".npm-global", "2026.9.6")
    found = _installation.find(str(tmp_path))
    assert found.found and found.version == "2026.9.6" and found.package_directory == str(directory)
    assert found.command == [str(tmp_path / ".npm-global/bin/node"), str(directory / "openclaw.mjs")]


def test_newest_node_of_a_version_manager_wins(tmp_path: Path) -> None:
    install(tmp_path / ".nvm/versions/node/v22.1.0", "2026.5.7")
    install(tmp_path / ".nvm/versions/node/v24.16.0", "2026.9.6")
    assert _installation.find(str(tmp_path)).version == "2026.9.6"


def test_given_directory_is_the_only_one_searched(tmp_path: Path) -> None:
    install(tmp_path / ".npm-global", "2026.9.6")
    other = install(tmp_path / "other", "2026.8.1", node=False)
    found = _installation.find(str(tmp_path), package_directory=str(other))
    assert found.version == "2026.8.1" and found.searched == [str(other)]


def test_package_of_another_name_is_not_openclaw(tmp_path: Path) -> None:
    other = install(tmp_path, "9.9.9", name="clawhub")
    assert not _installation.find("", package_directory=str(other)).found


def test_nothing_found_says_where_it_looked(tmp_path: Path) -> None:
    found = _installation.find(str(tmp_path), package_directory=str(tmp_path / "nowhere"))
    assert not found.found and found.command == [] and found.searched == [str(tmp_path / "nowhere")]
    assert str(tmp_path / ".npm-global/lib/node_modules/openclaw") in _installation.candidate_directories(str(tmp_path))


def process(proc: Path, number: int, *arguments: str, node: Path | None = None) -> None:
    directory = proc / str(number)
    directory.mkdir(parents=True)
    (directory / "cmdline").write_bytes(b"".join(argument.encode() + b"\0" for argument in arguments))
    if node is not None:
        (directory / "exe").symlink_to(node)


def unpacked_node(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "node").touch(mode=0o755)
    return directory / "node"


def test_node_of_the_running_gateway_wins(tmp_path: Path) -> None:
    directory = install(tmp_path / ".npm-global", "2026.9.6")
    node = unpacked_node(tmp_path / "node-v24/bin")
    script = directory / "dist/index.js"
    script.parent.mkdir()
    script.touch()
    process(tmp_path / "proc", 7, str(node), "--max-old-space-size=8192", str(script), "gateway", "--port", "18789")
    running = _installation.running_gateways(os.getuid(), str(tmp_path / "proc"))
    assert running == [(str(directory), str(node))]
    found = _installation.find(str(tmp_path), running=running)
    assert found.command == [str(node), str(directory / "openclaw.mjs")]


def test_running_gateway_is_found_where_npm_would_not_put_it(tmp_path: Path) -> None:
    install(tmp_path / ".npm-global", "2026.8.1")
    elsewhere = install(tmp_path / "elsewhere", "2026.9.6")
    found = _installation.find(str(tmp_path), running=[(str(elsewhere), "")])
    assert found.version == "2026.9.6" and found.node == str(tmp_path / "elsewhere/bin/node")


def test_given_directory_takes_the_node_that_runs_it_and_no_other(tmp_path: Path) -> None:
    directory = install(tmp_path / ".npm-global", "2026.9.6")
    other = install(tmp_path / "other", "2026.8.1")
    node = str(unpacked_node(tmp_path / "node-v24/bin"))
    running = [(str(directory), node)]
    assert _installation.find("", package_directory=str(directory), running=running).node == node
    assert _installation.find("", package_directory=str(other), running=running).node == str(
        tmp_path / "other/bin/node"
    )


def test_gateway_started_through_its_link_names_no_node_and_the_kernel_does(tmp_path: Path) -> None:
    directory = install(tmp_path / ".npm-global", "2026.9.6")
    node = unpacked_node(tmp_path / "node-v24/bin")
    link = tmp_path / ".npm-global/bin/openclaw"
    link.symlink_to(directory / "openclaw.mjs")
    process(tmp_path / "proc", 7, "node", str(link), "gateway", node=node)
    process(tmp_path / "proc", 8, "node", str(link), "gateway")
    assert _installation.running_gateways(os.getuid(), str(tmp_path / "proc")) == [
        (str(directory), str(node)),
        (str(directory), ""),
    ]


def test_other_processes_and_other_users_are_no_gateway(tmp_path: Path) -> None:
    directory = install(tmp_path / ".npm-global", "2026.9.6")
    node, proc = str(tmp_path / ".npm-global/bin/node"), tmp_path / "proc"
    process(proc, 7, node, str(directory / "openclaw.mjs"), "models", "status")
    process(proc, 8, node, str(tmp_path / "gateway.js"), "gateway")
    process(proc, 9)
    (proc / "self").mkdir()
    (proc / "10").mkdir()
    assert _installation.running_gateways(os.getuid(), str(proc)) == []
    process(proc, 11, node, str(directory / "openclaw.mjs"), "gateway")
    assert _installation.running_gateways(os.getuid() + 1, str(proc)) == []
    assert _installation.running_gateways(os.getuid(), str(proc)) == [(str(directory), node)]
