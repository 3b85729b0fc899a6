#!/usr/bin/python3 -I
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before the program claude on the PATH of claude-max-api-proxy, and becomes it.

The proxy starts ``claude --print ... --no-session-persistence PROMPT [--session-id ID]`` with a prompt that a client of
the proxy chose. As an argument a prompt such as ``--mcp-config={...}`` is an option that runs commands, every local
user can read it in /proc, and tools of Claude Code would act with the proxy's rights. So the prompt goes to standard
input, and there are no tools, MCP servers and settings.

Everything else, such as ``claude --version``, is handed on as it is. OPENCLAW_PROXY_CLAUDE names the real program.
"""

from __future__ import annotations

import os
import sys

BEFORE_PROMPT = "--no-session-persistence"
CONFINED = ["--tools", "", "--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]


def confine(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments to run with, and the prompt where it was one of them.

    :raises ValueError: for a ``--print`` whose prompt is not where the proxy puts it.
    """
    if not arguments or arguments[0] not in ("-p", "--print"):
        return arguments, None
    place = arguments.index(BEFORE_PROMPT) if BEFORE_PROMPT in arguments else len(arguments)
    after = arguments[place + 2 :]
    if place + 1 >= len(arguments) or (after and (len(after) != 2 or after[0] != "--session-id")):
        raise ValueError("the prompt is not where claude-max-api-proxy 1.0 puts it")
    return [*arguments[: place + 1], *after, *CONFINED], arguments[place + 1]


def main() -> None:
    program = os.environ["OPENCLAW_PROXY_CLAUDE"]
    try:
        arguments, prompt = confine(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"{sys.argv[0]}: {error}; the program was not started")
    if prompt is not None:
        descriptor = os.memfd_create("prompt")
        with os.fdopen(descriptor, "w+b", closefd=False) as file:
            file.write(os.fsencode(prompt))
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.dup2(descriptor, 0)
        os.close(descriptor)
    os.execv(program, [program, *arguments])  # noqa: S606 (no shell is what is wanted)


if __name__ == "__main__":
    main()
