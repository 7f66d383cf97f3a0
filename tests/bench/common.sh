# What the scripts beside this file have in common. Sourced by them, in the project's folder.

export LC_ALL=C PATH=$PATH:/usr/sbin
# Programs of another build can be measured: BIN=FOLDER, with --built.
bin=${BIN:-target/release}
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

# Takes options with a value into variables of their names: options "seconds rate" "$@". Others print the script's head.
options() {
  local names=" $1 " name
  shift
  while [ $# -gt 0 ]; do
    name=${1#--}
    if [ "$1" = "--$name" ] && [ $# -ge 2 ] && [ -n "$name" ] && [ "${names/ $name /}" != "$names" ]; then
      printf -v "$name" %s "$2"
      shift 2
    else
      sed -n '2,/^[^#]/p' "$0" | sed '/^[^#]/d' >&2
      exit 2
    fi
  done
}

# The program under test: what --athena named, or a release build.
built() {
  [ -n "${athena:-}" ] && return
  cargo build --release --quiet --bin athena
  athena=$PWD/$bin/athena
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

# Gives two thirds of the server's core to busy loops until the end, so that a client with one core is faster than any server.
share_core() {
  sharing=""
  for _ in 1 2; do
    taskset -c 0 sh -c 'while :; do :; done' &
    sharing="$sharing $!"
  done
  # shellcheck disable=SC2086
  trap 'kill $sharing 2>/dev/null; stop_server; rm -rf "$work"' EXIT
}

stop_server() {
  [ -n "$server_pid" ] || return 0
  # A negative number is a group of processes.
  kill -- "$server_pid" 2>/dev/null || true
  wait "${server_pid#-}" 2>/dev/null || true
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

# For awk: the median of a list of numbers with blanks between them.
median='function median(list, values, n, i, j, swap) {
    n = split(list, values, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { swap = values[i]; values[i] = values[j]; values[j] = swap }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  '

# Writes a configuration of one farm, farm_one, with members b1, b2, b3: configure FOLDER DNS_PORT HTTP_PORT THREADS [MORE];
# MORE are further sections.
configure() {
  mkdir -p "$1"
  cat >"$1/athena.toml" <<CONFIG
zone = "athena."
[dns]
listen = ["127.0.0.1:$2"]
threads = $4
[http]
listen = ["127.0.0.1:$3"]
[backends]
b1 = { address = "127.0.0.11" }
b2 = { address = "127.0.0.12" }
b3 = { address = "127.0.0.13" }
[farms.farm_one]
members = ["b1", "b2", "b3"]
algorithm = "${ALGORITHM:-least-load}"
${5:-}
CONFIG
}

# Writes a configuration of many farms of ten members each, no two of which share a backend; farm 1 is farm_one:
# configure_many FILE DNS_PORT HTTP_PORT FARMS [TTL]
configure_many() {
  awk -v dns="$2" -v http="$3" -v farms="$4" -v ttl="${5:-0}" 'BEGIN {
    printf "zone = \"athena.\"\n[dns]\nlisten = [\"127.0.0.1:%d\"]\nthreads = 1\n[http]\nlisten = [\"127.0.0.1:%d\"]\n", dns, http
    print "[backends]"
    for (f = 1; f <= farms; f++) for (m = 1; m <= 10; m++) {
      n = f * 10 + m
      printf "b%d-%d = { address = \"10.%d.%d.%d\" }\n", f, m, int(n / 65536) % 256, int(n / 256) % 256, n % 256
    }
    print "[farms]"
    for (f = 1; f <= farms; f++) {
      printf f == 1 ? "farm_one" : "farm_%05d", f
      printf " = { ttl = %d, members = [", ttl
      for (m = 1; m <= 10; m++) printf "%s\"b%d-%d\"", m == 1 ? "" : ", ", f, m
      print "] }"
    }
  }' >"$1.new"
  # Moved into place, so that nobody reads half of it.
  mv "$1.new" "$1"
}

# Starts a program that spreads its threads itself: run_free NAME COMMAND...
run_free() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
}

# Puts the server's UDP threads on the first core, and all others on the second.
part_threads() {
  local task core
  for task in "/proc/$server_pid/task/"*; do
    case $(cat "$task/comm" 2>/dev/null) in udp-*) core=0 ;; *) core=1 ;; esac
    taskset -cp "$core" "${task##*/}" >/dev/null 2>&1 || true
  done
}

# CPU time of the server's UDP threads, in nanoseconds.
udp_nanos() {
  local task
  for task in "/proc/$server_pid/task/"*; do
    case $(cat "$task/comm" 2>/dev/null) in udp-*) cat "$task/schedstat" ;; esac
  done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# Where clients run that shall disturb neither the UDP threads nor, if there are enough cores, the others: a client, and
# whoever makes the load beside it.
client_core=$((cores > 2 ? 2 : 1))
other_core=$((cores > 3 ? 3 : 1))
