#!/usr/bin/env bash
# Starts nginx, Apache and two small applications as backends that report nothing, and an Athena that fetches what it balances
# on from their pages; shows what it knows and whom it gives; then an exporter dies, and the status says so. Needs nginx,
# apache2, python3 and curl; everything is on loopback addresses in a temporary folder, and stops at the end.
#
# ATHENA names the program; the default is the one that `cargo build --release` made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
athena=${ATHENA:-$here/../../target/release/athena}
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
dns=$(free_port) http=$(free_port) web=$(free_port) exporter=$(free_port)

mkdir "$dir/nginx" "$dir/apache"
sed -e "s|@DIR@|$dir/nginx|" -e "s|@LISTEN@|127.0.1.1:$web|" "$here/nginx.conf" >"$dir/nginx.conf"
sed -e "s|@DIR@|$dir/apache|" -e "s|@LISTEN@|127.0.1.2:$web|" "$here/apache.conf" >"$dir/apache.conf"
sed -e "s/:5300/:$dns/; s/:8053/:$http/; s/port = 800[1-4]/port = $web/; s/port = 9103/port = $exporter/" \
  "$here/athena.toml" >"$dir/athena.toml"

start() { "$@" >"$dir/log.${#pids[@]}" 2>&1 & pids+=($!); }
start nginx -p "$dir/nginx" -c "$dir/nginx.conf"
# In a session of its own: Apache signals its whole process group when it stops.
start setsid apache2 -f "$dir/apache.conf" -D FOREGROUND
start python3 "$here/application.py" 127.0.1.3 "$web" 7
start python3 "$here/application.py" 127.0.1.4 "$web" 9
start python3 "$here/application.py" 127.0.1.3 "$exporter" 7
exporter_pid=${pids[-1]}

answers() {
  curl -sf --retry 50 --retry-delay 0 --retry-connrefused --retry-all-errors --max-time 10 -o /dev/null "$1" ||
    { cat "$dir"/log.* >&2; exit 1; }
}
for address in "127.0.1.1:$web" "127.0.1.2:$web" "127.0.1.3:$web" "127.0.1.4:$web" "127.0.1.3:$exporter"; do
  answers "http://$address/healthz"
done
start "$athena" serve -c "$dir/athena.toml"
answers "http://127.0.0.1:$http/readyz"

status="http://127.0.0.1:$http/ath/status/phys/"
echo 'What was fetched:'
curl -sg "$status?f=\"%h:health=%v,feed=%i,connections=%c,requests/s=%q\"" | sed 's/^/  /'
echo 'Whom the farm gives, best first:'
curl -s "http://127.0.0.1:$http/ath/balance/?web,n=4,f=%h" | sed 's/^/  /'
echo 'The exporter of web03 dies:'
kill "$exporter_pid"
until curl -s "$status?h=web03" | grep -q 'scrape of'; do sleep 0.2; done
curl -s "$status?h=web03" | sed 's/^/  /'
