# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Validate a value against a draft-07 JSON schema; findings never hold a value.

``jsonschema`` (3.2 or later) does the work and is imported only when something is validated. Its own
messages quote the offending instance and are not used.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Union

Path = tuple[Union[str, int], ...]

# A schema that another program exported may be hostile or broken: it gets this much time.
TIME_LIMIT_SECONDS = 20.0
MAXIMUM_FINDINGS = 50
MISSING_LIBRARY = (
    "the Python library jsonschema is not installed for the target's Python;"
    " install the package python3-jsonschema (Debian, Ubuntu, Fedora) on the target"
)
_UNICODE_PROPERTY = re.compile(r"\\[pP]\{")


class SchemaLibraryMissingError(Exception):
    """jsonschema cannot be imported on this host; the text says which package to install."""


class SchemaUnusableError(Exception):
    """The schema itself is not usable."""


@dataclass(frozen=True)
class Finding:
    """One broken rule: where, which keyword of the schema, what it asks for, and what to do."""

    path: Path
    rule: str
    message: str
    remedy: str


def prepare(schema: Any) -> Any:
    r"""A copy of an exported schema that Python can use.

    Patterns with ``\p{...}``, which ``re`` does not know, are left out (OpenClaw 2026.9.6 has three, under
    channels.feishu.stickerSets). So is the demand for a key that has a default: the export describes what OpenClaw
    has read, where defaults are filled in, and it accepts a file without them (channels.telegram.dmPolicy).

    Raises SchemaUnusableError for a reference that leads out of the document,
    because resolving it would fetch something, and for a document that is no schema.
    """
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        raise SchemaUnusableError("the exported schema is not an object with properties")
    try:
        return _prepared(schema)
    except RecursionError:
        raise SchemaUnusableError("the exported schema is nested too deeply") from None


def _prepared(node: Any) -> Any:
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise SchemaUnusableError("the exported schema refers to another document")
        prepared = {
            key: _prepared(member)
            for key, member in node.items()
            if not (key == "pattern" and isinstance(member, str) and _UNICODE_PROPERTY.search(member))
            # A nested identifier would change what "#" means.
            and not (key == "$id" and isinstance(member, str))
        }
        required, properties = node.get("required"), node.get("properties")
        if isinstance(required, list) and isinstance(properties, Mapping):
            prepared["required"] = [name for name in required if not _has_default(properties, name)]
        return prepared
    if isinstance(node, list):
        return [_prepared(member) for member in node]
    return node


def _has_default(properties: Mapping[str, Any], name: Any) -> bool:
    described = properties.get(name) if isinstance(name, str) else None
    return isinstance(described, Mapping) and "default" in described


def is_available() -> bool:
    """Whether jsonschema can be imported."""
    try:
        _validator_class()
    except SchemaLibraryMissingError:
        return False
    return True


def _validator_class() -> Any:
    try:
        from jsonschema import Draft7Validator
    except ImportError:
        raise SchemaLibraryMissingError(MISSING_LIBRARY) from None
    return Draft7Validator


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    # Python's regular expressions look at signals while they run, so this also ends a pattern that
    # would backtrack for ever.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_number: int, _frame: object) -> None:
        raise SchemaUnusableError(f"validating took longer than {seconds:.0f} seconds")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def validate(instance: Any, schema: Mapping[str, Any]) -> list[Finding]:
    """Every broken rule, at most MAXIMUM_FINDINGS, in the order of the paths.

    Raises SchemaLibraryMissingError, or SchemaUnusableError when the schema cannot be applied.
    """
    validator = _validator_class()(schema)
    findings: list[Finding] = []
    try:
        with _time_limit(TIME_LIMIT_SECONDS):
            for error in validator.iter_errors(instance):
                findings.extend(_findings(error))
                if len(findings) >= MAXIMUM_FINDINGS:
                    break
    except SchemaUnusableError:
        raise
    except RecursionError:
        raise SchemaUnusableError("the schema is recursive without end") from None
    except Exception as error:  # noqa: BLE001
        # re.error, a failed reference, a keyword of the wrong type: whatever the schema provokes.
        raise SchemaUnusableError(f"the schema cannot be applied: {type(error).__name__}") from None
    unique = {(finding.path, finding.rule, finding.message): finding for finding in findings}
    return sorted(unique.values(), key=lambda finding: [str(part) for part in finding.path])[:MAXIMUM_FINDINGS]


