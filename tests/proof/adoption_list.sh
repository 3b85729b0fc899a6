#!/bin/sh
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints everything in alice's home that a program of hers does not write while it runs: type, mode, owner and content.
set -eu
cd /home/alice
# The gateway's state and its agents' workspace change by themselves; the configuration has a proof of its own.
mine() {
  find . -xdev \( -path ./.cache -o -path ./.npm -o -path ./notes -o -path './.openclaw/*' \) -prune -o "$@"
}
mine -printf '%y %m %u:%g %p %l\n' | LC_ALL=C sort
mine -type f -print0 | LC_ALL=C sort --zero-terminated | xargs --null sha256sum
