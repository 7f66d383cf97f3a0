#!/usr/bin/env bash
# How long queries wait while 10,000 farms over 100,000 backends are loaded anew.
#
#   tests/bench/stall.sh [--seconds 20] [--farms 10000] [--rate 2000] [--load QPS] [--port 6200] [--first] [--built]
#
# `bench wait` asks at a steady rate; first nothing else happens, then reload follows reload, each of which changes the TTL
# of every farm; with --load a flood of so many queries a second goes on in both. One UDP thread on the first core,
# everything else of Athena on the second. The time to an answer ends in the kernel, so it counts no waiting of the
# client's own. With --first the UDP thread and the client run before all else (SCHED_FIFO; root): on a machine where others
# work too, what remains is what Athena itself does to them. Exits with 1 if a reload is refused or a query lost.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=20 farms=10000 rate=2000 load="" port=6200 first="" built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --farms) farms=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --first) first=yes; shift ;;
    --built) built=yes; shift ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
needs dig:bind9-dnsutils
[ -n "$built" ] || cargo build --release --quiet --bin athena --example bench
begin

http=$((port + 10000))
configure_many "$work/athena.toml" "$port" "$http" "$farms" 0
run_free athena "$bin/athena" serve -c "$work/athena.toml"
until_it_answers athena dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
part_threads
before=()
if [ -n "$first" ]; then
  before=(chrt -f 10)
  for task in "/proc/$server_pid/task/"*; do
    case $(cat "$task/comm") in udp-*) chrt -f -p 10 "${task##*/}" ;; esac
  done
fi

ask() { # name
  local flood=""
  if [ -n "$load" ]; then
    taskset -c "$other_core" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" "farms-$farms" 400 "$load" >/dev/null &
    flood=$!
  fi
  echo "$1 $("${before[@]}" taskset -c "$client_core" "$bin/examples/bench" wait "127.0.0.1:$port" "$seconds" "$rate")" >>"$work/figures"
  [ -z "$flood" ] || wait "$flood"
}

ask quiet
ask reloads &
asking=$!
reloads=0 refused=0 ttl=0 began=$(date +%s%N)
while kill -0 "$asking" 2>/dev/null; do
  ttl=$((1 - ttl))
  configure_many "$work/athena.toml" "$port" "$http" "$farms" "$ttl"
  if taskset -c 1 "$bin/athena" reload --server "http://127.0.0.1:$http" >/dev/null 2>>"$work/refusals"; then
    reloads=$((reloads + 1))
  else
    refused=$((refused + 1))
  fi
done
wait "$asking"
each=$((($(date +%s%N) - began) / 1000000 / (reloads > 0 ? reloads : 1)))
[ "$refused" = 0 ] || head -5 "$work/refusals" >&2

echo "$farms farms of 10 members, $rate queries a second${load:+ beside $load}, $reloads reloads in $seconds s (one in $each ms, writing the file included), $refused refused;"
machine
echo
awk '
  BEGIN {
    print "| | answers | µs to the answer | 99.9 % | longest | above 5 ms | lost |"
    print "| --- | --- | --- | --- | --- | --- | --- |"
  }
  { printf "| %s | %d | %d | %d | %d | %d | %d |\n", $1, $2, $3, $4, $5, $6, $7; lost += $7 }
  END { exit lost > 0 }' "$work/figures"
[ "$refused" = 0 ] && [ "$reloads" -gt 0 ]
