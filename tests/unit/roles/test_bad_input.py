# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user can get wrong in variables stops with a message that names the variable and the remedy.

Every case is a host of one run, so that Ansible starts once. The run is in check mode, and nothing after the preflight
is in its playbook.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOST: dict[str, Any] = {
    "os_id": "debian",
    "os_version": "12",
    "os_name": "Debian GNU/Linux 12 (bookworm)",
    "architecture": "x86_64",
    "python_version": "3.11.2",
    "systemd_running": True,
    "systemd_version": 252,
    "net_admin": True,
    "packages_installed": [],
}
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
KEY = {"openclaw_proxy_upstream_api_key": "sk-ant-canary-5a1b"}

UNDER_GATEWAY = {
    "openclaw_egress_state": "absent",
    "openclaw_proxy_supervisor": "gateway",
    "openclaw_proxy_implementation": "custom",
    "openclaw_proxy_command": ["/usr/bin/proxy"],
    "openclaw_proxy_inbound_key": False,
    "openclaw_proxy_upstream_api_key": "",
}

ELSEWHERE = {
    "openclaw_proxy_host": "proxy.example.com",
    "openclaw_proxy_inbound_key_value": "sk-canary-" + "5a1b" * 10,
}

LOCKS = ROOT / "roles/openclaw_proxy/files"
NO_KEY = {"openclaw_proxy_upstream_api_key": ""}
CLAUDE_MAX = {
    "openclaw_proxy_implementation": "claude-max-api-proxy",
    "openclaw_proxy_inbound_key": False,
    "openclaw_proxy_upstream_api_key": "",
}
MERIDIAN = {
    "openclaw_proxy_implementation": "meridian",
    "openclaw_proxy_lock_dir": "{{ inventory_dir }}/meridian",
    "openclaw_proxy_upstream_api_key": "",
}

# What passes, beside the defaults.
NOTHING_WRONG: dict[str, dict[str, Any]] = {
    "meridian": MERIDIAN,
    "meridian-and-a-token": {
        **MERIDIAN,
        "openclaw_proxy_credential": "token",
        "openclaw_proxy_upstream_token": "canary-7c1e",
    },
    "opencode": {
        **MERIDIAN,
        "openclaw_proxy_implementation": "opencode-claude-max-proxy",
        "openclaw_proxy_inbound_key": False,
    },
    "ccproxy": {"openclaw_proxy_implementation": "ccproxy-api"},
    "claude-max": CLAUDE_MAX,
    "claude-max-and-a-key": {**CLAUDE_MAX, "openclaw_proxy_credential": "api_key", **KEY},
    "bunx": {
        "openclaw_proxy_implementation": "custom",
        "openclaw_proxy_command": ["/opt/openclaw-proxy/bun/current/bin/bunx", "some-proxy"],
        "openclaw_proxy_tools": ["bun"],
        "openclaw_proxy_inbound_key": False,
    },
}

