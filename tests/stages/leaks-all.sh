#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: (only with --all) every way around the proxy with every control
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

check "install nftables and iproute2" install_commands nft:nftables ip:iproute2
check "install OpenClaw from the lock" install_openclaw roles/openclaw_gateway/files/openclaw "$FAILCLOSED_TOOLS/openclaw"
export FAILCLOSED_LEAKS=all
run_pytest "pytest" tests/leaks
finish_stage
