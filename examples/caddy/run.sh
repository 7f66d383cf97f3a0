#!/usr/bin/env bash
# Caddy in front of three backends, with Athena choosing for each request.
#
#   examples/caddy/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs caddy, curl and python3.
. "$(dirname "$0")/../common.sh"
needs caddy
begin "$@"
fill "$example/Caddyfile"
start env HOME="$dir" caddy run --config "$dir/Caddyfile" --adapter caddyfile
await "http://127.0.0.1:$web/"

tale "http://127.0.0.1:$web/"
for user in anna bert; do
  echo "with the cookie farm=$user:"; spread -b "farm=$user" "http://127.0.0.1:$web/"
done
