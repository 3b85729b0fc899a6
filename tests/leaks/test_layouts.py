# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit names every leak, and what is declared of a leak fits what the route map declares."""

from __future__ import annotations

import re
from pathlib import Path

import layouts
import pytest
from leaks import ANTHROPIC, LEAKS, Leak, table

from ansible_collections.failclosed.openclaw.plugins.module_utils import _route_map
from ansible_collections.failclosed.openclaw.plugins.module_utils._route_map import DEFAULT_EGRESS, STRICT_EGRESS

each_leak = pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.id)


@each_leak
def test_the_audit_names_it_and_nothing_else(leak: Leak, tmp_path: Path) -> None:
    host = layouts.write(leak, tmp_path)
    assert host.ids() == sorted(leak.findings)
    report = host.audit()
    assert report.compliant is (None if leak.findings[0].startswith("code-") else False)
    assert not any(secret in str(report) for secret in layouts.SECRETS)


@each_leak
def test_what_is_declared_of_it_fits_the_route_map(leak: Leak) -> None:
    """The route map says of a kind of place what holds for one of its leaks at least."""
    allowed: set[str] = set()
    for finding in leak.findings:
        base = finding[: -len("-fallbacks")] if finding.endswith("-fallbacks") else finding
        allowed |= set(_route_map.BY_ID[base].expectations)
    # Code can go anywhere, and is not covered by a rule about Anthropic's networks; what goes there is blocked anyway.
    if leak.arrives_at == ANTHROPIC and STRICT_EGRESS in allowed:
        allowed.add(DEFAULT_EGRESS)
    assert set(leak.stopped_by) <= allowed


def test_ids_are_unique_and_spelled_out() -> None:
    assert len({leak.id for leak in LEAKS}) == len(LEAKS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", leak.id) for leak in LEAKS)


def test_the_readme_lists_them() -> None:
    readme = (Path(__file__).parent / "README.md").read_text()
    assert table() in readme, "PYTHONPATH=.collections python tests/leaks/leaks.py prints it"
