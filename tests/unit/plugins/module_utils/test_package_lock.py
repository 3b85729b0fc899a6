# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils._package_lock import (
    Wanted,
    lock_npm,
    lock_pip,
    platforms,
    read_archive,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import ReleaseError

INTEGRITY = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
NPM_ARGUMENTS = [
    "install",
    "--package-lock-only",
    "--ignore-scripts",
    "--omit-lockfile-registry-resolved",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
]


class Npm:
    """Writes the lock that npm would; records how it was called."""

    def __init__(self, entry: dict[str, Any], *, status: int = 0, errors: str = "") -> None:
        self.entry, self.status, self.errors = entry, status, errors
        self.calls: list[tuple[list[str], dict[str, str], dict[str, Any]]] = []

    def __call__(self, command: list[str], directory: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
        manifest = json.loads(Path(directory, "package.json").read_text())
        self.calls.append((command, dict(environment), manifest))
        (name,) = manifest["dependencies"]
        lock = {
            "name": manifest["name"],
            "lockfileVersion": 3,
            "packages": {"": {"dependencies": manifest["dependencies"]}, f"node_modules/{name}": self.entry},
        }
        Path(directory, "package-lock.json").write_text(json.dumps(lock))
        return self.status, "", self.errors


def archive(directory: Path, manifest: Any, member: str = "package/package.json") -> Path:
    path = directory / "a.tgz"
    with tarfile.open(path, "w:gz") as file:
        content = json.dumps(manifest).encode()
        information = tarfile.TarInfo(member)
        information.size = len(content)
        file.addfile(information, io.BytesIO(content))
    return path


@pytest.fixture
def work(tmp_path: Path) -> str:
    (tmp_path / "work").mkdir()
    return str(tmp_path / "work")


def test_the_newest_of_the_registry_is_pinned(work: str) -> None:
    npm = Npm({"version": "7.0.0", "integrity": INTEGRITY})
    made = lock_npm(Wanted("is-number", registry="https://mirror.example.com/"), npm="/usr/bin/npm", work=work, run=npm)
    ((command, environment, manifest),) = npm.calls
    assert command == ["/usr/bin/npm", *NPM_ARGUMENTS]
    assert environment == {"npm_config_registry": "https://mirror.example.com/"}
    assert manifest["dependencies"] == {"is-number": "latest"}
    assert json.loads(made.files["package.json"])["dependencies"] == {"is-number": "7.0.0"}
    assert json.loads(made.files["package-lock.json"])["packages"][""]["dependencies"] == {"is-number": "7.0.0"}
    assert made.versions == {"is-number": "7.0.0"}
    assert set(made.files) == {"package.json", "package-lock.json"}


def test_an_archive_stands_for_the_package(tmp_path: Path, work: str) -> None:
    path = archive(tmp_path, {"name": "@rynfar/meridian", "version": "1.2.3"})
    _name, _version, integrity = read_archive(str(path))
    entry = {"version": "1.2.3", "resolved": "file:x.tgz", "integrity": integrity, "hasInstallScript": True}
    npm = Npm(entry)
    made = lock_npm(Wanted("@rynfar/meridian", archive=str(path)), npm="npm", work=work, run=npm)
    assert npm.calls[0][2]["dependencies"] == {"@rynfar/meridian": "file:rynfar-meridian-1.2.3.tgz"}
    assert made.files["archives/rynfar-meridian-1.2.3.tgz"] == path.read_bytes()
    locked = json.loads(made.files["package-lock.json"])["packages"]["node_modules/@rynfar/meridian"]
    assert "resolved" not in locked
    assert locked["integrity"] == integrity
    assert made.install_scripts == ("@rynfar/meridian@1.2.3",)


def test_an_archive_that_npm_read_differently_is_refused(tmp_path: Path, work: str) -> None:
    path = archive(tmp_path, {"name": "x", "version": "1.2.3"})
    npm = Npm({"version": "1.2.3", "integrity": INTEGRITY})
    with pytest.raises(ReleaseError, match="npm locked something else"):
        lock_npm(Wanted("x", archive=str(path)), npm="npm", work=work, run=npm)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"package": "../x"}, r"package: '\.\./x' is no name"),
        ({"package": "x", "version": "^1.0"}, r"version: '\^1\.0' is no version"),
        ({"package": "y"}, r"is x 1\.2\.3, not y$"),
        ({"package": "x", "version": "1.2.4"}, r"is x 1\.2\.3, not x 1\.2\.4"),
    ],
)
def test_what_was_asked_for_is_not_what_came(tmp_path: Path, work: str, wanted: dict[str, str], words: str) -> None:
    path = archive(tmp_path, {"name": "x", "version": "1.2.3"})
    npm = Npm({})
    with pytest.raises(ReleaseError, match=words):
        lock_npm(Wanted(archive=str(path), **wanted), npm="npm", work=work, run=npm)
    assert npm.calls == []


