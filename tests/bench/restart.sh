#!/usr/bin/env bash
# Restarts on inherited sockets while dnsperf asks: is a query lost, or answered wrongly, or a state forgotten?
#
#   tests/bench/restart.sh [--seconds 10] [--every 2] [--rate 20000] [--port 5700] [--athena PROGRAM]
#
# holder.py beside this file holds the sockets as systemd would (examples/systemd), ends Athena by SIGTERM and starts it
# again. What comes meanwhile waits in the sockets, as long as they have room for it: some hundred datagrams, so dnsperf
# has no more than 100 under way. app01 is drained before, and must never be answered. Everything is on 127.0.0.1, in a
# folder that is removed at the end. Without --athena a release build is made. Exits with 1 if anything was lost or wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=10 every=2 rate=20000 port=5700 athena=""
. tests/bench/changes.sh
options "seconds every rate port athena" "$@"
needs dnsperf:dnsperf dig:bind9-dnsutils curl:curl python3:python3-minimal
built
begin

http=$((port + 10000))
configure "$work" "$port" "$http"
questions "$work"
# Longer than the load, so that it is not stopped under it; in a group of its own, so that both can be ended.
set -m
python3 tests/bench/holder.py "$port" "$http" "$every" "$((seconds + 2))" "$athena" serve -c "$work/athena.toml" \
  >"$work/held" 2>"$work/athena.log" &
holder=$!
server_pid=-$holder
set +m
until_it_answers athena test -s "$work/held"
curl -sf "http://127.0.0.1:$http/ath/update/phys/?h=app01,s=drain" >/dev/null

load "$work" "$port" "$seconds" &
loading=$!
python3 tests/bench/asker.py "$port" "$http" "$seconds" 127.0.0.12,127.0.0.13 127.0.0.11 >"$work/asked"
wait "$loading"
wait "$holder" || { tail -5 "$work/athena.log" >&2; exit 1; }
server_pid=""

read -r sent answers lost codes speed < <(figures "$work")
read -r dns dns_lost dns_wrong web web_lost web_wrong longest <"$work/asked"
read -r restarts gap < <(tail -1 "$work/held")
echo "A restart every $every s for $seconds s, dnsperf at $rate/s with 100 under way; $(where)"
echo
echo "| restarts | longest gap ms | answers/s | asked by dnsperf | lost | not NOERROR | looked into: DNS | lost | wrong | HTTP | lost | wrong | longest wait ms |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
echo "| $restarts | $gap | $speed | $sent | $lost | $codes | $dns | $dns_lost | $dns_wrong | $web | $web_lost | $web_wrong | $longest |"
[ "$answers" -gt 0 ] && [ "$restarts" -gt 0 ] && [ $((lost + codes + dns_lost + dns_wrong + web_lost + web_wrong)) = 0 ]
