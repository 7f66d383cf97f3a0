#!/usr/bin/env bash
# Kills Athena by SIGKILL at random moments while states change over HTTP, starts it again, and looks for what was lost.
#
#   tests/bench/crash.sh [--rounds 1000] [--seed 1] [--port 6200] [--athena PROGRAM]
#
# crash.py beside this file drains, weighs, marks and switches in several connections at once, notes each `ok`, kills at
# a random moment, and compares what a new process says. Beside it the test of the same name runs its rounds in the store
# alone, with kills that fall into the making of the file. Everything is on 127.0.0.1, in a folder that is removed at the
# end. Exits with 1 if anything that was answered `ok` is not there, or the file did not open.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=1000 seed=1 port=6200 athena=""
. tests/bench/common.sh
options "rounds seed port athena" "$@"
needs python3:python3-minimal
built
begin

echo "Kills at random moments while states change; $(machine); $("$athena" --version), seed $seed"
echo
python3 tests/bench/crash.py "$work" "$port" "$rounds" "$seed" "$athena"
if command -v cargo >/dev/null; then
  ATHENA_CRASH_ROUNDS=$rounds ATHENA_CRASH_SEED=$seed \
    cargo test --quiet --test it crash::every_change -- --nocapture | grep kills
fi
