#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: every Molecule scenario on disposable hosts: check, converge, idempotence, verify
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
source "$(dirname "${BASH_SOURCE[0]}")/molecule_state.sh"

for configuration in extensions/molecule/*/molecule.yml; do
  use_scenario "$configuration"
  check "molecule test: $scenario" molecule test --scenario-name "$scenario"
done
scenario=""
finish_stage
