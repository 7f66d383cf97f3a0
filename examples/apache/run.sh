#!/usr/bin/env bash
# Apache httpd in front of three backends, with Athena choosing for each request.
#
#   examples/apache/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs apache2, curl and python3, and the right to make a network and a mount namespace: httpd asks through
# /etc/resolv.conf and port 53, which only here are the example's own.
. "$(dirname "$0")/../common.sh"
needs apache2 unshare ip
own_network "$@"
begin "$@"
fill "$example/apache.conf"
resolv_conf "$examples/resolvers/resolv.conf"
# httpd ends its whole process group with itself, so it gets one of its own.
start setsid apache2 -DFOREGROUND -f "$dir/apache.conf"
await "http://127.0.0.1:$second/"

tale "http://127.0.0.1:$web/"
for user in anna bert; do
  echo "with the cookie farm=$user:"; spread -b "farm=$user" "http://127.0.0.1:$web/"
done
