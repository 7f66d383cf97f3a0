#!/usr/bin/env bash
# From the start of the program to its first answer, and its memory then.
#
#   tests/bench/start.sh [--runs 5] [--farms "100 10000"] [--port 6400] [--reports] [--built]
#
# With the built-in configuration, and with files of many farms of ten members each, no two of which share a backend.
# The most that was ever resident tells what reading the file takes. With --reports every backend of these files reports
# ten times, and what is resident then is told too.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=5 farms="100 10000" port=6400 reports="" built=""
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --farms) farms=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --reports) reports=yes; shift ;;
    --built) built=yes; shift ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
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
    fi
    echo "$count $("$bin/examples/bench" first "127.0.0.1:$port" farm_one "${report[@]}" "$bin/athena" serve "${what[@]}")" >>"$work/figures"
    echo "round $round: $(tail -1 "$work/figures")" >&2
  done
done

echo "$runs alternating starts, medians; $(machine)"
echo
awk "$median"'
  { if (!($1 in took)) order[++n] = $1; took[$1] = took[$1] " " $2; memory[$1] = memory[$1] " " $3; most[$1] = most[$1] " " $4; told[$1] = told[$1] " " $5 }
  END {
    print "| farms | first answer after ms | resident MiB | at most MiB | after ten reports of each MiB |"
    print "| --- | --- | --- | --- | --- |"
    for (i = 1; i <= n; i++) { k = order[i]; printf "| %s | %.0f | %.1f | %.1f | %s |\n", k, median(took[k]), median(memory[k]), median(most[k]), told[k] ~ /[0-9]/ ? sprintf("%.1f", median(told[k])) : "" }
  }' "$work/figures"
