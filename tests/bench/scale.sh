#!/usr/bin/env bash
# What size costs: 1, 100 and 10,000 farms of 10 members each, asked for one farm and for all at random.
#
#   tests/bench/scale.sh [--seconds 5] [--runs 5] [--rule least-load] [--dnsperf] [--share] [--port 5900] [--built]
#
# Time to the first answer, resident memory, and CPU per answer of Athena's DNS alone (`bench farm`), whose members have reported,
# under `bench flood`. With --dnsperf under that, which takes more CPU than the server: on few cores its rate says little, and the
# server's CPU per answer what there is to know. With --share two thirds of the server's core are given to busy loops besides.
# `cargo bench --bench micro scale` has what the engine alone takes to start and to reload.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 rule=least-load port=5900 dnsperf="" share="" built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --rule) rule=$2; shift 2 ;;
    --dnsperf) dnsperf=yes; shift ;;
    --share) dnsperf=yes share=yes; shift ;;
    --built) built=yes; shift ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
needs dig:bind9-dnsutils
[ -n "$built" ] || cargo build --release --quiet --example bench
begin

# Answers per second: asked FARMS STYLE
asked() {
  if [ -z "$dnsperf" ]; then
    taskset -c "$client_cores" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" "$2"
    return
  fi
  # As many lines for one farm as for all, for dnsperf takes longer to read many.
  awk -v farms="$1" -v style="$2" 'BEGIN {
    srand(1)
    for (line = 0; line < 100000; line++)
      if (style == "plain") print "farm_one.athena A"; else printf "farm_%05d.athena A\n", 2 + int(rand() * (farms - 1))
  }' >"$work/questions"
  taskset -c "$client_cores" dnsperf -s 127.0.0.1 -p "$port" -d "$work/questions" -l "$seconds" -c16 "-T$client_threads" -q400 \
    2>/dev/null | awk '/Queries per second/ { print int($4) }'
}

[ -z "$dnsperf" ] || needs dnsperf:dnsperf
[ -z "$share" ] || share_core

for round in $(seq "$runs"); do
  for farms in 1 100 10000; do
    for style in plain "farms-$farms"; do
      [ "$style" = farms-1 ] && continue
      port=$((port + 1))
      began=$(date +%s%N)
      run "$farms" "$bin/examples/bench" farm "127.0.0.1:$port" "$rule" 1 10 "$farms"
      until_it_answers "$farms" dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
      ready=$((($(date +%s%N) - began) / 1000000))
      before=$(ticks)
      read -r rate _ <<<"$(asked "$farms" "$style")"
      used=$(($(ticks) - before))
      resident=$(awk '/VmRSS/ { print $2 / 1024 }' "/proc/$server_pid/status")
      stop_server
      cost=$(awk -v used="$used" -v hz="$hz" -v answers="$((rate * seconds))" 'BEGIN { print used / hz * 1e6 / answers }')
      echo "$farms $style $ready $resident $rate $cost" >>"$work/figures"
      echo "round $round: $(tail -1 "$work/figures")" >&2
    done
  done
done

client="bench flood"
[ -z "$dnsperf" ] || client="dnsperf, 16 sockets, 400 outstanding"
[ -z "$share" ] || client="$client; a third of the server's core"
echo "$rule; $client; $runs alternating runs of $seconds s, medians; $(machine)"
echo
awk '
  function median(list, values, n, i, j, swap) {
    n = split(list, values, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { swap = values[i]; values[i] = values[j]; values[j] = swap }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  { k = $1 " " $2; if (!(k in ready)) order[++n] = k; ready[k] = ready[k] " " $3; memory[k] = memory[k] " " $4; rate[k] = rate[k] " " $5; cost[k] = cost[k] " " $6 }
  END {
    print "| farms | asked | first answer after ms | resident MiB | answers/s | CPU µs/answer |"
    print "| --- | --- | --- | --- | --- | --- |"
    for (i = 1; i <= n; i++) {
      split(order[i], part, " "); k = order[i]
      printf "| %d | %s | %d | %.1f | %d | %.2f |\n", part[1], part[2] == "plain" ? "one" : "all at random", median(ready[k]), median(memory[k]), median(rate[k]), median(cost[k])
    }
  }' "$work/figures"
