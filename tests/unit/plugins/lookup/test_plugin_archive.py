# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.failclosed.openclaw.plugins.lookup.plugin_archive import LookupModule
from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package

PLUGIN = Path(__file__).resolve().parents[4] / "plugin"


@pytest.fixture
def lookup(monkeypatch) -> LookupModule:
    found = LookupModule()
    monkeypatch.setattr(found, "set_options", lambda **_options: None)
    return found


def test_it_packs_what_the_module_unpacks(lookup, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(PLUGIN)
    first, second = lookup.run([str(PLUGIN), str(link)])
    assert first == second
    package = _plugin_package.read_archive(base64.b64decode(first), "test")
    assert package == _plugin_package.read_directory(str(PLUGIN), trusted_uids=None)
    assert package.plugin_id == "anthropic-max-proxy"


def test_a_directory_without_a_plugin_is_named(lookup, tmp_path):
    with pytest.raises(AnsibleError, match=r"plugin_archive: .*there is no openclaw\.plugin\.json"):
        lookup.run([str(tmp_path)])
    with pytest.raises(AnsibleError, match="does not exist"):
        lookup.run([str(tmp_path / "nothing")])