# variables, and what the message must say: the variable, what was found, and what to do
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown-proxy": (
        {"openclaw_proxy_implementation": "litelm"},
        ["openclaw_proxy_implementation is 'litelm'", "custom, litellm, meridian"],
    ),
    "port-too-high": ({"openclaw_proxy_port": 70000}, ["openclaw_proxy_port is '70000'", "1024 to 65535"]),
    "port-privileged": ({"openclaw_proxy_port": 80}, ["openclaw_proxy_port is '80'", "1024 to 65535"]),
    "port-no-number": ({"openclaw_proxy_port": "34a6"}, ["openclaw_proxy_port is '34a6'", "for example 3456"]),
    "gateway-port": ({"openclaw_gateway_port": 0}, ["openclaw_gateway_port is '0'", "1 to 65535"]),
    "no-models": ({"openclaw_provider_models": []}, ["openclaw_provider_models is []", "at least one model id"]),
    "model-with-a-space": (
        {"openclaw_provider_models": ["claude opus"]},
        ["openclaw_provider_models", '"claude opus"', "without spaces"],
    ),
    "model-twice": ({"openclaw_provider_models": ["a", "a"]}, ["openclaw_provider_models names a model twice"]),
    "models-no-list": ({"openclaw_provider_models": "claude"}, ["openclaw_provider_models", "at least one model id"]),
    "alias-with-a-space": ({"openclaw_provider_alias": "my alias"}, ["openclaw_provider_alias is 'my alias'"]),
    "open-without-a-key": (
        {"openclaw_proxy_bind_address": "0.0.0.0", "openclaw_proxy_inbound_key": False},
        ["openclaw_proxy_bind_address is '0.0.0.0'", "no inbound key", "openclaw_proxy_inbound_key to true"],
    ),
    "custom-open-without-a-key": (
        {
            "openclaw_proxy_implementation": "custom",
            "openclaw_proxy_command": ["/usr/bin/proxy"],
            "openclaw_proxy_bind_address": "192.0.2.1",
        },
        ["openclaw_proxy_bind_address is '192.0.2.1'", "takes no inbound key"],
    ),
    "bind-to-a-name": (
        {"openclaw_proxy_bind_address": "localhost.localdomain"},
        ["openclaw_proxy_bind_address", "IP address"],
    ),
    "host-with-a-scheme": (
        {"openclaw_proxy_host": "http://x"},
        ["openclaw_proxy_host is 'http://x'", "without a scheme"],
    ),
    "any-certificate": (
        {"openclaw_gateway_environment": {"NODE_TLS_REJECT_UNAUTHORIZED": "0", "NODE_OPTIONS": "--require=/x.js"}},
        [
            "openclaw_gateway_environment sets",
            "NODE_TLS_REJECT_UNAUTHORIZED",
            "NODE_OPTIONS",
            "believe any certificate",
        ],
    ),
    "no-upstream-key": ({"openclaw_proxy_upstream_api_key": ""}, ["openclaw_proxy_upstream_api_key is empty", "Vault"]),
    "key-with-a-line-break": (
        {"openclaw_proxy_upstream_api_key": "sk-ant-canary-5a1b\n"},
        ["openclaw_proxy_upstream_api_key", "line break", "trim"],
    ),
    "custom-without-a-command": (
        {"openclaw_proxy_implementation": "custom"},
        ["openclaw_proxy_command is empty"],
    ),
    "custom-with-a-relative-command": (
        {"openclaw_proxy_implementation": "custom", "openclaw_proxy_command": ["bunx", "proxy"]},
        ["openclaw_proxy_command begins with 'bunx'", "absolute path"],
    ),
    "unknown-supervisor": (
        {"openclaw_proxy_supervisor": "runit"},
        ["openclaw_proxy_supervisor is 'runit'", "systemd"],
    ),
    "litellm-under-the-gateway": (
        {"openclaw_proxy_supervisor": "gateway", "openclaw_proxy_inbound_key": False},
        ["openclaw_proxy_supervisor is gateway", "'litellm'", "Set openclaw_proxy_supervisor to systemd"],
    ),
    "credential-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_proxy_credential_values": {"x": "canary-2f6d"}},
        ["openclaw_proxy_supervisor is gateway", "openclaw_proxy_credential_values is set", "Remove it"],
    ),
    "inbound-key-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_proxy_inbound_key": True},
        ["openclaw_proxy_inbound_key is true", "Set openclaw_proxy_inbound_key to false"],
    ),
    "environment-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_proxy_environment": {"A": "b"}},
        ["openclaw_proxy_environment sets A", "/usr/bin/env"],
    ),
    "two-addresses-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_proxy_host": "192.0.2.7"},
        ["openclaw_proxy_host is '192.0.2.7'", "Set openclaw_proxy_host to 127.0.0.1"],
    ),
    "no-plugin-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_provider_plugin": False},
        ["openclaw_provider_plugin is false", "Set openclaw_provider_plugin to true"],
    ),
    "no-autostart-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_provider_plugin_config": {"autoStart": False}},
        ["gives autoStart false", "there would be no proxy"],
    ),
    "autostart-under-systemd": (
        {"openclaw_provider_plugin_config": {"command": ["/usr/bin/proxy"]}},
        ["gives autoStart true", "there would be two proxies"],
    ),
    "stopping-the-gateway's-proxy": (
        {**UNDER_GATEWAY, "openclaw_verify_model_run": True, "openclaw_verify_proxy_stopped": True},
        ["openclaw_verify_proxy_stopped is true while openclaw_proxy_supervisor is gateway"],
    ),
    "service-with-a-path": (
        {"openclaw_proxy_service": "../proxy"},
        ["openclaw_proxy_service is '../proxy'", "lower case letters"],
    ),
    "login-asked-too-often": (
        {"openclaw_proxy_login_interval": 1},
        ["openclaw_proxy_login_interval is '1'", "60 seconds or more"],
    ),
    "requests-too-often": (
        {"openclaw_proxy_works_interval": 5},
        ["openclaw_proxy_works_interval is '5'", "0 for none"],
    ),
    "socket-activation-without-a-key": (
        {"openclaw_proxy_socket_activation": True, "openclaw_proxy_inbound_key": False},
        ["openclaw_proxy_socket_activation is true", "no inbound key", "Set openclaw_proxy_inbound_key to true"],
    ),
    "both-ports-the-same": (
        {"openclaw_proxy_socket_activation": True, "openclaw_proxy_backend_port": 3456},
        ["openclaw_proxy_backend_port is '3456'", "another one than openclaw_proxy_port"],
    ),
    "socket-activation-under-the-gateway": (
        {**UNDER_GATEWAY, "openclaw_proxy_socket_activation": True},
        ["openclaw_proxy_supervisor is gateway and openclaw_proxy_socket_activation is true"],
    ),
    "port-of-another-proxy": (
        {
            "openclaw_host_info": {
                **HOST,
                "proxy_instances": [
                    {"service": "openclaw-proxy", "occupied": ["port 1"]},
                    {
                        "service": "openclaw-proxy-two",
                        "occupied": ["user x", "port 3456", "directory /opt/openclaw-proxy"],
                    },
                ],
            }
        },
        [
            "port 3456 is that of openclaw-proxy-two",
            "directory /opt/openclaw-proxy is that of openclaw-proxy-two",
            "openclaw_proxy_port",
        ],
    ),
    "proxy-without-a-lock": (
        {**NO_KEY, "openclaw_proxy_implementation": "meridian"},
        [
            "openclaw_proxy_lock_dir is empty",
            "@rynfar/meridian, for which this role brings no lock",
            "lock_proxy -e openclaw_proxy_implementation=meridian",
            "openclaw_proxy_npm_registry=ADDRESS",
            "openclaw_proxy_package_archive=FILE",
        ],
    ),
    "lock-that-is-not-there": (
        {**NO_KEY, "openclaw_proxy_implementation": "meridian", "openclaw_proxy_lock_dir": "/nonexistent"},
        ["there is no /nonexistent/package.json and no /nonexistent/package-lock.json on the controller"],
    ),
    "lock-of-another-package": (
        {**MERIDIAN, "openclaw_proxy_lock_dir": str(LOCKS / "claude-max-api-proxy")},
        ["the lock there does not have the package @rynfar/meridian"],
    ),
    "unknown-credential": ({"openclaw_proxy_credential": "password"}, ["login, token or api_key"]),
    "login-for-a-proxy-that-takes-a-key": (
        {**NO_KEY, "openclaw_proxy_credential": "login"},
        ["openclaw_proxy_credential is 'login'", "LiteLLM takes api_key"],
    ),
    "key-beside-a-login": (
        {**CLAUDE_MAX, **KEY},
        [
            "openclaw_proxy_upstream_api_key is set",
            "is login",
            "used in its place",
            "openclaw_proxy_credential to api_key",
        ],
    ),
    "key-for-a-proxy-that-takes-none": (
        {**MERIDIAN, **KEY},
        ["openclaw_proxy_upstream_api_key is set", "with a proxy that takes one"],
    ),
    "token-beside-a-key": (
        {"openclaw_proxy_upstream_token": "canary-7c1e"},
        ["openclaw_proxy_upstream_token is set", "is api_key"],
    ),
    "token-without-a-value": (
        {**CLAUDE_MAX, "openclaw_proxy_credential": "token"},
        ["openclaw_proxy_upstream_token is empty", "claude setup-token"],
    ),
    "key-without-a-value": (
        {**CLAUDE_MAX, "openclaw_proxy_credential": "api_key"},
        ["openclaw_proxy_upstream_api_key is empty", "Vault"],
    ),
    "key-in-the-proxy's-environment": (
        {**CLAUDE_MAX, "openclaw_proxy_environment": {"ANTHROPIC_API_KEY": "canary-7c1e"}},
        ["openclaw_proxy_environment sets ANTHROPIC_API_KEY", "override a login"],
    ),
    "inbound-key-that-nobody-asks-for": (
        {**CLAUDE_MAX, "openclaw_proxy_inbound_key": True},
        [
            "openclaw_proxy_inbound_key is true",
            "claude-max-api-proxy has no way to ask",
            "openclaw_proxy_inbound_key to false",
        ],
    ),
    "custom-that-asks-for-no-key": (
        {"openclaw_proxy_implementation": "custom", "openclaw_proxy_command": ["/usr/bin/proxy"], **NO_KEY},
        ["openclaw_proxy_inbound_key is true", "openclaw_proxy_credentials hands no inbound-key"],
    ),
    "address-that-is-fixed": (
        {**CLAUDE_MAX, "openclaw_proxy_bind_address": "::1"},
        ["openclaw_proxy_bind_address is '::1'", "always listens on 127.0.0.1"],
    ),
    "upstream-that-cannot-be-chosen": (
        {**MERIDIAN, "openclaw_proxy_upstream_url": "https://api.example.com"},
        ["openclaw_proxy_upstream_url is set", "Meridian takes no address"],
    ),
    "dotted-id-for-a-proxy-that-passes-it-on": (
        {**MERIDIAN, "openclaw_provider_models": ["claude-opus-4.6"]},
        ['openclaw_provider_models contains "claude-opus-4.6"', "hyphenated", "claude-opus-4-6"],
    ),
    "id-that-becomes-another-model": (
        {**CLAUDE_MAX, "openclaw_provider_models": ["claude-sonnet-4-5"]},
        ["claude-sonnet-4-5", "answers every other id with an Opus model", "for example claude-opus-4"],
    ),
    "unknown-tool": (
        {**UNDER_GATEWAY, "openclaw_proxy_tools": ["deno"]},
        ["openclaw_proxy_tools names deno", "node, bun and claude"],
    ),
    "base-path-with-a-slash-at-its-end": (
        {**UNDER_GATEWAY, "openclaw_proxy_base_path": "/v1/"},
        ["openclaw_proxy_base_path is '/v1/'"],
    ),
    "old-python-for-ccproxy": (
        {
            **NO_KEY,
            "openclaw_proxy_implementation": "ccproxy-api",
            "openclaw_host_info": {**HOST, "python_version": "3.9.2"},
        },
        ["ccproxy-api needs Python 3.11 or newer", "is 3.9.2"],
    ),
    "no-model-map": ({"openclaw_proxy_model_map": {}}, ["openclaw_proxy_model_map is empty"]),
    "service-of-the-gateway": (
        {"openclaw_proxy_service": "openclaw", "openclaw_proxy_user": "claude"},
        ["openclaw_proxy_service is 'openclaw'", "directory /var/lib/openclaw", "/opt/openclaw", "Choose another"],
    ),
    "unit-of-the-gateway": (
        {"openclaw_proxy_service": "openclaw-gateway"},
        ["openclaw_proxy_service is 'openclaw-gateway'", "unit openclaw-gateway"],
    ),
    "one-user-for-both": (
        {"openclaw_proxy_user": "openclaw"},
        ["openclaw_gateway_user and openclaw_proxy_user are both 'openclaw'", "own user"],
    ),
    "gateway-as-root": ({"openclaw_gateway_user": "root"}, ["openclaw_gateway_user is 'root'", "account of its own"]),
    "key-in-the-environment": (
        {"openclaw_gateway_environment": {"ANTHROPIC_API_KEY": "sk-ant-canary-5a1b"}},
        ["openclaw_gateway_environment sets ANTHROPIC_API_KEY", "Remove it"],
    ),
    "fallback-while-closed": (
        {"openclaw_provider_fallbacks": ["anthropic/claude-opus-5"]},
        ["openclaw_provider_fallbacks", "openclaw_provider_fail_closed: false"],
    ),
    "url-with-a-password": (
        {"openclaw_provider_base_url": "http://user:canary-7c1e@127.0.0.1:3456"},
        ["openclaw_provider_base_url is 'http://***@127.0.0.1:3456'", "without credentials"],
    ),
    "url-port": (
        {"openclaw_provider_base_url": "http://127.0.0.1:70000"},
        ["openclaw_provider_base_url", "out of range"],
    ),
    "model-with-a-route-of-its-own": (
        {"openclaw_provider_models": [{"id": "claude-opus-4.6", "baseUrl": "https://api.example.com"}]},
        ["openclaw_provider_models", "claude-opus-4.6 a baseUrl", "openclaw_provider_fail_closed: false"],
    ),
    "upstream-with-a-password": (
        {"openclaw_proxy_upstream_url": "https://user:canary-7c1e@api.example.com"},
        ["openclaw_proxy_upstream_url is 'https://***@api.example.com'", "openclaw_proxy_upstream_api_key"],
    ),
    "credential-with-a-path": (
        {"openclaw_proxy_credential_values": {"../key": "canary-7c1e"}},
        ['openclaw_proxy_credential_values names "../key"', "Choose another name"],
    ),
    "credential-of-the-roles-own": (
        {"openclaw_proxy_credential_values": {"inbound-key": "canary-7c1e"}},
        ["openclaw_proxy_credential_values names", "inbound-key is made by this role"],
    ),
    "credential-without-a-value": (
        {
            "openclaw_proxy_implementation": "custom",
            "openclaw_proxy_command": ["/usr/bin/proxy"],
            "openclaw_proxy_credentials": {"my-key": "MY_KEY"},
        },
        ["openclaw_proxy_credentials hands over my-key", "openclaw_proxy_credential_values has no value"],
    ),
    "credential-that-is-empty": (
        {"openclaw_proxy_credential_values": {"my-key": ""}},
        ["openclaw_proxy_credential_values has no value for my-key"],
    ),
    "loopback-through-a-forward-proxy": (
        {"openclaw_gateway_environment": {"no_proxy": ".example.com"}},
        ["openclaw_gateway_environment sets no_proxy", "openclaw_gateway_no_proxy"],
    ),
    "environment-with-a-line-break": (
        {"openclaw_gateway_environment": {"LANGUAGE": "de\nUser=root"}},
        ["openclaw_gateway_environment (LANGUAGE)", "line break"],
    ),
    "proof-without-a-positive-control": (
        {"openclaw_verify_proxy_stopped": True},
        ["openclaw_verify_proxy_stopped is true", "Set openclaw_verify_model_run to true"],
    ),
    "proof-that-stops-another-machines-proxy": (
        {
            "openclaw_verify_model_run": True,
            "openclaw_verify_proxy_stopped": True,
            **ELSEWHERE,
        },
        ["https://proxy.example.com:3443 is not on this host's loopback", "openclaw_verify_proxy_stopped to false"],
    ),
    "one-user-for-both-by-another-variable": (
        {"openclaw_egress_proxy_user": "openclaw"},
        ["openclaw_egress_gateway_user and openclaw_egress_proxy_user are both 'openclaw'", "openclaw_proxy_user"],
    ),
    "supervisor-of-the-same-user": (
        {"openclaw_egress_proxy_supervisor": "gateway"},
        ["openclaw_proxy_supervisor is 'gateway'", "openclaw_egress_state: absent"],
    ),
    "nothing-denied": (
        {"openclaw_egress_denied_networks": []},
        ["openclaw_egress_denied_networks is empty", "openclaw_egress_state: absent"],
    ),
    "denied-name": (
        {"openclaw_egress_denied_networks_extra": ["api.example.com"]},
        ["openclaw_egress_denied_networks_extra contains", '"api.example.com"', "not names"],
    ),
    "denied-network-out-of-range": (
        {"openclaw_egress_denied_networks_extra": ["192.0.2.0/33", "300.1.1.1"]},
        ['"192.0.2.0/33", "300.1.1.1"', "192.0.2.0/24"],
    ),
    "allowed-without-strict": (
        {"openclaw_egress_allowed": [{"network": "192.0.2.0/24"}]},
        ["openclaw_egress_allowed names destinations", "openclaw_egress_strict to true"],
    ),
    "allowed-name": (
        {"openclaw_egress_strict": True, "openclaw_egress_allowed": [{"network": "chat.example.com"}]},
        ["openclaw_egress_allowed contains", '"chat.example.com"', "not a name"],
    ),
    "strict-with-a-proxy-by-name": (
        {"openclaw_egress_strict": True, **ELSEWHERE},
        [
            "openclaw_egress_strict is true",
            "openclaw_proxy_host is 'proxy.example.com'",
            "openclaw_egress_proxy_addresses",
        ],
    ),
    "name-server-by-name": (
        {"openclaw_egress_name_servers": ["dns.example.com"]},
        ["openclaw_egress_name_servers contains", "IP addresses"],
    ),
    "no-capability": (
        {"openclaw_host_info": {**HOST, "net_admin": False}},
        ["no CAP_NET_ADMIN", "openclaw_egress_state: absent"],
    ),
    "other-system": (
        {"openclaw_host_info": {**HOST, "os_id": "fedora", "os_version": "43", "os_name": "Fedora Linux 43"}},
        ["Fedora Linux 43", "not supported", "Debian 11, 12 and 13"],
    ),
    "other-architecture": (
        {"openclaw_host_info": {**HOST, "architecture": "riscv64"}},
        ["riscv64", "x86_64 and aarch64"],
    ),
    "no-systemd": (
        {"openclaw_host_info": {**HOST, "systemd_running": False, "systemd_version": 0}},
        ["systemd does not run this host"],
    ),
    "old-systemd": ({"openclaw_host_info": {**HOST, "systemd_version": 241}}, ["systemd 241", "247 or newer"]),
    "python-too-old-for-litellm": (
        {"openclaw_host_info": {**HOST, "os_version": "11", "python_version": "3.9.2"}},
        ["LiteLLM needs Python 3.11", "3.9.2"],
    ),
}


