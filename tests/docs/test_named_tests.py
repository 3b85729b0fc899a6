# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests that a guide names, as ``tests/file.py::Class::test``, exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The other page is made from data, and names none.
GUIDES = [ROOT / "docs" / "docsite" / "rst" / "editing_openclaw_json.rst"]
NAMED = re.compile(r"``(tests/[\w/]+\.py)((?:::\w+)*)``")


def missing_tests(text: str) -> list[str]:
    missing = []
    for path, names in NAMED.findall(text):
        found: ast.AST | None = ast.parse((ROOT / path).read_text(encoding="utf-8")) if (ROOT / path).exists() else None
        for name in names.split("::")[1:]:
            members = getattr(found, "body", [])
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            found = next((each for each in members if isinstance(each, kinds) and each.name == name), None)
        if found is None:
            missing.append(path + names)
    return missing


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_they_exist(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    assert missing_tests(text) == []
    assert len(NAMED.findall(text)) > 10, "the guide names no tests in this form: this shows nothing"


def test_a_wrong_name_is_found() -> None:
    here = "tests/docs/test_named_tests.py"
    assert missing_tests(f"``{here}::test_a_wrong_name_is_found``, ``{here}``") == []
    assert missing_tests(f"``{here}::test_gone``, ``tests/docs/none.py``") == [
        f"{here}::test_gone",
        "tests/docs/none.py",
    ]
