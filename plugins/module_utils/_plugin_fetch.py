# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Fetch a plugin from npm, git, ClawHub or a marketplace, and hand it over as a package.

Whatever is fetched is only read here; placing it is somebody else's work, and the same for every source. npm and git
run as a user that nobody else is, in a directory of their own, and run no script of the package. ClawHub and
marketplaces are spoken to by OpenClaw alone, so that its command line installs into a scratch home, as that user and
with a scratch configuration, and the result is taken from there: no file of the live installation is touched.
What an exact source gave once is kept, so that a second run starts no program and needs no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_memory,
    _files,
    _install_record,
    _plugin_package,
    _plugin_source,
    _release_npm,
    _unprivileged,
)

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
# On the disk: OpenClaw and git need more room than a memory file system may have.
_DISK = "/var/tmp"  # noqa: S108
_KEPT_ARCHIVES = 16
# A port that no gateway listens on, so that the command line finds none to hand its work to.
_NO_GATEWAY_PORT = 1
_LISTED_REFERENCE = re.compile(r"^([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)$", re.MULTILINE)


class FetchError(Exception):
    """The plugin could not be fetched; nothing was changed."""


@dataclass(frozen=True)
class Fetched:
    """A package, the archive that its publisher signed for (npm only), and which exact thing it is."""

    package: _plugin_package.Package
    archive: bytes | None
    identity: str


@dataclass(frozen=True)
class Tools:
    """What fetching may use. ``environment``: more variables for the programs, for example for an HTTP proxy."""

    openclaw_command: Sequence[str] = ()
    node: str = ""
    registry: str | None = None
    ca_file: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    accept_source: bool = False
    accept_capabilities: bool = False
    timeout_seconds: float = 600.0


class Cache:
    """Archives of exact sources, in a private directory. With ``write`` off (check mode) it is only read."""

    def __init__(self, directory: str | None = None, *, write: bool) -> None:
        self._directory = posixpath.join(directory or _config_memory.default_directory(), "plugins")
        self._write = write

    def get(self, key: str) -> bytes | None:
        try:
            with _files.private_directory(self._directory, create=False) as descriptor:
                found = _files.read_file(descriptor, _cache_name(key), limit=_plugin_package.MAXIMUM_BYTES)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except _files.FileError as error:
            raise FetchError(str(error)) from error
        return None if found is None else found.content

    def put(self, key: str, archive: bytes) -> None:
        if not self._write:
            return
        try:
            with _files.private_directory(posixpath.dirname(self._directory)):
                pass
            with _files.private_directory(self._directory) as descriptor:
                _files.write_private(descriptor, _cache_name(key), archive)
                names = [name for name in os.listdir(descriptor) if name.endswith(".tgz")]
                names.sort(key=lambda name: os.stat(name, dir_fd=descriptor).st_mtime, reverse=True)
                for name in names[_KEPT_ARCHIVES:]:
                    os.unlink(name, dir_fd=descriptor)
        except (_files.FileError, OSError) as error:
            raise FetchError(f"{self._directory}: {error}") from error


def _cache_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() + ".tgz"


