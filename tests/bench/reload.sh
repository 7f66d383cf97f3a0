#!/usr/bin/env bash
# Reloads while dnsperf asks: is a query lost, or answered wrongly, or a counter set back?
#
#   tests/bench/reload.sh [--seconds 10] [--every 1] [--rate QPS] [--port 5600] [--athena PROGRAM]
#
# Each reload takes the other of two configurations: farms, backends, TTL, a listener and a zone file come and go, and
# farm_one stays. app01 is drained before, and must not be answered. dnsperf counts codes and losses, asker.py beside
# this file looks into answers of DNS and HTTP. Everything is on 127.0.0.1, in a folder that is removed at the end.
# Without --athena a release build is made. Exits with 1 if anything was lost or wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=10 every=1 rate="" port=5600 athena=""
. tests/bench/changes.sh
options "seconds every rate port athena" "$@"
needs dnsperf:dnsperf dig:bind9-dnsutils curl:curl python3:python3-minimal
built
begin

http=$((port + 10000))
configure "$work" "$port" "$http"
questions "$work"
"$athena" serve -c "$work/athena.toml" 2>"$work/athena.log" &
server_pid=$!
until_it_answers athena curl -sf "http://127.0.0.1:$http/readyz"
curl -sf "http://127.0.0.1:$http/ath/update/phys/?h=app01,s=drain" >/dev/null

before=$(code "$http" engine Q)
load "$work" "$port" "$seconds" &
loading=$!
python3 tests/bench/asker.py "$port" "$http" "$seconds" 127.0.0.12,127.0.0.13 127.0.0.11 >"$work/asked" &
asking=$!

reloads=0 refused=0 back=0 last=$before more=""
while kill -0 "$loading" 2>/dev/null; do
  if [ -z "$more" ]; then more=more; else more=""; fi
  configure "$work" "$port" "$http" $more
  if "$athena" reload --server "http://127.0.0.1:$http" >>"$work/reloads" 2>>"$work/refusals"; then
    reloads=$((reloads + 1))
  else
    refused=$((refused + 1))
  fi
  now=$(code "$http" engine Q)
  [ "$now" -ge "$last" ] || back=$((back + 1))
  last=$now
  sleep "$every"
done
wait "$loading"
wait "$asking"
after=$(code "$http" engine Q)
[ "$refused" = 0 ] || head -5 "$work/refusals" >&2

read -r sent answers lost codes speed < <(figures "$work")
read -r dns dns_lost dns_wrong web web_lost web_wrong longest <"$work/asked"
missing=$((sent + dns - (after - before)))
echo "A reload every $every s for $seconds s; $(where)"
echo
echo "| reloads | refused | answers/s | asked by dnsperf | lost | not NOERROR | looked into: DNS | lost | wrong | HTTP | lost | wrong | longest wait ms | counter set back | not counted |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
echo "| $reloads | $refused | $speed | $sent | $lost | $codes | $dns | $dns_lost | $dns_wrong | $web | $web_lost | $web_wrong | $longest | $back | $missing |"
[ "$answers" -gt 0 ] && [ "$reloads" -gt 0 ] && [ $((refused + lost + codes + dns_lost + dns_wrong + web_lost + web_wrong + back)) = 0 ] && [ "$missing" = 0 ]
