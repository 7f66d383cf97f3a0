#!/usr/bin/env bash
# Answers per second, and what each costs: Athena beside the limit of the machine and beside its peers.
#
#   tests/bench/dns.sh [--seconds 5] [--runs 5] [--only "echo athena-least-load gdnsd"] [--edns|--cookie|--labels]
#                      [--load QPS] [--port 5400] [--list]
#
# Every server is pinned to one core, has one thread, listens on 127.0.0.1 only, keeps its files in a folder that is
# removed at the end, and is stopped by its pid. Runs alternate: all servers once, then all again. README.md beside this
# file says how to read the table. What is missing is installed by apt-get, if this is run as root.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 only="" port=5400 style=plain load="" list=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --edns | --cookie | --labels) style=${1#--}; shift ;;
    --list) list=yes; shift ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
  esac
done

algorithms=${ALGORITHMS:-"least-load two-choices round-robin random hash failover"}
peers="knot gdnsd nsd"
servers="echo loop"
for algorithm in $algorithms; do servers="$servers athena-$algorithm"; done
servers="$servers $peers hickory pdns"
[ -n "$only" ] && servers=$only
[ -n "$list" ] && { echo "$servers"; exit; }

# --- what is needed -------------------------------------------------------------------------------------------------

install_missing() {
  local missing="" one
  for one in dnsperf:dnsperf dig:bind9-dnsutils gdnsd:gdnsd knotd:knot nsd:nsd pdns_server:pdns-server; do
    command -v "${one%%:*}" >/dev/null || missing="$missing ${one##*:}"
  done
  [ -z "$missing" ] && return
  case $servers in *pdns*) missing="$missing pdns-backend-bind" ;; esac
  [ "$(id -u)" = 0 ] || { echo "please install:$missing" >&2; exit 1; }
  # Debian starts what it installs; here it must not.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' RETURN
  fi
  # shellcheck disable=SC2086
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } >&2
}
export PATH=$PATH:/usr/sbin
install_missing

cores=$(nproc)
[ "$cores" -ge 2 ] || { echo "this needs two cores: one for the server, the others for dnsperf" >&2; exit 1; }
client_cores=1-$((cores - 1))
client_threads=$((cores > 2 ? 2 : 1))

true cargo build --release --quiet --examples --bins
bin=target/release

work=$(mktemp -d)
server_pid=""
stop_server() {
  [ -n "$server_pid" ] || return 0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=""
}
trap 'stop_server; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# --- questions --------------------------------------------------------------------------------------------------------

options=(-c16 "-T$client_threads" -q400)
case $style in
  plain) echo "farm_one.athena A" >"$work/questions" ;;
  edns) echo "farm_one.athena A" >"$work/questions"; options+=(-e) ;;
  cookie) echo "farm_one.athena A" >"$work/questions"; options+=(-E 10:0123456789abcdef) ;;
  # What nginx's $request_id makes of a name: each asked once.
  labels) for _ in $(seq 20000); do
      printf '%04x%04x%04x%04x%04x%04x%04x%04x.farm_one.athena A\n' $RANDOM $RANDOM $RANDOM $RANDOM $RANDOM $RANDOM $RANDOM $RANDOM
    done >"$work/questions" ;;
esac
[ -n "$load" ] && options+=(-Q "$load")

# --- servers: each function configures one and prints nothing; `run` starts it in the foreground -------------------------

zone() { # extra lines for the zone file
  cat <<ZONE
\$ORIGIN athena.
\$TTL 0
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
$1
ZONE
}
static_names='farm_one A 127.0.0.11
*.farm_one A 127.0.0.11'

start() { # name port
  local name=$1 port=$2 folder=$work/$1
  mkdir -p "$folder"
  case $name in
    echo | hickory) run "$name" "$bin/examples/$name" "127.0.0.1:$port" ;;
    loop) run "$name" "$bin/examples/loop" "127.0.0.1:$port" 1 ;;
    athena-*) run "$name" "$bin/examples/farm" "127.0.0.1:$port" "${name#athena-}" 1 3 ;;
    gdnsd)
      mkdir -p "$folder/zones" "$folder/run" "$folder/state"
      zone 'farm_one DYNA weighted!farm_one
*.farm_one DYNA weighted!farm_one' >"$folder/zones/athena"
      cat >"$folder/config" <<CONFIG
options => {
  listen => 127.0.0.1:$port, udp_threads => 1, tcp_threads => 1
  run_dir => $folder/run, state_dir => $folder/state
}
plugins => { weighted => { service_types => up, farm_one => {
  a => [ 127.0.0.11, 1 ], b => [ 127.0.0.12, 1 ], c => [ 127.0.0.13, 1 ]
} } }
CONFIG
      run "$name" gdnsd -c "$folder" start ;;
    knot)
      zone "$static_names" >"$folder/athena.zone"
      cat >"$folder/knot.conf" <<CONFIG
server:
  listen: 127.0.0.1@$port
  rundir: $folder
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: $folder
log:
  - target: stderr
    any: error
zone:
  - domain: athena
    file: $folder/athena.zone
CONFIG
      run "$name" knotd -c "$folder/knot.conf" ;;
    nsd)
      zone "$static_names" >"$folder/athena.zone"
      cat >"$folder/nsd.conf" <<CONFIG
