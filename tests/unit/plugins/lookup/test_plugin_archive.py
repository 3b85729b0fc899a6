# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package

ROOT = Path(__file__).resolve().parents[4]
PLUGIN = ROOT / "plugin"
# In a process of its own: what a lookup imports makes ansible-core take the whole process for the controller, in which
# modules hand over no warnings.
PROGRAM = """
import json, sys
from ansible_collections.failclosed.openclaw.plugins.lookup.plugin_archive import LookupModule
lookup = LookupModule()
lookup.set_options = lambda **options: None
print(json.dumps(lookup.run(sys.argv[1:])))
"""


def look_up(*directories: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, directories)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_packs_what_the_module_unpacks(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(PLUGIN)
    first, second = json.loads(look_up(PLUGIN, link).stdout)
    assert first == second
    package = _plugin_package.read_archive(base64.b64decode(first), "test")
    assert package == _plugin_package.read_directory(str(PLUGIN), trusted_uids=None)
    assert package.plugin_id == "anthropic-max-proxy"


def test_a_directory_without_a_plugin_is_named(tmp_path):
    without_manifest = look_up(tmp_path)
    assert without_manifest.returncode != 0
    assert "plugin_archive: " in without_manifest.stderr
    assert "there is no openclaw.plugin.json" in without_manifest.stderr
    missing = look_up(tmp_path / "nothing")
    assert missing.returncode != 0 and "does not exist" in missing.stderr
