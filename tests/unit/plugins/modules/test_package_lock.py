# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.modules import package_lock


def lock_of(content: bytes) -> bytes:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    return json.dumps({"packages": {"": {}, "node_modules/x": {"version": "1.0.0", "integrity": integrity}}}).encode()


class Module:
    def __init__(self, tmpdir: Path) -> None:
        self.tmpdir = str(tmpdir)

    def atomic_move(self, source: str, target: str) -> None:
        Path(source).replace(target)


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    dest = tmp_path / "lock"
    (dest / "archives").mkdir(parents=True)
    (dest / "package-lock.json").write_bytes(lock_of(b"old"))
    (dest / "archives/x-1.0.0.tgz").write_bytes(b"old")
    (dest / "archives/somebody-elses.tgz").write_bytes(b"precious")
    return dest


def test_only_the_archive_that_the_old_lock_pinned_goes(dest: Path, tmp_path: Path) -> None:
    files = {"package-lock.json": lock_of(b"new"), "archives/x-2.0.0.tgz": b"new"}
    paths = package_lock.differing(str(dest), files)
    assert [str(Path(path).relative_to(dest)) for path in paths] == [
        "archives/x-1.0.0.tgz",
        "archives/x-2.0.0.tgz",
        "package-lock.json",
    ]
    module: Any = Module(tmp_path)
    package_lock.write(module, str(dest), files, paths)
    assert sorted(path.name for path in (dest / "archives").iterdir()) == ["somebody-elses.tgz", "x-2.0.0.tgz"]
    assert package_lock.differing(str(dest), files) == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"packages": []}', b'{"packages": {"x": 1}}', b"[" * 60_000])
def test_without_a_lock_that_can_be_read_nothing_goes(dest: Path, content: bytes) -> None:
    (dest / "package-lock.json").write_bytes(content)
    assert package_lock.differing(str(dest), {}) == []
