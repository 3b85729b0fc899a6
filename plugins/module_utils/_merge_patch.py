# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON merge patch (RFC 7396) on values.

Private to the collection failclosed.openclaw.

A patch that is an object merges into an object: null removes a member, anything else is applied
to it. Any other patch replaces the target. Equality is that of `_json5.same`: 1 equals 1.0,
True differs from 1, the order of members does not count.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._json5 import same


def apply(target: Any, patch: Any) -> Any:
    """``target`` after the merge patch ``patch``.

    Neither argument is changed; the result shares the parts of both that it took over.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def diff(before: Any, after: Any) -> Any:
    """The smallest merge patch for which ``apply(before, patch)`` equals ``after``.

    ``{}`` where nothing differs (also between equal arrays or scalars: test for a change with
    `changed_paths`, because applying ``{}`` to something that is no object makes it one).
    Raises ValueError with the path where RFC 7396 has no such patch: it cannot set a member of an
    object to null.
    """
    if not isinstance(after, dict):
        return {} if same(before, after) else after
    return _difference(before if isinstance(before, dict) else {}, after, ())


def _difference(before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    patch: dict[str, Any] = dict.fromkeys(key for key in before if key not in after)
    for key, value in after.items():
        if key in before and same(before[key], value):
            continue
        if value is None:
            raise ValueError(f"a merge patch cannot set {[*path, key]} to null; set it with an edit instead")
        if not isinstance(value, dict):
            patch[key] = value
            continue
        old = before.get(key)
        patch[key] = _difference(old if isinstance(old, dict) else {}, value, (*path, key))
    return patch


def changed_paths(before: Any, after: Any) -> list[tuple[str, ...]]:
    """The paths at which two values differ, outermost difference only, in the order of ``before``
    and then of what ``after`` adds.

    Objects are compared member by member. A member that only one side has, and everything that is
    not an object on both sides (arrays too, because a merge patch replaces them whole), is
    one path. The empty path stands for the whole value.
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if same(before, after) else [()]
    found: list[tuple[str, ...]] = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in before or key not in after:
            found.append((key,))
        else:
            found.extend((key, *rest) for rest in changed_paths(before[key], after[key]))
    return found
