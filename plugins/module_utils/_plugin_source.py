# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""What the text of a plugin's source means, and whether it is exact.

An exact source always gives the same plugin: a released version of a package, a commit, a tag. Anything that
moves (a distribution tag, a branch, "the newest") has to be asked for as a lookup.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOCAL, NPM, GIT, CLAWHUB, MARKETPLACE = "local", "npm", "git", "clawhub", "marketplace"
# Only OpenClaw itself can fetch these.
BY_OPENCLAW = frozenset({CLAWHUB, MARKETPLACE})
# OpenClaw asks before it takes a plugin from anywhere but ClawHub.
ASKS_FOR_TRUST = frozenset({NPM, GIT, MARKETPLACE})

FORMS = (
    "the absolute path of a directory or of a .tgz archive on the host, npm:NAME@VERSION,"
    " git:https://HOST/REPOSITORY#TAG_OR_COMMIT, clawhub:NAME@VERSION, or marketplace:PLUGIN@MARKETPLACE"
)
EXACT_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")
COMMIT = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\Z")
_PACKAGE_NAME = re.compile(r"(@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_DISTRIBUTION_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*\Z")
_HOST_AND_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,}(:\d+)?/[^\s#?@]+\Z")


class SourceError(Exception):
    """A source that has no known form or is not exact; the text says what to give instead."""


@dataclass(frozen=True)
class Source:
    """A parsed source. ``name``: path, package, repository or plugin. ``reference``: version, tag, commit or
    marketplace, and None when the text has none.
    """

    kind: str
    name: str
    reference: str | None
    text: str

    @property
    def is_remote(self) -> bool:
        return self.kind != LOCAL


def parse(text: str) -> Source:
    """The source that a text names; raises SourceError."""
    if text.startswith("/"):
        return Source(LOCAL, text, None, text)
    if text.startswith("npm:"):
        return _package(NPM, text, text[len("npm:") :])
    if text.startswith("clawhub:"):
        return _package(CLAWHUB, text, text[len("clawhub:") :])
    if text.startswith(("git:", "git+")):
        return _repository(text)
    if text.startswith("marketplace:"):
        return _marketplace(text)
    if text.startswith("@") or _PACKAGE_NAME.match(text.partition("@")[0]):
        raise SourceError(f"source: {text!r} may be a package; write npm:{text}, clawhub:{text} or an absolute path")
    raise SourceError(f"source: {text!r} is of no known form; give {FORMS}")


def _package(kind: str, text: str, rest: str) -> Source:
    head, separator, tail = rest[1:].partition("@")
    name = rest[:1] + head
    if not _PACKAGE_NAME.match(name):
        raise SourceError(f"source: {text!r} names no package; write {kind}:NAME@VERSION")
    reference = tail if separator else None
    if reference is not None and not EXACT_VERSION.match(reference) and not _DISTRIBUTION_TAG.match(reference):
        raise SourceError(
            f"source: {text!r} asks for {reference!r}, which is no exact version; write {kind}:{name}@VERSION, without"
            " a range"
        )
    return Source(kind, name, reference, text)


def _repository(text: str) -> Source:
    location, separator, reference = text[len("git:") :].partition("#")
    if (separator and not _REFERENCE.match(reference)) or ".." in reference:
        raise SourceError(f"source: {text!r} has no usable tag or commit after '#'")
    if location.startswith("file:///"):
        location = location[len("file://") :]
    if location.startswith(("ssh://", "git@")):
        raise SourceError(
            f"source: {text!r} is reached by ssh, and the unprivileged user that fetches it has no key; use https, or"
            " give an archive ('npm pack' makes one)"
        )
    if location.startswith("https://"):
        if "@" in location.partition("://")[2].partition("/")[0]:
            raise SourceError("source: the address of the repository holds a user or a password; give one without")
    elif _HOST_AND_PATH.match(location):
        location = f"https://{location}"
    elif not location.startswith("/"):
        raise SourceError(
            f"source: {text!r} is no repository that can be fetched safely; give git:https://HOST/REPOSITORY#TAG or"
            " git:/ABSOLUTE/PATH#TAG"
        )
    return Source(GIT, location, reference if separator else None, text)


def _marketplace(text: str) -> Source:
    name, separator, marketplace = text[len("marketplace:") :].partition("@")
    if not separator or not _PLAIN_NAME.match(name) or not marketplace or re.search(r"\s|\A-", marketplace):
        raise SourceError(
            f"source: {text!r} names no marketplace entry; write marketplace:PLUGIN@MARKETPLACE, with an absolute path,"
            " OWNER/REPOSITORY or an https address as the marketplace"
        )
    if re.match(r"[a-z]+://", marketplace) and not marketplace.startswith("https://"):
        raise SourceError(f"source: {text!r} is fetched without protection; give an https address")
    return Source(MARKETPLACE, name, marketplace, text)


def exact_version(source: Source, version: str | None) -> str | None:
    """The version that an exact source must have, None when a commit or tag decides; raises SourceError."""
    if source.kind in (NPM, CLAWHUB):
        reference = source.reference
        if reference is not None and not EXACT_VERSION.match(reference):
            raise SourceError(
                f"source: the tag {reference!r} of {source.text!r} moves; give an exact version, or state: latest to"
                " look it up"
            )
        if reference and version and reference != version:
            raise SourceError(f"source: {source.text!r} and version {version!r} disagree; give one of them")
        if not (reference or version):
            raise SourceError(
                f"version: {source.text!r} needs an exact one; give it, or state: latest to look the newest up"
            )
        if version and not EXACT_VERSION.match(version):
            raise SourceError(f"version: {version!r} is no exact version, such as 1.4.2; a tag needs state: latest")
        return reference or version
    if source.kind == GIT and source.reference is None:
        raise SourceError(
            f"source: {source.text!r} names no tag or commit; add #TAG or #COMMIT, or say state: latest to look it up"
        )
    if source.kind == MARKETPLACE and not version:
        raise SourceError(f"version: {source.text!r} needs an exact one, because a marketplace has no other pin")
    return version
