#!/usr/bin/env bash
# Requests per second over HTTP, keep-alive, one core: reports and balance queries beside nginx `return 200`.
#
#   tests/bench/http.sh [--seconds 5] [--runs 5] [--port 5700] [--connections 64] [--built]
#
# Both servers are pinned to one core, with one thread and one worker, on 127.0.0.1; wrk runs on the others. README.md beside
# this file says how to read the table. What is missing is installed by apt-get, if this is run as root; --built takes the
# program as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 port=5700 connections=64 built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2 ;;
    --runs) runs=$2 ;;
    --port) port=$2 ;;
    --connections) connections=$2 ;;
    --built) built=yes; shift; continue ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
  esac
  shift 2
done

. tests/bench/common.sh
needs wrk:wrk nginx:nginx-light curl:curl
[ -n "$built" ] || cargo build --release --quiet --bin athena
begin

mkdir -p "$work/nginx/logs"
cat >"$work/nginx/nginx.conf" <<CONFIG
worker_processes 1;
daemon off;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server { listen 127.0.0.1:$port; location / { default_type text/plain; return 200 "10.0.0.11:8080\n"; } }
}
CONFIG
printf '$ORIGIN athena.\n$TTL 0\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n' >"$work/athena.zone"
{
  cat <<CONFIG
zone = "athena."
zone_file = "$work/athena.zone"
[dns]
listen = ["127.0.0.1:$((port + 2))"]
threads = 1
[http]
listen = ["127.0.0.1:$((port + 1))"]
[farms.farm_one]
algorithm = "least-load"
members = [$(seq -f '"app%02.0f"' -s, 16)]
CONFIG
  for number in $(seq -w 16); do printf '[backends.app%s]\naddress = "10.0.0.%d"\nport = 8080\n' "$number" "$((10#$number))"; done
} >"$work/athena.toml"

# Sixteen reports in one GET (http.md).
sixteen=$(seq -f 'h=app%02.0f,l=0.5' -s';' 16)

measure() { # name path
  local name=$1 url=$2 before after
  before=$(ticks)
  taskset -c "$client_cores" wrk -t"$client_threads" -c"$connections" -d"${seconds}s" "$url" >"$work/out"
  after=$(ticks)
  awk -v name="$name" -v used=$((after - before)) -v hz="$hz" '
    /requests in/ { requests = $1; time = $4; sub(/s,?$/, "", time) }
    /Requests\/sec/ { rate = $2 }
    /Non-2xx/ { bad = $NF }
    END { printf "%s %.0f %.3f %d %.2f\n", name, rate, used / hz * 1e6 / requests, bad, used / hz / time }' "$work/out" >>"$work/figures"
  echo "$(tail -1 "$work/figures")" >&2
}

for round in $(seq "$runs"); do
  run nginx nginx -p "$work/nginx" -c "$work/nginx/nginx.conf"
  until_it_answers nginx curl -sf "http://127.0.0.1:$port/"
  measure nginx-return-200 "http://127.0.0.1:$port/ath/balance/?farm_one"
  stop_server
  run athena "$bin/athena" serve -c "$work/athena.toml"
  until_it_answers athena curl -sf "http://127.0.0.1:$((port + 1))/healthz"
  measure balance "http://127.0.0.1:$((port + 1))/ath/balance/?farm_one"
  measure update "http://127.0.0.1:$((port + 1))/ath/update/phys/?h=app01,l=0.5"
  measure update-of-16 "http://127.0.0.1:$((port + 1))/ath/update/phys/?$sixteen"
  stop_server
done

echo "One core for the server; wrk $client_threads threads, $connections connections on cores $client_cores; $runs alternating runs of $seconds s, medians;"
machine
echo
awk '
  function median(list, values, n, i, j, swap) {
    n = split(list, values, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { swap = values[i]; values[i] = values[j]; values[j] = swap }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  { if (!($1 in rate)) order[++n] = $1; rate[$1] = rate[$1] " " $2; cost[$1] = cost[$1] " " $3; bad[$1] += $4; busy[$1] = busy[$1] " " $5 }
  END {
    print "| request | requests/s | of nginx | CPU µs/request | speed by CPU: of nginx | reports/s | core busy | not 2xx |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- |"
    base = median(rate["nginx-return-200"]); basecost = median(cost["nginx-return-200"])
    for (i = 1; i <= n; i++) {
      m = order[i]; r = median(rate[m]); c = median(cost[m])
      reports = m == "update" ? r : m == "update-of-16" ? 16 * r : ""
      printf "| %s | %d | %.2f | %.2f | %.2f | %s | %d %% | %d |\n", m, r, r / base, c, basecost / c, reports, median(busy[m]) * 100, bad[m]
    }
  }' "$work/figures"
