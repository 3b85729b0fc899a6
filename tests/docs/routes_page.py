# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide "Routes and findings", made from the route map: ``python tests/docs/routes_page.py`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "docsite" / "rst" / "routes.rst"

INTRODUCTION = """\
..
  Copyright (c) 2026, the failclosed.openclaw authors
  GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
  SPDX-License-Identifier: GPL-3.0-or-later

.. Made by tests/docs/routes_page.py from plugins/module_utils/_route_map.py.

.. _ansible_collections.failclosed.openclaw.docsite.routes:

Routes and findings
===================

``fallbacks: []`` alone is not fail-closed. OpenClaw takes models, endpoints and keys from many places, and each of them
can lead around the proxy. This is the list of places that :ansplugin:`failclosed.openclaw.openclaw_audit#module` looks
at. A test compares it with the schema of the real program, so that a new release of OpenClaw shows its new places.

What is said of a host
----------------------

* **compliant**: every place was looked at, and none leads around the proxy.
* **drifted**: at least one finding.
* **unknown**: no finding, but something could not be looked at, or leads where nobody can tell. Unknown is never
  compliant.

With the policy ``strict`` only the proxy is allowed. With ``claude-only`` models of other vendors may go elsewhere, and
no Claude model may. A finding can be accepted until a date, with a reason; it stays in every report.

Code with a network of its own (ids that begin with ``code-``) is unknown unless strict egress was probed on the host;
``code-sandbox-environment`` stays unknown even so, because containers have a network of their own.
What an agent's own tools do is not in this list, because it is no request of OpenClaw's: only the kernel rule stops it.

What becomes of a route
-----------------------

* ``refused-by-openclaw``: OpenClaw refuses it under the configuration that this collection writes.
* ``rewritten-by-remediation``: ``site.yml`` closes it in ``openclaw.json``, some of them only with
  ``openclaw_provider_remediate: all``.
* ``blocked-by-default-egress``: the kernel refuses the way to the networks in ``openclaw_egress_denied_networks``.
* ``blocked-by-strict-egress``: the kernel refuses every way that is not listed.
* ``audit-only``: nothing closes it by itself; the audit names it, and ``site.yml`` fails; what is
  unknown it only reports, unless ``openclaw_verify_unknown_routes: fail``.

The places
----------
"""


def page() -> str:
    """The text of the whole page."""
    from ansible_collections.failclosed.openclaw.plugins.module_utils import _route_map

    lines = [INTRODUCTION]
    for route in _route_map.ROUTES:
        lines += [route.id, "^" * len(route.id), "", f"{route.summary}.", ""]
        if route.kind == _route_map.MODEL:
            lines += [f"Fallbacks that are set there have the id ``{route.id}-fallbacks``.", ""]
        lines += [f"* Expectation: {', '.join(f'``{each}``' for each in route.expectations)}"]
        lines += [f"* Remedy: {_route_map.remedy_of(route.id)}"]
        if route.remediation:
            scope = "by default" if route.by_default else "with ``openclaw_provider_remediate: all``"
            lines += [f"* Closed in ``openclaw.json``: {scope}"]
        lines += [f"* ``{path}``" for path in route.paths]
        lines += [""]
    lines += ["unreadable", "^^^^^^^^^^", "", "A place that could not be looked at. It is unknown, not a finding.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / ".collections"))
    PAGE.write_text(page(), encoding="utf-8")
