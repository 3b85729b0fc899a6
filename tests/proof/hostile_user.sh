#!/bin/sh
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Tries, as the user who runs it, what only root may do. Prints the name of everything that worked.
records=/var/lib/failclosed-openclaw
rules=/etc/failclosed-openclaw/egress.nft
proxy=$(systemctl show --property=MainPID --value openclaw-proxy)
# Of a process that is not there nothing could be refused.
case $proxy in '' | 0) exit 3 ;; esac
forged=$(mktemp)

try() {
  name=$1
  shift
  if (cd / && "$@") >/dev/null 2>&1; then echo "$name"; fi
}

# What it may do is the control.
try own-file sh -c "echo forged >'$forged'"
try receipt-appended sh -c "echo >>$records/receipt.json"
try receipt-replaced mv "$forged" "$records/receipt.json"
try receipt-linked ln -sf "$forged" "$records/receipt.json"
try receipt-removed rm -f "$records/receipt.json"
try receipts-moved mv "$records" "$records.away"
try record-of-the-rule-appended sh -c "echo >>$records/egress.json"
try rule-appended sh -c "echo >>$rules"
try rule-removed rm -f "$rules"
try rule-flushed nft delete table inet failclosed_openclaw
try drop-in-of-the-gateway mkdir -p /etc/systemd/system/openclaw-gateway.service.d/x
try unit-of-the-gateway sh -c 'echo >>/etc/systemd/system/openclaw-gateway.service'
try proxy-stopped systemctl --no-ask-password stop openclaw-proxy
try proxy-killed kill -TERM "$proxy"
try upstream-key cat /etc/openclaw-proxy/credentials/upstream-key
try configuration-of-the-proxy sh -c 'cat /etc/openclaw-proxy/*'
try environment-of-the-proxy sh -c "tr '\\0' '\\n' </proc/$proxy/environ | grep ."
try memory-of-the-proxy sh -c "head -c1 /proc/$proxy/maps | grep ."
# Its own user reads these when the gateway starts.
[ "$(id -un)" = openclaw ] || try credentials-of-the-gateway sh -c 'cat /etc/openclaw/credentials/*'
try home-of-the-proxy ls /var/lib/openclaw-proxy
rm -f "$forged"
