#!/usr/bin/env bash
# HAProxy with servers of its own, whose weights and states it hears from Athena by agent-check.
#
#   examples/haproxy-agent/run.sh
#
# Needs haproxy, curl and python3.
. "$(dirname "$0")/../common.sh"
needs haproxy
begin load-weighted
fill "$example/haproxy.cfg"
# Sooner than anybody needs it, so that nobody has to wait here.
sed -i 's/agent-inter 2s/agent-inter 200ms/' "$dir/haproxy.cfg"
start python3 "$examples/backends.py" "$backend" sorry=127.0.1.4
start haproxy -db -f "$dir/haproxy.cfg"
await "http://127.0.1.4:$backend/"

# What Athena answers to an agent-check.
answer() {
  exec 3<>"/dev/tcp/127.0.0.1/$agent"
  printf 'farm_one/%s\n' "$1" >&3
  cat <&3
}
# What HAProxy makes of its servers; the columns are its svname, status and weight.
servers() {
  curl -sf --max-time 20 "http://127.0.0.1:$web/haproxy-stats;csv" | awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    $1 ~ /^(# )?farm_one$/ && $2 ~ /^app/ { printf "  %s %s %s", $2, $column["status"], $column["weight"] } END { print "" }'
}
are() { [ "$(servers)" = "$1" ]; }
# Servers follow at their next question.
await_servers() { until_ok are "$1"; echo "$1"; spread "http://127.0.0.1:$web/"; }

await "http://127.0.0.1:$web/"
echo "nobody has reported:"
await_servers '  app01 UP 100  app02 UP 100  app03 UP 100'
update 'h=app01,l=0;h=app02,l=1;h=app03,l=3'
echo "loads of 0, 1 and 3 (of app03 Athena says: $(answer app03)):"
await_servers '  app01 UP 100  app02 UP 50  app03 UP 25'
update 'h=app01,s=drain'
echo "app01 drains (Athena: $(answer app01)):"
await_servers '  app01 DRAIN (agent) 100  app02 UP 100  app03 UP 50'
update 'h=app02,v=down'
echo "app02 says that it is down (Athena: $(answer app02)):"
await_servers '  app01 DRAIN (agent) 100  app02 DOWN (agent) 100  app03 UP 100'
curl -sf "http://127.0.0.1:$http/ath/update/farm/?n=farm_one,s=off" >/dev/null
echo "the farm is switched off (Athena: $(answer app03)):"
await_servers '  app01 MAINT 100  app02 MAINT 100  app03 MAINT 100'
curl -sf "http://127.0.0.1:$http/ath/update/farm/?n=farm_one,s=on" >/dev/null
update 'h=app01,s=on,l=0;h=app02,v=up,l=0;h=app03,l=0'
echo "all is well again:"
await_servers '  app01 UP 100  app02 UP 100  app03 UP 100'
