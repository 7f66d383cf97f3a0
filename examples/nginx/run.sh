#!/usr/bin/env bash
# Shows nginx in front of three backends with Athena choosing for each request. Needs nginx and curl; starts everything
# on loopback addresses and free ports in a temporary folder, and stops it all at the end.
#
#   examples/nginx/run.sh [ALGORITHM]          # least-load if none is named
#
# ATHENA names the program; the default is the one that `cargo build --release` made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
athena=${ATHENA:-$here/../../target/release/athena}
algorithm=${1:-least-load}
[ -x "$athena" ] || { echo "no program at $athena: run cargo build --release, or set ATHENA" >&2; exit 2; }

dir=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -QUIT "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT

# A port on which nobody answers on any of our addresses.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    for address in 127.0.0.1 127.0.1.1 127.0.1.2 127.0.1.3; do
      (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null && continue 2
    done
    echo "$port"
    return
  done
}
dns=$(free_port) http=$(free_port) web=$(free_port) backend=$(free_port)

for file in athena.toml nginx.conf backends.conf; do
  sed -e "s#@DIR@#$dir#g" -e "s/@DNS@/$dns/g" -e "s/@ATHENA@/$http/g" -e "s/@HTTP@/$web/g" \
      -e "s/@BACKEND@/$backend/g" -e "s/@ALGORITHM@/$algorithm/g" "$here/$file" >"$dir/$file"
done
cp "$here/../../zones/athena.zone" "$dir/"

start() { "$@" >"$dir/log.${#pids[@]}" 2>&1 & pids+=($!); }
start nginx -p "$dir" -c "$dir/backends.conf"
start "$athena" serve -c "$dir/athena.toml"
start nginx -p "$dir" -c "$dir/nginx.conf"

# Ready when Athena says so and nginx answers.
for url in "http://127.0.0.1:$http/readyz" "http://127.0.0.1:$web/"; do
  curl -sf --retry 50 --retry-delay 0 --retry-connrefused --retry-all-errors --max-time 10 -o /dev/null "$url" ||
    { cat "$dir"/log.* >&2; exit 1; }
done

spread() { # 30 requests, and who answered them
  for _ in $(seq 30); do curl -s "http://127.0.0.1:$web/"; done | sort | uniq -c | awk '{printf "  %s %s", $2, $1} END {print ""}'
}
update() { curl -s "http://127.0.0.1:$http/ath/update/phys/?$1" >/dev/null; }

echo "30 requests, $algorithm:"; spread
update 'h=app01,l=1000'
echo "app01 reports a load of 1000:"; spread
update 'h=app02,s=off'
echo "app02 is switched off:"; spread
update 'h=app02,s=on'; update 'h=app01,l=0'
echo "both are back:"; spread