server:
  ip-address: 127.0.0.1@$port
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "$folder"
  pidfile: ""
  database: ""
  xfrdfile: "$folder/xfrd"
  zonelistfile: "$folder/zones"
  cookie-secret-file: "$folder/cookies"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: athena
  zonefile: athena.zone
CONFIG
      run "$name" nsd -d -c "$folder/nsd.conf" ;;
    pdns)
      local pick="LUA A \"pickwrandom({{1,'127.0.0.11'},{1,'127.0.0.12'},{1,'127.0.0.13'}})\""
      zone "farm_one $pick
*.farm_one $pick" >"$folder/athena.zone"
      echo "zone \"athena\" { type master; file \"$folder/athena.zone\"; };" >"$folder/named.conf"
      run "$name" pdns_server --config-dir="$folder" --socket-dir="$folder" --launch=bind \
        --bind-config="$folder/named.conf" --local-address=127.0.0.1 --local-port="$port" --enable-lua-records=yes \
        --receiver-threads=1 --distributor-threads=1 --cache-ttl=0 --query-cache-ttl=0 --daemon=no --guardian=no \
        --loglevel=3 --security-poll-suffix= ;;
    *) echo "no server is called $name; known: $servers" >&2; exit 2 ;;
  esac
}

run() { # name command...
  local name=$1
  shift
  taskset -c 0 "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
}

# Ticks of the clock that the server and its children have used.
ticks() {
  local pid all=$server_pid more
  more=$(pgrep -P "$server_pid" || true)
  while [ -n "$more" ]; do
    all="$all $more"
    more=$(for pid in $more; do pgrep -P "$pid" || true; done)
  done
  for pid in $all; do cat "/proc/$pid/stat" 2>/dev/null || true; done | sed 's/.*) //' | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

ready() { # port
  for _ in $(seq 100); do
    dig +time=1 +tries=1 +short @127.0.0.1 -p "$1" farm_one.athena A >/dev/null 2>&1 && return
    kill -0 "$server_pid" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# --- the runs ---------------------------------------------------------------------------------------------------------

hz=$(getconf CLK_TCK)
for round in $(seq "$runs"); do
  for name in $servers; do
    port=$((port + 1))
    start "$name" "$port"
    if ! ready "$port"; then
      echo "$name does not answer:" >&2
      tail -5 "$work/$name.log" >&2
      exit 1
    fi
    before=$(ticks)
    taskset -c "$client_cores" dnsperf -s 127.0.0.1 -p "$port" -d "$work/questions" -l "$seconds" "${options[@]}" \
      >"$work/out" 2>"$work/err"
    after=$(ticks)
    stop_server
    awk -v name="$name" -v used=$((after - before)) -v hz="$hz" '
      /Queries completed/ { answers = $3 }
      /Queries lost/ { lost = $3 }
      /Queries per second/ { rate = $4 }
      /Run time/ { time = $4 }
      /Average Latency/ { latency = $4 * 1e6 }
      /Response codes/ { codes = $0 }
      END {
        sub(/.*codes: */, "", codes); if (codes !~ /^NOERROR [0-9]+ \(100/ ) print name ": " codes > "/dev/stderr"
        printf "%s %.0f %.4f %.0f %d %.2f\n", name, rate, used / hz * 1e6 / answers, latency, lost, used / hz / time
      }' "$work/out" >>"$work/figures"
    echo "round $round: $(tail -1 "$work/figures")" >&2
  done
done

# --- the table ----------------------------------------------------------------------------------------------------------

echo "One server thread on one core; dnsperf $client_threads threads, 16 sockets, 400 outstanding on core $client_cores; $style questions${load:+ at $load/s};"
echo "$runs alternating runs of $seconds s, medians; $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $cores cores, Linux $(uname -r)"
echo
awk -v order="$servers" -v peers="$peers" '
  function median(list, values, n, i, j, swap) {
    n = split(list, values, " ")
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] < values[i]) { swap = values[i]; values[i] = values[j]; values[j] = swap }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  function ratio(a, b) { return b > 0 ? sprintf("%.2f", a / b) : "" }
  { rate[$1] = rate[$1] " " $2; cost[$1] = cost[$1] " " $3; latency[$1] = latency[$1] " " $4; lost[$1] += $5; busy[$1] = busy[$1] " " $6 }
  END {
    n = split(order, names, " ")
    for (i = 1; i <= n; i++) { m = names[i]; r[m] = median(rate[m]); c[m] = median(cost[m]); l[m] = median(latency[m]); b[m] = median(busy[m]) }
    k = split(peers, list, " ")
    for (i = 1; i <= k; i++) if (list[i] in r) { if (r[list[i]] > bestr) bestr = r[list[i]]; if (!bestc || c[list[i]] < bestc) bestc = c[list[i]] }
    print "| server | answers/s | of the echo | of the best peer | CPU µs/answer | speed by CPU: of the echo | of the best peer | core busy | latency µs | lost |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (i = 1; i <= n; i++) {
      m = names[i]
      printf "| %s | %d | %s | %s | %.2f | %s | %s | %d %% | %d | %d |\n", m, r[m], ratio(r[m], r["echo"]), ratio(r[m], bestr), c[m], ratio(c["echo"], c[m]), ratio(bestc, c[m]), b[m] * 100, l[m], lost[m]
    }
  }' "$work/figures"
