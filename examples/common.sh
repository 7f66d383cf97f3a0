# What the examples' run.sh share: ports, backends, Athena, the spread over the backends. To be sourced.
#
# The files of the examples hold the usual numbers and can be copied as they stand. A run fills in free ports instead, in
# a temporary folder; so nothing that listens on this machine is in its way:
#
#   127.0.0.1:5300  Athena's DNS                    127.0.0.1:8080  where the proxy listens
#   127.0.0.1:8053  Athena's HTTP                   127.0.0.1:8081  its second port, if it has one
#   127.0.0.1:8054  Athena's agent-check
#   :8000           the backends                    5301, 5302      resolvers between a client and Athena
#   127.0.53.1      Athena's DNS on port 53, for what cannot take another; see own_network
#   /run/example    the folder
#
# ATHENA names the program; the default is the one that `cargo build --release` makes.

set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
example=$(cd "$(dirname "$0")" && pwd)
athena=${ATHENA:-$examples/../target/release/athena}

fail() { echo "$*" >&2; exit 2; }

# Runs this script anew in a network and with mounts of its own, where port 53 is free and /etc is ours to change. Takes
# the script's arguments. For root, or for anybody where the system lets users make namespaces.
own_network() {
  [ -z "${OWN_NETWORK:-}" ] || { ip link set lo up; return 0; }
  local as=()
  [ "$(id -u)" -eq 0 ] || as=(--map-root-user)
  OWN_NETWORK=1 exec unshare "${as[@]}" --net --mount -- bash "$0" "$@"
}

# Gives what runs from now on, within own_network, an /etc with this resolv.conf and little else.
resolv_conf() {
  mkdir "$dir/etc"
  cp -r /etc/passwd /etc/group /etc/hosts /etc/ld.so.cache /etc/alternatives "$dir/etc"
  cp "$1" "$dir/etc/resolv.conf"
  echo 'hosts: files dns' >"$dir/etc/nsswitch.conf"
  mount --bind "$dir/etc" /etc
}

needs() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "this example needs $program"
  done
}

# A port on which nobody answers on any of our addresses.
free_port() {
  local port address
  while :; do
    port=$((20000 + RANDOM % 12000))
    for address in 127.0.0.1 127.0.1.1 127.0.1.2 127.0.1.3; do
      (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null && continue 2
    done
    echo "$port"
    return
  done
}

# Copies a file of ours into the folder, with this run's ports in it.
fill() {
  local file
  for file in "$@"; do
    sed -e "s#/run/example#$dir#g" -e "s#\.\./zones#$examples/../zones#" -e "s/127\.0\.0\.1:5300/127.0.0.1:$dns/g" \
        -e "s/\b5301\b/$between/g" -e "s/\b5302\b/$between2/g" -e "s/127\.0\.0\.1#5300/127.0.0.1#$dns/g" \
        -e "s/127\.0\.0\.1@5300/127.0.0.1@$dns/g" -e "s/127\.0\.0\.1:8053/127.0.0.1:$http/g" \
        -e "s/\b8054\b/$agent/g" -e "s/127\.0\.0\.1:8080/127.0.0.1:$web/g" -e "s/http:\/\/:8080/http:\/\/:$web/" -e "s/127\.0\.0\.1:8081/127.0.0.1:$second/g" \
        -e "s/\b8000\b/$backend/g" -e "s/\"least-load\"/\"$algorithm\"/" "$file" >"$dir/$(basename "$file")"
  done
}

# Starts a program; what it says is shown if something goes wrong.
start() { "$@" >"$dir/log.${#pids[@]}" 2>&1 & pids+=($!); }

stop() {
  local pid
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}

# Runs a command until it succeeds, for half a minute at most.
until_ok() {
  local deadline=$((SECONDS + 30))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$dir"/log.* >&2; fail "in vain: $*"; }
    read -rt 0.05 <> <(:) || true
  done
}

# Waits until something answers at a URL.
await() { until_ok curl -sf --max-time 20 -o /dev/null "$1"; }

# Starts the backends and Athena. ALGORITHM is the farm's rule.
begin() {
  algorithm=${1:-least-load}
  [ -x "$athena" ] || fail "no program at $athena: run cargo build --release, or set ATHENA"
  needs curl python3
  dir=$(mktemp -d)
  chmod 755 "$dir"
  pids=()
  trap stop EXIT
  dns=$(free_port) between=$(free_port) between2=$(free_port) http=$(free_port) agent=$(free_port) web=$(free_port) second=$(free_port) backend=$(free_port)
  fill "$examples/farm.toml"
  # Within own_network port 53 is ours as well.
  [ -z "${OWN_NETWORK:-}" ] || sed -i "s/^listen = \[\"127.0.0.1:$dns\"/&, \"127.0.53.1:53\"/" "$dir/farm.toml"
  start python3 "$examples/backends.py" "$backend" app01=127.0.1.1 app02=127.0.1.2 app03=127.0.1.3
  start "$athena" serve -c "$dir/farm.toml"
  for address in 127.0.1.1 127.0.1.2 127.0.1.3; do await "http://$address:$backend/"; done
  await "http://127.0.0.1:$http/readyz"
}

# How often each backend was named in the lines of the standard input.
count() { sort | uniq -c | awk '{printf "  %s %s", $2, $1} END {print ""}'; }

# Sends 30 requests to a URL, one after the other, and prints who answered them. Further arguments are curl's.
spread() { for _ in $(seq 30); do curl -sf --max-time 20 "$@" || echo failed; done | count; }

update() { curl -sf "http://127.0.0.1:$http/ath/update/phys/?$1" >/dev/null; }

# The same tale for every proxy: everybody serves, one is loaded, one is switched off, all are back.
tale() {
  echo "30 requests, $algorithm:"; spread "$@"
  update 'h=app01,l=1000'
  echo "app01 reports a load of 1000:"; spread "$@"
  update 'h=app02,s=off'
  echo "app02 is switched off:"; spread "$@"
  update 'h=app02,s=on'; update 'h=app01,l=0'
  echo "both are back:"; spread "$@"
}
