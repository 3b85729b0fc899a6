# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of faults in the guide "The proxy as a service": ``python tests/docs/fault_table.py`` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "docsite" / "rst" / "proxy_service.rst"
FAULTS = ROOT / "tests" / "proof" / "proxy_faults.yml"
PLACE = re.compile(r"(?<=\n\.\. fault table: )(?P<mark>[^\n]*)\n\n(?P<table>.*?)(?=\n\nEach of them)", re.DOTALL)


def faults() -> list[dict[str, Any]]:
    return yaml.safe_load(FAULTS.read_text(encoding="utf-8"))["faults"]


def table() -> str:
    rows = [("fault", "state", "requests", "restarts", "what happens", "tested")]
    answers = {True: "answered", False: "refused", "stranger": "not the proxy's"}
    for fault in faults():
        expected = fault["expected"]
        rows.append(
            (
                fault["fault"],
                expected["state"],
                answers[expected["answers"]],
                str(expected["restarts"]),
                fault["outcome"],
                "every change" if fault.get("short") else "--all",
            )
        )
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cell.replace('`', '``')}")
    return "\n".join(lines)


def page() -> str:
    return PLACE.sub(lambda found: f"{found['mark']}\n\n{table()}", PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
