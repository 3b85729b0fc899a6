# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's JSDoc types hold, by themselves and against the types of the installed OpenClaw.

FAILCLOSED_TYPECHECK is a node_modules directory made by ``npm ci`` from ``tests/javascript/``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openclaw_under_test import PLUGIN_SOURCE, required_environment

pytestmark = pytest.mark.openclaw

CONFORMANCE = Path(__file__).resolve().parent / "typecheck" / "openclaw.ts"


def typescript(project: Path, document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    modules = Path(required_environment("FAILCLOSED_TYPECHECK"))
    document["compilerOptions"]["typeRoots"] = [str(modules / "@types")]
    project.write_text(json.dumps(document))
    command = [required_environment("FAILCLOSED_NODE"), str(modules / "typescript" / "bin" / "tsc"), "-p", str(project)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_types_hold(tmp_path):
    extended = {"extends": str(PLUGIN_SOURCE / "tsconfig.json"), "compilerOptions": {}}
    extended["include"] = [str(PLUGIN_SOURCE / part / "*.js") for part in (".", "test", "testing")]
    completed = typescript(tmp_path / "tsconfig.json", extended)
    assert (completed.stdout, completed.returncode) == ("", 0)


def test_openclaw_expects_what_the_plugin_registers(tmp_path):
    entry = Path(required_environment("FAILCLOSED_OPENCLAW")) / "dist" / "plugin-sdk" / "plugin-entry.d.ts"
    options = {
        "allowJs": True,
        "noEmit": True,
        "strict": True,
        "target": "ES2023",
        "module": "NodeNext",
        "moduleResolution": "NodeNext",
        "skipLibCheck": True,
        "types": ["node"],
        "paths": {"openclaw/plugin-sdk/plugin-entry": [str(entry)]},
    }
    completed = typescript(tmp_path / "tsconfig.json", {"compilerOptions": options, "files": [str(CONFORMANCE)]})
    assert (completed.stdout, completed.returncode) == ("", 0)
