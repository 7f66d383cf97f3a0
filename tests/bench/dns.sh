#!/usr/bin/env bash
# Answers per second, and what each costs: Athena beside the limit of the machine and beside its peers.
#
#   tests/bench/dns.sh [--seconds 5] [--runs 5] [--only "echo athena-least-load gdnsd"] [--edns|--cookie|--labels]
#                      [--load QPS|--half] [--flood] [--share] [--port 5400] [--built] [--list]
#
# Every server is pinned to one core, has one thread, listens on 127.0.0.1 only, keeps its files in a folder that is
# removed at the end, and is stopped by its pid. Runs alternate: all servers once, then all again. README.md beside this
# file says how to read the table. --share gives two thirds of the servers' core to busy loops, so that a client with one core is
# faster than they are. What is missing is installed by apt-get, if this is run as root; --built takes the programs as they are.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=5 runs=5 only="" port=5400 style=plain load="" half="" flood="" share="" list="" built=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --half) half=yes flood=yes; shift ;;
    --edns | --cookie | --labels) style=${1#--}; shift ;;
    --flood) flood=yes; shift ;;
    --share) share=yes; shift ;;
    --built) built=yes; shift ;;
    --list) list=yes; shift ;;
    *) sed -n '2,12p' "$0" >&2; exit 2 ;;
  esac
done

algorithms=${ALGORITHMS:-"least-load two-choices round-robin random hash failover"}
peers="knot gdnsd nsd"
servers="echo idle"
for algorithm in $algorithms; do servers="$servers athena-$algorithm"; done
servers="$servers $peers hickory pdns"
[ -n "$only" ] && servers=$only
[ -n "$list" ] && { echo "$servers"; exit; }

. tests/bench/common.sh
needs dnsperf:dnsperf dig:bind9-dnsutils
for one in $servers; do
  case $one in
    gdnsd) needs gdnsd:gdnsd ;;
    knot) needs knotd:knot ;;
    nsd) needs nsd:nsd ;;
    pdns) [ -e "$(ls /usr/lib/*/pdns/libbindbackend.so 2>/dev/null)" ] || needs no-such-command:pdns-server no-such-command:pdns-backend-bind ;;
  esac
done
[ -n "$built" ] || cargo build --release --quiet --bin athena --example bench
begin

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

ask() {
  if [ -n "$flood" ]; then
    # shellcheck disable=SC2086
    echo "flood: $(taskset -c "$client_cores" "$bin/examples/bench" flood "127.0.0.1:$port" "$seconds" "$style" 400 $load)"
  else
    taskset -c "$client_cores" dnsperf -s 127.0.0.1 -p "$port" -d "$work/questions" -l "$seconds" "${options[@]}" 2>"$work/err"
  fi
}

# --- servers, each started in the foreground -------------------------

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
    echo | idle | hickory) run "$name" "$bin/examples/bench" "$name" "127.0.0.1:$port" ;;
    athena-*)
      zone "" >"$folder/athena.zone"
      cat >"$folder/athena.toml" <<CONFIG
zone = "athena."
zone_file = "$folder/athena.zone"
[dns]
listen = ["127.0.0.1:$port"]
threads = 1
[http]
listen = ["127.0.0.1:$((port + 10000))"]
[backends.a]
address = "127.0.0.11"
[backends.b]
address = "127.0.0.12"
[backends.c]
address = "127.0.0.13"
[farms.farm_one]
members = ["a", "b", "c"]
algorithm = "${name#athena-}"
CONFIG
      run "$name" "$bin/athena" serve -c "$folder/athena.toml" ;;
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

# --- the runs ---------------------------------------------------------------------------------------------------------

# Half of what the echo reaches at full speed, for the times to the answer.
if [ -n "$half" ]; then
  start echo "$port"
  until_it_answers echo dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
  read -r _ full _ <<<"$(ask)"
  load=$((full / 2))
  stop_server
fi

[ -z "$share" ] || share_core

for round in $(seq "$runs"); do
  for name in $servers; do
    port=$((port + 1))
    start "$name" "$port"
    until_it_answers "$name" dig +time=1 +tries=1 +short @127.0.0.1 -p "$port" farm_one.athena A
    before=$(ticks)
    ask >"$work/out"
    after=$(ticks)
    stop_server
    awk -v name="$name" -v used=$((after - before)) -v hz="$hz" -v seconds="$seconds" '
      /Queries completed/ { answers = $3 }
      /Queries lost/ { lost = $3 }
      /Queries per second/ { rate = $4 }
      /Run time/ { time = $4 }
      /Average Latency/ { middle = $4 * 1e6; tail = "-" }
      /Response codes/ && !/NOERROR [0-9]+ \(100/ { print name ": " $0 > "/dev/stderr" }
      /^flood:/ { rate = $2; time = seconds; answers = rate * time; middle = $3; tail = $5; lost = $6 }
      END { printf "%s %.0f %.4f %.0f %s %d %.2f\n", name, rate, used / hz * 1e6 / answers, middle, tail, lost, used / hz / time }
      ' "$work/out" >>"$work/figures"
    echo "round $round: $(tail -1 "$work/figures")" >&2
  done
done

# --- the table ----------------------------------------------------------------------------------------------------------

client="dnsperf $client_threads threads, 16 sockets, 400 outstanding"
[ -n "$flood" ] && client="bench flood, 16 sockets, 400 outstanding"
echo "One server thread on ${share:+a third of }one core; $client on cores $client_cores; $style questions${load:+, $load a second};"
echo "$runs alternating runs of $seconds s, medians; $(machine)"
echo
awk -v order="$servers" -v peers="$peers" '
  function median(list, values, n, i, j, swap) {
    n = split(list, values, " ")
    if (values[1] == "-") return "-"
    for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { swap = values[i]; values[i] = values[j]; values[j] = swap }
    return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  function ratio(a, b) { return b > 0 ? sprintf("%.2f", a / b) : "" }
  { rate[$1] = rate[$1] " " $2; cost[$1] = cost[$1] " " $3; latency[$1] = latency[$1] " " $4; tail[$1] = tail[$1] " " $5; lost[$1] += $6; busy[$1] = busy[$1] " " $7 }
  END {
    n = split(order, names, " ")
    for (i = 1; i <= n; i++) { m = names[i]; r[m] = median(rate[m]); c[m] = median(cost[m]); l[m] = median(latency[m]); t[m] = median(tail[m]); b[m] = median(busy[m]) }
    k = split(peers, list, " ")
    for (i = 1; i <= k; i++) if (list[i] in r) { if (r[list[i]] > bestr) bestr = r[list[i]]; if (!bestc || c[list[i]] < bestc) bestc = c[list[i]] }
    print "| server | answers/s | of the echo | of the best peer | CPU µs/answer | speed by CPU: of the echo | of the best peer | core busy | µs to the answer | 99.9 % | lost |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (i = 1; i <= n; i++) {
      m = names[i]
      printf "| %s | %d | %s | %s | %.2f | %s | %s | %d %% | %d | %s | %d |\n", m, r[m], ratio(r[m], r["echo"]), ratio(r[m], bestr), c[m], ratio(c["echo"], c[m]), ratio(bestc, c[m]), b[m] * 100, l[m], t[m], lost[m]
    }
  }' "$work/figures"
