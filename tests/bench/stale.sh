#!/usr/bin/env bash
# Every rule under stale reports: the tables and the picture of the README, and what is reached of what was to be reached.
#
#   tests/bench/stale.sh [--requests N] [--seed LIST] [--rho LIST] [--report-every LIST] [--case LIST] [--keep FOLDER]
#
# All of it (13 cases, 4 loads, 5 times between reports, 13 rules) with 200,000 requests a run takes about half an hour on
# two idle cores. --keep FOLDER: runs.json, one line a run, and stale.svg stay there, and what is in runs.json already is
# not run again but shown. Wants python3 and the program that `cargo build --release` makes, or the one that ATHENA names.
set -euo pipefail
cd "$(dirname "$0")/../.."
athena=${ATHENA:-target/release/athena}
keep=""
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=$2; shift ;;
    --requests | --seed | --rho | --report-every | --case | --rule | --threads) arguments+=("$1" "$2"); shift ;;
    *) echo "no option $1; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done
[ -x "$athena" ] || { echo "no program at $athena: run cargo build --release, or set ATHENA" >&2; exit 2; }
folder=${keep:-$(mktemp -d)}
[ -n "$keep" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
if [ ! -s "$folder/runs.json" ]; then
  nice "$athena" simulate --experiment stale --json "${arguments[@]}" >"$folder/part.json"
  mv "$folder/part.json" "$folder/runs.json"
  nice "$athena" simulate --experiment stale --case equal,unequal --rho 0.9 --plot "$folder/stale.svg" --report-every \
    0.1,0.2,0.5,1,2,5,10,20,50 --requests 100000 >/dev/null
fi
python3 tests/bench/stale.py "$folder/runs.json"
