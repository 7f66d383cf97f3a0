#!/usr/bin/env bash
# Cuts Athenas that mirror each other off from each other, changes states on both sides, heals, and sees them agree.
#
#   tests/bench/partition.sh [--within 2000] [--athena PROGRAM]
#
# Each Athena lives in a network namespace of its own, joined to the others by a bridge in one more; a cut takes a link
# down, so that nothing arrives and nothing is refused, as when a switch dies. Everything is made here and removed at the
# end; nothing outside of these namespaces is touched. Needs root. Prints for each story how long it took after healing
# until all said the same, in ms, and whether that is what the rules say: of decisions the later one, of statistics the
# later report. Exits with 1 if one took longer than --within or came to something else.
set -euo pipefail
cd "$(dirname "$0")/../.."

within=2000 athena=""
. tests/bench/common.sh
options "within athena" "$@"
[ "$(id -u)" = 0 ] || { echo "network namespaces need root" >&2; exit 1; }
needs ip:iproute2 curl:curl
built
begin

prefix=athena$$
declare -A pids=()
finish() {
  local one
  for one in "${!pids[@]}"; do kill -9 "${pids[$one]}" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for one in hub 1 2 3; do ip netns del "$prefix-$one" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

inside() { # NUMBER COMMAND...
  local number=$1
  shift
  ip netns exec "$prefix-$number" "$@"
}

network() {
  ip netns add "$prefix-hub"
  ip -n "$prefix-hub" link add bridge type bridge forward_delay 0 stp_state 0
  ip -n "$prefix-hub" link set bridge up
  local one
  for one in 1 2 3; do
    ip netns add "$prefix-$one"
    ip -n "$prefix-hub" link add "to$one" type veth peer name eth0 netns "$prefix-$one"
    ip -n "$prefix-hub" link set "to$one" master bridge up
    ip -n "$prefix-$one" addr add "10.77.0.$one/24" dev eth0
    ip -n "$prefix-$one" link set eth0 up
    ip -n "$prefix-$one" link set lo up
  done
}

cut() { local one; for one in "$@"; do ip -n "$prefix-hub" link set "to$one" down; done; }
heal() { local one; for one in "$@"; do ip -n "$prefix-hub" link set "to$one" up; done; }

configure() { # COUNT
  local one other peers
  for one in $(seq "$1"); do
    peers=""
    for other in $(seq "$1"); do peers="$peers\"http://10.77.0.$other:8053\", "; done
    mkdir -p "$work/$one"
    cat >"$work/$one/athena.toml" <<CONFIG
zone = "athena."
state_dir = "state"
[dns]
listen = ["127.0.0.1:5300"]
threads = 1
[http]
listen = ["127.0.0.1:8053", "10.77.0.$one:8053"]
[access]
update = ["127.0.0.0/8", "10.77.0.0/24"]
admin = ["127.0.0.0/8", "10.77.0.0/24"]
update_key = "secret"
admin_key = "secret"
auto_register = true
[mirror]
name = "ns$one"
key = "secret"
peers = [$peers]
[backends]
app01 = { address = "10.0.0.1" }
app02 = { address = "10.0.0.2" }
app03 = { address = "10.0.0.3" }
[farms]
farm_one = { members = ["app01", "app02", "app03", "web-*"] }
farm_two = { members = ["app01", "app02"] }
CONFIG
  done
}

launch() { # NUMBER
  # Not by `inside`: then this would be the number of a shell.
  ip netns exec "$prefix-$1" "$athena" serve -c "$work/$1/athena.toml" >>"$work/$1/log" 2>&1 &
  pids[$1]=$!
}

ready() { # NUMBER
  local _
  for _ in $(seq 200); do
    inside "$1" curl -sf http://127.0.0.1:8053/readyz >/dev/null && return
    sleep 0.05
  done
  echo "athena $1 does not get ready:" >&2
  tail -5 "$work/$1/log" >&2
  exit 1
}

stop() { # NUMBER...
  local one
  for one in "$@"; do kill "${pids[$one]}" 2>/dev/null || true; wait "${pids[$one]}" 2>/dev/null || true; unset "pids[$one]"; done
}

tell() { # NUMBER KIND QUERY
  local said
  said=$(inside "$1" curl -s "http://127.0.0.1:8053/ath/update/$2/?$3,k=secret")
  [ "$said" = ok ] || { echo "athena $1 said to $3: $said" >&2; exit 1; }
}

# Everything that they shall agree about.
shown() { # NUMBER
  inside "$1" curl -sg 'http://127.0.0.1:8053/ath/status/phys/?f="%h:%a:%s:%v:%w:%l:%c"' |
    sort | tr '\n' ' '
  inside "$1" curl -sg 'http://127.0.0.1:8053/ath/status/farm/?f="%n:%s"' | sort | tr '\n' ' '
}

# Waits until all of them show this; prints how long it took, in ms, or that it did not come to it.
agree() { # EXPECTED NUMBER...
  local expected=$1 began now one same
  shift
  began=$(date +%s%N)
  while :; do
    same=yes
    for one in "$@"; do [ "$(shown "$one")" = "$expected" ] || same=""; done
    now=$((($(date +%s%N) - began) / 1000000))
    [ -n "$same" ] && { echo "$now"; return; }
    [ "$now" -gt 15000 ] && { echo never; return; }
  done
}

failed=""
row() { # STORY CUT-S TOOK EXPECTED NUMBER...
  local verdict=yes took=$3 one
  if [ "$took" = never ]; then
    verdict=no
    for one in "${@:5}"; do echo "  $one: $(shown "$one")" >&2; done
    echo "  expected: $4" >&2
  elif [ "$took" -gt "$within" ]; then
    verdict=late
  fi
  [ "$verdict" = yes ] || failed=yes
  echo "| $1 | $2 | $took | $verdict |"
}

# A story of two: both sides change the same things, the second one later.
two() { # CUT-S
  configure 2
  launch 1
  launch 2
  ready 1
  ready 2
  tell 1 phys h=app01,l=1,c=1
  agree "app01:10.0.0.1:on:up:1:1:1 app02:10.0.0.2:on:up:1:-:- app03:10.0.0.3:on:up:1:-:- farm_one:on farm_two:on " 1 2 >/dev/null
  cut 2
  tell 1 phys h=app01,s=drain
  tell 2 phys h=app01,s=off
  tell 2 phys h=app02,w=2.5
  tell 1 phys h=app02,w=4
  tell 2 farm n=farm_two,s=off
  tell 1 phys h=app03,V=down
  tell 2 phys h=app01,l=7
  tell 1 phys h=app01,c=9
  tell 1 phys h=app02,l=3
  tell 2 phys h=app02,l=5
  tell 2 phys h=web-1,l=2,A=10.77.0.9
  sleep "$1"
  heal 2
  local expected="app01:10.0.0.1:off:up:1:7:9 app02:10.0.0.2:on:up:4:5:- app03:10.0.0.3:on:down:1:-:- web-1:10.77.0.9:on:up:1:2:- farm_one:on farm_two:off "
  row "two, both sides change the same" "$1" "$(agree "$expected" 1 2)" "$expected" 1 2
  stop 1 2
  rm -rf "$work"/[123]
}

# A story of three: one, or all, are cut off.
three() { # STORY CUT-S CUT...
  configure 3
  local story=$1 span=$2 one
  shift 2
  for one in 1 2 3; do launch "$one"; done
  for one in 1 2 3; do ready "$one"; done
  cut "$@"
  tell 1 phys h=app01,s=drain
  tell 2 phys h=app02,s=drain
  tell 3 phys h=app03,s=drain
  tell 3 phys h=app01,s=off
  tell 1 phys h=app02,l=1
  tell 2 phys h=app02,l=2
  tell 3 phys h=app02,l=3
  tell 1 farm n=farm_one,s=off
  tell 2 phys h=web-1,l=2,A=10.77.0.9
  sleep "$span"
  heal "$@"
  local expected="app01:10.0.0.1:off:up:1:-:- app02:10.0.0.2:drain:up:1:3:- app03:10.0.0.3:drain:up:1:-:- web-1:10.77.0.9:on:up:1:2:- farm_one:off farm_two:on "
  row "$story" "$span" "$(agree "$expected" 1 2 3)" "$expected" 1 2 3
  stop 1 2 3
  rm -rf "$work"/[123]
}

# One is killed while it is cut off, with a decision that nobody else knows, and comes back before the link does.
killed() { # CUT-S
  configure 3
  local one
  for one in 1 2 3; do launch "$one"; done
  for one in 1 2 3; do ready "$one"; done
  cut 3
  tell 3 phys h=app03,s=off
  kill -9 "${pids[3]}"
  wait "${pids[3]}" 2>/dev/null || true
  tell 1 phys h=app01,s=drain
  tell 2 phys h=app02,l=4
  launch 3
  ready 3
  sleep "$1"
  heal 3
  local expected="app01:10.0.0.1:drain:up:1:-:- app02:10.0.0.2:on:up:1:4:- app03:10.0.0.3:off:up:1:-:- farm_one:on farm_two:on "
  row "three, one killed and started while cut off" "$1" "$(agree "$expected" 1 2 3)" "$expected" 1 2 3
  stop 1 2 3
  rm -rf "$work"/[123]
}

network
echo "Agreement after a cut, at most $within ms; $(machine); $("$athena" --version)"
echo
echo "| story | cut, s | agreed after healing, ms | as it should |"
echo "| --- | --- | --- | --- |"
for span in 0.5 1.5 4 8; do two "$span"; done
for span in 1 5; do
  three "three, one cut off" "$span" 3
  three "three, all cut off from each other" "$span" 1 2 3
done
killed 1
[ -z "$failed" ]
