#!/usr/bin/env python3
"""Squid's url_rewrite_program: sends each request to the farm under a name of its own.

Squid writes lines `CHANNEL URL CLIENT USER METHOD COOKIES`; the answer is `CHANNEL OK rewrite-url="URL"`. What the client is
to stick by stands next to the farm's name: a token that the application signed (examples/tokens), or any other text,
which is hashed over the backends that are available. Nothing but these letters gets into a name.
"""

import re
import sys
import urllib.parse
import uuid

FARM = "farm_one.spares.athena:8000"
STICKY = re.compile(r"(?:^|;\s*)farm=(?:([kpf][0-9a-f]{28}-[A-Za-z0-9_-]{0,31}[A-Za-z0-9])|([A-Za-z0-9-]{0,39}[A-Za-z0-9]))(?:;|$)", re.ASCII)


def host(cookies):
    """The name to look up for a request with these cookies."""
    labels = [str(uuid.uuid4())]
    found = STICKY.search(cookies)
    if found:
        token, key = found.groups()
        labels.append(token or f"s-{key}")
    return ".".join([*labels, FARM])


def main():
    for line in sys.stdin:
        channel, url, *rest = line.split()
        cookies = urllib.parse.unquote(rest[-1]) if rest else ""
        path = urllib.parse.urlsplit(url)
        there = urllib.parse.urlunsplit(("http", host(cookies), path.path or "/", path.query, ""))
        print(f'{channel} OK rewrite-url="{there}"', flush=True)


if __name__ == "__main__":
    main()
