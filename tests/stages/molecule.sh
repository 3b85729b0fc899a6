#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: every Molecule scenario on disposable hosts: check, converge, idempotence, verify
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

scenario=""
# Molecule's own place for its state is named after the checkout's last directory: another checkout, or an earlier run
# that was killed, would make it believe that the hosts are there.
MOLECULE_EPHEMERAL_DIRECTORY=$(mktemp -d "$root/.cache/molecule.XXXXXX")
export MOLECULE_EPHEMERAL_DIRECTORY
state=$MOLECULE_EPHEMERAL_DIRECTORY

# Molecule removes its hosts after a failure, but not after a signal.
remove_hosts() {
  if [[ $scenario ]]; then molecule destroy --scenario-name "$scenario" || true; fi
  rm -rf "$state"
}
trap remove_hosts EXIT

for configuration in extensions/molecule/*/molecule.yml; do
  scenario=$(basename "$(dirname "$configuration")")
  MOLECULE_EPHEMERAL_DIRECTORY=$state/$scenario
  check "molecule test: $scenario" molecule test --scenario-name "$scenario"
done
scenario=""
finish_stage
