# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One install of a release: the directories, the configuration and the programs it may use.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import (
    Finished,
    InstallUser,
    UnprivilegedError,
)


class ReleaseError(Exception):
    """A release could not be made or switched; the message says what was found and what to do."""


class LockError(ReleaseError):
    """The lock handed over is not one, or does not pin everything."""


def last_lines(output: str, prefix: str = "", *, limit: int = 12) -> str:
    """The end of a program's output in one message; only lines with ``prefix`` when there are any."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    chosen = [line for line in lines if line.startswith(prefix)] or lines
    return " | ".join(chosen[-limit:]) or "no output"


@dataclass
class Installation:
    """What an installer gets to work with.

    ``release`` is the empty directory to fill and ``work`` a private one that is removed afterwards;
    both belong to ``user``. ``environment`` is complete but for the manager's own variables.
    ``deadline`` is a time.monotonic().
    """

    user: InstallUser
    release: str
    work: str
    environment: dict[str, str]
    deadline: float
    registry: str | None = None
    offline_dir: str | None = None
    archives_dir: str | None = None
    ca_file: str | None = None
    client_config: str | None = None

    @property
    def is_explicit(self) -> bool:
        """Whether the task says where packages come from, so that the machine's settings do not count."""
        return not (self.registry is None and self.offline_dir is None and self.client_config is None)

    @property
    def directories(self) -> list[str]:
        """Directories on the target with packages, the more particular one first."""
        return [each for each in (self.archives_dir, self.offline_dir) if each is not None]

    def make_directory(self, path: str) -> None:
        """Make ``path`` for the install user, unless it is there."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return
        self.user.own(path)

    def write_file(self, path: str, text: str) -> None:
        """Make the new file ``path`` for the install user, 0600."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        self.user.own(path)

    def copy_file(self, source: str, path: str, verifier: Any, digest: bytes) -> None:
        """Copy ``source`` to the new file ``path`` and verify the copy with a fresh hashlib object.

        Raises ReleaseError when the copy differs from ``digest``: the source changed meanwhile.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with Path(source).open("rb") as reader, os.fdopen(os.open(path, flags, 0o600), "wb") as writer:
            for block in iter(lambda: reader.read(1 << 20), b""):
                verifier.update(block)
                writer.write(block)
        if verifier.digest() != digest:
            raise ReleaseError(f"{source} changed while it was read")
        self.user.own(path)

    def client_config_text(self) -> str:
        """The content of the manager's own configuration file that the task names, or nothing."""
        if self.client_config is None:
            return ""
        try:
            with Path(self.client_config).open(encoding="utf-8") as handle:
                return handle.read()
        except OSError as error:
            raise ReleaseError(f"client_config: {self.client_config} cannot be read ({error.strerror})") from None

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
        """Run one program as the install user in the release directory. Raises ReleaseError."""
        try:
            return self.user.run(argv, cwd=self.release, environment=environment, deadline=self.deadline)
        except UnprivilegedError as error:
            raise ReleaseError(str(error)) from error
