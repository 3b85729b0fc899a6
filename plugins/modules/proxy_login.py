#!/usr/bin/python
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxy_login
short_description: Ask whether somebody is logged in for the Claude proxy
version_added: 0.1.0
description:
  - Runs C(claude auth status) as the proxy's user and reports whether it is logged in, by which method, and to which
    kind of subscription. Names and addresses in the answer are dropped.
  - It says that a credential is there. Whether the upstream accepts it, only a real request tells.
  - No file of the login is opened, copied or moved by this module. The program itself reads it, and keeps its own
    settings in the user's home, as whenever it runs.
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
  user:
    description: The proxy's user.
    type: str
    required: true
  claude:
    description: Path of the claude program.
    type: path
    required: true
  environment:
    description:
      - The variables that the proxy runs with, without secrets. The program gets these, and none of this session.
    type: dict
    default: {}
  timeout:
    description: Seconds that the program may take.
    type: int
    default: 30
notes:
  - What cannot be found out is V(unknown), and no failure.
seealso:
  - module: failclosed.openclaw.openclaw_verify
"""

EXAMPLES = r"""
- name: Ask whether the proxy's user is logged in
  failclosed.openclaw.proxy_login:
    user: openclaw-proxy
    claude: /opt/openclaw-proxy/claude/current/bin/claude
    environment:
      HOME: /var/lib/openclaw-proxy
  register: login

- name: Refuse to go on without a login
  ansible.builtin.fail:
    msg: "{{ login.detail }}. Run openclaw-proxy-login on this host."
  when: login.state != 'logged_in'
"""

RETURN = r"""
state:
  description: V(logged_in), V(logged_out) or V(unknown).
  type: str
  returned: always
  sample: logged_in
auth_method:
  description: How, in the program's words, such as V(claude.ai), V(oauth_token) or V(api_key). Empty when unknown.
  type: str
  returned: always
  sample: claude.ai
subscription_type:
  description: The kind of subscription, in the program's words. Empty when there is none or it is unknown.
  type: str
  returned: always
  sample: max
detail:
  description: What the state means, or why it is unknown.
  type: str
  returned: always
  sample: nobody is logged in for the proxy
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.failclosed.openclaw.plugins.module_utils import _proxy_login


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "claude": {"type": "path", "required": True},
            "environment": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    environment = {str(name): str(value) for name, value in module.params["environment"].items()}
    login = _proxy_login.ask(
        module.params["claude"], module.params["user"], environment, timeout_seconds=module.params["timeout"]
    )
    module.exit_json(
        changed=False,
        state=login.state,
        auth_method=login.auth_method,
        subscription_type=login.subscription_type,
        detail=login.detail,
    )


if __name__ == "__main__":
    main()
