# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try a proxy on another machine from a gateway's host, and print what came of it as JSON.

Usage: proxy_requests.py HOST TLS_PORT PROXY_PORT AUTHORITY_FILE
With AUTHORITY_FILE "-" only connections are tried. The key is read from its file: Ansible logs what it is given.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path


def connected(host: str, port: int, uid: int = 0) -> str:
    """What becomes of a connection, as that user."""
    child = os.fork()
    if child == 0:
        os.setresuid(uid, uid, uid)
        try:
            socket.create_connection((host, port), timeout=3).close()
        except ConnectionRefusedError:
            os._exit(2)
        except OSError:
            os._exit(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "open", 2: "refused"}.get(code, "silent")


def answered(url: str, key: str, context: ssl.SSLContext) -> int | str:
    """The status of a small request with a key."""
    body = {"model": "claude-opus-4.6", "max_tokens": 8, "messages": [{"role": "user", "content": "ping"}]}
    request = urllib.request.Request(
        f"{url}/v1/messages",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError) as error:
        return type(getattr(error, "reason", error)).__name__


def main(host: str, tls_port: int, proxy_port: int, authority: str) -> None:
    """Print everything that was tried."""
    found: dict[str, int | str] = {
        "tls_port": connected(host, tls_port),
        "proxy_port": connected(host, proxy_port),
        "ssh_port": connected(host, 22),
    }
    if authority != "-":
        key = Path("/etc/openclaw/credentials/proxy-inbound-key").read_text().strip()
        gateway = pwd.getpwnam("openclaw").pw_uid
        context = ssl.create_default_context(cafile=authority)
        url = f"https://{host}:{tls_port}"
        found |= {
            "gateway_tls_port": connected(host, tls_port, gateway),
            "gateway_ssh_port": connected(host, 22, gateway),
            "right_key": answered(url, key, context),
            "wrong_key": answered(url, "sk-" + "0" * 40, context),
            "without_authority": answered(url, key, ssl.create_default_context()),
            "in_clear": answered(f"http://{host}:{tls_port}", key, context),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
