#!/bin/sh
# Chromium in a network namespace of its own. Each container that starts adds an
# interface to the machine's, and Chromium then drops every request in flight
# with ERR_NETWORK_CHANGED. Where no namespace can be made it runs as usual.
here=$(cd "$(dirname "$0")" && pwd)
for own in 'unshare --net' 'unshare --net --map-root-user'; do
	if $own ip link set lo up 2>/dev/null; then
		exec $own sh -c 'ip link set lo up && exec node "$0/alone.mjs" "$@"' "$here" "$@"
	fi
done
exec "$BERTH_CHROMIUM" "$@"
