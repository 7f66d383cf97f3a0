#!/usr/bin/env bash
# Answers per second on N cores over those on one.
#
#   tests/bench/cores.sh [--seconds 5] [--runs 5] [--port 6000] [--algorithm least-load] [--built]
#
# Athena with 1, 2, 4 … UDP threads, each on a core of its own, up to half of the machine's cores (two at least); on the
# others as many `bench flood` as the largest row has threads, each of which saturates a core. On a machine with two cores
# servers and clients share them: then only CPU per answer tells something, which contention between threads would raise.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 port=6000 built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --algorithm) export ALGORITHM=$2; shift 2 ;;
    --built) built=yes; shift ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
needs dig:bind9-dnsutils
[ -n "$built" ] || cargo build --release --quiet --bin athena --example bench
begin

most=$((cores / 2 > 2 ? cores / 2 : 2))
rows=1
for ((n = 2; n <= most; n *= 2)); do rows="$rows $n"; done
clients=$((cores > 2 ? most : 1))

for round in $(seq "$runs"); do
  for threads in $rows; do
    port=$((port + 1))
    configure "$work/$threads" "$port" "$((port + 10000))" "$threads"
    run_free "athena-$threads" taskset -c "0-$((threads - 1))" "$bin/athena" serve -c "$work/$threads/athena.toml"
    until_it_answers "athena-$threads" dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
    before=$(udp_nanos)
    : >"$work/rates"
    asking=""
    for ((client = 0; client < clients; client++)); do
      core=$((cores > 2 ? most + client % (cores - most) : 1))
      taskset -c "$core" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" plain >>"$work/rates" &
      asking="$asking $!"
    done
    # shellcheck disable=SC2086
    wait $asking
    after=$(udp_nanos)
    stop_server
    awk -v threads="$threads" -v used=$((after - before)) -v seconds="$seconds" '
      { rate += $1; lost += $5 }
      END { printf "%d %.0f %.4f %.2f %d\n", threads, rate, used / 1e3 / (rate * seconds), used / 1e9 / seconds / threads, lost }' "$work/rates" >>"$work/figures"
    echo "round $round: $(tail -1 "$work/figures")" >&2
  done
done

echo "Athena's UDP threads on cores of their own, $clients bench flood on the others; $runs alternating runs of $seconds s, medians;"
machine
echo
awk "$median"'
  { if (!($1 in rate)) order[++n] = $1; rate[$1] = rate[$1] " " $2; cost[$1] = cost[$1] " " $3; busy[$1] = busy[$1] " " $4; lost[$1] += $5 }
  END {
    print "| threads | answers/s | of N times one | CPU µs/answer | of N times one by CPU | threads busy | lost |"
    print "| --- | --- | --- | --- | --- | --- | --- |"
    one = median(rate[1]); onecost = median(cost[1])
    for (i = 1; i <= n; i++) {
      t = order[i]; r = median(rate[t]); c = median(cost[t])
      printf "| %d | %d | %.2f | %.2f | %.2f | %d %% | %d |\n", t, r, r / one / t, c, onecost / c, median(busy[t]) * 100, lost[t]
    }
  }' "$work/figures"
