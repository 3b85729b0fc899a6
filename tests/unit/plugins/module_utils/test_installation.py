# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
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
