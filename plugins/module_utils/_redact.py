# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Turn a configuration tree into one that is safe to show.

What counts as a secret: a path where OpenClaw's schema accepts a SecretRef, a key that OpenClaw's own
rule (``isSensitiveConfigPath``) or the wider rule here calls sensitive, a path that the caller names,
and text that has the shape of a credential wherever it stands. A secret appears as a short keyed
fingerprint: equal secrets look equal, and nobody without the key can test a guess.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union

Path = tuple[Union[str, int], ...]

# The first ten are OpenClaw's own (2026.9.6, src/config/sensitive-paths.ts): keys that only look sensitive.
_HARMLESS_SUFFIXES = (
    "maxtokens",
    "maxoutputtokens",
    "maxinputtokens",
    "maxcompletiontokens",
    "contexttokens",
    "totaltokens",
    "tokencount",
    "tokenlimit",
    "tokenbudget",
    "passwordfile",
    "secretfile",
    "tokenfile",
    "keyfile",
    "apikeyenv",
    "tokenenv",
)
_SENSITIVE_KEY = re.compile(
    # The first line is OpenClaw's rule; the rest adds what its SecretRef surface and plugins use.
    r"token$|password|secret|api.?key|encrypt.?key|private.?key|serviceaccount(?:ref)?$"
    r"|passphrase|passwd|credential|authorization|^auth.?tag$|cookie|signing.?key"
    r"|access.?key|^bearer$|webhook.?url$|connection.?string|^dsn$|^pin$"
    r"|^(?:identity|certificate|knownHosts)Data$",
    re.IGNORECASE,
)
ANY_KEY = "*"
# Objects whose members are all secrets, whatever they are called.
_SENSITIVE_MAPS = frozenset({"headers", "env", "edgeAuth"})
# Objects whose keys are names that somebody chose: they say nothing about the value.
_NAME_MAPS = frozenset({"entries", "providers", "servers", "accounts", "profiles", "peers", "agents", "models"})
_SENSITIVE_MEMBERS = frozenset({("tls", "ca"), ("tls", "cert"), ("tls", "key"), ("auth", "value")})
# The section that says where secrets are kept: its providers hold paths and commands.
_HARMLESS_PATHS = frozenset({("secrets",), ("env", "shellEnv")})

_VARIABLE = r"\$\{[A-Z_][A-Z0-9_]*\}"
_ONLY_VARIABLE = re.compile(rf"(?:Bearer\s+|Basic\s+)?{_VARIABLE}\Z")
_SECRET_REFERENCE_SOURCES = frozenset({"env", "file", "exec", "store"})

_SECRET_SHAPE = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}"
    r"|\bA(?:KIA|SIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b\d{6,}:[\w-]{30,}"
    r"|\b(?:Bearer|Basic)\s+(?!\$\{)[\w.~+/=-]{8,}",
)
_URL_CREDENTIAL = re.compile(
    r"(?P<before>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<userinfo>[^/?#\s@]+)@"
    r"|(?P<parameter>[?&](?:[^=&#\s]*(?:token|key|secret|password|auth|signature|sig)[^=&#\s]*)=)(?P<value>[^&#\s]+)",
    re.IGNORECASE,
)
_URL_SECRET_KEYS = frozenset({"userinfo", "value"})


def is_secret_reference(value: Any) -> bool:
    """Whether a value is a SecretRef object, which names a secret and holds none."""
    if not isinstance(value, Mapping):
        return False
    keys = set(value)
    return (
        value.get("source") in _SECRET_REFERENCE_SOURCES
        and keys <= {"source", "provider", "id"}
        and isinstance(value.get("id"), str)
    )


def is_variable_reference(value: Any) -> bool:
    """Whether a string is nothing but ``${NAME}``, with or without the word Bearer or Basic before it."""
    return isinstance(value, str) and _ONLY_VARIABLE.match(value) is not None


def _covers(prefix: Path, path: Path) -> bool:
    return len(path) >= len(prefix) and all(ours in (ANY_KEY, theirs) for ours, theirs in zip(prefix, path))


def is_sensitive_path(path: Path, *, sensitive_paths: Iterable[Path] = ()) -> bool:
    """Whether the value at a path (keys and indexes) is a secret by where it stands.

    ``sensitive_paths``: further paths; each covers everything below it, and a segment ANY_KEY covers every key.
    """
    if any(_covers(prefix, path) for prefix in sensitive_paths):
        return True
    # The elements of a list are as sensitive as the list.
    keys = [part for part in path if isinstance(part, str)]
    if not keys or tuple(keys[:2]) in _HARMLESS_PATHS or path in _HARMLESS_PATHS:
        return False
    key = keys[-1]
    parent = keys[-2] if len(keys) > 1 else ""
    if keys == ["env", "vars"]:
        return True
    if parent in _SENSITIVE_MAPS or (parent, key) in _SENSITIVE_MEMBERS:
        return True
    if parent in _NAME_MAPS or key.lower().endswith(_HARMLESS_SUFFIXES):
        return False
    return _SENSITIVE_KEY.search(key) is not None


