#!/bin/sh
# Signs a sticky token for Athena in plain shell, with openssl for SHA-256.
#
#   ATHENA_COOKIE__KEY='…' ./token.sh MODE TARGET FARM EXPIRY
#
#   MODE    k  keep to the backend TARGET as long as it is up (on or drain), else choose anew
#           p  pin to the backend TARGET, whatever its state
#           f  use the farm TARGET instead of FARM
#   EXPIRY  Unix seconds, such as $(($(date +%s) + 3600)) for an hour from now
#
# Prints TOKEN = MODE EXPIRY MAC "-" TARGET. Ask for TOKEN.FARM.athena, or …/ath/balance/?FARM,t=TOKEN, or set it as the
# cookie that [cookie] name says. MAC is the first 20 hex digits of HMAC-SHA256(key, MODE EXPIRY "-" TARGET "." FARM).
#
# The HMAC is put together here (RFC 2104) because openssl takes its key as an argument only, where every user of the
# machine can see it; printf is a part of the shell, and what it prints goes through pipes.
set -eu
LC_ALL=C
export LC_ALL

key=${ATHENA_COOKIE__KEY:?is the key that [cookie] key of Athena holds}
[ $# -eq 4 ] || { echo "usage: $0 k|p|f TARGET FARM EXPIRY" >&2; exit 2; }
case $1 in k | p | f) ;; *) echo "$0: a mode is k, p or f, not $1" >&2; exit 2 ;; esac

# Names have no letter case; what is signed is in lower case.
head=$(printf '%s%08x' "$1" "$4")
text=$(printf '%s-%s.%s' "$head" "$2" "$3" | tr 'A-Z' 'a-z')

hex() { od -An -v -tx1 | tr -d ' \n'; }

key=$(printf '%s' "$key" | hex)
# A key longer than SHA-256's block is hashed first; a shorter one is filled up with zeros.
[ ${#key} -le 128 ] || key=$(printf '%s' "$ATHENA_COOKIE__KEY" | openssl dgst -sha256 -binary | hex)
while [ ${#key} -lt 128 ]; do key=${key}00; done

# The key's octets, each combined with $1.
pad() {
    rest=$key
    while [ -n "$rest" ]; do
        octet=${rest%"${rest#??}"}
        rest=${rest#??}
        printf "\\$(printf '%03o' $((0x$octet ^ $1)))"
    done
}

mac=$({
    pad 92
    { pad 54; printf '%s' "$text"; } | openssl dgst -sha256 -binary
} | openssl dgst -sha256 -binary | hex | cut -c1-20)
printf '%s%s-%s\n' "$head" "$mac" "$2" | tr 'A-Z' 'a-z'
