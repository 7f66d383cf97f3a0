#!/usr/bin/env python3
"""Signs a sticky token for Athena.

    ATHENA_COOKIE__KEY='…' ./token.py MODE TARGET FARM EXPIRY

MODE is k (keep to the backend TARGET as long as it is up, else choose anew), p (pin to it whatever its state) or f (use
the farm TARGET instead of FARM). EXPIRY is in Unix seconds. In an application, call token() and set the result as the
cookie that [cookie] name says, or use it as the label in front of the farm.
"""

import hashlib
import hmac
import os
import sys


def token(key: bytes, mode: str, target: str, farm: str, expires: int) -> str:
    """MODE EXPIRY MAC "-" TARGET, all lower case; at most 62 octets, so it fits a DNS label."""
    if mode not in ("k", "p", "f"):
        raise ValueError(f"a mode is k, p or f, not {mode}")
    head, target, farm = f"{mode}{expires:08x}", target.lower(), farm.lower()
    mac = hmac.new(key, f"{head}-{target}.{farm}".encode(), hashlib.sha256).hexdigest()[:20]
    return f"{head}{mac}-{target}"


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(f"usage: {sys.argv[0]} k|p|f TARGET FARM EXPIRY")
    mode, target, farm, expires = sys.argv[1:]
    print(token(os.environb[b"ATHENA_COOKIE__KEY"], mode, target, farm, int(expires)))
