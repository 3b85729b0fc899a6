# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""npm's lock: read it, refuse what it does not pin, install it, and say what went wrong.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
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

# SHA-1 is no proof of anything today, so it does not count as integrity.
STRONG = {"sha256": 32, "sha384": 48, "sha512": 64}

# The address that npm never asks: what carries it lies in the cache, found by its integrity.
OFFLINE_ADDRESS = "https://offline.invalid"

_DEPENDENCY_KEYS = ("dependencies", "optionalDependencies", "devDependencies", "peerDependencies")
_NAME = re.compile(r"(@[a-z0-9~][a-z0-9._~-]*/)?[a-zA-Z0-9~_][a-zA-Z0-9._~-]*")
_CPU = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64", "i686": "ia32"}


@dataclass(frozen=True)
class NpmPackage:
    """One entry of the lock: its place in the tree, and what it pins (None: comes inside its parent)."""

    place: str
    name: str
    version: str
    integrity: str | None
    wanted: bool


@dataclass(frozen=True)
class NpmLock:
    """A package.json and its lock, both parsed and found to pin everything.

    ``versions`` are the direct dependencies only, ``{name: version}``.
    """

    manifest: Mapping[str, Any]
    lock: Mapping[str, Any]
    packages: tuple[NpmPackage, ...]
    versions: Mapping[str, str]

    def canonical(self) -> Any:
        """What the release's digest covers; where a package is fetched from is not part of it."""
        entries = {
            place: {key: value for key, value in entry.items() if key != "resolved"}
            for place, entry in self.lock["packages"].items()
        }
        return {"manifest": self.manifest, "packages": entries}


def _parse(option: str, content: str | Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(content, Mapping):
        return dict(content)
    if not isinstance(content, str):
        raise LockError(f"{option}: expected the content of the file (text or a dictionary)")
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise LockError(f"{option}: no valid JSON ({error}); pass the file's content, not its path") from None
    if not isinstance(parsed, dict):
        raise LockError(f"{option}: expected a JSON object")
    return parsed


def strong_digests(integrity: str) -> dict[str, bytes]:
    """The SHA-2 digests in a Subresource Integrity string, ``{algorithm: digest}`` (W3C SRI)."""
    found: dict[str, bytes] = {}
    for word in integrity.split():
        algorithm, dash, text = word.partition("-")
        if not dash or algorithm not in STRONG:
            continue
        try:
            digest = base64.b64decode(text.split("?")[0], validate=True)
        except ValueError:
            continue
        if len(digest) == STRONG[algorithm]:
            found[algorithm] = digest
    return found


def _allows(rules: Any, value: str) -> bool:
    """npm's reading of ``os``, ``cpu`` and ``libc``: a list of names, or of names with '!'."""
    if isinstance(rules, str):
        rules = [rules]
    if not isinstance(rules, list) or not rules:
        return True
    if f"!{value}" in rules:
        return False
    positive = [rule for rule in rules if isinstance(rule, str) and not rule.startswith("!")]
    return not positive or value in positive or "any" in positive


def _is_wanted(entry: Mapping[str, Any], machine: str) -> bool:
    if entry.get("dev") or entry.get("devOptional"):
        return False
    if not entry.get("optional"):
        return True
    return (
        _allows(entry.get("os"), "linux")
        and _allows(entry.get("cpu"), _CPU.get(machine, machine))
        and _allows(entry.get("libc"), "glibc")
    )


def _read_package(place: str, entry: Any, machine: str) -> NpmPackage:
    if not isinstance(entry, dict):
        raise LockError(f"package_lock: the entry {place!r} is no object")
    name = str(entry.get("name") or place.rpartition("node_modules/")[2])
    version = entry.get("version")
    resolved = entry.get("resolved")
    shown = f"{name}@{version}" if version else name
    if entry.get("link") or not place.startswith("node_modules/") or ".." in place.split("/"):
        raise LockError(
            f"package_lock: {name!r} ({place}) is a link to a directory; a release takes packages from a registry"
            " or tarballs only. Publish or pack it first"
        )
    if not isinstance(version, str) or not version:
        raise LockError(f"package_lock: {name!r} ({place}) has no version; write the lock anew with npm")
    if entry.get("inBundle") and resolved is None and "integrity" not in entry:
        return NpmPackage(place, name, version, None, wanted=False)
    if resolved is not None and not str(resolved).startswith(("https://", "http://")):
        raise LockError(
            f"package_lock: {shown} does not come from a registry (resolved: {str(resolved).partition(':')[0]}:...);"
            " git, file and directory dependencies cannot be verified and are refused"
        )
    integrity = entry.get("integrity")
    if not isinstance(integrity, str) or not strong_digests(integrity):
        found = "only a weak one" if integrity else "none"
        raise LockError(
            f"package_lock: {shown} needs an integrity (sha512, sha384 or sha256), found {found}; write the lock"
            " anew with a current npm"
        )
    return NpmPackage(place, name, version, integrity, wanted=_is_wanted(entry, machine))


def read_npm(
    package_json: str | Mapping[str, Any] | None,
    package_lock: str | Mapping[str, Any] | None,
    machine: str,
) -> NpmLock:
    """Read both files (their text, or parsed) for a host whose ``uname -m`` is ``machine``.

    Raises LockError, naming option and package, when they disagree or pin less than everything.
    """
    manifest = _parse("package_json", package_json)
    lock = _parse("package_lock", package_lock)
    if lock.get("lockfileVersion") not in (2, 3):
        raise LockError(
            f"package_lock: lockfileVersion must be 2 or 3, found {lock.get('lockfileVersion')!r}; write the lock"
            " anew with npm 7 or newer"
        )
    entries = lock.get("packages")
    if not isinstance(entries, dict) or not isinstance(entries.get(""), dict):
        raise LockError("package_lock: it has no 'packages' with the root package; write the lock anew with npm")
    if manifest.get("workspaces"):
        raise LockError("package_json: workspaces are refused; a release takes packages from a registry only")
    for key in _DEPENDENCY_KEYS:
        wanted = manifest.get(key) or {}
        locked = entries[""].get(key) or {}
        for name in sorted(set(wanted) | set(locked)):
            if wanted.get(name) != locked.get(name):
                raise LockError(
                    f"package_lock: it was made for another package_json: {key}.{name} is"
                    f" {wanted.get(name)!r} in package_json and {locked.get(name)!r} in package_lock. Run"
                    " 'npm install --package-lock-only' and hand over both files"
                )
    packages = tuple(_read_package(place, entry, machine) for place, entry in sorted(entries.items()) if place != "")
    by_place = {package.place: package for package in packages}
    versions: dict[str, str] = {}
    for key in ("dependencies", "optionalDependencies"):
        for name in manifest.get(key) or {}:
            package = by_place.get(f"node_modules/{name}")
            if package is None:
                raise LockError(f"package_lock: it does not have {name!r} of package_json; write the lock anew")
            versions[name] = package.version
    if not versions:
        raise LockError("package_json: it has no dependencies, so there is nothing to install")
    return NpmLock(manifest, lock, packages, versions)


def check_scripts(lock: NpmLock, names: Sequence[str]) -> None:
    """Raise LockError unless each name of ``allow_scripts`` is a package of the lock."""
    known = {package.place.rpartition("node_modules/")[2] for package in lock.packages}
    for name in names:
        if not _NAME.fullmatch(name) or name not in known:
            raise LockError(f"allow_scripts: {name!r} is no package of package_lock")


def find_npm_cli(node: str) -> str | None:
    """The npm-cli.js that came with a node, or None."""
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(node)))
    for place in ("lib/node_modules/npm", "share/nodejs/npm", "share/npm"):
        path = os.path.join(prefix, place, "bin", "npm-cli.js")
        if os.path.isfile(path):
            return path
    return None


