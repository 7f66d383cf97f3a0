#!/usr/bin/env bash
# From the start of the program to its first answer, and its memory then.
#
#   tests/bench/start.sh [--runs 5] [--farms "100 10000"] [--port 6400] [--reports] [--reloads N] [--built]
#
# With the built-in configuration, and with files of many farms of ten members each, no two of which share a backend.
# The most that was ever resident tells what reading the file takes. With --reports every backend of these files reports
# ten times, and what is resident then is told too; with --reloads N it is then asked to reload N times.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=5 farms="100 10000" port=6400 reports="" reloads="" built=""
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --farms) farms=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --reports) reports=yes; shift ;;
    --reloads) reloads=$2; shift 2 ;;
    --built) built=yes; shift ;;
    *) sed -n '2,9p' "$0" >&2; exit 2 ;;
  esac
done

. tests/bench/common.sh
[ -n "$built" ] || cargo build --release --quiet --bin athena --example bench
begin

for round in $(seq "$runs"); do
  for count in built-in $farms; do
    port=$((port + 1))
    report=()
    if [ "$count" = built-in ]; then
      what=(--dns-listen "127.0.0.1:$port" --http-listen "127.0.0.1:$((port + 10000))")
    else
      configure_many "$work/$count.toml" "$port" "$((port + 10000))" "$count"
      what=(-c "$work/$count.toml")
      [ -z "$reports" ] || report=(--reports "127.0.0.1:$((port + 10000))" "$count")
      [ -z "$reloads" ] || report+=(--reloads "127.0.0.1:$((port + 10000))" "$reloads")
    fi
    echo "$count $("$bin/examples/bench" first "127.0.0.1:$port" farm_one "${report[@]}" "$bin/athena" serve "${what[@]}")" >>"$work/figures"
    echo "round $round: $(tail -1 "$work/figures")" >&2
  done
done

echo "$runs alternating starts, medians; $(machine)"
echo
awk "$median"'
  function told(list) { return list ~ /[0-9]/ ? sprintf("%.1f", median(list)) : "" }
  { if (!($1 in took)) order[++n] = $1; took[$1] = took[$1] " " $2
    for (column = 3; column <= 8; column++) if ($column ~ /[0-9]/) memory[$1, column] = memory[$1, column] " " $column }
  END {
    print "| farms | first answer after ms | resident MiB | at most MiB | after ten reports of each MiB | after a reload MiB | after all reloads MiB | at most then MiB |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for (i = 1; i <= n; i++) {
      k = order[i]
      printf "| %s | %.0f |", k, median(took[k])
      for (column = 3; column <= 8; column++) printf " %s |", told(memory[k, column])
      print ""
    }
  }' "$work/figures"
