# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be wrong with a proxy on another machine stops with a message that names the variable and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.tests.unit.roles import test_bad_input

HOST = test_bad_input.HOST
INBOUND_KEY = "sk-canary-" + "5a1b" * 10
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\ncanary7c1e\n-----END PRIVATE KEY-----\n"
GATEWAY = {
    "openclaw_host_info": HOST,
    "openclaw_proxy_host": "proxy.example.com",
    "openclaw_proxy_inbound_key_value": INBOUND_KEY,
    "openclaw_ingress_ca_certificate": CERTIFICATE,
}
PROXY = {
    "openclaw_host_info": HOST,
    **test_bad_input.KEY,
    "openclaw_proxy_runs_here": True,
    "openclaw_proxy_inbound_key_value": INBOUND_KEY,
    "openclaw_ingress_clients": ["192.0.2.10"],
    "openclaw_ingress_certificate": CERTIFICATE,
    "openclaw_ingress_private_key": PRIVATE_KEY,
}
CLEARTEXT = {"openclaw_proxy_allow_cleartext": True, "openclaw_proxy_bind_address": "192.0.2.1"}

GATEWAYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "without-tls": (
        {"openclaw_provider_base_url": "http://proxy.example.com:3456", "openclaw_ingress_ca_certificate": ""},
        ["'http://proxy.example.com:3456', another machine without TLS", "openclaw_proxy_allow_cleartext: true"],
    ),
    "without-a-key": (
        {"openclaw_proxy_inbound_key_value": ""},
        ["openclaw_proxy_inbound_key_value is empty", "Ansible Vault", "openssl rand -hex 32"],
    ),
    "key-switched-off": (
        {"openclaw_proxy_inbound_key": False, "openclaw_proxy_inbound_key_value": ""},
        ["openclaw_proxy_inbound_key is false", "Set it to true"],
    ),
    "short-key": (
        {"openclaw_proxy_inbound_key_value": "sk-canary-5a1b"},
        ["openclaw_proxy_inbound_key_value is no key", "at least 32"],
    ),
    "generation-of-a-given-key": (
        {"openclaw_proxy_inbound_key_generation": 2},
        ["openclaw_proxy_inbound_key_generation is '2'", "change that value"],
    ),
    "under-the-gateway": (
        {**test_bad_input.UNDER_GATEWAY, "openclaw_proxy_inbound_key": True},
        ["another machine, and openclaw_proxy_supervisor is gateway", "to systemd"],
    ),
    "authority-that-is-none": (
        {"openclaw_ingress_ca_certificate": "/etc/ssl/ca.crt"},
        ["openclaw_provider_ca_certificate is no certificate in PEM", "lookup('ansible.builtin.file', 'ca.pem')"],
    ),
    "authority-for-cleartext": (
        {"openclaw_proxy_allow_cleartext": True},
        ["openclaw_provider_ca_certificate is set", "'http://proxy.example.com:3456', which has no certificate"],
    ),
    "network-of-addresses": (
        {"openclaw_egress_proxy_addresses": ["proxy.example.com"]},
        ["openclaw_egress_proxy_addresses contains", '"proxy.example.com"', "IP addresses"],
    ),
}
PROXIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nobody-may-connect": (
        {"openclaw_ingress_clients": []},
        ["openclaw_ingress_clients is empty", "addresses of the gateways"],
    ),
    "client-by-name": (
        {"openclaw_ingress_clients": ["gateway.example.com"]},
        ['openclaw_ingress_clients contains "gateway.example.com"', "not names"],
    ),
    "everybody": ({"openclaw_ingress_clients": ["0.0.0.0/0"]}, ["every machine", "Name the gateways' own addresses"]),
    "loopback-with-remote-clients": (
        {"openclaw_ingress_bind_address": "127.0.0.1"},
        ["openclaw_ingress_bind_address is '127.0.0.1', this host's loopback", "could not connect", "0.0.0.0"],
    ),
    "loopback-with-remote-clients-in-clear": (
        {"openclaw_proxy_allow_cleartext": True},
        ["openclaw_proxy_bind_address is '127.0.0.1', this host's loopback", "could not connect"],
    ),
    "around-the-tls": (
        {"openclaw_proxy_bind_address": "192.0.2.1"},
        ["openclaw_proxy_bind_address is '192.0.2.1'", "speaks no TLS", "openclaw_proxy_allow_cleartext: true"],
    ),
    "without-a-certificate": (
        {"openclaw_ingress_certificate": "", "openclaw_ingress_private_key": ""},
        ["no certificate was given", "openclaw_ingress_certificate and openclaw_ingress_private_key"],
    ),
    "half-of-a-certificate": (
        {"openclaw_ingress_private_key": ""},
        ["only half of one", "openclaw_ingress_private_key_file"],
    ),
    "certificate-that-is-not-there": (
        {
            "openclaw_ingress_certificate": "",
            "openclaw_ingress_private_key": "",
            "openclaw_ingress_certificate_file": "/nonexistent/proxy.crt",
            "openclaw_ingress_private_key_file": "/nonexistent/proxy.key",
        },
        ["/nonexistent/proxy.crt, /nonexistent/proxy.key, which is not on this host", "Put it there first"],
    ),
    "path-instead-of-a-certificate": (
        {"openclaw_ingress_certificate": "/etc/ssl/proxy.crt"},
        ["openclaw_ingress_certificate is no certificate in PEM"],
    ),
    "key-with-a-passphrase": (
        {"openclaw_ingress_private_key": PRIVATE_KEY.replace("BEGIN ", "BEGIN ENCRYPTED ")},
        ["openclaw_ingress_private_key is no private key in PEM without a passphrase", "openssl pkey"],
    ),
    "older-key-with-a-passphrase": (
        {
            "openclaw_ingress_private_key": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
            "DEK-Info: AES-256-CBC,00\n\ncanary7c1e\n-----END RSA PRIVATE KEY-----\n"
        },
        ["openclaw_ingress_private_key is no private key in PEM without a passphrase"],
    ),
    "file-with-a-space": (
        {
            "openclaw_ingress_certificate": "",
            "openclaw_ingress_private_key": "",
            "openclaw_ingress_certificate_file": "/etc/ssl/my proxy.crt",
            "openclaw_ingress_private_key_file": "/etc/ssl/%i.key",
        },
        ['"/etc/ssl/my proxy.crt", "/etc/ssl/%i.key"', "openclaw_ingress_certificate_file", "absolute path"],
    ),
    "relative-directory": (
        {"openclaw_ingress_config_dir": "etc/ingress"},
        ["openclaw_ingress_config_dir", '"etc/ingress"', "absolute path"],
    ),
    "user-with-a-line-break": (
        {"openclaw_ingress_user": "x\nUser=root"},
        ["openclaw_ingress_user is 'x", "a system user of its own"],
    ),
    "service-with-a-slash": (
        {"openclaw_ingress_service": "../ssh"},
        ["openclaw_ingress_service is '../ssh'", "without .service"],
    ),
    "no-connections": (
        {"openclaw_ingress_connections": 0},
        ["openclaw_ingress_connections is '0'", "from 1 on"],
    ),
    "one-port-for-both": (
        {"openclaw_ingress_port": 3456},
        ["openclaw_ingress_port is '3456'", "openclaw_proxy_port (3456)"],
    ),
    "one-user-for-both": (
        {"openclaw_ingress_user": "openclaw-proxy"},
        ["openclaw_ingress_user and openclaw_proxy_user are both 'openclaw-proxy'"],
    ),
    "no-key-to-give": (
        {"openclaw_proxy_inbound_key_value": ""},
        ["openclaw_proxy_inbound_key_value is empty", "hosts of both groups"],
    ),
    "proxy-that-takes-no-key": (
        {"openclaw_proxy_implementation": "custom", "openclaw_proxy_command": ["/usr/bin/proxy"]},
        ["openclaw_proxy_inbound_key is true", "hands no inbound-key to the command"],
    ),
}


