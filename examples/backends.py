#!/usr/bin/env python3
"""Backends for the examples: HTTP servers that answer every request with their name.

    backends.py PORT app01=127.0.1.1 app02=127.0.1.2 ...

Runs until it is told to stop.
"""

import socketserver
import sys
import threading


class Request(socketserver.StreamRequestHandler):
    """Reads one request without a body and answers it."""

    timeout = 10

    def handle(self):
        line = self.rfile.readline(8192)
        while line.strip():
            line = self.rfile.readline(8192)
        body = f"{self.server.name}\n".encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + body)


class Backend(socketserver.ThreadingTCPServer):
    """One backend."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, name, address):
        super().__init__(address, Request)
        self.name = name

    def handle_error(self, request, client_address):
        """A client that went away, or a check that sends nothing, is none of our business."""


def main():
    port, *named = sys.argv[1:]
    pairs = (one.split("=", 1) for one in named)
    backends = [Backend(name, (address, int(port))) for name, address in pairs]
    threads = [threading.Thread(target=backend.serve_forever) for backend in backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
