#!/usr/bin/env bash
# Shows HAProxy with servers of its own, whose weights and states it hears from Athena by agent-check. Needs haproxy and
# curl; starts everything on loopback addresses and free ports in a temporary folder, and stops it all at the end.
#
#   examples/haproxy-agent/run.sh [ALGORITHM]          # load-weighted if none is named
#
# ATHENA names the program; the default is the one that `cargo build --release` made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
athena=${ATHENA:-$here/../../target/release/athena}
algorithm=${1:-load-weighted}
[ -x "$athena" ] || { echo "no program at $athena: run cargo build --release, or set ATHENA" >&2; exit 2; }

dir=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT

# A port on which nobody answers on any of our addresses.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    for address in 127.0.0.1 127.0.1.1 127.0.1.2 127.0.1.3 127.0.1.4; do
      (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null && continue 2
    done
    echo "$port"
    return
  done
}
dns=$(free_port) http=$(free_port) agent=$(free_port) web=$(free_port) backend=$(free_port)

for file in athena.toml haproxy.cfg backends.cfg; do
  sed -e "s#@DIR@#$dir#g" -e "s/@DNS@/$dns/g" -e "s/@ATHENA@/$http/g" -e "s/@AGENT@/$agent/g" -e "s/@WEB@/$web/g" \
      -e "s/@BACKEND@/$backend/g" -e "s/@ALGORITHM@/$algorithm/g" -e "s/@INTER@/500ms/g" "$here/$file" >"$dir/$file"
done
cp "$here/../../zones/athena.zone" "$dir/"

start() { "$@" >"$dir/log.${#pids[@]}" 2>&1 & pids+=($!); }
start haproxy -db -f "$dir/backends.cfg"
start "$athena" serve -c "$dir/athena.toml"
start haproxy -db -f "$dir/haproxy.cfg"

# Ready when Athena says so and HAProxy answers.
for url in "http://127.0.0.1:$http/readyz" "http://127.0.0.1:$web/"; do
  curl -sf --retry 50 --retry-delay 0 --retry-connrefused --retry-all-errors --max-time 10 -o /dev/null "$url" ||
    { cat "$dir"/log.* >&2; exit 1; }
done

update() { curl -s "http://127.0.0.1:$http/ath/update/phys/?$1" >/dev/null; }
ask() { # what Athena answers to an agent-check
  exec 3<>"/dev/tcp/127.0.0.1/$agent"
  printf 'farm_one/%s\n' "$1" >&3
  cat <&3
}
checks() { # how many agent-checks Athena has answered
  curl -s "http://127.0.0.1:$http/metrics" | sed -n 's/^athena_agent_checks_total{outcome="answered"} //p'
}
heard() { # waits until each of the three servers has asked, and has had the time to ask once more
  local target=$(($(checks) + 6))
  for _ in $(seq 200); do
    [ "$(checks)" -ge "$target" ] && return
    sleep 0.05
  done
  echo "haproxy does not ask" >&2
  exit 1
}
show() { # what HAProxy has made of it, and 40 requests
  heard
  curl -s "http://127.0.0.1:$web/haproxy-stats;csv" |
    awk -F, '$1 == "farm_one" && $2 ~ /^app/ {printf "  %s: %s, weight %s\n", $2, $18, $19}'
  for _ in $(seq 40); do curl -s "http://127.0.0.1:$web/"; done | sort | uniq -c |
    awk '{printf "  %s %s", $2, $1} END {print ""}'
}

echo "nobody has reported (Athena says of app01: $(ask app01)):"; show
update 'h=app01,l=0;h=app02,l=1;h=app03,l=3'
echo "loads of 0, 1 and 3 (Athena says of app03: $(ask app03)):"; show
update 'h=app01,s=drain'
echo "app01 drains ($(ask app01)):"; show
update 'h=app02,v=down'
echo "app02 reports that it is down ($(ask app02)):"; show
curl -s "http://127.0.0.1:$http/ath/update/farm/?n=farm_one,s=off" >/dev/null
echo "the farm is switched off ($(ask app03)):"; show
curl -s "http://127.0.0.1:$http/ath/update/farm/?n=farm_one,s=on" >/dev/null
update 'h=app01,s=on,l=0;h=app02,v=up,l=0;h=app03,l=0'
echo "all is well again:"; show
