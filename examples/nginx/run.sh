#!/usr/bin/env bash
# nginx in front of three backends, with Athena choosing for each request and each connection.
#
#   examples/nginx/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs nginx with its stream module (Debian: nginx-light, libnginx-mod-stream), curl and python3.
. "$(dirname "$0")/../common.sh"
needs nginx
begin "$@"
fill "$example/nginx.conf"
start nginx -p "$dir" -c "$dir/nginx.conf"
await "http://127.0.0.1:$web/"

tale "http://127.0.0.1:$web/"
echo "over TCP:"; spread "http://127.0.0.1:$second/"
for user in anna bert; do
  echo "with the cookie farm=$user:"; spread -b "farm=$user" "http://127.0.0.1:$web/"
done
