#!/bin/sh
# Usage: sh process-group.sh GRACE_SECONDS COMMAND [ARGUMENT...]
#
# Runs COMMAND in the process group that this shell leads, and exits with its status. Standard input is
# a pipe that only the gateway holds open. It closes when the gateway dies, in whatever way, and then
# the whole group ends: no process outlives the gateway, not even after a SIGKILL.
grace=$1
shift

# A caught signal is reset in COMMAND, an ignored one would stay ignored there.
trap : HUP INT TERM

exec 3<&0 </dev/null
(
    trap '' HUP INT TERM
    while read -r _ <&3; do :; done
    kill -TERM 0
    while [ "$grace" -gt 0 ] && kill -0 $$; do
        sleep 1
        grace=$((grace - 1))
    done
    kill -KILL 0
) >/dev/null 2>&1 &
exec 3<&-

"$@" &
command=$!
while :; do
    # The shell would report a death by a signal, and the plugin does that already.
    wait "$command" 2>/dev/null
    status=$?
    # wait also returns when a signal was caught; then COMMAND is still there.
    kill -0 "$command" 2>/dev/null || exit "$status"
done
