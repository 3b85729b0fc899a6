# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a proxy (see faulty_proxy.py) without a pause, short questions and streams of two seconds, until SIGTERM.

Usage: poll_proxy.py PORT CREDENTIAL RESULT. RESULT then says how many were answered, what failed, and the longest wait.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path

STREAMED_LINES = 20


def main(port: str, credential: str, result: str) -> None:
    key = Path(credential).read_text(encoding="utf-8").strip()
    ending = threading.Event()
    answered: list[float] = []
    streams: list[float] = []
    failed: list[str] = []

    def ask(path: str, expected_lines: int, times: list[float]) -> None:
        while not ending.is_set():
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
            try:
                connection.request("POST", path, b"{}", {"x-api-key": key})
                answer = connection.getresponse()
                lines = answer.read().splitlines()
                if answer.status != 200 or len(lines) != expected_lines:
                    failed.append(f"{path}: status {answer.status}, {len(lines)} lines")
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"{path}: {error!r}")
            finally:
                connection.close()
            times.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask, args=("/v1/messages", 1, answered)) for _thread in range(2)]
    threads += [
        threading.Thread(target=ask, args=(f"/v1/messages?lines={STREAMED_LINES}", STREAMED_LINES, streams))
        for _round in range(2)
    ]
    signal.signal(signal.SIGTERM, lambda *_details: ending.set())
    for thread in threads:
        thread.start()
    ending.wait()
    for thread in threads:
        thread.join()
    document = {
        "answered": len(answered),
        "streams": len(streams),
        "failed": failed,
        "longest_wait": round(max(answered), 2),
    }
    Path(result).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])
