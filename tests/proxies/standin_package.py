# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package with the interface of Meridian, as the tarball that an operator would bring: the registry has neither.

It needs a package that the registry has, takes its address, its key and its port from the same variables, keeps / and
/health open, and answers the Messages API as a document and as a stream. It is no proxy: it asks nobody.

    python standin_package.py meridian DIRECTORY
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

VERSION = "0.0.1"
PROGRAMS = {"@rynfar/meridian": "meridian", "opencode-claude-max-proxy": "claude-max-proxy"}
NAMES = {"meridian": "@rynfar/meridian", "opencode-claude-max-proxy": "opencode-claude-max-proxy"}

PROGRAM = r"""#!/usr/bin/env node
import http from "node:http";
import isNumber from "is-number";

const env = process.env;
const host = env.MERIDIAN_HOST ?? env.CLAUDE_PROXY_HOST ?? "127.0.0.1";
const port = env.MERIDIAN_PORT ?? env.CLAUDE_PROXY_PORT ?? "3456";
if (!isNumber(port)) {
  console.error(`bad port ${port}`);
  process.exit(0);
}
const runtime = process.versions.bun ? "bun" : "node";
const text = `STANDIN ${runtime} passthrough=${env.MERIDIAN_PASSTHROUGH ?? env.CLAUDE_PROXY_PASSTHROUGH ?? ""}`;

function answer(response, status, document) {
  response.writeHead(status, {"content-type": "application/json"});
  response.end(JSON.stringify(document));
}

function messages(response, body) {
  const message = {
    id: "msg_1", type: "message", role: "assistant", model: body.model, content: [],
    stop_reason: null, stop_sequence: null,
    usage: {input_tokens: 1, output_tokens: 1},
  };
  if (!body.stream) {
    answer(response, 200, {...message, content: [{type: "text", text}], stop_reason: "end_turn"});
    return;
  }
  response.writeHead(200, {"content-type": "text/event-stream"});
  const send = (event) => response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  send({type: "message_start", message});
  send({type: "content_block_start", index: 0, content_block: {type: "text", text: ""}});
  send({type: "content_block_delta", index: 0, delta: {type: "text_delta", text}});
  send({type: "content_block_stop", index: 0});
  send({type: "message_delta", delta: {stop_reason: "end_turn", stop_sequence: null}, usage: {output_tokens: 1}});
  send({type: "message_stop"});
  response.end();
}

http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const path = request.url.split("?")[0];
    if (path === "/" || path === "/health") {
      answer(response, 200, {status: "degraded", auth: {loggedIn: false, email: "somebody@example.com"}});
      return;
    }
    const key = request.headers["x-api-key"] ?? (request.headers.authorization ?? "").replace("Bearer ", "");
    if (env.MERIDIAN_API_KEY && key !== env.MERIDIAN_API_KEY) {
      answer(response, 401, {type: "error", error: {type: "authentication_error", message: "wrong key"}});
      return;
    }
    if (path !== "/v1/messages") {
      answer(response, 404, {type: "error", error: {type: "not_found_error", message: path}});
      return;
    }
    messages(response, JSON.parse(Buffer.concat(chunks).toString()));
  });
}).listen(Number(port), host);
"""


def make(package: str, directory: Path) -> Path:
    """Write the tarball of the stand-in for ``package`` (its name in the registry), as ``npm pack`` would name it."""
    manifest = {
        "name": package,
        "version": VERSION,
        "type": "module",
        "license": "GPL-3.0-or-later",
        "bin": {PROGRAMS[package]: "./dist/cli.js"},
        "dependencies": {"is-number": "7.0.0"},
    }
    path = directory / f"{package.lstrip('@').replace('/', '-')}-{VERSION}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text, mode in (
            ("package/package.json", json.dumps(manifest), 0o644),
            ("package/dist/cli.js", PROGRAM, 0o755),
        ):
            member = tarfile.TarInfo(name)
            content = text.encode()
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return path


if __name__ == "__main__":
    print(make(NAMES[sys.argv[1]], Path(sys.argv[2])))