def _digest_files(directory: str, algorithms: Sequence[str]) -> dict[tuple[str, bytes], str]:
    """Every regular file below ``directory`` by its digests, ``{(algorithm, digest): path}``."""
    found: dict[tuple[str, bytes], str] = {}
    for parent, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not os.path.isfile(path):
                continue
            digests = [hashlib.new(algorithm) for algorithm in algorithms]
            with Path(path).open("rb") as handle:
                for block in iter(lambda: handle.read(1 << 20), b""):
                    for digest in digests:
                        digest.update(block)
            for digest in digests:
                found.setdefault((digest.name, digest.digest()), path)
    return found


def find_tarballs(lock: NpmLock, directories: Sequence[str], *, complete: bool = True) -> list[tuple[str, bytes, str]]:
    """The tarball of each wanted package in ``directories``: ``[(algorithm, digest, path)]``.

    They are found by what is in them, at any depth and under any name, so an npm cache serves too.
    Raises ReleaseError naming the first package that is present with another content, or missing; without
    ``complete`` what is missing is left out.
    """
    wanted = [
        (package, strong_digests(package.integrity))
        for package in lock.packages
        if package.wanted and package.integrity
    ]
    algorithms = sorted({name for _package, digests in wanted for name in digests})
    files: dict[tuple[str, bytes], str] = {}
    for directory in reversed(directories):
        files.update(_digest_files(directory, algorithms))
    chosen: dict[tuple[str, bytes], str] = {}
    for package, digests in wanted:
        # npm asks its cache for the strongest digest only.
        algorithm = max(digests, key=lambda name: STRONG[name])
        path = files.get((algorithm, digests[algorithm]))
        if path is None:
            name = f"{package.name.lstrip('@').replace('/', '-')}-{package.version}.tgz"
            plain = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
            for parent, _directories, names in itertools.chain.from_iterable(map(os.walk, directories)):
                for candidate in (name, plain):
                    if candidate in names:
                        raise ReleaseError(
                            f"integrity mismatch: {os.path.join(parent, candidate)} is not the"
                            f" {package.name}@{package.version} that package_lock pins ({package.integrity})"
                        )
            if not complete:
                continue
            raise ReleaseError(
                f"offline_dir: {directories[-1]} has no file with the integrity of {package.name}@{package.version};"
                f" put the tarball ('npm pack {package.name}@{package.version}') there"
            )
        chosen[(algorithm, digests[algorithm])] = path
    return [(algorithm, digest, path) for (algorithm, digest), path in sorted(chosen.items())]


