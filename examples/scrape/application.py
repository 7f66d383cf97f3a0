"""An application that reports nothing but has pages: a Prometheus exporter and a state as JSON.

    python3 application.py ADDRESS PORT CONNECTIONS

answers /metrics and /status.json with so many connections, /healthz with 204, and everything else with its name.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

address, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

METRICS = f"""# TYPE node_load1 gauge
node_load1 0.25
# TYPE http_connections gauge
http_connections{{state="reading"}} 1
http_connections{{state="writing"}} {connections - 1}
http_connections{{state="idle"}} 40
"""
STATE = {"connections": {"active": connections}, "pools": [{"queue": 2}, {"queue": 3}]}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        status, kind, body = 200, "text/plain; version=0.0.4", f"application on {address}\n"
        if self.path == "/metrics":
            body = METRICS
        elif self.path == "/status.json":
            kind, body = "application/json", json.dumps(STATE)
        elif self.path == "/healthz":
            status, body = 204, ""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


ThreadingHTTPServer((address, port), Pages).serve_forever()