class Workshop:
    """A private directory of a user that nobody else is, and the programs that run there."""

    def __init__(self, user: _unprivileged.InstallUser, path: str, tools: Tools) -> None:
        self.user = user
        self.path = path
        self.tools = tools
        self._deadline = time.monotonic() + tools.timeout_seconds

    @property
    def owner(self) -> int:
        return os.geteuid() if self.user.uid is None else self.user.uid

    def directory(self, name: str) -> str:
        path = posixpath.join(self.path, name)
        os.mkdir(path, 0o700)
        self.user.own(path)
        return path

    def file(self, name: str, text: str) -> str:
        path = posixpath.join(self.path, name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as stream:
            stream.write(text)
        self.user.own(path)
        return path

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> _unprivileged.Finished:
        """Run a program with exactly this environment and that of the task; raises FetchError if it cannot run."""
        try:
            return self.user.run(
                argv,
                cwd=self.path,
                environment={"HOME": self.path, "LC_ALL": "C.UTF-8", **self.tools.environment, **environment},
                deadline=self._deadline,
            )
        except _unprivileged.UnprivilegedError as error:
            raise FetchError(str(error)) from error


@contextmanager
def workshop(tools: Tools) -> Iterator[Workshop]:
    """A Workshop for the length of the block; nothing of it is left."""
    base = tempfile.mkdtemp(prefix="failclosed-plugin-", dir=_DISK if os.path.isdir(_DISK) else None)
    try:
        with _unprivileged.install_user() as user:
            path = posixpath.join(base, "work")
            os.mkdir(path, 0o700)
            user.own(path)
            if user.uid is not None:
                # To be passed through by a user who knows the name of what is inside.
                os.chmod(base, 0o711)  # noqa: S103
            yield Workshop(user, os.path.realpath(path), tools)
    except _unprivileged.UnprivilegedError as error:
        raise FetchError(str(error)) from error
    finally:
        shutil.rmtree(base, ignore_errors=True)


def last_lines(output: str, *, limit: int = 6) -> str:
    """The end of what a program printed, in one line and without anything that steers a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    text = " | ".join(lines[-limit:])[-1000:]
    return "".join(character for character in text if character.isprintable()) or "no output"


def fetch(
    source: _plugin_source.Source,
    version: str | None,
    name: str,
    tools: Tools,
    cache: Cache,
    *,
    may_start_openclaw: bool = True,
) -> Fetched | None:
    """The plugin ``name`` that an exact source gives.

    ``may_start_openclaw`` off (check mode): None where only OpenClaw could fetch it. Raises FetchError, SourceError
    and PackageError.
    """
    version = _plugin_source.exact_version(source, version)
    if source.kind == _plugin_source.NPM:
        return _fetch_npm(source, str(version), tools, cache)
    if source.kind == _plugin_source.GIT:
        reference = str(source.reference)
        if _plugin_source.COMMIT.match(reference):
            return _fetch_commit(source, reference, tools, cache)
        with workshop(tools) as place:
            commit = _git_commit(place, source, _tag_names(reference))
        return _fetch_commit(source, commit, tools, cache)
    marketplace = source.reference if source.kind == _plugin_source.MARKETPLACE else ""
    key = f"{source.kind} {source.name} {marketplace} {version}"
    archive = cache.get(key)
    if archive is None:
        if not may_start_openclaw:
            return None
        package = _fetch_by_openclaw(source, version, name, tools)
        if package.version != version:
            raise FetchError(
                f"{source.text}: has version {package.version or 'unknown'}, and version {version} was asked for"
            )
        archive = _plugin_package.pack(package)
        cache.put(key, archive)
    package = _plugin_package.read_archive(archive, source.text)
    return Fetched(package, None, f"{source.kind}:{source.name}@{version}")


def fetch_latest(source: _plugin_source.Source, name: str, tools: Tools, cache: Cache) -> tuple[Fetched, str]:
    """Look up what is newest and fetch it; also a line that says what the lookup found.

    Raises FetchError, SourceError and PackageError.
    """
    if source.kind == _plugin_source.NPM:
        tag = source.reference or "latest"
        with workshop(tools) as place:
            version = _npm_version(place, source, tag)
        return _fetch_npm(source, version, tools, cache), f"{tag} of the npm package {source.name} is {version}"
    if source.kind == _plugin_source.GIT:
        reference = source.reference or "HEAD"
        with workshop(tools) as place:
            commit = _git_commit(place, source, [*_tag_names(reference), f"refs/heads/{reference}", reference])
        return _fetch_commit(source, commit, tools, cache), f"{reference} of {source.name} is {commit}"
    if source.kind == _plugin_source.LOCAL:
        raise _plugin_source.SourceError(
            f"state: latest needs a source that can be asked for its newest version, and {source.text!r} is a path;"
            " say state: present"
        )
    wanted = source.reference if source.kind == _plugin_source.CLAWHUB else None
    package = _fetch_by_openclaw(source, wanted, name, tools)
    identity = f"{source.kind}:{source.name}@{package.version}"
    return Fetched(package, None, identity), f"the newest of {source.text} is {package.version or 'unknown'}"


def _npm(place: Workshop, *arguments: str) -> _unprivileged.Finished:
    """Run npm with the host's settings; no script of any package runs."""
    tools = place.tools
    if not tools.node or not os.access(tools.node, os.X_OK):
        raise FetchError(
            f"node: {tools.node or 'nothing'} is no program; name the node that npm shall run with, for example"
            " /opt/openclaw/node/current/bin/node"
        )
    npm = _release_npm.find_npm_cli(tools.node)
    if npm is None:
        raise FetchError(f"node: {tools.node} has no npm beside it; name a node that has one")
    environment = {
        "PATH": f"{posixpath.dirname(os.path.realpath(tools.node))}:{_SYSTEM_PATH}",
        "npm_config_cache": posixpath.join(place.path, "npm-cache"),
        "npm_config_userconfig": posixpath.join(place.path, "npmrc"),
    }
    if tools.ca_file:
        environment["NODE_EXTRA_CA_CERTS"] = tools.ca_file
    if tools.registry:
        environment["npm_config_registry"] = tools.registry
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    return place.run([tools.node, npm, *arguments, *options], environment)


def _npm_version(place: Workshop, source: _plugin_source.Source, tag: str) -> str:
    finished = _npm(place, "view", f"{source.name}@{tag}", "version")
    lines = finished.output.split()
    if finished.returncode != 0 or not lines or not _plugin_source.EXACT_VERSION.match(lines[-1]):
        raise FetchError(f"{source.text}: npm knows no version for {tag}: {last_lines(finished.output)}")
    return lines[-1]


def _fetch_npm(source: _plugin_source.Source, version: str, tools: Tools, cache: Cache) -> Fetched:
    key = f"npm {tools.registry or ''} {source.name} {version}"
    identity = f"npm:{source.name}@{version}"
    archive = cache.get(key)
    if archive is None:
        with workshop(tools) as place:
            target = place.directory("packed")
            finished = _npm(place, "pack", f"{source.name}@{version}", f"--pack-destination={target}")
            if finished.returncode != 0:
                raise FetchError(f"{identity}: npm could not fetch it: {last_lines(finished.output)}")
            with _files.open_directory(target) as directory:
                names = os.listdir(directory)
                found = _files.read_file(directory, names[0], limit=_plugin_package.MAXIMUM_BYTES) if names else None
        if found is None or len(names) != 1:
            raise FetchError(f"{identity}: npm ended well and left {len(names)} files; expected one archive")
        archive = found.content
    package = _plugin_package.read_archive(archive, identity)
    if package.version != version:
        raise FetchError(f"{identity}: has version {package.version or 'unknown'} inside")
    cache.put(key, archive)
    return Fetched(package, archive, identity)


def _tag_names(reference: str) -> list[str]:
    # An annotated tag is an object of its own, and the name with ^{} is the commit that it stands for.
    return [f"refs/tags/{reference}^{{}}", f"refs/tags/{reference}"]


def _git(place: Workshop, *arguments: str) -> _unprivileged.Finished:
    git = shutil.which("git", path=_SYSTEM_PATH)
    if git is None:
        raise FetchError("git is not installed on this host; install it (package git), or give an archive")
    environment = {
        "PATH": _SYSTEM_PATH,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": posixpath.join(place.path, "gitconfig"),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "https:file",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
    }
    if place.tools.ca_file:
        environment["GIT_SSL_CAINFO"] = place.tools.ca_file
    return place.run([git, *arguments], environment)


def _git_settings(place: Workshop, source: _plugin_source.Source) -> None:
    # A repository on this host belongs to somebody else than the user who reads it.
    safe = "".join(f"[safe]\n\tdirectory = {json.dumps(path)}\n" for path in (source.name, f"{source.name}/.git"))
    place.file(
        "gitconfig",
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n[init]\n\ttemplateDir =\n\tdefaultBranch = main\n"
        f"[transfer]\n\tfsckObjects = true\n{safe if source.name.startswith('/') else ''}",
    )


def _git_commit(place: Workshop, source: _plugin_source.Source, names: Sequence[str]) -> str:
    """The commit that the first of ``names`` stands for; raises FetchError."""
    _git_settings(place, source)
    finished = _git(place, "ls-remote", "--quiet", "--", source.name)
    if finished.returncode != 0:
        raise FetchError(f"{source.text}: git could not read the repository: {last_lines(finished.output)}")
    listed = {name: commit for commit, name in _LISTED_REFERENCE.findall(finished.output)}
    for name in names:
        if name in listed:
            return str(listed[name])
    if f"refs/heads/{source.reference}" in listed:
        raise FetchError(
            f"{source.text}: {source.reference} is a branch, which moves; give a tag or the commit"
            f" {listed[f'refs/heads/{source.reference}']}, or say state: latest to look it up"
        )
    raise FetchError(f"{source.text}: the repository has no {source.reference or 'HEAD'}")


def _fetch_commit(source: _plugin_source.Source, commit: str, tools: Tools, cache: Cache) -> Fetched:
    key = f"git {source.name} {commit}"
    identity = f"git:{source.name}#{commit}"
    archive = cache.get(key)
    if archive is None:
        with workshop(tools) as place:
            _git_settings(place, source)
            package = _check_out(place, source, commit)
        archive = _plugin_package.pack(package)
        cache.put(key, archive)
    return Fetched(_plugin_package.read_archive(archive, identity), None, identity)


def _check_out(place: Workshop, source: _plugin_source.Source, commit: str) -> _plugin_package.Package:
    tree = place.directory("tree")

    def run(*arguments: str) -> _unprivileged.Finished:
        return _git(place, "-C", tree, *arguments)

    finished = run("init", "--quiet")
    if finished.returncode == 0:
        finished = run("fetch", "--quiet", "--depth=1", "--no-tags", "--", source.name, commit)
        if finished.returncode != 0:
            # Not every server gives out a single commit.
            finished = run("fetch", "--quiet", "--", source.name, "+refs/*:refs/fetched/*")
    if finished.returncode == 0:
        # git checks that what it takes out has the name that it was asked for.
        finished = run("checkout", "--quiet", "--detach", commit)
    if finished.returncode != 0:
        raise FetchError(f"{source.text}: git could not fetch commit {commit}: {last_lines(finished.output)}")
    return _plugin_package.read_directory(tree, trusted_uids=frozenset({place.owner}))


def openclaw_arguments(source: _plugin_source.Source, version: str | None, tools: Tools) -> list[str]:
    """The words after the command that let OpenClaw install this source; consent only as it was given."""
    arguments = ["plugins", "install"]
    if source.kind == _plugin_source.CLAWHUB:
        arguments.append(f"clawhub:{source.name}@{version}" if version else f"clawhub:{source.name}")
    else:
        arguments += [source.name, "--marketplace", str(source.reference)]
        if tools.accept_source:
            arguments.append("--force")
    if tools.accept_capabilities:
        arguments.append("--accept-capabilities")
    return arguments


def _fetch_by_openclaw(
    source: _plugin_source.Source, version: str | None, name: str, tools: Tools
) -> _plugin_package.Package:
    if not tools.openclaw_command:
        raise FetchError(
            f"openclaw_command: {source.text} can only be fetched by OpenClaw; give the command that starts it"
        )
    with workshop(tools) as place:
        directories = {part: place.directory(part) for part in ("home", "state", "config", "tmp")}
        document = {
            "gateway": {"mode": "local", "bind": "loopback", "port": _NO_GATEWAY_PORT},
            "telemetry": {"enabled": False},
            "update": {"checkOnStart": False},
        }
        config = place.file("config/openclaw.json", json.dumps(document))
        command = tools.openclaw_command
        own = [posixpath.dirname(command[0])] if command[0].startswith("/") else []
        environment = {
            "HOME": directories["home"],
            "PATH": ":".join([*own, _SYSTEM_PATH]),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "NODE_DISABLE_COMPILE_CACHE": "1",
            "OPENCLAW_CONFIG_PATH": config,
            "OPENCLAW_STATE_DIR": directories["state"],
            "TMPDIR": directories["tmp"],
        }
        if tools.ca_file:
            environment["NODE_EXTRA_CA_CERTS"] = tools.ca_file
            environment["GIT_SSL_CAINFO"] = tools.ca_file
        finished = place.run([*command, *openclaw_arguments(source, version, tools)], environment)
        if finished.returncode != 0:
            raise FetchError(f"{source.text}: OpenClaw could not install it: {last_lines(finished.output)}")
        return _installed_in_scratch(place, source, directories["state"], name)


def _installed_in_scratch(
    place: Workshop, source: _plugin_source.Source, state: str, name: str
) -> _plugin_package.Package:
    try:
        records = _install_record.read(state, place.owner, os.getegid() if place.user.uid is None else place.owner)
    except _install_record.RecordError as error:
        raise FetchError(f"{source.text}: OpenClaw's record of what it installed cannot be read: {error}") from error
    if name not in records:
        found = ", ".join(sorted(records)) or "nothing"
        raise FetchError(f"{source.text}: OpenClaw installed {found} from it, and name is {name!r}")
    path = records[name].path
    if not path.startswith(f"{state}/") or ".." in path.split("/"):
        raise FetchError(f"{source.text}: OpenClaw says that it installed the plugin at {path!r}, outside of its state")
    return _plugin_package.read_directory(path, trusted_uids=frozenset({place.owner}), packed=True)
