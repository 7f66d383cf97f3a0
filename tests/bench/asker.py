"""Asks over and over and looks into every answer; dnsperf only counts codes.

    asker.py DNS_PORT HTTP_PORT SECONDS RIGHT WRONG

DNS over UDP and the text protocol over HTTP in turn, one question at a time on 127.0.0.1, HTTP on a new connection each.
RIGHT are the addresses that farm_one may answer with, WRONG the one of a drained member; separated by commas. Prints
one line: questions, lost and wrong of DNS, then those of HTTP, and the longest wait in ms.
"""

import secrets
import socket
import struct
import sys
import time

dns_port, http_port, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
right, drained = set(sys.argv[4].split(",")), sys.argv[5]
PATIENCE = 5  # as dnsperf


def question(number, name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", number, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def dns(name):
    """The addresses in the answer, or the response code as a word; None: lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.connect(("127.0.0.1", dns_port))
        number = secrets.randbelow(65536)
        asked = question(number, name)
        try:
            asker.send(asked)
            reply = asker.recv(4096)
        except OSError:
            return None
    found, flags, _, answers, _, _ = struct.unpack(">6H", reply[:12])
    if found != number or flags & 15:
        return ["code %d" % (flags & 15)]
    # Each answer: a pointer to the question's name, type, class, TTL, length, address.
    place, addresses = len(asked), []
    for _ in range(answers):
        kind, _, _, length = struct.unpack(">2HIH", reply[place + 2 : place + 12])
        if kind == 1:
            addresses.append(socket.inet_ntoa(reply[place + 12 : place + 16]))
        place += 12 + length
    return addresses


def http():
    try:
        with socket.create_connection(("127.0.0.1", http_port), PATIENCE) as asker:
            asker.sendall(b"GET /ath/balance/?farm_one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            reply = b""
            while part := asker.recv(4096):
                reply += part
    except OSError:
        return None
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head:
        return None
    return [body.decode().strip()] if b" 200 " in head.split(b"\r\n")[0] else [head.decode()]


counts = {"dns": [0, 0, 0], "http": [0, 0, 0]}
longest, shown = 0.0, 0
end = time.monotonic() + seconds
turn = 0
while time.monotonic() < end:
    turn += 1
    what, ask, expected = [
        ("dns", lambda: dns("farm_one.athena"), right),
        ("dns", lambda: dns("any.label.farm_one.athena"), right),
        ("dns", lambda: dns("www.athena"), {"127.0.0.80"}),
        ("http", http, right),
    ][turn % 4]
    begun = time.monotonic()
    answer = ask()
    longest = max(longest, time.monotonic() - begun)
    counts[what][0] += 1
    if answer is None:
        counts[what][1] += 1
    elif len(answer) != 1 or answer[0] not in expected or answer[0] == drained:
        counts[what][2] += 1
        if shown < 5:
            print("wrong:", what, turn % 4, answer, file=sys.stderr)
            shown += 1
print(*counts["dns"], *counts["http"], round(longest * 1000))
