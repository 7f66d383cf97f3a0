# What dns.sh and http.sh have in common. Sourced by them, in the project's folder.

export LC_ALL=C PATH=$PATH:/usr/sbin
bin=target/release
hz=$(getconf CLK_TCK)
cores=$(nproc)
client_cores=1-$((cores - 1))
client_threads=$((cores > 2 ? 2 : 1))
server_pid=""

# Installs the packages of those commands that are not there: needs COMMAND:PACKAGE...
needs() {
  local missing="" one
  for one in "$@"; do
    command -v "${one%%:*}" >/dev/null || missing="$missing ${one##*:}"
  done
  [ -z "$missing" ] && return
  [ "$(id -u)" = 0 ] || { echo "please install:$missing" >&2; exit 1; }
  # Debian starts what it installs; here it must not.
  local ours=""
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    ours=yes
  fi
  local failed=""
  # shellcheck disable=SC2086
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >&2 || failed=yes
  [ -z "$ours" ] || rm -f /usr/sbin/policy-rc.d
  [ -z "$failed" ] || { echo "cannot install:$missing" >&2; exit 1; }
}

# Makes the folder for everything, and sees to its end and the server's.
begin() {
  [ "$cores" -ge 2 ] || { echo "this needs two cores: one for the server, the others for the client" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'stop_server; rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
}

# Starts a server on the first core: run NAME COMMAND...
run() {
  local name=$1
  shift
  taskset -c 0 "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
}

stop_server() {
  [ -n "$server_pid" ] || return 0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=""
}

# Ticks of the clock that the server and its children have used.
ticks() {
  local pid all=$server_pid more
  more=$(pgrep -P "$server_pid" || true)
  while [ -n "$more" ]; do
    all="$all $more"
    more=$(for pid in $more; do pgrep -P "$pid" || true; done)
  done
  for pid in $all; do cat "/proc/$pid/stat" 2>/dev/null || true; done |
    sed 's/.*) //' | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

# Asks until the server answers: until_it_answers NAME COMMAND...
until_it_answers() {
  local name=$1
  shift
  for _ in $(seq 100); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "$name does not answer:" >&2
  tail -5 "$work/$name.log" >&2
  exit 1
}

machine() {
  echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $cores cores, Linux $(uname -r)"
}
