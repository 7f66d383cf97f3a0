"""Holds sockets as systemd does, and runs a program on them again and again.

    holder.py DNS_PORT HTTP_PORT EVERY SECONDS PROGRAM ARGUMENT...

Binds UDP and TCP on 127.0.0.1, hands them over as sd_listen_fds(3) says, and every EVERY seconds ends the program by
SIGTERM, waits for it, and starts it again; after SECONDS for the last time. Prints one line at the end: restarts, and the
longest time in ms between the end of one process and the notice READY=1 of the next.
"""

import os
import signal
import socket
import sys
import tempfile
import time

dns_port, http_port = int(sys.argv[1]), int(sys.argv[2])
every, seconds, program = float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]


def listener(kind, port):
    bound = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM:
        bound.listen(4096)
    return bound


held = [
    listener(socket.SOCK_DGRAM, dns_port),
    listener(socket.SOCK_STREAM, dns_port),
    listener(socket.SOCK_STREAM, http_port),
]
folder = tempfile.TemporaryDirectory()
notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.bind(folder.name + "/notify")
notices.settimeout(30)


def start():
    """Starts the program and waits until it is ready."""
    child = os.fork()
    if child == 0:
        # First out of the way of 3, 4 and 5, where they may lie across each other.
        for number, copy in enumerate([os.dup2(bound.fileno(), 50 + at) for at, bound in enumerate(held)]):
            os.dup2(copy, 3 + number)
            os.close(copy)
        os.environ.update(LISTEN_FDS=str(len(held)), LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=folder.name + "/notify")
        try:
            os.execvp(program[0], program)
        finally:
            os._exit(127)
    while b"READY=1" not in notices.recv(4096):
        pass
    return child


def stop(child):
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit("the program ended with %d" % os.waitstatus_to_exitcode(status))


restarts, longest = 0, 0.0
child = start()
print("ready", flush=True)
end = time.monotonic() + seconds
while time.monotonic() + every < end:
    time.sleep(every)
    stop(child)
    gone = time.monotonic()
    child = start()
    longest = max(longest, time.monotonic() - gone)
    restarts += 1
time.sleep(max(0, end - time.monotonic()))
stop(child)
print(restarts, round(longest * 1000))
