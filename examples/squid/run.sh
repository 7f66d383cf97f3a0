#!/usr/bin/env bash
# Squid in front of three backends, with Athena choosing for each request.
#
#   examples/squid/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs squid, curl and python3, and root: Squid asks port 53, for which there is a network namespace, and it gives up
# root's rights to another user.
. "$(dirname "$0")/../common.sh"
needs squid unshare ip
[ "$(id -u)" -eq 0 ] || fail "this example needs root"
own_network "$@"
begin "$@"
fill "$example/squid.conf" "$example/rewrite.py"
start squid -N -f "$dir/squid.conf"
await "http://127.0.0.1:$web/"

tale "http://127.0.0.1:$web/"
for user in anna bert; do
  echo "with the cookie farm=$user:"; spread -b "farm=$user" "http://127.0.0.1:$web/"
done
