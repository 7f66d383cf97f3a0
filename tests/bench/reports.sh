#!/usr/bin/env bash
# DNS answers while reports come in on another core, and without.
#
#   tests/bench/reports.sh [--seconds 5] [--runs 5] [--rate 20000] [--port 6100] [--algorithm least-load] [--built]
#
# One UDP thread on the first core, everything else of Athena on the second, `bench flood` and `bench report` on further ones
# if there are any. On a machine with two cores the flood shares the second core with the reports, and only the UDP
# thread's CPU per answer compares: what reports cost it are lines of the cache that they write and it reads.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 rate=20000 port=6100 built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
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

configure "$work" "$port" "$((port + 10000))" 1
run_free athena "$bin/athena" serve -c "$work/athena.toml"
until_it_answers athena dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
part_threads

measure() { # name
  local before after answers lost
  before=$(udp_nanos)
  read -r answers _ _ _ lost _ <<<"$(taskset -c "$client_core" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" plain)"
  after=$(udp_nanos)
  echo "$1 $answers $(((after - before) / answers / seconds)) $lost" >>"$work/figures"
  echo "$(tail -1 "$work/figures")" >&2
}

for round in $(seq "$runs"); do
  measure without
  # Before and after the flood, so that there are reports all the time.
  taskset -c "$other_core" "$bin/examples/bench" report "127.0.0.1:$((port + 10000))" "$((seconds + 1))" "$rate" >>"$work/reports" &
  reporting=$!
  sleep 0.5
  measure with
  wait "$reporting"
done

echo "One UDP thread on a core of its own, HTTP on another; $rate reports a second wanted;"
echo "$runs alternating runs of $seconds s, medians; $(machine)"
echo
awk "$median"'
  FILENAME ~ /reports$/ { reports = reports " " $1; bad += $2; next }
  { rate[$1] = rate[$1] " " $2; cost[$1] = cost[$1] " " $3; lost[$1] += $4 }
  END {
    print "| reports/s | not 200 | answers/s | of those without | CPU ns/answer | by CPU of those without | lost |"
    print "| --- | --- | --- | --- | --- | --- | --- |"
    r = median(rate["without"]); c = median(cost["without"])
    printf "| 0 | 0 | %d | 1.00 | %d | 1.00 | %d |\n", r, c, lost["without"]
    printf "| %d | %d | %d | %.2f | %d | %.2f | %d |\n", median(reports), bad, median(rate["with"]), median(rate["with"]) / r, median(cost["with"]), c / median(cost["with"]), lost["with"]
  }' "$work/reports" "$work/figures"
