# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E402 (the documentation comes before the imports)

from __future__ import annotations

DOCUMENTATION = r"""
name: plugin_archive
short_description: Pack an OpenClaw plugin on the controller
version_added: 0.1.0
author:
  - failclosed.openclaw authors (@failclosed)
description:
  - Packs the directory of an OpenClaw plugin as C(npm pack) would, and returns the archive in base64, ready for the
    option O(failclosed.openclaw.openclaw_plugin#module:content).
  - The same files give the same archive, whatever their owners and times are. Neither node nor npm is needed.
options:
  _terms:
    description:
      - Directories of plugins on the controller.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Install a plugin in one step
  failclosed.openclaw.openclaw_plugin:
    name: anthropic-max-proxy
    content: "{{ lookup('failclosed.openclaw.plugin_archive', '/srv/plugins/anthropic-max-proxy') }}"
    user: openclaw
"""

RETURN = r"""
_raw:
  description: One archive in base64 for each directory.
  type: list
  elements: str
"""

import base64
import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package


class LookupModule(LookupBase):
    """The lookup failclosed.openclaw.plugin_archive."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[str]:
        """One base64 text for each directory."""
        self.set_options(var_options=variables, direct=kwargs)
        archives = []
        for term in terms:
            # The controller's own checkout may be reached through links, unlike a directory on a host.
            directory = os.path.realpath(os.path.expanduser(str(term)))
            try:
                package = _plugin_package.read_directory(directory, trusted_uids=None)
            except _plugin_package.PackageError as error:
                raise AnsibleError(f"plugin_archive: {error}") from error
            archives.append(base64.b64encode(_plugin_package.pack(package)).decode("ascii"))
        return archives
