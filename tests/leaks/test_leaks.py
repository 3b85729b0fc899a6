# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each leak on a real OpenClaw: with the plain configuration it is one, and each control does alone what is declared.

One gateway runs for all of it, so the order is that of the file: what is blocked goes on trying in the background, and
comes last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import kernel_rules
import layouts
import pytest
import real_openclaw
from leaks import Leak, chosen
from world import World

from ansible_collections.failclosed.openclaw.plugins.module_utils._route_map import (
    DEFAULT_EGRESS,
    REFUSED,
    REWRITTEN,
    STRICT_EGRESS,
)
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.audited_host import AuditedHost

pytestmark = pytest.mark.openclaw

EVERYTHING = os.environ.get("FAILCLOSED_LEAKS") == "all"
LEAKS = chosen(everything=EVERYTHING)
# The kernel looks at uid and address and at nothing else, so the short run has OpenClaw's own request and another
# program's.
AT_THE_KERNEL = [leak for leak in LEAKS if EVERYTHING or leak.id in {"agent-model", "claude-cli-model"}]


def each(leaks: Sequence[Leak]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("leak", leaks, ids=lambda leak: leak.id)


def test_with_the_plain_configuration_a_plain_turn_reaches_the_proxy_and_nothing_else(world: World) -> None:
    # The first turn makes the workspace and loads the runtime.
    world.openclaw.turn()
    world.wait_until_quiet()
    world.proxy.control.reset()
    status, body = world.openclaw.turn()
    assert status == 200 and "SIMULATOR-proxy-OK" in body
    assert len(world.proxy.control.requests()) == 1
    assert world.internet.model_requests() == []


@each(LEAKS)
def test_with_the_plain_configuration_it_arrives(world: World, leak: Leak) -> None:
    with world.planted("plain", leak):
        seen = world.set_off(leak, "plain", expected=True)
    assert seen.of(leak), f"nothing arrived: {seen}"


@each(LEAKS)
def test_with_the_closed_configuration_openclaw_refuses_it_or_does_not(world: World, leak: Leak) -> None:
    """The leak is planted on top of what the role wrote, as somebody would do it after the rollout."""
    refused = REFUSED in leak.stopped_by
    world.enter("closed")
    with world.planted("closed", leak):
        seen = world.set_off(leak, "closed", expected=not refused)
    if refused:
        assert seen.direct == []
        assert seen.proxy or "error" in seen.answer, f"nothing happened at all: {seen}"
    else:
        assert seen.of(leak), f"OpenClaw refuses it, and it is not declared: {seen}"


# What OpenClaw refuses anyway needs no remediation; the long run shows it all the same.
@each([leak for leak in LEAKS if REWRITTEN in leak.stopped_by and (EVERYTHING or REFUSED not in leak.stopped_by)])
def test_a_rollout_with_remediation_closes_it(world: World, leak: Leak) -> None:
    """The leak was there before, and the role writes its configuration and what the audit proposes."""
    world.enter("remediated")
    with world.planted("plain", leak):
        report = world.audit()
        named = [each.id for each in report.findings] + [each.id for each in report.unknown]
        assert set(leak.findings) <= set(named)
        world.configure(world.rolled_out())
        seen = world.set_off(leak, "closed", expected=False)
    assert seen.direct == []
    assert seen.proxy or "error" in seen.answer, f"nothing happened at all: {seen}"


def test_the_tables_that_the_audit_is_tested_on_are_openclaws(world: World, tmp_path: Path) -> None:
    written = AuditedHost(tmp_path).shared().agent()
    assert layouts.columns_that_differ(written, world.openclaw.state) == []


@pytest.fixture(scope="module")
def default_rule(world: World) -> Iterator[None]:
    world.enter("default egress")
    with kernel_rules.loaded(kernel_rules.policy(real_openclaw.UID)):
        yield
        # Conversations that were blocked would get through now.
        world.openclaw.stop_gateway()


def assert_blocked(world: World, leak: Leak) -> None:
    """OpenClaw tries, the rule counts, and nothing arrives."""
    before = kernel_rules.packets_refused()
    # After a failed try OpenClaw leaves a provider alone for a minute.
    for _attempt in range(8):
        seen = world.set_off(leak, "plain", expected=False, patience=10)
        assert seen.direct == []
        if kernel_rules.packets_refused() > before:
            return
        time.sleep(15)
    raise AssertionError("OpenClaw has not even tried")


@each(AT_THE_KERNEL)
def test_the_default_rule_alone_blocks_it_or_does_not(world: World, default_rule: None, leak: Leak) -> None:
    """The configuration is the plain one with the leak in it: wrong on purpose."""
    with world.planted("plain", leak):
        if DEFAULT_EGRESS in leak.stopped_by:
            assert_blocked(world, leak)
        else:
            seen = world.set_off(leak, "plain", expected=True)
            assert seen.of(leak), f"the rule blocks it, and it is not declared: {seen}"


@pytest.fixture(scope="module")
def strict_rule(world: World, default_rule: None) -> Iterator[None]:
    with kernel_rules.loaded(kernel_rules.policy(real_openclaw.UID, strict=True)):
        yield
        world.openclaw.stop_gateway()


@each([leak for leak in AT_THE_KERNEL if STRICT_EGRESS in leak.stopped_by])
def test_the_strict_rule_alone_blocks_it(world: World, strict_rule: None, leak: Leak) -> None:
    with world.planted("plain", leak):
        assert_blocked(world, leak)
