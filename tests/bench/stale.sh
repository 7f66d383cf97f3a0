#!/usr/bin/env bash
# Every rule under stale reports: the tables and the picture of the README, and what is reached of what was to be reached.
#
#   tests/bench/stale.sh [--requests N] [--seed LIST] [--rho LIST] [--report-every LIST] [--case LIST] [--keep FOLDER]
#
# Unless something else is asked for: seeds 1, 2 and 3, of which the mean counts, with 100,000 requests a run and 60,000 where
# reports come every 0.1. All of it (13 cases, 4 loads, 5 times between reports, 13 rules) takes about half an hour on two
# idle cores. --keep FOLDER: runs.json, one line a run, and stale.svg stay there, and what is in runs.json already is not
# run again but shown. Wants python3 and the program that `cargo build --release` makes, or the one that ATHENA names.
set -euo pipefail
cd "$(dirname "$0")/../.."
athena=${ATHENA:-target/release/athena}
keep=""
seeds=1,2,3
requests=""
every=""
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=$2; shift ;;
    --seed) seeds=$2; shift ;;
    --requests) requests=$2; shift ;;
    --report-every) every=$2; shift ;;
    --rho | --case | --rule | --threads) arguments+=("$1" "$2"); shift ;;
    *) echo "no option $1; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done
[ -x "$athena" ] || { echo "no program at $athena: run cargo build --release, or set ATHENA" >&2; exit 2; }
folder=${keep:-$(mktemp -d)}
[ -n "$keep" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
if [ ! -s "$folder/runs.json" ]; then
  run() { nice "$athena" simulate --experiment stale --json --seed "$seeds" "$@" "${arguments[@]}"; }
  if [ -n "$requests$every" ]; then
    run --requests "${requests:-100000}" --report-every "${every:-0.1,1,5,20,50}"
  else
    run --requests 60000 --report-every 0.1
    run --requests 100000 --report-every 1,5,20,50
  fi >"$folder/part.json"
  mv "$folder/part.json" "$folder/runs.json"
  nice "$athena" simulate --experiment stale --case equal,unequal --rho 0.9 --plot "$folder/stale.svg" --report-every \
    0.1,0.2,0.5,1,2,5,10,20,50 --requests 100000 >/dev/null
fi
python3 tests/bench/stale.py "$folder/runs.json"
