#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: (only with --all) gateway and proxy on two hosts; the proxy changes hands between systemd and the gateway
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
source "$(dirname "${BASH_SOURCE[0]}")/molecule_state.sh"

converge_and_go_on() {
  molecule converge --scenario-name "$1"
  molecule side-effect --scenario-name "$1"
}

use_scenario extensions/molecule/remote/molecule.yml
check "molecule test: $scenario" molecule test --scenario-name "$scenario"

for playbook in extensions/molecule/*/side_effect.yml; do
  use_scenario "$playbook"
  check "molecule side-effect: $scenario" converge_and_go_on "$scenario"
  check "molecule destroy: $scenario" molecule destroy --scenario-name "$scenario"
done
scenario=""
finish_stage
