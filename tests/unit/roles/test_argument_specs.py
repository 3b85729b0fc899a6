# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads in defaults/main.yml and in the role's documentation is the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults_of(role: Path) -> dict[str, Any]:
    return read(role / "defaults" / "main.yml") or {}


def options_of(role: Path) -> dict[str, dict[str, Any]]:
    return read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def text_of(option: dict[str, Any]) -> str:
    description = option.get("description", "")
    return description if isinstance(description, str) else " ".join(description)


def test_there_are_roles() -> None:
    assert ROLES


def test_every_default_is_documented_with_its_value(role: Path) -> None:
    options = options_of(role)
    for name, value in defaults_of(role).items():
        assert name in options, f"{name} of defaults/main.yml is not in meta/argument_specs.yml"
        option = options[name]
        if "default" in option:
            assert option["default"] == value, f"{name}: argument_specs.yml documents another default"
            assert type(option["default"]) is type(value), f"{name}: the documented default has another type"
        else:
            # An expression is no value of a bool or a number, so only the text can say what it gives.
            assert is_expression(value), f"{name}: argument_specs.yml documents no default"
            assert "default" in text_of(option).lower(), f"{name}: the description does not say what the default is"


def test_every_documented_default_exists(role: Path) -> None:
    defaults = defaults_of(role)
    for name, option in options_of(role).items():
        if "default" in option:
            assert name in defaults, f"{name}: argument_specs.yml documents a default that defaults/main.yml lacks"
        if option.get("required"):
            assert name not in defaults, f"{name} is required and has a default"


def test_every_variable_carries_the_name_of_the_role(role: Path) -> None:
    wanted = re.compile(rf"_{{0,2}}{re.escape(role.name)}_[a-z0-9_]+")
    names = [*defaults_of(role), *options_of(role)]
    if (role / "vars" / "main.yml").exists():
        names += read(role / "vars" / "main.yml") or {}
    assert [name for name in names if not wanted.fullmatch(name)] == []


def test_every_role_describes_itself(role: Path) -> None:
    readme = (role / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# "), "README.md starts with a heading"
    galaxy_info = read(role / "meta" / "main.yml")["galaxy_info"]
    assert galaxy_info["description"]
    assert galaxy_info["license"] == "GPL-3.0-or-later"
    assert galaxy_info["min_ansible_version"] == "2.18"
    # Roles never call each other; site.yml orders them.
    assert read(role / "meta" / "main.yml").get("dependencies", []) == []