def run_playbook(directory: Path, play: list[dict[str, Any]], hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Run a play in check mode against local hosts and return Ansible's own JSON account of it."""
    inventory = {"openclaw": {"hosts": {name: {**LOCAL, **hosts[name]} for name in hosts}}}
    (directory / "inventory.json").write_text(json.dumps(inventory))
    (directory / "play.json").write_text(json.dumps(play))
    completed = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--check",
            "-i",
            str(directory / "inventory.json"),
            str(directory / "play.json"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
        },
    )
    return {"status": completed.returncode, "output": completed.stdout + completed.stderr}


def preflight() -> list[dict[str, Any]]:
    roles = ("openclaw_gateway", "openclaw_proxy", "openclaw_provider", "openclaw_egress", "openclaw_verify")
    tasks = [
        {
            "name": f"Check {role}",
            "ansible.builtin.import_role": {"name": f"failclosed.openclaw.{role}", "tasks_from": "preflight"},
        }
        for role in roles
    ]
    return [{"name": "Preflight", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]


def messages_by_host(output: str) -> dict[str, str]:
    """Return the message of each failed host, its line breaks and JSON escapes undone."""
    found = {}
    for name, document in re.findall(r"^fatal: \[([^]]+)\]: FAILED! => (\{.*\})$", output, re.MULTILINE):
        message = json.loads(document)["msg"]
        found[name] = " ".join(message) if isinstance(message, list) else str(message)
    return found


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hosts = {name: {"openclaw_host_info": HOST, **KEY, **variables} for name, (variables, _words) in CASES.items()}
    hosts["nothing-wrong"] = {"openclaw_host_info": HOST, **KEY}
    hosts["nothing-wrong-with-socket-activation"] = {
        "openclaw_host_info": HOST,
        **KEY,
        "openclaw_proxy_socket_activation": True,
    }
    hosts["nothing-wrong-under-the-gateway"] = {"openclaw_host_info": HOST, **UNDER_GATEWAY}
    for name, variables in NOTHING_WRONG.items():
        hosts[f"nothing-wrong-with-{name}"] = {"openclaw_host_info": HOST, **NO_KEY, **variables}
    directory = tmp_path_factory.mktemp("preflight")
    (directory / "meridian").mkdir()
    (directory / "meridian/package.json").write_text("{}")
    (directory / "meridian/package-lock.json").write_text(
        json.dumps({"packages": {"node_modules/@rynfar/meridian": {}, "node_modules/opencode-claude-max-proxy": {}}})
    )
    result = run_playbook(directory, preflight(), hosts)
    found = messages_by_host(result["output"])
    found["output"] = result["output"]
    return found


@pytest.mark.parametrize("name", CASES)
def test_message_names_the_variable_and_the_remedy(messages: dict[str, str], name: str) -> None:
    assert name in messages, messages["output"]
    for words in CASES[name][1]:
        assert words in messages[name]


def test_good_variables_pass(messages: dict[str, str]) -> None:
    others = [f"nothing-wrong-with-{name}" for name in NOTHING_WRONG]
    for name in (
        "nothing-wrong",
        "nothing-wrong-with-socket-activation",
        "nothing-wrong-under-the-gateway",
        *others,
    ):
        assert name not in messages
        assert re.search(rf"^{name}\s+: ok=\d+ .*failed=0", messages["output"], re.MULTILINE)


def test_a_package_that_is_looked_up_at_every_start_is_named(messages: dict[str, str]) -> None:
    warnings = re.findall(
        r"^ok: \[(\S+)\] => .*\n(?:.*\n)??.*WARNING: openclaw_proxy_command", messages["output"], re.MULTILINE
    )
    assert warnings == ["nothing-wrong-with-bunx"]
    assert "takes whatever version the registry calls the" in messages["output"]


def test_a_proxy_that_asks_for_no_key_is_named(messages: dict[str, str]) -> None:
    assert re.search(r"WARNING:\s+claude-max-api-proxy\s+asks\s+for\s+no\s+key", messages["output"])


def test_adopting_can_be_said_on_the_command_line(tmp_path: Path) -> None:
    # -e NAME=false gives a text, and a text that is not empty counts as true.
    play = [
        {
            "name": "Adopt",
            "hosts": "openclaw",
            "gather_facts": False,
            "roles": [{"role": "failclosed.openclaw.openclaw_gateway"}],
        }
    ]
    host = {"openclaw_host_info": HOST, "openclaw_gateway_manage": "false", "openclaw_gateway_user": "fc-absent"}
    result = run_playbook(tmp_path, play, {"adopted": host})
    assert "this host has no such user" in messages_by_host(result["output"])["adopted"], result["output"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/templates/*.json.j2")), ids=lambda path: path.name)
def test_text_in_json_does_not_begin_with_a_brace(path: Path) -> None:
    # ansible-core 2.18 makes a dictionary of it, which from_json then refuses.
    text = re.sub(r"^(\{[%#].*[%#]\}\n)*", "", path.read_text())
    assert text.startswith("\n{")


def test_no_secret_is_printed(messages: dict[str, str]) -> None:
    assert "canary" not in messages["output"]


@pytest.fixture(scope="module")
def adoption(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("adoption")
    old = directory / "old"
    old.mkdir()
    (old / "package.json").write_text('{"name": "openclaw", "version": "2026.5.7"}')
    (old / "openclaw.mjs").touch()
    role = {"role": "failclosed.openclaw.openclaw_gateway"}
    play = [{"name": "Adopt", "hosts": "openclaw", "gather_facts": False, "roles": [role]}]
    common = {"openclaw_host_info": HOST, "openclaw_gateway_manage": False, "openclaw_gateway_port": 9}
    hosts = {
        "too-old": {**common, "openclaw_gateway_user": "daemon", "openclaw_gateway_package_directory": str(old)},
        "nothing-there": {
            **common,
            "openclaw_gateway_user": "daemon",
            "openclaw_gateway_package_directory": "/nonexistent",
        },
        "no-such-user": {**common, "openclaw_gateway_user": "fc-absent"},
    }
    result = run_playbook(directory, play, hosts)
    return {**messages_by_host(result["output"]), "output": result["output"]}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too-old", ["OpenClaw 2026.5.7", "too old", "2026.8.1 or newer"]),
        ("nothing-there", ["No OpenClaw package was found in /nonexistent", "openclaw_gateway_package_directory"]),
        ("no-such-user", ["openclaw_gateway_user is 'fc-absent'", "no such user"]),
    ],
)
def test_adoption_says_what_is_missing(adoption: dict[str, str], name: str, words: list[str]) -> None:
    assert name in adoption, adoption["output"]
    for word in words:
        assert word in adoption[name]


def test_site_without_hosts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": {"elsewhere": {}}}}))
    completed = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(tmp_path / "inventory.json"),
            str(ROOT / "site.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert completed.returncode != 0
    assert "No host to work on" in completed.stdout


def test_one_wrong_host_stops_site_before_anything_changes_on_any(tmp_path: Path) -> None:
    hosts = {
        "good": {**LOCAL, **KEY},
        "wrong": {**LOCAL, **KEY, "openclaw_provider_models": []},
    }
    (tmp_path / "inventory.json").write_text(json.dumps({"openclaw": {"hosts": hosts}}))
    completed = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--check",
            "-i",
            str(tmp_path / "inventory.json"),
            "-e",
            json.dumps({"openclaw_host_info": HOST, "ansible_become": False}),
            str(ROOT / "site.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert completed.returncode != 0
    assert "openclaw_provider_models is []" in completed.stdout
    assert "Bring the hosts onto the proxy-only route" not in completed.stdout


@pytest.mark.parametrize(("serial", "reached"), [(None, {"canary"}), (["100%"], {"canary", "second"})])
def test_a_host_that_fails_in_its_wave_ends_the_rollout(
    tmp_path: Path, serial: list[str] | None, reached: set[str]
) -> None:
    # Nobody by this name is found in the wave only, and both hosts would fail: the larger wave is the positive control.
    host = {**LOCAL, **KEY, "openclaw_gateway_manage": False, "openclaw_gateway_user": "fc-absent"}
    variables = {"openclaw_rollout_serial": serial} if serial else {}
    group = {"hosts": {"canary": host, "second": host}, "vars": variables}
    (tmp_path / "inventory.json").write_text(json.dumps({"openclaw": group}))
    completed = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--check",
            "-i",
            str(tmp_path / "inventory.json"),
            "-e",
            json.dumps({"openclaw_host_info": HOST, "ansible_become": False}),
            str(ROOT / "site.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert completed.returncode != 0
    _preflight, _play, waves = completed.stdout.partition(
        "PLAY [Bring the hosts onto the proxy-only route, wave by wave]"
    )
    assert "PLAY [" not in waves
    assert set(re.findall(r"^fatal: \[([^]]+)\]", waves, re.MULTILINE)) == reached
