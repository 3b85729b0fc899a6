#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxy_health
short_description: Read whether the Claude proxy is alive, is logged in, and works
version_added: 0.1.0
description:
  - Reads what the proxy's supervisor found out. No process is started and nothing is sent.
  - The three levels say nothing about each other. What nobody has asked, or what cannot be read, is V(unknown) and no
    failure.
  - It is the word of the proxy's user, so nothing about routes follows from it.
author:
  - failclosed.openclaw authors (@failclosed)
attributes:
  check_mode:
    support: full
    description: The module never changes anything.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: The module never changes anything.
options:
  service:
    description: Name of the proxy's systemd service, without its suffix.
    type: str
    default: openclaw-proxy
  patience:
    description:
      - Seconds to wait for the first answers of a proxy that is alive and was started a moment ago. V(0) waits for
        nothing.
    type: int
    default: 0
seealso:
  - module: failclosed.openclaw.openclaw_audit
  - module: failclosed.openclaw.openclaw_verify
"""

EXAMPLES = r"""
- name: Read the proxy's health
  failclosed.openclaw.proxy_health:
    patience: 40
  register: proxy

- name: Refuse to go on without a login
  ansible.builtin.fail:
    msg: "Nobody is logged in ({{ proxy.health.login.detail }}). Run openclaw-proxy-login on this host."
  when: proxy.health.login.state == 'logged-out'
"""

RETURN = r"""
health:
  description: The three levels.
  type: dict
  returned: always
  contains:
    alive:
      description: Whether it listens and answers; C(state) is V(yes), V(no) or V(unknown).
      type: dict
    login:
      description: Whether somebody is logged in; C(state) is V(logged-in), V(logged-out) or V(unknown).
      type: dict
    works:
      description: Whether a real request succeeded; C(state) is V(yes), V(no) or V(unknown).
      type: dict
  sample:
    alive: {state: "yes", detail: "alive: listening on 127.0.0.1:3456 and answering", at: 2026-11-26 12:00:00 UTC}
    login: {state: logged-out, detail: claude, at: 2026-11-26 12:00:02 UTC}
    works: {state: unknown, detail: not asked, at: ""}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _proxy_health


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "default": "openclaw-proxy"},
            "patience": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    health = _proxy_health.settled(module.params["service"], patience_seconds=module.params["patience"])
    module.exit_json(changed=False, health=health)


if __name__ == "__main__":
    main()
