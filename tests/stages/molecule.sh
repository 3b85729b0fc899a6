#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: a new installation and an adoption on disposable hosts: check, converge, idempotence, verify
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
source "$(dirname "${BASH_SOURCE[0]}")/molecule_state.sh"

for name in adopt default; do
  use_scenario "extensions/molecule/$name/molecule.yml"
  check "molecule test: $scenario" molecule test --scenario-name "$scenario"
done
scenario=""
finish_stage
