#!/usr/bin/env bash
# HAProxy in front of three backends: Athena chooses for each request (first port), and fills and weighs slots (second port).
#
#   examples/haproxy/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs haproxy, socat, curl and python3.
. "$(dirname "$0")/../common.sh"
needs haproxy socat
begin "$@"
fill "$example/haproxy.cfg"
start haproxy -db -f "$dir/haproxy.cfg"

statistics() { echo "show stat" | socat - "$dir/haproxy.sock"; }
# The slots that are up, by address, with their weights; the columns are HAProxy's svname, status, weight and addr.
slots() {
  statistics | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    $1 == "farm_one_slots" && $2 ~ /^slot/ && $column["status"] ~ /^UP/ { print $column["addr"], $column["weight"] }' |
    sed 's/:[0-9]* / /' | sort | awk '{printf "  %s weight %s", $1, $2} END {print ""}'
}
# Slots follow within a second or so.
are() { [ "$(slots)" = "$1" ]; }
await_slots() { until_ok are "$1"; echo "$1"; }

await "http://127.0.0.1:$web/"
tale "http://127.0.0.1:$web/"
for user in anna bert; do
  echo "with the cookie farm=$user:"; spread -b "farm=$user" "http://127.0.0.1:$web/"
done
echo "slots from SRV:"
await_slots "  127.0.1.1 weight 255  127.0.1.2 weight 255  127.0.1.3 weight 255"; spread "http://127.0.0.1:$second/"
update 'h=app03,w=0.5'; update 'h=app02,s=drain'
echo "app03 has half the weight, app02 is drained:"
await_slots "  127.0.1.1 weight 255  127.0.1.3 weight 128"; spread "http://127.0.0.1:$second/"
