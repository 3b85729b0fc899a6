# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

from ansible_collections.failclosed.openclaw.tests.docs import fault_table


def test_the_guide_shows_what_is_tested() -> None:
    text = fault_table.PAGE.read_text(encoding="utf-8")
    assert fault_table.table() in text
    assert text == fault_table.page(), "run: python tests/docs/fault_table.py"


def test_every_fault_that_is_listed_can_be_brought_about() -> None:
    program = (fault_table.ROOT / "tests/proof/fault_proxy.py").read_text(encoding="utf-8")
    known = set(re.findall(r"^def (\w+)\(service: Service\) -> Iterator\[None\]:$", program, re.MULTILINE))
    listed = [fault["do"] for fault in fault_table.faults()]
    assert len(listed) == len(set(listed))
    assert set(listed) == known
