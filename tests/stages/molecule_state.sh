# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the stages that use Molecule share: a place for its state, and the removal of its hosts.

# Molecule's own place for its state is named after the checkout's last directory: another checkout, or an earlier run
# that was killed, would make it believe that the hosts are there.
molecule_state=$(mktemp -d "${root:?}/.cache/molecule.XXXXXX")
export MOLECULE_EPHEMERAL_DIRECTORY=$molecule_state
scenario=""

# Molecule removes its hosts after a failure of its own test, but not after a signal.
remove_hosts() {
  if [[ $scenario ]]; then molecule destroy --scenario-name "$scenario" || true; fi
  rm -rf "$molecule_state"
}
trap remove_hosts EXIT

# use_scenario FILE: the scenario in whose directory the file is.
use_scenario() {
  scenario=$(basename "$(dirname "$1")")
  MOLECULE_EPHEMERAL_DIRECTORY=$molecule_state/$scenario
}
