# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locked releases: plan, install, activate, prune.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import (
    Installation,
    ReleaseError,
    last_lines,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_npm import (
    NpmLock,
    check_scripts,
    find_npm_cli,
    install_npm,
    read_npm,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_pip import (
    PipLock,
    check_sources,
    install_pip,
    read_requirements,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_seal import (
    SealError,
    check_link_names,
    make_links,
    seal,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_store import (
    FORMAT,
    INTERPRETERS,
    MARKER,
    WORK,
    Store,
    check_chain,
    flush_file_system,
    is_trusted,
    read_json,
    write_json,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import (
    InstallUser,
    UnprivilegedError,
    install_user,
)

# Where Debian keeps the bundle of certificate authorities that the administrator trusts.
SYSTEM_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"

# What decides where an install may write and what it may run is not for the task to change.
_RESERVED = ("HOME", "PATH", "TMPDIR")

_PROBES: Mapping[str, Sequence[str]] = {
    "npm": [
        "-e",
        (
            "console.log(JSON.stringify({version: process.versions.node, abi: process.versions.modules,"
            " base: process.execPath}))"
        ),
    ],
    "pip": [
        "-I",
        "-c",
        (
            "import json, os, sys, sysconfig; print(json.dumps({'version': '.'.join(map(str, sys.version_info[:3])),"
            " 'abi': str(sysconfig.get_config_var('SOABI')),"
            " 'base': os.path.realpath(getattr(sys, '_base_executable', sys.executable))}))"
        ),
    ],
}


@dataclass(frozen=True)
class Request:
    """What a task asks for; options of the module, checked for shape only."""

    path: str
    manager: str
    package_json: Any = None
    package_lock: Any = None
    requirements: str | None = None
    registry: str | None = None
    offline_dir: str | None = None
    archives_dir: str | None = None
    node: str | None = None
    npm: str | None = None
    python: str = "/usr/bin/python3"
    allow_scripts: Sequence[str] = ()
    allow_source: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    keep: int = 2
    ca_file: str | None = None
    client_config: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 1800


@dataclass(frozen=True)
class Interpreter:
    """A node or python: its version, its ABI, and the real path of the program itself."""

    version: str
    abi: str
    base: str


@dataclass(frozen=True)
class Plan:
    """What a run would do. ``name`` is a directory below releases; None: not known before the run.

    ``before`` and ``after`` are pinned versions, ``previous`` is the release to go back to.
    ``install``, ``switch`` and ``prune`` are the three kinds of change.
    """

    digest: str | None
    name: str | None
    current: str | None
    previous: str | None
    before: Mapping[str, str]
    after: Mapping[str, str]
    install: bool
    switch: bool
    prune: Sequence[str]

    @property
    def changed(self) -> bool:
        return self.install or self.switch or bool(self.prune)


def _check_address(option: str, value: str) -> None:
    authority = value.partition("://")[2].partition("/")[0]
    if "@" in authority:
        raise ReleaseError(
            f"{option}: an address with a user or password would end in logs; put it in a file on the host and name"
            " the file as client_config"
        )


def check_request(request: Request) -> None:
    """Raise ReleaseError for options that are wrong whatever the host looks like."""
    if not os.path.isabs(request.path) or os.path.normpath(request.path) == "/":
        raise ReleaseError(f"path: {request.path!r} must be an absolute path other than /")
    if request.keep < 0:
        raise ReleaseError(f"keep: {request.keep} must be 0 or more")
    if request.timeout < 1:
        raise ReleaseError(f"timeout: {request.timeout} must be 1 second or more")
    if request.registry is not None:
        if not request.registry.startswith(("https://", "http://", "file://")):
            raise ReleaseError(f"registry: {request.registry!r} must start with https://, http:// or file://")
        _check_address("registry", request.registry)
        if request.offline_dir is not None:
            raise ReleaseError("registry and offline_dir exclude each other: from where shall packages come?")
    for name, value in request.environment.items():
        if name in _RESERVED or name.lower().startswith(("npm_config_", "pip_")):
            raise ReleaseError(f"environment: {name} is refused; the module sets it itself from its options")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ReleaseError(f"environment: {name!r} is no name of a variable")
        _check_address(f"environment.{name}", value)
    try:
        check_link_names(request.links)
    except SealError as error:
        raise ReleaseError(str(error)) from None


def read_lock(request: Request, machine: str) -> Any:
    """The NpmLock or PipLock that the request hands over. Raises LockError."""
    if request.manager == "npm":
        npm_lock = read_npm(request.package_json, request.package_lock, machine)
        check_scripts(npm_lock, request.allow_scripts)
        return npm_lock
    pip_lock = read_requirements(request.requirements)
    check_sources(pip_lock, request.allow_source)
    return pip_lock


def release_digest(request: Request, lock: Any, interpreter: Interpreter, machine: str) -> str:
    """The name of the release: 32 hexadecimal digits over everything that decides its content."""
    is_npm = request.manager == "npm"
    parts = interpreter.version.split(".")
    content = {
        "format": FORMAT,
        "manager": request.manager,
        "lock": lock.canonical(),
        "interpreter": parts[:1] if is_npm else parts[:2],
        "abi": interpreter.abi,
        # A virtual environment points at the interpreter it was made with.
        "base": None if is_npm else interpreter.base,
        "machine": machine,
        "allow_scripts": sorted(request.allow_scripts),
        "allow_source": sorted(request.allow_source),
        "links": dict(request.links),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


class Releaser:
    """Carries one request out. ``started_processes`` counts the programs that it started."""

    def __init__(
        self,
        request: Request,
        *,
        user: Callable[[], Any] = install_user,
        machine: str | None = None,
    ) -> None:
        self.request = request
        self.user = user
        self.machine = os.uname().machine if machine is None else machine
        self.store = Store(request.path)
        self.started_processes = 0
        self._probed: dict[str, Any] = {}

    # What is there

    def _interpreter_option(self) -> tuple[str, str]:
        if self.request.manager == "npm":
            if not self.request.node:
                raise ReleaseError("node: the path of the node program is needed for manager npm")
            return "node", self.request.node
        return "python", self.request.python

    def interpreter(self) -> Interpreter | None:
        """The interpreter of the request, or None when it is not there.

        Started at most once for each file: what it said is kept beside the releases.
        """
        option, path = self._interpreter_option()
        real = os.path.realpath(path)
        if not os.path.isabs(path):
            raise ReleaseError(f"{option}: {path!r} must be an absolute path")
        try:
            status = os.stat(real)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReleaseError(f"{option}: {path} cannot be examined ({error.strerror})") from None
        check_chain(option, path, sticky=True)
        # A new inode or change time tells an upgrade in place, which may keep size and mtime.
        identity = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        # The path as given: a virtual environment's python and its base have one real path.
        known = read_json(os.path.join(self.store.path, INTERPRETERS)).get(path)
        if isinstance(known, dict) and known.get("real") == real and known.get("identity") == identity:
            with contextlib.suppress(KeyError):
                return Interpreter(str(known["version"]), str(known["abi"]), str(known["base"]))
        if path in self._probed:
            said = self._probed[path]
        else:
            said = self._probe(option, path)
            self._probed[path] = {"real": real, "identity": identity, **said}
        return Interpreter(str(said["version"]), str(said["abi"]), str(said["base"]))

    def _probe(self, option: str, path: str) -> dict[str, Any]:
        try:
            with self.user() as user:
                finished = user.run(
                    [path, *_PROBES[self.request.manager]],
                    cwd="/",
                    environment=self._environment("/nonexistent", "/nonexistent"),
                    deadline=time.monotonic() + min(60, self.request.timeout),
                )
                self.started_processes += user.started
        except UnprivilegedError as error:
            raise ReleaseError(f"{option}: {error}") from None
        try:
            said = json.loads(finished.output.strip().splitlines()[-1])
            return {key: str(said[key]) for key in ("version", "abi", "base")}
        except (ValueError, IndexError, KeyError, TypeError):
            raise ReleaseError(
                f"{option}: {path} did not tell its version (exit status {finished.returncode}):"
                f" {last_lines(finished.output, limit=3)}"
            ) from None

    def remember_interpreters(self) -> None:
        """Keep what programs said about themselves, so that the next run need not start them."""
        if not self._probed:
            return
        path = os.path.join(self.store.path, INTERPRETERS)
        known = {name: value for name, value in read_json(path).items() if os.path.exists(name)}
        known.update(self._probed)
        write_json(path, known)

    # What to do

    def plan(self, lock: Any, *, check_mode: bool = False) -> Plan:
        """Compare the request with the disk. Raises ReleaseError."""
        current = self.store.link("current")
        marker = self.store.marker(current) if current is not None else {}
        before = {str(name): str(version) for name, version in dict(marker.get("versions", {})).items()}
        after = dict(lock.versions)
        interpreter = self.interpreter()
        if interpreter is None:
            option, path = self._interpreter_option()
            if not check_mode:
                raise ReleaseError(f"{option}: {path} does not exist; install it first, or name another one")
            return Plan(None, None, current, current, before, after, install=True, switch=True, prune=())
        digest = release_digest(self.request, lock, interpreter, self.machine)
        name = self.store.complete(digest)
        install = name is None
        if name is None:
            name = self.store.free_name(digest)
        switch = current != name
        # What is damaged is nothing to go back to.
        old = current if switch and marker else self.store.link("previous")
        prune = self.store.prunable(active=name, before=old, keep=self.request.keep)
        return Plan(digest, name, current, old, before, after, install=install, switch=switch, prune=prune)

    def _environment(self, home: str, temporary: str) -> dict[str, str]:
        environment = {"LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}
        environment.update(self.request.environment)
        environment["HOME"] = home
        environment["TMPDIR"] = temporary
        return environment

    # Doing it

    def prepare(self) -> None:
        """Make the root directory, after a look at who could tamper with it. Raises ReleaseError."""
        check_chain("path", self.store.path, sticky=True)
        for path in (self.store.path, self.store.releases):
            os.makedirs(path, mode=0o755, exist_ok=True)
            status = os.lstat(path)
            if not os.path.isdir(path) or not is_trusted(os.stat(path)):
                raise ReleaseError(
                    f"path: {path} must be a directory that only root can write (uid {status.st_uid}, mode"
                    f" {stat.S_IMODE(status.st_mode):04o})"
                )

    def apply(self, lock: Any) -> Plan:
        """Make the disk what the request says, and return what was done. Raises ReleaseError."""
        self.prepare()
        with self.store.locked(self.request.timeout):
            # Another run may have done it while this one waited.
            plan = self.plan(lock)
            self.remember_interpreters()
            self.store.remove_work()
            if plan.name is None or plan.digest is None:
                raise ReleaseError("the release has no name")
            if plan.install:
                try:
                    self._install(plan.name, plan, lock)
                except ReleaseError as error:
                    active = plan.current or "nothing"
                    raise ReleaseError(f"{error}. Nothing was changed: 'current' is still {active}") from error
            if plan.switch:
                if plan.current is not None and self.store.marker(plan.current):
                    self.store.switch("previous", plan.current)
                self.store.switch("current", plan.name)
            for name in plan.prune:
                self.store.remove(name)
            return plan

    def _installation(self, user: InstallUser, release: str, work: str) -> Installation:
        request = self.request
        installation = Installation(
            user=user,
            release=release,
            work=work,
            environment=self._environment(os.path.join(work, "home"), os.path.join(work, "tmp")),
            deadline=time.monotonic() + request.timeout,
            registry=request.registry,
            offline_dir=request.offline_dir,
            archives_dir=request.archives_dir,
            client_config=request.client_config,
        )
        for name in ("home", "tmp"):
            installation.make_directory(os.path.join(work, name))
        source = request.ca_file or (SYSTEM_CA_FILE if os.path.isfile(SYSTEM_CA_FILE) else None)
        if source is not None:
            try:
                with Path(source).open(encoding="utf-8", errors="strict") as handle:
                    text = handle.read()
            except (OSError, UnicodeDecodeError) as error:
                raise ReleaseError(f"ca_file: {source} cannot be read ({type(error).__name__})") from None
            installation.ca_file = os.path.join(work, "ca.pem")
            installation.write_file(installation.ca_file, text)
        return installation

    def _fill(self, installation: Installation, lock: Any) -> None:
        request = self.request
        if isinstance(lock, NpmLock):
            node = str(request.node)
            npm = request.npm or find_npm_cli(node)
            if npm is None or not os.path.isfile(npm):
                raise ReleaseError(
                    f"npm: {npm or 'no npm-cli.js beside ' + node} was not found; name the npm-cli.js of this node"
                )
            check_chain("npm", npm, sticky=True)
            install_npm(installation, lock, node=node, npm=npm, allow_scripts=request.allow_scripts)
        elif isinstance(lock, PipLock):
            install_pip(installation, lock, python=request.python, allow_source=request.allow_source)

    def _install(self, name: str, plan: Plan, lock: Any) -> None:
        release = self.store.directory(name)
        work = os.path.join(self.store.path, WORK)
        for option in ("offline_dir", "archives_dir"):
            directory = getattr(self.request, option)
            if directory is not None and not os.path.isdir(directory):
                raise ReleaseError(f"{option}: {directory} is no directory")
        if os.path.lexists(release):
            self.store.remove(name)
        done = False
        try:
            with self.user() as user:
                try:
                    os.mkdir(release, 0o755)
                    os.mkdir(work, 0o700)
                    user.own(release)
                    user.own(work)
                    self._fill(self._installation(user, release, work), lock)
                    user.kill_leftovers()
                    # Before it could count as ours.
                    if os.path.lexists(os.path.join(release, MARKER)):
                        raise ReleaseError(f"the install left a file {MARKER} in the release; that name is taken")
                finally:
                    self.started_processes += user.started
                seal(release, owner=0 if os.geteuid() == 0 else None, allowed_targets=self._allowed_targets())
                make_links(release, self.request.links)
                self._write_marker(plan, release)
                done = True
        except (UnprivilegedError, SealError) as error:
            raise ReleaseError(str(error)) from error
        finally:
            if os.path.lexists(work):
                shutil.rmtree(work, ignore_errors=True)
            if not done and os.path.lexists(release):
                self.store.remove(name)

    def _allowed_targets(self) -> frozenset[str]:
        """A virtual environment's link to its interpreter is the one way out of a release."""
        if self.request.manager == "npm":
            return frozenset()
        interpreter = self.interpreter()
        if interpreter is None:
            return frozenset()
        check_chain("python", interpreter.base, sticky=True)
        return frozenset({interpreter.base})

    def _write_marker(self, plan: Plan, release: str) -> None:
        # A marker that outlives a power cut must not vouch for files that did not.
        flush_file_system(release)
        write_json(
            os.path.join(release, MARKER),
            {
                "format": FORMAT,
                "digest": plan.digest,
                "manager": self.request.manager,
                "versions": dict(plan.after),
                "installed": time.time(),
            },
        )


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both sides of a diff with only those names whose versions differ."""
    names = sorted(set(before) | set(after))
    changed = [name for name in names if before.get(name) != after.get(name)]
    return (
        {name: before[name] for name in changed if name in before},
        {name: after[name] for name in changed if name in after},
    )
