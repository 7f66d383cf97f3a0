# What reload.sh and restart.sh share beyond common.sh: a configuration that changes, questions, and dnsperf's figures.

. tests/bench/common.sh

# Writes the configuration: app01 to app03 in farm_one, and with `more` another farm, another TTL, another listener and
# another static record. What questions ask for stays as it is.
configure() { # folder dns-port http-port [more]
  local serial=1 record="" listen="" backend="" ttl="" farm=""
  if [ -n "${4:-}" ]; then
    serial=2
    record='other A 127.0.0.81'
    listen=", \"127.0.0.1:$(($2 + 1))\""
    backend='app04 = { address = "127.0.0.14" }'
    ttl=', ttl = 7'
    farm='farm_two = { members = ["app04"] }'
  fi
  cat >"$1/athena.zone" <<ZONE
\$ORIGIN athena.
\$TTL 60
@ SOA ns hostmaster $serial 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
www A 127.0.0.80
$record
ZONE
  # Moved into place, so that nobody reads half of it.
  cat >"$1/athena.toml.new" <<CONFIG
zone = "athena."
zone_file = "athena.zone"
state_dir = "state"
[dns]
listen = ["127.0.0.1:$2"$listen]
threads = 1
[http]
listen = ["127.0.0.1:$3"]
[backends]
app01 = { address = "127.0.0.11" }
app02 = { address = "127.0.0.12" }
app03 = { address = "127.0.0.13" }
$backend
[farms]
farm_one = { members = ["app01", "app02", "app03"], algorithm = "round-robin"$ttl }
$farm
CONFIG
  mv "$1/athena.toml.new" "$1/athena.toml"
}

# What dnsperf asks: two questions for the farm, one for the zone; all exist under both configurations.
questions() { # folder
  printf '%s\n' "farm_one.athena A" "any.label.farm_one.athena A" "www.athena A" >"$1/questions"
}

load() { # folder dns-port seconds
  dnsperf -s 127.0.0.1 -p "$2" -d "$1/questions" -l "$3" -c8 -q100 -t5 ${rate:+-Q "$rate"} >"$1/dnsperf" 2>"$1/dnsperf.err"
}

# sent, answered, lost, not NOERROR, answers per second
figures() { # folder
  awk '
    /Queries sent/ { sent = $3 }
    /Queries completed/ { answers = $3 }
    /Queries lost/ { lost = $3 }
    /Queries per second/ { rate = $4 }
    /Response codes/ { for (i = 3; i <= NF; i++) if ($i == "NOERROR") fine = $(i + 1) }
    END { printf "%d %d %d %d %d\n", sent, answers, lost, answers - fine, rate }' "$1/dnsperf"
}

code() { # http-port resource format
  curl -sf "http://127.0.0.1:$1/ath/status/$2/?f=%25$3"
}

# What stands under the table's title.
where() {
  echo "$(machine); $("$athena" --version)"
}
