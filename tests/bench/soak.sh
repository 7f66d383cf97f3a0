#!/usr/bin/env bash
# A long run with everything that changes, and its memory: is it flat?
#
#   tests/bench/soak.sh [--seconds 3600] [--every 10] [--load 5000] [--reports 1000] [--port 6500] [--athena PROGRAM]
#
# Queries with labels that never repeat, queries for other farms, reports, text queries on new connections, TCP queries,
# and every few seconds a reload that adds and removes fifty farms and their backends. Resident memory is read every
# `--every` seconds; the first fifth of the run is left out, since buffers and tables grow to their size in it. Exits with 1
# if the last fifth's median is more than a tenth and 2 MiB above that of the second fifth, or if a query was lost.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=3600 every=10 load=5000 reports=1000 port=6500 athena=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --every) every=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --reports) reports=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --athena) athena=$2; shift 2 ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
needs dig:bind9-dnsutils curl:curl
if [ -z "$athena" ]; then
  cargo build --release --quiet --bin athena
  athena=$bin/athena
fi
[ -x "$bin/examples/bench" ] || cargo build --release --quiet --example bench
begin
jobs=""
trap '[ -z "$jobs" ] || kill $jobs 2>/dev/null || true; stop_server; rm -rf "$work"' EXIT

http=$((port + 10000))
# Fifty more farms, other ones each time.
more() {
  local round=$1 number
  [ $((round % 2)) = 0 ] && return
  for number in $(seq 50); do
    echo "[backends.x$round-$number]"
    echo "address = \"10.1.$((round % 250)).$number\""
    echo "[farms.more$round-$number]"
    echo "members = [\"b1\", \"x$round-$number\"]"
  done
}
configure "$work" "$port" "$http" 1 "$(more 0)"
run_free athena "$athena" serve -c "$work/athena.toml"
until_it_answers athena dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A

"$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" labels 400 "$load" >"$work/labels" & jobs="$jobs $!"
"$bin/examples/bench" report "127.0.0.1:$http" "$seconds" "$reports" >"$work/reports" & jobs="$jobs $!"

began=$(date +%s) round=0 refused=0 failed=0
while now=$(($(date +%s) - began)) && [ "$now" -lt "$seconds" ]; do
  round=$((round + 1))
  configure "$work" "$port" "$http" 1 "$(more "$round")"
  "$athena" reload --server "http://127.0.0.1:$http" >/dev/null 2>>"$work/refusals" || refused=$((refused + 1))
  for one in $(seq 20); do
    curl -sf "http://127.0.0.1:$http/ath/balance/?farm_one,key=$round-$one" >/dev/null || failed=$((failed + 1))
    curl -sf "http://127.0.0.1:$http/ath/status/phys/?h=b$((one % 3 + 1))" >/dev/null || failed=$((failed + 1))
  done
  dig +tcp +time=2 +tries=1 +short @127.0.0.1 -p "$port" "k$round.farm_one.athena" A >/dev/null || failed=$((failed + 1))
  echo "$now $(awk '/VmRSS/ { print $2 / 1024 }' "/proc/$server_pid/status")" >>"$work/memory"
  [ $((round % 30)) != 0 ] || tail -1 "$work/memory" >&2
  sleep "$every"
done
# shellcheck disable=SC2086
wait $jobs
jobs=""
read -r rate _ _ _ lost bad <"$work/labels"
read -r reported refused_reports <"$work/reports"

echo "$seconds s, $round reloads ($refused refused), $rate queries a second with new labels, $reported reports a second; $(machine)"
echo
awk "$median"'
  { list[NR] = $2 }
  END {
    fifth = int(NR / 5); if (fifth < 1) fifth = 1
    for (i = 1; i <= NR; i++) { if (i > fifth && i <= 2 * fifth) early = early " " list[i]; if (i > NR - fifth) late = late " " list[i] }
    printf "%.1f %.1f %.1f\n", list[1], median(early), median(late)
  }' "$work/memory" >"$work/fifths"
read -r first early late <"$work/fifths"
echo "| resident MiB: first reading | second fifth | last fifth | queries lost | wrong | reports not 200 | other requests failed |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
echo "| $first | $early | $late | $lost | $bad | $refused_reports | $failed |"
awk -v early="$early" -v late="$late" 'BEGIN { exit late > early * 1.1 && late > early + 2 }'
[ $((lost + bad + refused + refused_reports + failed)) = 0 ]