def messages_of(directory: Path, roles: list[str], hosts: dict[str, dict[str, Any]]) -> dict[str, str]:
    tasks = [
        {
            "name": f"Check {role}",
            "ansible.builtin.import_role": {"name": f"failclosed.openclaw.{role}", "tasks_from": "preflight"},
        }
        for role in roles
    ]
    play = [{"name": "Preflight", "hosts": "openclaw", "gather_facts": False, "tasks": tasks}]
    result = test_bad_input.run_playbook(directory, play, hosts)
    return {**test_bad_input.messages_by_host(result["output"]), "output": result["output"]}


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hosts = {name: {**GATEWAY, **variables} for name, (variables, _words) in GATEWAYS.items()}
    hosts["nothing-wrong"] = GATEWAY
    hosts["nothing-wrong-in-clear"] = {**GATEWAY, "openclaw_ingress_ca_certificate": "", **CLEARTEXT}
    roles = ["openclaw_gateway", "openclaw_proxy", "openclaw_provider", "openclaw_egress", "openclaw_verify"]
    return messages_of(tmp_path_factory.mktemp("gateways"), roles, hosts)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hosts = {name: {**PROXY, **variables} for name, (variables, _words) in PROXIES.items()}
    hosts["nothing-wrong"] = PROXY
    hosts["nothing-wrong-in-clear"] = {**PROXY, **CLEARTEXT}
    hosts["key-of-elliptic-curves"] = {
        **PROXY,
        "openclaw_ingress_private_key": PRIVATE_KEY.replace("PRIVATE", "EC PRIVATE"),
    }
    return messages_of(tmp_path_factory.mktemp("proxies"), ["openclaw_proxy", "openclaw_ingress"], hosts)


@pytest.mark.parametrize("name", GATEWAYS)
def test_gateways_message_names_the_variable_and_the_remedy(gateways: dict[str, str], name: str) -> None:
    assert name in gateways, gateways["output"]
    for words in GATEWAYS[name][1]:
        assert words in gateways[name]


@pytest.mark.parametrize("name", PROXIES)
def test_proxys_message_names_the_variable_and_the_remedy(proxies: dict[str, str], name: str) -> None:
    assert name in proxies, proxies["output"]
    for words in PROXIES[name][1]:
        assert words in proxies[name]


def test_good_variables_pass(gateways: dict[str, str], proxies: dict[str, str]) -> None:
    for found in (gateways, proxies):
        names = ["nothing-wrong", "nothing-wrong-in-clear", *(["key-of-elliptic-curves"] if found is proxies else [])]
        for name in names:
            assert name not in found, found.get(name)
            assert re.search(rf"^{name}\s+: ok=\d+ .*failed=0", found["output"], re.MULTILINE)


def test_no_secret_is_printed(gateways: dict[str, str], proxies: dict[str, str]) -> None:
    assert "canary" not in gateways["output"] + proxies["output"]
