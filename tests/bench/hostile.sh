#!/usr/bin/env bash
# Answers to well-behaved clients while others do their worst.
#
#   tests/bench/hostile.sh [--seconds 5] [--runs 3] [--load QPS] [--only "slow idle unread junk forged keyless"]
#                          [--port 6300] [--built]
#
# `bench flood` asks at a steady rate, without --load a quarter of what it reaches at full speed, alone and then beside each
# kind of hostile client: slow HTTP, idle and never reading connections over TCP, junk and forged tokens over UDP, updates
# without a key. Datagrams come at the same rate as the good queries, since nobody can tell them apart before reading them.
# One UDP thread on the first core, everything else of Athena on the second; hostile clients yield to the good ones where
# they share a core.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=3 load="" only="slow idle unread junk forged keyless" port=6300 built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --built) built=yes; shift ;;
    *) sed -n '2,11p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
needs dig:bind9-dnsutils
[ -n "$built" ] || cargo build --release --quiet --bin athena --example bench
begin
ulimit -n "$(ulimit -Hn)"

http=$((port + 10000))
configure "$work" "$port" "$http" 1 '[access]
update_key = "a-key-that-hostile-clients-have-not"
[cookie]
key = "another-key-that-they-have-not-either"'
run_free athena "$bin/athena" serve -c "$work/athena.toml"
until_it_answers athena dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
part_threads

flood() { # [rate]
  taskset -c "$client_core" nice -n -5 "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" plain 400 "$@" 2>/dev/null ||
    taskset -c "$client_core" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" plain 400 "$@"
}

if [ -z "$load" ]; then
  read -r full _ <<<"$(flood)"
  load=$((full / 4))
fi

hostile() { # kind amount
  taskset -c "$other_core" nice -n 10 "$bin/examples/bench" hostile "$@"
}

# What a kind does, for longer than the good clients ask.
attack() {
  local dns=127.0.0.1:$port span=$((seconds + 2))
  case $1 in
    slow) hostile slow "127.0.0.1:$http" "$span" 500 ;;
    idle) hostile idle "$dns" "$span" 5000 ;;
    unread) hostile unread "$dns" "$span" 200 ;;
    junk) hostile junk "$dns" "$span" "$load" ;;
    forged) hostile forged "$dns" "$span" "$load" ;;
    keyless) taskset -c "$other_core" nice -n 10 "$bin/examples/bench" report "127.0.0.1:$http" "$span" 20000 50 ;;
    *) echo "no hostile client is called $1" >&2; return 2 ;;
  esac
}

resident() { awk '/VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$server_pid/status"; }

measure() { # name
  local before used answers middle tail lost bad
  before=$(udp_nanos)
  read -r answers middle _ tail lost bad <<<"$(flood "$load")"
  used=$(($(udp_nanos) - before))
  echo "$1 $answers $middle $tail $lost $bad $((used / seconds / 10000000)) $(resident)" >>"$work/figures"
  echo "$(tail -1 "$work/figures")" >&2
}

for round in $(seq "$runs"); do
  for kind in nobody $only; do
    if [ "$kind" = nobody ]; then measure nobody; continue; fi
    attack "$kind" >"$work/attack" &
    attacking=$!
    sleep 1
    measure "$kind"
    wait "$attacking"
    echo "$kind $(cat "$work/attack")" >>"$work/attacks"
  done
done

echo "Good clients ask $load times a second; one UDP thread on a core of its own; $runs alternating runs of $seconds s, medians;"
machine
echo
awk "$median"'
  FILENAME ~ /attacks$/ { sent[$1] = sent[$1] " " $2; ended[$1] = ended[$1] " " $3; next }
  { if (!($1 in rate)) order[++n] = $1; rate[$1] = rate[$1] " " $2; middle[$1] = middle[$1] " " $3; tail[$1] = tail[$1] " " $4; lost[$1] += $5; bad[$1] += $6; busy[$1] = busy[$1] " " $7; memory[$1] = memory[$1] " " $8 }
  END {
    print "| beside | it sent | refused or closed | answers/s | of those alone | µs to the answer | 99.9 % | lost | wrong | UDP thread busy | resident MiB |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    alone = median(rate["nobody"])
    for (i = 1; i <= n; i++) {
      k = order[i]
      printf "| %s | %d | %d | %d | %.2f | %d | %d | %d | %d | %d %% | %.1f |\n", k, median(sent[k]), median(ended[k]), median(rate[k]), median(rate[k]) / alone, median(middle[k]), median(tail[k]), lost[k], bad[k], median(busy[k]), median(memory[k])
    }
  }' "$work/attacks" "$work/figures"
