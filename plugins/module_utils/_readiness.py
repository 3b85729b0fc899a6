# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a local HTTP endpoint whether a service is ready. Private to this collection."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_BODY_LIMIT = 65536


@dataclass(frozen=True)
class Readiness:
    """Whether the endpoint says ready, and one line that says why (not)."""

    ok: bool
    detail: str


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _connection(scheme: str, host: str, port: int | None, timeout: float, authority: str) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    # With an authority of its own nobody else's certificate counts.
    context = ssl.create_default_context(cadata=authority) if authority else ssl.create_default_context()
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def probe(url: str, *, json_key: str | None = None, timeout: float = 5.0, authority: str = "") -> Readiness:
    """Request ``url`` (no proxy from the environment) once; ``timeout`` in seconds for all of it.

    Ready means status 200 and, with ``json_key``, a JSON object whose member of that name is ``true``: OpenClaw's
    /readyz answers ``{"ready": true, "failing": []}`` and a port that merely listens proves nothing.
    ``authority``: certificates (PEM) that alone are believed for https, instead of the system's.
    Raises ValueError for anything but a http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is not a http:// or https:// URL")
    try:
        connection = _connection(parts.scheme, parts.hostname, parts.port, timeout, authority)
    except (ssl.SSLError, ValueError) as error:
        return Readiness(False, f"the given authority is no certificate: {error}")
    limit: threading.Timer | None = None
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        connection.connect()
        # The connection's own limit is one for each read: an answer that drips in would hold this up for days.
        limit = threading.Timer(timeout, _hang_up, [connection.sock])
        limit.daemon = True
        limit.start()
        connection.request("GET", target, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(_BODY_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return Readiness(False, f"no answer: {error.__class__.__name__}: {error}")
    finally:
        if limit is not None:
            limit.cancel()
        connection.close()
    if response.status != 200:
        return Readiness(False, f"HTTP status {response.status}")
    if json_key is None:
        return Readiness(True, "HTTP status 200")
    try:
        document: t.Any = json.loads(body)
    except ValueError:
        return Readiness(False, "HTTP status 200, but the answer is no JSON")
    if not isinstance(document, dict) or document.get(json_key) is not True:
        return Readiness(False, f"HTTP status 200, but '{json_key}' is not true")
    return Readiness(True, f"HTTP status 200 and '{json_key}' is true")


def wait(
    url: str,
    *,
    json_key: str | None,
    timeout: float,
    give_up: t.Callable[[], str | None] = lambda: None,
    pause: float = 0.5,
) -> Readiness:
    """Probe ``url`` until it is ready or ``timeout`` seconds have passed.

    ``give_up`` is asked between two probes; a text that it returns ends the wait (the service has failed for good).
    """
    deadline = time.monotonic() + timeout
    while True:
        readiness = probe(url, json_key=json_key)
        if readiness.ok:
            return readiness
        reason = give_up()
        if reason is not None:
            return Readiness(False, reason)
        if time.monotonic() >= deadline:
            return Readiness(False, f"not ready after {timeout:g} s ({readiness.detail})")
        time.sleep(pause)
