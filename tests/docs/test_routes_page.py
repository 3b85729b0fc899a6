# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.failclosed.openclaw.tests.docs import routes_page


def test_the_page_is_what_the_route_map_says() -> None:
    text = routes_page.PAGE.read_text(encoding="utf-8")
    assert text == routes_page.page(), "run: python tests/docs/routes_page.py"
