# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before the program claude on the PATH of claude-max-api-proxy, and becomes it.

The proxy starts ``claude --print ... --no-session-persistence PROMPT [--session-id ID]`` with a prompt that a client of
the proxy chose. As an argument a prompt such as ``--mcp-config={...}`` is an option that runs commands, every local
user can read it in /proc, and tools of Claude Code would act with the proxy's rights. So the prompt goes to standard
input, and there are no tools, MCP servers and settings.

``claude --version`` and ``claude auth status`` are handed on as they are, and everything else is refused.
OPENCLAW_PROXY_CLAUDE names the real program.
"""

from __future__ import annotations

import os
import sys

# What claude-max-api-proxy 1.0.0 starts (dist/subprocess/manager.js, buildArgs); MODEL stands for one of the aliases.
MODEL = "MODEL"
FORM = ["--print", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", MODEL]
FORM += ["--no-session-persistence"]
MODELS = ("opus", "sonnet", "haiku")
# What asks nothing of a model: the proxy's own start, and a person who looks.
HARMLESS = (["--version"], ["auth", "status"])
CONFINED = ["--tools", "", "--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]


def confine(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments to run with, and the prompt where it was one of them.

    :raises ValueError: for everything that is not exactly what the proxy starts.
    """
    if arguments in HARMLESS:
        return arguments, None
    form, rest = arguments[: len(FORM)], arguments[len(FORM) :]
    known = len(form) == len(FORM) and all(
        found in MODELS if wanted == MODEL else found == wanted for found, wanted in zip(form, FORM)
    )
    if not known or len(rest) not in (1, 3) or (len(rest) == 3 and rest[1] != "--session-id"):
        raise ValueError("this is not how claude-max-api-proxy 1.0 starts claude")
    # The client chooses the id too, and after its own equals sign it is never an option.
    session = [f"--session-id={rest[2]}"] if len(rest) == 3 else []
    return [*form, *session, *CONFINED], rest[0]


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
