# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Make a lock with integrity hashes by npm or pip alone, and pin what they leave open.

What is made here has passed the checks of the module locked_release, so that a host takes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import ReleaseError, last_lines
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_npm import STRONG, read_npm, strong_digests
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_pip import normalize, read_requirements

# (command, directory, environment) -> (exit status, standard output, standard error)
Runner = Callable[[list[str], str, Mapping[str, str]], tuple[int, str, str]]

_MAXIMUM_MANIFEST_BYTES = 1 << 20
_NPM_NAME = re.compile(r"(@[a-z0-9~][a-z0-9._~-]*/)?[a-zA-Z0-9~_][a-zA-Z0-9._~-]*")
_PIP_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")


@dataclass(frozen=True)
class Made:
    """The files of a lock by name, its versions, and the packages whose install scripts a host will not run."""

    files: Mapping[str, bytes]
    versions: Mapping[str, str]
    install_scripts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What to lock. ``archive`` is a tarball of npm that stands for the package of that name."""

    package: str
    version: str = ""
    archive: str | None = None
    registry: str | None = None
    pythons: Sequence[str] = ()
    machines: Sequence[str] = field(default_factory=lambda: ("x86_64", "aarch64"))


def _check_name(wanted: Wanted, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(wanted.package):
        raise ReleaseError(f"package: {wanted.package!r} is no name of a package")
    if wanted.version and not _VERSION.fullmatch(wanted.version):
        raise ReleaseError(f"version: {wanted.version!r} is no version; ranges and tags would not pin anything")


def read_archive(path: str) -> tuple[str, str, str]:
    """Name, version and SRI integrity of an npm tarball. Raises ReleaseError."""
    try:
        content = Path(path).read_bytes()
        with tarfile.open(path, "r:*") as archive:
            members = [member for member in archive if member.isfile() and member.name.count("/") == 1]
            manifest = next(member for member in members if member.name.endswith("/package.json"))
            if manifest.size > _MAXIMUM_MANIFEST_BYTES:
                raise ReleaseError(f"archive: the package.json of {path} has {manifest.size} bytes")
            file = archive.extractfile(manifest)
            document = json.loads(file.read() if file is not None else b"")
            name, version = str(document["name"]), str(document["version"])
    except StopIteration:
        raise ReleaseError(f"archive: {path} has no package.json in its directory; make it with 'npm pack'") from None
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ReleaseError(f"archive: {path} is no npm tarball ({reason}); make it with 'npm pack'") from None
    return name, version, "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def stale_archives(dest: str, wanted: Collection[str]) -> list[str]:
    """Paths of the tarballs in ``dest``/archives that the lock there pins, and that are not among the ``wanted`` names.

    A tarball that no lock of this directory brought is somebody else's.
    """
    try:
        lock = json.loads(Path(dest, "package-lock.json").read_text(encoding="utf-8"))
        entries = [entry for entry in lock["packages"].values() if isinstance(entry, dict)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    pinned = {pair for entry in entries for pair in strong_digests(str(entry.get("integrity", ""))).items()}
    found = []
    for path in Path(dest, "archives").glob("*.tgz"):
        if f"archives/{path.name}" in wanted or not path.is_file():
            continue
        content = path.read_bytes()
        if pinned & {(algorithm, hashlib.new(algorithm, content).digest()) for algorithm in STRONG}:
            found.append(str(path))
    return sorted(found)


def _explain_npm(package: str, registry: str | None, output: str) -> str:
    where = registry or "the registry of this machine"
    if "E404" in output:
        found = re.search(r"'([^']+)' (?:could not be found|is not in this registry)", output)
        missing = found.group(1).rpartition("@")[0] or found.group(1) if found else package
        return (
            f"{where} has no package {missing}. Name another registry or mirror, or bring the package as a tarball"
            " (archive)"
        )
    if "ETARGET" in output:
        return f"{where} has no such version of {package}: {last_lines(output, 'npm error', limit=4)}"
    return f"npm failed: {last_lines(output, 'npm error')}"


def lock_npm(wanted: Wanted, *, npm: str, work: str, run: Runner) -> Made:
    """Lock an npm package in the empty directory ``work``. Raises ReleaseError."""
    _check_name(wanted, _NPM_NAME)
    files: dict[str, bytes] = {}
    specification, integrity = wanted.version or "latest", None
    if wanted.archive is not None:
        name, version, integrity = read_archive(wanted.archive)
        if name != wanted.package or (wanted.version and version != wanted.version):
            raise ReleaseError(
                f"archive: {wanted.archive} is {name} {version}, not {wanted.package} {wanted.version}".rstrip()
            )
        file_name = f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
        files[f"archives/{file_name}"] = Path(wanted.archive).read_bytes()
        Path(work, file_name).write_bytes(files[f"archives/{file_name}"])
        specification = f"file:{file_name}"
    manifest = {
        "name": re.sub(r"[^a-z0-9-]+", "-", wanted.package.lower()).strip("-") + "-release",
        "version": "0.0.0",
        "private": True,
        "dependencies": {wanted.package: specification},
    }
    Path(work, "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    command = [
        npm,
        "install",
        "--package-lock-only",
        "--ignore-scripts",
        "--omit-lockfile-registry-resolved",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--no-progress",
    ]
    environment = {} if wanted.registry is None else {"npm_config_registry": wanted.registry}
    status, output, errors = run(command, work, environment)
    if status != 0:
        raise ReleaseError(_explain_npm(wanted.package, wanted.registry, output + errors))
    try:
        lock = json.loads(Path(work, "package-lock.json").read_text(encoding="utf-8"))
        entry = lock["packages"][f"node_modules/{wanted.package}"]
        root = lock["packages"][""]
        version = str(entry["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ReleaseError(f"npm wrote no lock with {wanted.package} in it; use npm 8 or newer") from None
    if integrity is not None:
        found = strong_digests(str(entry.get("integrity", integrity)))
        if not found.items() & strong_digests(integrity).items():
            raise ReleaseError(f"archive: npm locked something else than {wanted.archive}")
        entry["integrity"] = integrity
        entry.pop("resolved", None)
    manifest["dependencies"] = root["dependencies"] = {wanted.package: version}
    for machine in wanted.machines:
        read_npm(manifest, lock, machine)
    files["package.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    files["package-lock.json"] = (json.dumps(lock, indent=2) + "\n").encode()
    scripts = sorted(
        f"{place.rpartition('node_modules/')[2]}@{each.get('version')}"
        for place, each in lock["packages"].items()
        if each.get("hasInstallScript") and not each.get("optional")
    )
    return Made(files, {wanted.package: version}, tuple(scripts))


def platforms(machine: str) -> list[str]:
    """What pip calls the platforms of glibc hosts, for wheels made for glibc 2.31 (Debian 11) and older."""
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(31, 16, -1)]
    names.append(f"manylinux2014_{machine}")
    if machine == "x86_64":
        names += [f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    return [*names, f"linux_{machine}"]


def _report(output: str) -> list[tuple[str, str, str]]:
    """(name, version, sha256) of each file in what ``pip install --report`` wrote."""
    try:
        return [
            (
                normalize(each["metadata"]["name"]),
                str(each["metadata"]["version"]),
                str(each["download_info"]["archive_info"]["hashes"]["sha256"]),
            )
            for each in json.loads(output)["install"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"pip's report lacks {error}; use pip 22.3 or newer") from None


def lock_pip(wanted: Wanted, *, python: str, work: str, run: Runner) -> Made:
    """Lock a Python package in the empty directory ``work``: wheels for each of the pythons and machines.

    Which projects are needed is what the python that runs pip needs; the others only add their wheels. Raises
    ReleaseError, also where there is no wheel for one of them.
    """
    _check_name(wanted, _PIP_NAME)
    common = [
        *[python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary", ":all:", "--quiet"],
        *[
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
            "--target",
            os.path.join(work, "target"),
        ],
    ]
    environment = {} if wanted.registry is None else {"PIP_INDEX_URL": wanted.registry}

    def report(options: list[str], what: str) -> list[tuple[str, str, str]]:
        path = os.path.join(work, "report.json")
        status, output, errors = run([*common, "--report", path, *options], work, environment)
        if status != 0:
            text = output + errors
            if "No module named pip" in text:
                raise ReleaseError(f"python: {python} has no pip; install python3-pip, or name another python")
            raise ReleaseError(f"{what}: pip failed: {last_lines(text, 'ERROR', limit=6)}")
        return _report(Path(path).read_text(encoding="utf-8"))

    first = report([wanted.package + (f"=={wanted.version}" if wanted.version else "")], wanted.package)
    versions = {name: version for name, version, _digest in first}
    digests: dict[str, set[str]] = {name: {digest} for name, _version, digest in first}
    pinned = os.path.join(work, "pinned.txt")
    Path(pinned).write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), encoding="utf-8")
    for machine in wanted.machines:
        for version in wanted.pythons:
            options = ["--no-deps", "--implementation", "cp", "--python-version", version]
            for platform in platforms(machine):
                options += ["--platform", platform]
            what = f"Python {version} on {machine} (leave it out of pythons or machines if you do not need it)"
            for name, _version, digest in report([*options, "-r", pinned], what):
                digests[name].add(digest)
    lines = [f"# {wanted.package} and all that it needs: wheels for glibc on {', '.join(wanted.machines)}\n"]
    for name in sorted(versions):
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(digests[name]))
        lines.append(f"{name}=={versions[name]} \\\n{hashes}\n")
    text = "".join(lines)
    read_requirements(text)
    return Made({"requirements.txt": text.encode()}, versions)
