#!/bin/sh
# Runs a server that must not outlive its owner: leash.sh COMMAND [ARGUMENT…]
# Descriptor 3 is a pipe from the owner. However the owner ends, the pipe then closes and the server gets SIGTERM.
"$@" </dev/null 3<&- &
server=$!
trap 'kill -TERM $server 2>/dev/null' TERM INT
{ cat >/dev/null; kill -TERM $server 2>/dev/null; } <&3 &
watcher=$!
exec 3<&-
while kill -0 $server 2>/dev/null; do wait $server; code=$?; done
kill $watcher 2>/dev/null
exit "${code:-0}"
