# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin on several releases of OpenClaw: the newest, the oldest that its manifest allows, and one in between.

The table in plugin/README.md is made from these results. ``pytest tests/plugin/test_releases.py --write-table`` writes
it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from openclaw_under_test import PLUGIN_ID, PLUGIN_SOURCE, OpenClaw, required_environment
from standin_proxy import ANSWER

from ansible_collections.failclosed.openclaw.plugins.module_utils import _install_record, _openclaw, _plugin_package

pytestmark = [pytest.mark.openclaw, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
README = PLUGIN_SOURCE / "README.md"
COLUMNS = ("installs", "loads", "placed", "routes")
NEWEST = json.loads((ROOT / "roles/openclaw_gateway/files/openclaw/package.json").read_text())["dependencies"][
    "openclaw"
]
OLDER = sorted((path.name for path in (ROOT / "tests/openclaw-releases").iterdir()), key=_openclaw.parse_version)
RELEASES = [*OLDER, NEWEST]

results: dict[str, dict[str, bool]] = {}


def package_of(release: str) -> Path:
    if release == NEWEST:
        return Path(required_environment("FAILCLOSED_OPENCLAW"))
    return Path(required_environment("FAILCLOSED_OPENCLAW_RELEASES")) / release / "node_modules/openclaw"


def shipped() -> _plugin_package.Package:
    return _plugin_package.read_directory(str(PLUGIN_SOURCE), trusted_uids=None)


def test_the_releases_are_those_that_the_manifest_speaks_of():
    description = json.loads((PLUGIN_SOURCE / "package.json").read_text())["openclaw"]
    assert description["install"]["minHostVersion"] == description["compat"]["pluginApi"] == f">={RELEASES[0]}"
    assert description["build"]["openclawVersion"] == NEWEST
    assert len(RELEASES) >= 3


@pytest.mark.parametrize("release", RELEASES)
def test_a_release(release, tmp_path, proxy):
    result = results.setdefault(release, dict.fromkeys(COLUMNS, False))
    openclaw = OpenClaw(tmp_path / "home", package=package_of(release))
    assert openclaw.version == release
    openclaw.write_config(plugin_config=None)
    archive = tmp_path / f"{PLUGIN_ID}.tgz"
    archive.write_bytes(_plugin_package.pack(shipped()))
    installed = openclaw.run("plugins", "install", str(archive), "--force", "--accept-capabilities")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    result["installs"] = True

    inspected = openclaw.run_json("plugins", "inspect", PLUGIN_ID, "--runtime", "--json")
    plugin = inspected["plugin"]
    assert (plugin["status"], plugin["providerIds"]) == ("loaded", [PLUGIN_ID]), inspected
    assert plugin["services"] == [f"{PLUGIN_ID}-service"]
    result["loads"] = True

    # The record that openclaw_plugin compares with is where it looks, in each release.
    status = openclaw.state.stat()
    record = _install_record.read(str(openclaw.state), status.st_uid, status.st_gid)[PLUGIN_ID]
    assert record.version == shipped().version
    assert _install_record.is_at(record, str(openclaw.state / "extensions" / PLUGIN_ID))

    placed = OpenClaw(tmp_path / "placed", package=package_of(release))
    placed.place_plugin()
    placed.write_config(plugin_config={"autoStart": False, "port": proxy.port})
    validated = placed.run_json("config", "validate", "--json")
    assert (validated["valid"], validated["warnings"]) == (True, [])
    result["placed"] = True
    model = f"{PLUGIN_ID}/claude-sonnet-4.5"
    answer = placed.run_json("infer", "model", "run", "--prompt", "ping", "--json", "--model", model)
    assert answer["outputs"][0]["text"] == ANSWER
    assert [request["model"] for request in proxy.requests] == ["claude-sonnet-4.5"]
    result["routes"] = True


def test_the_table_says_what_was_found(request):
    lines = [f"| OpenClaw | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for release in reversed(RELEASES):
        words = ["yes" if results.get(release, {}).get(column) else "no" for column in COLUMNS]
        lines.append(f"| {release} | {' | '.join(words)} |")
    table = "\n".join(["<!-- releases: begin -->", *lines, "<!-- releases: end -->"])
    text = README.read_text()
    pattern = re.compile(r"<!-- releases: begin -->\n.*<!-- releases: end -->", re.DOTALL)
    if request.config.getoption("--write-table"):
        README.write_text(pattern.sub(table, text))
    found = pattern.search(README.read_text())
    assert found is not None and found.group() == table


@pytest.mark.parametrize(("member", "field"), [("install", "minHostVersion"), ("compat", "pluginApi")])
def test_openclaw_refuses_a_plugin_that_is_too_new_for_it(tmp_path, member, field):
    openclaw = OpenClaw(tmp_path / "home")
    openclaw.write_config(plugin_config=None)
    source = tmp_path / "source"
    source.mkdir()
    for name, file in shipped().files.items():
        (source / name).write_bytes(file.content)
    description = json.loads((source / "package.json").read_text())
    description["openclaw"][member][field] = ">=2099.1.1"
    (source / "package.json").write_text(json.dumps(description))
    before = openclaw.config_path.read_bytes()
    refused = openclaw.run("plugins", "install", str(source), "--force", "--accept-capabilities")
    assert refused.returncode == 1
    assert "2099.1.1" in refused.stdout + refused.stderr and openclaw.version in refused.stdout + refused.stderr
    assert not (openclaw.state / "extensions" / PLUGIN_ID).exists()
    assert openclaw.config_path.read_bytes() == before
