#!/usr/bin/env bash
# Resolvers that send one zone to Athena: asks each for the farm 30 times and prints the spread of the answers;
# curl asks the C library, which asks as /etc/resolv.conf says.
#
#   examples/resolvers/run.sh [ALGORITHM]          # least-load if none is named
#
# Needs dnsmasq, unbound, dig, curl and python3, and the right to make a network and a mount namespace. root is
# shown systemd-resolved where it is installed (its Debian package takes over /etc/resolv.conf, so install it only where that is wanted).
. "$(dirname "$0")/../common.sh"
needs dnsmasq unbound dig unshare ip
own_network "$@"
begin "$@"
fill "$example/dnsmasq.conf" "$example/unbound.conf" "$example/resolved.conf"

answers() { for _ in $(seq 30); do dig +short +tries=1 "$@" farm_one.athena A; done | count; }
answers_at() { dig +short +tries=1 +time=1 "$@" ns1.athena A | grep -q '^127'; }

start dnsmasq -C "$dir/dnsmasq.conf"
until_ok answers_at @127.0.0.1 -p "$between"
echo "dnsmasq:"; answers @127.0.0.1 -p "$between"

start unbound -d -c "$dir/unbound.conf"
until_ok answers_at @127.0.0.1 -p "$between2"
echo "unbound:"; answers @127.0.0.1 -p "$between2"

resolv_conf "$example/resolv.conf"
echo "resolv.conf, the C library and curl:"; spread "http://farm_one.athena:$backend/"

resolved=/lib/systemd/systemd-resolved
mkdir -p "$dir/run/systemd/resolve" "$dir/run/systemd/netif"
if [ -x "$resolved" ] && chown systemd-resolve: "$dir/run/systemd/resolve" 2>/dev/null; then
  mkdir -p /etc/systemd/resolved.conf.d
  cp "$dir/resolved.conf" /etc/systemd/resolved.conf.d/athena.conf
  mount --bind "$dir/run" /run
  # With nothing but a loopback interface it takes the network to be down.
  ip link add near type veth peer name far
  ip address add 192.0.2.1/24 dev near
  ip link set near up
  ip link set far up
  start "$resolved"
  until_ok answers_at @127.0.0.53
  echo "systemd-resolved:"; answers @127.0.0.53
else
  echo "systemd-resolved: not installed, or not for us to start"
fi
