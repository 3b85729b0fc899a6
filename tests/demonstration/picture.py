# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw text from standard input as a terminal window in SVG, for the README.

Usage: ./demo | sed -n '/^== What was proven/,$p' | python3 tests/demonstration/picture.py > docs/images/demo.svg
"""

from __future__ import annotations

import sys
from html import escape

LINE, CHARACTER, MARGIN, TITLE = 18, 8.4, 16, 30
COLOURS = {"passed": "#3fb950", "failed": "#f85149", "unknown": "#d29922"}


def draw(text: str) -> str:
    """Return an SVG document that shows ``text`` in a fixed-width font, results in colour."""
    lines = text.strip("\n").split("\n")
    width = round(max(len(line) for line in lines) * CHARACTER + 2 * MARGIN)
    height = len(lines) * LINE + TITLE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        shown = escape(line)
        for word, colour in COLOURS.items():
            shown = shown.replace(word, f'<tspan fill="{colour}">{word}</tspan>')
        top = TITLE + MARGIN + number * LINE + 12
        rows.append(f'<text x="{MARGIN}" y="{top}" xml:space="preserve">{shown}</text>')
    lights = "".join(
        f'<circle cx="{18 + 18 * number}" cy="15" r="5.5" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n{lights}\n'
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">\n'
        + "\n".join(rows)
        + "\n</g>\n</svg>\n"
    )


if __name__ == "__main__":
    sys.stdout.write(draw(sys.stdin.read()))
