# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pip's lock: requirements with hashes, installed into a virtual environment.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import (
    Installation,
    LockError,
    ReleaseError,
    last_lines,
)

STRONG = {"sha256": 64, "sha384": 96, "sha512": 128}

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(?:;\s*(?P<marker>.+))?"
)
_HASH = re.compile(r"--hash[=\s](\w+):([0-9a-fA-F]+)")


def normalize(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Requirement:
    """One pinned project: ``hashes`` are ``algorithm:hex``, ``marker`` is a PEP 508 marker or empty."""

    name: str
    extras: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def line(self) -> str:
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{self.extras}=={self.version}{marker} " + " ".join(f"--hash={h}" for h in self.hashes)


@dataclass(frozen=True)
class PipLock:
    """Requirements that pin everything. ``versions`` are as pinned, ``{name: version}``."""

    requirements: tuple[Requirement, ...]
    versions: Mapping[str, str]

    def canonical(self) -> Any:
        """What the release's digest covers."""
        return sorted(
            [requirement.name, requirement.extras, requirement.version, requirement.marker, list(requirement.hashes)]
            for requirement in self.requirements
        )


def _logical_lines(text: str) -> list[str]:
    """Lines without comments, continuations joined (pip's requirements file format)."""
    lines: list[str] = []
    pending = ""
    for raw in text.splitlines():
        if pending == "" and raw.lstrip().startswith("#"):
            continue
        line = re.sub(r"(^|\s)#.*$", "", raw)
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        lines.append((pending + line).strip())
        pending = ""
    lines.append(pending.strip())
    return [line for line in lines if line]


def read_requirements(text: str | None) -> PipLock:
    """Read the content of a requirements file with hashes.

    Raises LockError, naming the requirement, for anything but ``name==version --hash=...``.
    """
    requirements: list[Requirement] = []
    versions: dict[str, str] = {}
    for line in _logical_lines(text or ""):
        words = line.split()[0]
        if line.startswith("-"):
            raise LockError(
                f"requirements: the option {words!r} is refused; a lock has only 'name==version --hash=...' lines"
                " (use the module's registry, offline_dir and allow_source)"
            )
        head, _dash, _rest = line.partition("--hash")
        match = _REQUIREMENT.fullmatch(head.strip())
        if match is None:
            raise LockError(
                f"requirements: {words!r} is not pinned as 'name==version'; addresses, paths and ranges are refused"
            )
        tail = line[len(head) :]
        if _HASH.sub("", tail).strip():
            raise LockError(f"requirements: {match['name']!r} has something other than --hash after its version")
        hashes: set[str] = set()
        for algorithm, digest in _HASH.findall(tail):
            if len(digest) == STRONG.get(algorithm):
                hashes.add(f"{algorithm}:{digest.lower()}")
        if not hashes:
            raise LockError(
                f"requirements: {match['name']}=={match['version']} has no --hash=sha256:... (or sha384, sha512);"
                " make the file with 'uv pip compile --generate-hashes' or 'pip-compile --generate-hashes'"
            )
        name = normalize(match["name"])
        extras = re.sub(r"\s", "", match["extras"] or "")
        marker = (match["marker"] or "").strip()
        requirements.append(Requirement(name, extras, match["version"], marker, tuple(sorted(hashes))))
        versions[name] = f"{versions[name]} or {match['version']}" if name in versions else match["version"]
    if not requirements:
        raise LockError("requirements: there is no requirement in it; pass the file's content, not its path")
    return PipLock(tuple(requirements), versions)


def check_sources(lock: PipLock, names: Sequence[str]) -> None:
    """Raise LockError unless each name of ``allow_source`` is a project of the lock."""
    for name in names:
        if normalize(name) not in lock.versions:
            raise LockError(f"allow_source: {name!r} is no project of requirements")


def _copy_wheelhouse(installation: Installation, lock: PipLock, offline_dir: str) -> str:
    """Copy the pinned files to where the install user can read them, and return that directory."""
    wheelhouse = os.path.join(installation.work, "wheels")
    installation.make_directory(wheelhouse)
    pinned = {value for requirement in lock.requirements for value in requirement.hashes}
    algorithms = sorted({value.partition(":")[0] for value in pinned})
    refused: dict[str, str] = {}
    found: set[str] = set()
    for parent, directories, names in os.walk(offline_dir):
        directories.sort()
        for name in sorted(names):
            source = os.path.join(parent, name)
            if not name.endswith((".whl", ".tar.gz", ".zip")) or not os.path.isfile(source):
                continue
            for algorithm in algorithms:
                digest = hashlib.new(algorithm)
                with Path(source).open("rb") as handle:
                    for block in iter(lambda: handle.read(1 << 20), b""):
                        digest.update(block)
                if f"{algorithm}:{digest.hexdigest()}" in pinned:
                    target = os.path.join(wheelhouse, name)
                    if not os.path.exists(target):
                        installation.copy_file(source, target, hashlib.new(algorithm), digest.digest())
                    found.add(normalize(name.split("-")[0]))
                    break
            else:
                refused[normalize(name.split("-")[0])] = source
    for requirement in lock.requirements:
        path = refused.get(requirement.name)
        if path is not None and requirement.name not in found and f"-{requirement.version}" in os.path.basename(path):
            raise ReleaseError(
                f"integrity mismatch: {path} is not the {requirement.name}=={requirement.version} that requirements"
                " pins"
            )
    return wheelhouse


def explain(output: str) -> str:
    """What made pip fail, with the project's name where its words tell it."""
    if "DO NOT MATCH THE HASHES" in output:
        tail = output[output.index("DO NOT MATCH THE HASHES") :]
        match = re.search(r"^\s{2,}(\S.*?)(?: from .*)?(?: \(from .*)?:\s*$", tail, re.MULTILINE)
        name = match.group(1) if match else "a package"
        return (
            f"integrity mismatch: what the index sent for {name} is not what requirements pins. Do not install it"
            " before you know why they differ"
        )
    match = re.search(r"No matching distribution found for ([^\s(]+)", output)
    if match:
        return (
            f"pip found no file for {match.group(1)} that this host can use: no wheel for this Python and machine,"
            " or none at all in the registry or offline_dir"
        )
    return f"pip failed: {last_lines(output, 'ERROR')}"


def install_pip(
    installation: Installation,
    lock: PipLock,
    *,
    python: str,
    allow_source: Sequence[str],
) -> None:
    """Make the empty release directory a virtual environment with the locked projects.

    pip itself comes from the interpreter's own ensurepip and stays outside of the release. Raises
    ReleaseError.
    """
    tool = os.path.join(installation.work, "pip")
    plain = dict(installation.environment)
    finished = installation.run([python, "-m", "venv", tool], plain)
    if finished.returncode != 0:
        if "ensurepip" in finished.output or "No module named venv" in finished.output:
            raise ReleaseError(
                f"python: {python} has no venv with pip; install the package python3-venv (Debian, Ubuntu) first"
            )
        raise ReleaseError(f"python: a virtual environment could not be made: {last_lines(finished.output)}")
    places = glob.glob(os.path.join(glob.escape(tool), "lib", "python3*", "site-packages", "pip"))
    if len(places) != 1:
        raise ReleaseError(f"python: the virtual environment of {python} came without pip")
    finished = installation.run([python, "-m", "venv", "--without-pip", installation.release], plain)
    if finished.returncode != 0:
        raise ReleaseError(f"python: a virtual environment could not be made: {last_lines(finished.output)}")

    environment = dict(plain)
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    environment["PIP_NO_INPUT"] = "1"
    options: list[str] = []
    for directory in installation.directories:
        wheelhouse = _copy_wheelhouse(installation, lock, directory)
    if installation.directories:
        options += ["--find-links", wheelhouse]
    if installation.offline_dir is not None:
        options.append("--no-index")
    if installation.registry is not None:
        environment["PIP_INDEX_URL"] = installation.registry
    if installation.ca_file is not None:
        environment["PIP_CERT"] = installation.ca_file
    if installation.client_config is not None:
        config = os.path.join(installation.work, "pip.conf")
        installation.write_file(config, installation.client_config_text())
        environment["PIP_CONFIG_FILE"] = config
    elif installation.is_explicit:
        environment["PIP_CONFIG_FILE"] = os.devnull

    sources = {normalize(name) for name in allow_source}
    wheels = [requirement for requirement in lock.requirements if requirement.name not in sources]
    built = [requirement for requirement in lock.requirements if requirement.name in sources]
    common = [
        os.path.join(installation.release, "bin", "python"),
        places[0],
        "install",
        "--require-hashes",
        "--no-deps",
        "--ignore-installed",
        "--no-cache-dir",
        "--progress-bar",
        "off",
        *options,
    ]
    # Build requirements are not covered by --require-hashes unless they come from the lock themselves:
    # so what is built comes last and sees only what is installed by then.
    for name, chosen, switches in (
        ("wheels.txt", wheels, ["--only-binary", ":all:"]),
        ("sources.txt", built, ["--no-binary", ":all:", "--no-build-isolation"]),
    ):
        if not chosen:
            continue
        path = os.path.join(installation.work, name)
        installation.write_file(path, "".join(requirement.line() + "\n" for requirement in chosen))
        finished = installation.run([*common, *switches, "-r", path], environment)
        if finished.returncode != 0:
            raise ReleaseError(explain(finished.output))