@pytest.mark.parametrize(
    ("manifest", "member"),
    [({}, "package/package.json"), ([], "package/package.json"), ({"name": "x"}, "a/b/package.json")],
)
def test_what_is_no_package_is_refused(tmp_path: Path, manifest: Any, member: str) -> None:
    path = archive(tmp_path, manifest, member)
    with pytest.raises(ReleaseError, match=r"archive: .*a\.tgz .*npm pack"):
        read_archive(str(path))
    path.write_bytes(b"no tarball")
    with pytest.raises(ReleaseError, match=r"archive: .*a\.tgz is no npm tarball"):
        read_archive(str(path))
    path.unlink()
    with pytest.raises(ReleaseError, match=r"archive: .*No such file"):
        read_archive(str(path))


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (
            "npm error code E404\nnpm error 404  The requested resource '@rynfar/meridian@*' could not be found",
            r"the registry of this machine has no package @rynfar/meridian\. Name another registry or mirror, or bring",
        ),
        (
            "npm error code ETARGET\nnpm error notarget No matching version",
            "no such version of x: .*No matching",
        ),
        ("npm error code ENOTFOUND", "npm failed: npm error code ENOTFOUND"),
    ],
)
def test_what_npm_said_is_explained(work: str, errors: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        lock_npm(Wanted("x"), npm="npm", work=work, run=Npm({"version": "1"}, status=1, errors=errors))


def test_a_package_from_git_is_refused(work: str) -> None:
    npm = Npm({"version": "1.0.0", "resolved": "git+ssh://git@example.com/x.git#0123"})
    with pytest.raises(ReleaseError, match="does not come from a registry"):
        lock_npm(Wanted("x"), npm="npm", work=work, run=npm)


class Pip:
    """Answers with a report of one or two projects; the hash says for which platform it was asked."""

    def __init__(self, *, fails_for: str = "", errors: str = "") -> None:
        self.fails_for, self.errors = fails_for, errors
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str], _directory: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.calls.append(command)
        self.environment = dict(environment)
        if self.errors and self.fails_for in " ".join(command):
            return 1, "", self.errors
        words = [word for word in command if word.startswith(("manylinux_2_17", "3."))]
        digest = hashlib.sha256(" ".join(words).encode()).hexdigest()
        pure = hashlib.sha256(b"pure").hexdigest()
        install = [
            {
                "metadata": {"name": name, "version": version},
                "download_info": {"archive_info": {"hashes": {"sha256": each}}},
            }
            for name, version, each in (("Py_Thing", "1.0", digest), ("pure", "2.0", pure))
        ]
        Path(command[command.index("--report") + 1]).write_text(json.dumps({"install": install}))
        return 0, "", ""


def test_wheels_of_every_python_and_machine_are_pinned(work: str) -> None:
    pip = Pip()
    wanted = Wanted(
        "py-thing[x]", version="1.0", pythons=("3.11", "3.13"), registry="https://mirror.example.com/simple"
    )
    made = lock_pip(wanted, python="/usr/bin/python3", work=work, run=pip)
    assert pip.environment == {"PIP_INDEX_URL": "https://mirror.example.com/simple"}
    assert len(pip.calls) == 5
    assert pip.calls[0][:4] == ["/usr/bin/python3", "-m", "pip", "install"]
    assert pip.calls[0][-1] == "py-thing[x]==1.0"
    for call in pip.calls:
        assert {"--dry-run", "--ignore-installed", "--only-binary", ":all:"} <= set(call)
    for call in pip.calls[1:]:
        assert "--no-deps" in call
        assert Path(call[-1]).read_text() == "py-thing==1.0\npure==2.0\n"
    text = made.files["requirements.txt"].decode()
    assert made.versions == {"py-thing": "1.0", "pure": "2.0"}
    assert text.count("--hash=sha256:") == 5 + 1


def test_a_missing_wheel_names_python_and_machine(work: str) -> None:
    pip = Pip(fails_for="manylinux2014_aarch64", errors="ERROR: No matching distribution found for py-thing==1.0")
    with pytest.raises(ReleaseError, match=r"Python 3\.11 on aarch64 \(leave it out .*No matching distribution"):
        lock_pip(Wanted("py-thing", pythons=("3.11",)), python="python3", work=work, run=pip)


def test_a_python_without_pip_is_named(work: str) -> None:
    pip = Pip(errors="/usr/bin/python3: No module named pip")
    with pytest.raises(ReleaseError, match="python: /usr/bin/python3 has no pip; install python3-pip"):
        lock_pip(Wanted("py-thing"), python="/usr/bin/python3", work=work, run=pip)


def test_platforms_are_those_of_the_oldest_supported_host() -> None:
    assert platforms("aarch64")[0] == "manylinux_2_31_aarch64"
    assert "manylinux2014_aarch64" in platforms("aarch64")
    assert "manylinux1_x86_64" in platforms("x86_64")
    assert "manylinux1_aarch64" not in platforms("aarch64")
