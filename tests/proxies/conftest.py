# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this directory share."""

from __future__ import annotations

import sys
from pathlib import Path

# These directories are no packages.
for _directory in ("proxies", "plugin", "simulator", "unit/simulator"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / _directory))
