#!/usr/bin/env python3
"""Reports from inside a Python application: how busy it is, in numbers of its own, every few seconds.

    ATHENA_SERVER=http://10.0.0.53:8053 ./report.py app01 [SECONDS]

Run like this it reports for a pretended application. In your own, take the class:

    reporter = Reporter("app01", lambda: {"r": len(in_flight), "queue": jobs.qsize()})
    reporter.start()        # when the application can serve
    reporter.stop()         # when it no longer can

ATHENA_KEY is the key that access.update_key asks for, if it does. Nothing but the standard library is needed.
"""

import logging
import os
import signal
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

log = logging.getLogger("athena")


class Reporter:
    """Sends what `statistics` gives (name -> finite number) from a thread of its own. Never raises into the application,
    never holds it up, and says only when reports begin to fail and when they are taken again."""

    def __init__(self, backend, statistics, every=2.0, server=None, key=None):
        self.backend, self.statistics, self.every = backend, statistics, every
        self.server = (server or os.environ.get("ATHENA_SERVER") or "http://127.0.0.1:8053").rstrip("/")
        self.key = key or os.environ.get("ATHENA_KEY")
        self._stopping = threading.Event()
        self._failing = None
        # A daemon, so that it never keeps the process alive.
        self._thread = threading.Thread(target=self._run, name="athena-reporter", daemon=True)
        # Straight to Athena, whatever proxy the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self):
        self._thread.start()

    def stop(self):
        """Says farewell: nobody is sent here any more, without waiting for expect_update."""
        self._stopping.set()
        self._thread.join(timeout=self.every + 5)
        self._try({"i": "out"})

    def _run(self):
        while True:
            self._try(self.statistics)
            if self._stopping.wait(self.every):
                return

    def _try(self, values):
        try:
            self.send(values() if callable(values) else values)
        except Exception as error:  # an application must not fail because of its statistics
            if self._failing != str(error):
                log.warning("reports to %s fail: %s", self.server, error)
            self._failing = str(error)
        else:
            if self._failing is not None:
                log.warning("reports to %s are taken again", self.server)
            self._failing = None

    def send(self, values):
        """Sends one report; raises if it is not taken."""
        pairs = [("h", self.backend), *values.items()]
        query = ",".join(f"{name}={urllib.parse.quote(str(value), safe='')}" for name, value in pairs)
        request = urllib.request.Request(f"{self.server}/ath/update/phys/?{query}", method="POST")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        try:
            # A late report is worth nothing.
            with self._opener.open(request, timeout=5) as response:
                response.read(1024)
        except urllib.error.HTTPError as refusal:
            raise RuntimeError(refusal.read(400).decode("utf-8", "replace").strip()) from None


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} BACKEND [SECONDS]")
    logging.basicConfig(format="%(name)s: %(message)s")
    served = 0

    def statistics():
        global served
        served += 7
        # l: what the farm's formula looks at unless it says otherwise; n: requests taken so far; queue: our own name
        return {"l": os.getloadavg()[0], "n": served, "queue": threading.active_count()}

    reporter = Reporter(sys.argv[1], statistics, every=float(sys.argv[2]) if len(sys.argv) == 3 else 2.0)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reporter.start()
    stop.wait()
    reporter.stop()
