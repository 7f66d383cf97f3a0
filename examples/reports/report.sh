#!/bin/sh
# One report of this machine with curl: for cron, a systemd timer, or a loop. Needs nothing but a shell and curl.
#
#   ATHENA_SERVER=http://10.0.0.53:8053 ./report.sh app01 [NAME=VALUE…]
#
# ATHENA_KEY is the key that access.update_key asks for, if it does; it goes to curl on a pipe, not in its arguments,
# which everybody on the machine can see. Ends with 0 when Athena has taken the report, else with 1 and the reason.
set -eu
backend=${1:?usage: report.sh BACKEND [NAME=VALUE…]}
shift
server=${ATHENA_SERVER:-http://127.0.0.1:8053}
server=${server%/}

# l: load average of the last minute. c: established TCP connections. mem: memory in use, 0 to 1.
load=$(cut -d' ' -f1 /proc/loadavg)
connections=$(awk '/^Tcp:/ { if (!n) for (n = 1; $n != "CurrEstab"; n++); else print $n }' /proc/net/snmp)
memory=$(awk '/^MemTotal:/ { t = $2 } /^MemAvailable:/ { a = $2 } END { printf "%.4f", 1 - a / t }' /proc/meminfo)
query="h=$backend,l=$load,c=$connections,mem=$memory"

# What else there is to say, such as the length of a queue: queue=17
for pair in "$@"; do query="$query,$pair"; done

# --max-time: a report that comes late is worth nothing, and the next run must not meet this one.
answer=$(
  { [ -z "${ATHENA_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$ATHENA_KEY"; } |
    curl --config - --silent --show-error --globoff --noproxy '*' --max-time 5 --request POST "$server/ath/update/phys/?$query"
) || exit 1
[ "$answer" = ok ] || { echo "report.sh: $server: $answer" >&2; exit 1; }
