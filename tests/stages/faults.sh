#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: (only with --all) every fault of tests/proof/proxy_faults.yml on two real hosts
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

remove_hosts() {
  ansible-playbook tests/hosts/destroy.yml -e hosts_set=faults
}
trap remove_hosts EXIT

create_hosts() {
  remove_hosts
  ansible-playbook tests/hosts/create.yml -e hosts_set=faults \
    -e '{"hosts_list": [{"name": "bookworm", "release": "bookworm"}, {"name": "trixie", "release": "trixie"}]}'
}

bring_about_faults() {
  ansible-playbook --inventory .cache/hosts/faults/inventory.yml tests/proof/proxy_service.yml \
    -e proof_faults=all -e proof_hosts_set=faults
}

check "two hosts" create_hosts
check "faults" bring_about_faults
finish_stage