def has_secret_shape(value: Any) -> bool:
    """Whether text looks like a credential wherever it stands: a known key format, or a URL with one."""
    if not isinstance(value, str):
        return False
    if _SECRET_SHAPE.search(value):
        return True
    return any(
        match.group(name) is not None and not is_variable_reference(match.group(name))
        for match in _URL_CREDENTIAL.finditer(value)
        for name in _URL_SECRET_KEYS
    )


def fingerprint(value: str, *, key: bytes) -> str:
    """Eight hexadecimal digits of HMAC-SHA-256: tells equal from different and nothing else."""
    # Only a diff needs it; a run that changes nothing does not pay for the import.
    import hmac

    return hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]


def mask(value: Any, *, key: bytes, detailed: bool = False) -> str:
    """The text that stands for a secret. ``detailed`` adds the type, never a length or a part of it."""
    text = value if isinstance(value, str) else repr(value)
    kind = f"{type(value).__name__} " if detailed else ""
    return f"<redacted {kind}{fingerprint(text, key=key)}>"


def redact(
    tree: Any,
    *,
    key: bytes,
    sensitive_paths: Sequence[Path] = (),
    is_public: Callable[[Path, Any], bool] | None = None,
    detailed: bool = False,
    path: Path = (),
) -> Any:
    """A copy of the tree without its secrets; null, true, false, SecretRefs and ``${NAME}`` stay.

    ``key``: secret bytes of this host for the fingerprints. ``is_public(path, value)``: an exception
    that the user declared. ``path``: where the tree stands in the whole file.
    """
    sensitive = is_sensitive_path(path, sensitive_paths=sensitive_paths)
    return _redact(tree, path, key, tuple(sensitive_paths), is_public, detailed, sensitive)


def _redact(
    node: Any,
    path: Path,
    key: bytes,
    sensitive_paths: tuple[Path, ...],
    is_public: Callable[[Path, Any], bool] | None,
    detailed: bool,
    inherited: bool,
) -> Any:
    if node is None or isinstance(node, bool) or is_secret_reference(node):
        return node
    if isinstance(node, Mapping):
        redacted = {}
        for name, member in node.items():
            below = (*path, name)
            # Below a sensitive object everything is: a service account is an object with a private key.
            sensitive = inherited or is_sensitive_path(below, sensitive_paths=sensitive_paths)
            shown = mask(name, key=key, detailed=detailed) if has_secret_shape(name) else name
            redacted[shown] = _redact(member, below, key, sensitive_paths, is_public, detailed, sensitive)
        return redacted
    if isinstance(node, (list, tuple)):
        return [
            _redact(member, (*path, index), key, sensitive_paths, is_public, detailed, inherited)
            for index, member in enumerate(node)
        ]
    if is_variable_reference(node) or node == "":
        return node
    if (inherited or has_secret_shape(node)) and not (is_public is not None and is_public(path, node)):
        return mask(node, key=key, detailed=detailed)
    return node


def secret_texts(tree: Any, *, sensitive_paths: Sequence[Path] = ()) -> set[str]:
    """Every string in the tree that ``redact`` would hide, for scrubbing foreign text."""
    found: set[str] = set()

    def walk(node: Any, path: Path, inherited: bool) -> None:
        if is_secret_reference(node):
            return
        if isinstance(node, Mapping):
            for name, member in node.items():
                below = (*path, name)
                walk(member, below, inherited or is_sensitive_path(below, sensitive_paths=sensitive_paths))
        elif isinstance(node, (list, tuple)):
            for index, member in enumerate(node):
                walk(member, (*path, index), inherited)
        elif isinstance(node, str) and node and not is_variable_reference(node):
            if inherited or has_secret_shape(node):
                found.add(node)
        elif isinstance(node, (int, float)) and not isinstance(node, bool) and inherited:
            found.add(str(node))

    walk(tree, (), False)
    return found


# Control characters (Cc), those that reorder or hide text (a part of Cf), and the separators that break a line.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Text that a terminal shows as what it is: what would steer it, reorder the line or be invisible is escaped.

    Tab and line feed stay. Inside a JSON text the result is the same JSON.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Foreign text (a program's message) without the given secrets and without credential shapes.

    Secrets of fewer than four characters are replaced only as whole words: otherwise every letter
    of the text would go.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "<redacted>")
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "<redacted>", text)

    def without_credential(match: re.Match[str]) -> str:
        if match.group("userinfo") is not None:
            return f"{match.group('before')}<redacted>@"
        return f"{match.group('parameter')}<redacted>"

    return _URL_CREDENTIAL.sub(without_credential, _SECRET_SHAPE.sub("<redacted>", text))
