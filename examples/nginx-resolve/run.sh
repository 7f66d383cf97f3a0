#!/usr/bin/env bash
# nginx 1.27.3 or later in front of three backends, with an upstream that follows Athena's SRV records.
#
#   examples/nginx-resolve/run.sh [ALGORITHM]          # least-load if none is named
#
# NGINX names the program (Debian 12 has 1.22, which is too old). Needs curl and python3.
. "$(dirname "$0")/../common.sh"
nginx=${NGINX:-nginx}
needs "$nginx"
version=$("$nginx" -v 2>&1 | sed 's/.*nginx.//')
[ "$(printf '%s\n' 1.27.3 "$version" | sort -V | head -n 1)" = 1.27.3 ] || fail "$nginx is $version; \`resolve\` needs 1.27.3: set NGINX"
begin "$@"
fill "$example/nginx.conf"
start "$nginx" -p "$dir" -c "$dir/nginx.conf"
await "http://127.0.0.1:$web/"

# nginx follows within a second or so: sends 30 requests until this is who answered.
becomes() { shown=$(spread "http://127.0.0.1:$web/"); [ "$shown" = "$1" ]; }
await_spread() { until_ok becomes "$1"; echo "$1"; }

echo "30 requests, $algorithm:"
await_spread "  app01 10  app02 10  app03 10"
update 'h=app01,w=0.5'
echo "app01 has half the weight:"
await_spread "  app01 6  app02 12  app03 12"
update 'h=app02,s=drain'
echo "app02 is drained:"
await_spread "  app01 10  app03 20"
update 'h=app02,s=on'; update 'h=app01,w=1'
echo "both are back:"
await_spread "  app01 10  app02 10  app03 10"
