#!/usr/bin/env bash
# Three rules side by side, live: for each of them a farm of ten small HTTP backends with a real queue each, which report
# their queue in real time to a real Athena; requests that find their backend by a real DNS answer; and a table of how long
# they took. All three farms run at the same time and get the same requests at the same times, so that whatever else the
# machine does hits all of them. Needs python3; loopback addresses, free ports, a temporary folder, all gone at the end.
#
#   examples/live/run.sh [--unequal] [--every SECONDS] [--service SECONDS] [--rho PART] [--warm N] [--seconds N] [--seed N]
#                        [RULE ...]
#
# --unequal: half of the backends are twice as fast, and nobody tells Athena. Rules: adaptive round-robin least-load.
# ATHENA names the program; the default is the one that `cargo build --release` made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
athena=${ATHENA:-$here/../../target/release/athena}
unequal=0 every=8 rho=0.85 seconds=300 warm=120 service=0.4 count=10 seed=1
rules=()
while [ $# -gt 0 ]; do
  case $1 in
    --unequal) unequal=1 ;;
    --every) every=$2; shift ;;
    --service) service=$2; shift ;;
    --rho) rho=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --warm) warm=$2; shift ;;
    --seed) seed=$2; shift ;;
    -*) echo "no option $1; see the head of $0" >&2; exit 2 ;;
    *) rules+=("$1") ;;
  esac
  shift
done
[ ${#rules[@]} -gt 0 ] || rules=(adaptive round-robin least-load)
[ -x "$athena" ] || { echo "no program at $athena: run cargo build --release, or set ATHENA" >&2; exit 2; }
rate=$(python3 -c "print($rho * $count / $service)")

dir=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT

# Ports on which nobody answers on any of our addresses.
read -r dns http web < <(python3 - "$count" "${#rules[@]}" <<'PYTHON'
import random, socket, sys
addresses = ["127.0.0.1"] + [f"127.1.{farm}.{number}" for farm in range(1, int(sys.argv[2]) + 1)
                             for number in range(1, int(sys.argv[1]) + 1)]
def free(port):
    for address in addresses:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as one:
                try:
                    one.bind((address, port))
                except OSError:
                    return False
    return True
ports = []
while len(ports) < 3:
    port = random.randrange(20000, 32000)
    if port not in ports and free(port):
        ports.append(port)
print(*ports)
PYTHON
)

{
  echo "zone = \"athena.\""
  echo "[dns]"; echo "listen = [\"127.0.0.1:$dns\"]"
  echo "[http]"; echo "listen = [\"127.0.0.1:$http\"]"
  echo "[backends]"
  for farm in "${!rules[@]}"; do for number in $(seq "$count"); do
    printf 'f%d-%02d = { address = "127.1.%d.%d", port = %d }\n' "$farm" "$number" $((farm + 1)) "$number" "$web"
  done; done
  for farm in "${!rules[@]}"; do
    echo "[farms.live$farm]"
    echo "algorithm = \"${rules[$farm]}\""
    echo "members = [$(for number in $(seq "$count"); do printf '"f%d-%02d",' "$farm" "$number"; done)]"
  done
} >"$dir/athena.toml"
"$athena" check -c "$dir/athena.toml" >/dev/null

"$athena" serve -c "$dir/athena.toml" >"$dir/athena.log" 2>&1 & pids+=($!)
curl -sf --retry 50 --retry-delay 0 --retry-connrefused --retry-all-errors --max-time 10 -o /dev/null \
  "http://127.0.0.1:$http/readyz" || { cat "$dir/athena.log" >&2; exit 1; }
for farm in "${!rules[@]}"; do
  mkfifo "$dir/ready$farm"
  python3 "$here/live.py" backends "f$farm-" "127.1.$((farm + 1))" "$count" "$web" "127.0.0.1:$http" "$every" \
    "$unequal" >"$dir/ready$farm" & pids+=($!)
  read -r _ <"$dir/ready$farm"
done

echo "10 backends a rule, $([ $unequal = 1 ] && echo 'half of them twice as fast' || echo 'all alike'), $rate requests/s \
(ρ = $rho), $service s of work each, a report every $every s; $warm s to warm up, $seconds s that count"
clients=()
for farm in "${!rules[@]}"; do
  python3 "$here/live.py" clients "live$farm.athena." "127.0.0.1:$dns" "$web" "$rate" "$service" "$warm" "$seconds" "$seed" \
    >"$dir/result$farm" & clients+=($!)
done
for client in "${clients[@]}"; do wait "$client"; done

python3 - "$dir" "$count" "$unequal" "${rules[@]}" <<'PYTHON'
import json, sys
folder, count, unequal, *rules = sys.argv[1:]
print(f"{'rule':<14}{'requests':>9}{'failed':>8}{'mean ms':>9}{'p99 ms':>9}{'worst share':>13}")
for farm, rule in enumerate(rules):
    result = json.load(open(f"{folder}/result{farm}"))
    def fair(name):
        speed = 1.0 if unequal == "0" else (2 / 3 if int(name[-2:]) % 2 else 4 / 3)
        return result["requests"] * speed / int(count)
    worst = max((taken / fair(name) for name, taken in result["by_whom"].items()), default=0)
    print(f"{rule:<14}{result['requests']:>9}{result['failed']:>8}{1000 * result['mean']:>9.0f}{1000 * result['p99']:>9.0f}{worst:>13.2f}")
PYTHON