def _fill_cache(cache: str, tarballs: Sequence[tuple[str, bytes, str]], installation: Installation) -> None:
    """Put tarballs where npm looks a package up by its integrity (cacache's content-v2)."""
    for algorithm, digest, source in tarballs:
        text = digest.hex()
        parts = ["_cacache", "content-v2", algorithm, text[:2], text[2:4]]
        directory = cache
        for part in parts:
            directory = os.path.join(directory, part)
            installation.make_directory(directory)
        installation.copy_file(source, os.path.join(directory, text[4:]), hashlib.new(algorithm), digest)


def _offline_lock(lock: NpmLock, found: set[tuple[str, bytes]] | None) -> dict[str, Any]:
    """The lock, with the packages whose digest is among ``found`` (None: all) at the address that is never asked."""
    rewritten = json.loads(json.dumps(lock.lock))
    # npm reads 'packages' alone when it is there; this is the copy for npm 6.
    rewritten.pop("dependencies", None)
    for package in lock.packages:
        if package.integrity and (found is None or not found.isdisjoint(strong_digests(package.integrity).items())):
            file_name = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
            rewritten["packages"][package.place]["resolved"] = f"{OFFLINE_ADDRESS}/{package.name}/-/{file_name}"
    result: dict[str, Any] = rewritten
    return result


def explain(lock: NpmLock, output: str) -> str:
    """What made npm fail, with the package's name where its words tell it."""
    if "EINTEGRITY" in output:
        for word in re.findall(r"sha(?:1|256|384|512)-[A-Za-z0-9+/=]+", output):
            for package in lock.packages:
                if package.integrity and word in package.integrity.split():
                    return (
                        f"integrity mismatch: what the registry sent for {package.name}@{package.version} is not what"
                        f" package_lock pins ({word}). Do not install it before you know why they differ"
                    )
    return f"npm failed: {last_lines(output, 'npm error')}"


def install_npm(
    installation: Installation,
    lock: NpmLock,
    *,
    node: str,
    npm: str,
    allow_scripts: Sequence[str],
) -> None:
    """Fill the empty release directory with ``node_modules``. Raises ReleaseError."""
    cache = os.path.join(installation.work, "npm-cache")
    user_config = os.path.join(installation.work, "npmrc")
    installation.make_directory(cache)
    lock_content: Mapping[str, Any] = lock.lock
    options: list[str] = []
    if installation.directories:
        complete = installation.offline_dir is not None
        tarballs = find_tarballs(lock, installation.directories, complete=complete)
        _fill_cache(cache, tarballs, installation)
        found = None if complete else {(algorithm, digest) for algorithm, digest, _path in tarballs}
        lock_content = _offline_lock(lock, found)
        if complete:
            options.append("--offline")
    installation.write_file(os.path.join(installation.release, "package.json"), json.dumps(lock.manifest, indent=2))
    installation.write_file(os.path.join(installation.release, "package-lock.json"), json.dumps(lock_content, indent=2))
    installation.write_file(user_config, installation.client_config_text())

    environment = dict(installation.environment)
    environment["PATH"] = os.path.dirname(os.path.realpath(node)) + ":" + environment["PATH"]
    environment["npm_config_cache"] = cache
    environment["npm_config_userconfig"] = user_config
    if installation.ca_file is not None:
        environment["NODE_EXTRA_CA_CERTS"] = installation.ca_file
    if installation.registry is not None:
        environment["npm_config_registry"] = installation.registry
    if installation.is_explicit:
        environment["npm_config_globalconfig"] = os.path.join(installation.work, "no-global-npmrc")

    finished = installation.run(
        [
            node,
            npm,
            "ci",
            "--ignore-scripts",
            "--omit=dev",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--no-progress",
            *options,
        ],
        environment,
    )
    if finished.returncode != 0:
        raise ReleaseError(explain(lock, finished.output))
    for package in lock.packages:
        if package.place in {f"node_modules/{name}" for name in lock.versions} and package.wanted:
            _check_installed(installation.release, package)
    if allow_scripts:
        finished = installation.run(
            [
                node,
                npm,
                "rebuild",
                "--ignore-scripts=false",
                "--foreground-scripts",
                "--no-audit",
                "--no-fund",
                "--no-update-notifier",
                *options,
                "--",
                *sorted(allow_scripts),
            ],
            environment,
        )
        if finished.returncode != 0:
            raise ReleaseError(
                f"the install scripts of {', '.join(sorted(allow_scripts))} failed: {last_lines(finished.output)}"
            )


def _check_installed(release: str, package: NpmPackage) -> None:
    try:
        with Path(os.path.join(release, package.place, "package.json")).open(encoding="utf-8") as handle:
            found = json.load(handle).get("version")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != package.version:
        raise ReleaseError(f"npm ended well, but {package.name} is {found or 'missing'}, not {package.version}")