def _findings(error: Any) -> list[Finding]:
    path: Path = tuple(error.absolute_path)
    rule = str(error.validator)
    expected = error.validator_value
    parent = error.schema if isinstance(error.schema, Mapping) else {}
    if rule == "additionalProperties" and isinstance(error.instance, Mapping):
        unknown = _unknown_members(error.instance, parent)
        known = sorted(parent.get("properties", {}))
        remedy = f"remove it, or use one of: {', '.join(known[:30])}" if known else "remove it"
        return [Finding((*path, name), rule, "this key is not known here", remedy) for name in unknown]
    if rule == "required" and isinstance(error.instance, Mapping) and isinstance(expected, list):
        absent = [name for name in expected if name not in error.instance]
        return [Finding((*path, str(name)), rule, "this key is required", "add it") for name in absent]
    if rule in ("anyOf", "oneOf"):
        return _alternatives(error, path, rule)
    return [Finding(path, rule, *_explanation(rule, expected, error.instance, parent))]


def _unknown_members(instance: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    return [name for name in instance if name not in known and not any(re.search(each, name) for each in patterns)]


def _alternatives(error: Any, path: Path, rule: str) -> list[Finding]:
    constants = [branch.get("const") for branch in error.validator_value if isinstance(branch, Mapping)]
    if constants and all(constant is not None for constant in constants):
        return [Finding(path, "enum", f"must be one of {_listed(constants)}", "use one of these values")]
    branches: dict[Any, list[Any]] = {}
    for child in error.context:
        branches.setdefault(child.schema_path[0], []).append(child)
    for children in branches.values():
        # The branch for the type that is there says best what is wrong with it.
        if not any(child.validator in ("type", "const", "enum") and not child.path for child in children):
            return [found for child in children for found in _findings(child)]
    types = [branch.get("type") for branch in error.validator_value if isinstance(branch, Mapping)]
    named = sorted({kind for kind in types if isinstance(kind, str)})
    remedy = f"give one of: {', '.join(named)}" if named else "see OpenClaw's documentation of this key"
    return [Finding(path, rule, f"is {_kind(error.instance)}, which fits none of the allowed forms", remedy)]


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(repr(value) for value in values[:30])


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, (list, tuple)) else "an object"


def _explanation(rule: str, expected: Any, instance: Any, schema: Mapping[str, Any]) -> tuple[str, str]:
    title = schema.get("title")
    described = f" ({title})" if isinstance(title, str) else ""
    if rule == "type":
        wanted = expected if isinstance(expected, str) else " or ".join(str(each) for each in expected)
        return f"is {_kind(instance)}, and must be of type {wanted}", f"give a value of type {wanted}{described}"
    if rule == "enum":
        return f"must be one of {_listed(expected)}", "use one of these values"
    if rule == "const":
        return f"must be {expected!r}", "use this value"
    if rule == "pattern":
        return f"does not match {expected}", str(schema.get("description") or "use the form that this key wants")
    limits = {
        "minimum": "must be at least",
        "maximum": "must be at most",
        "exclusiveMinimum": "must be more than",
        "exclusiveMaximum": "must be less than",
        "minLength": "must have at least this many characters:",
        "maxLength": "must have at most this many characters:",
        "minItems": "must have at least this many elements:",
        "maxItems": "must have at most this many elements:",
        "minProperties": "must have at least this many members:",
        "format": "must have the format",
    }
    if rule in limits:
        return f"{limits[rule]} {expected}", str(schema.get("description") or f"change the value{described}")
    if rule == "uniqueItems":
        return "has an element twice", "remove the second one"
    return f"breaks the rule {rule}", str(schema.get("description") or "see OpenClaw's documentation of this key")
