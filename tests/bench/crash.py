"""Changes states of a running Athena, kills it at random moments, and compares what the next process says.

    crash.py FOLDER PORT ROUNDS SEED PROGRAM

Several threads ask for changes, each for backends of its own, so that each knows what holds. What was asked for and not
answered when the kill came may hold or not; everything that was answered `ok` must. Prints one table, and exits with 1
if anything was lost.
"""

import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time

folder, port, rounds, seed, program = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
THREADS, EACH = 4, 3
NAMES = ["app%02d" % number for number in range(THREADS * EACH)]

os.makedirs(folder + "/crash", exist_ok=True)
with open(folder + "/crash/athena.toml", "w") as file:
    file.write('state_dir = "state"\n[dns]\nlisten = ["127.0.0.1:%d"]\nthreads = 1\n' % port)
    file.write('[http]\nlisten = ["127.0.0.1:%d"]\n[log]\nlevel = "error"\n[backends]\n' % (port + 1))
    file.writelines('%s = { address = "127.0.0.1" }\n' % name for name in NAMES)
    for thread in range(THREADS):
        own = NAMES[thread * EACH : (thread + 1) * EACH]
        file.write("[farms.farm%d]\nmembers = %s\n" % (thread, str(own).replace("'", '"')))


def start():
    """Starts the program and waits until it is ready; gives it and how long that took."""
    begun = time.monotonic()
    process = subprocess.Popen([program, "serve", "-c", folder + "/crash/athena.toml"], stderr=subprocess.PIPE)
    while True:
        if process.poll() is not None:
            sys.exit("it does not start: %s" % process.stderr.read().decode())
        try:
            asker = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=10)
            asker.request("GET", "/readyz")
            if asker.getresponse().status == 200:
                return process, time.monotonic() - begun
        except OSError:
            pass
        time.sleep(0.005)


def ask(path):
    asker = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=10)
    asker.request("GET", path)
    answer = asker.getresponse()
    return answer.status, answer.read().decode()


class Changer(threading.Thread):
    """Changes what is its own until it cannot; `known` holds what was answered, `open` what was not."""

    def __init__(self, number, known, dice):
        super().__init__()
        self.number, self.known, self.dice, self.open, self.answered = number, known, dice, None, 0

    def run(self):
        asker = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=10)
        own = NAMES[self.number * EACH : (self.number + 1) * EACH]
        try:
            while True:
                key = self.dice.choice([(name, axis) for name in own for axis in "svw"] + [("farm%d" % self.number, "s")])
                name, axis = key
                if name.startswith("farm"):
                    value = self.dice.choice(["on", "off"])
                    path = "farm/?n=%s,s=%s" % (name, value)
                else:
                    value = {"s": lambda: self.dice.choice(["on", "drain", "off"]),
                             "v": lambda: self.dice.choice(["up", "down"]),
                             "w": lambda: str(self.dice.randint(1, 1000))}[axis]()
                    path = "phys/?h=%s,%s=%s" % (name, {"v": "V"}.get(axis, axis), value)
                self.open = key, value
                asker.request("GET", "/ath/update/" + path)
                answer = asker.getresponse()
                body = answer.read()
                if (answer.status, body) != (200, b"ok\n"):
                    sys.exit("refused: %s: %s" % (path, body))
                self.known[key] = value
                self.open = None
                self.answered += 1
        except (OSError, http.client.HTTPException):
            pass


def stored():
    """What the process says of everything."""
    said = {}
    _, body = ask("/ath/status/phys/?f=%22%25h:%25s:%25v:%25w%22")
    for line in body.splitlines():
        name, admin, health, weight = line.split(":")
        said.update({(name, "s"): admin, (name, "v"): health, (name, "w"): weight})
    _, body = ask("/ath/status/farm/?f=%22%25n:%25s%22")
    said.update({(name, "s"): value for name, value in (line.split(":") for line in body.splitlines())})
    return said


dice = random.Random(seed)
known, answered, unanswered, half_way, lost, slowest = {}, 0, 0, 0, [], 0.0
process, _ = start()
for turn in range(rounds):
    changers = [Changer(number, {}, random.Random(dice.random())) for number in range(THREADS)]
    for changer in changers:
        changer.start()
    time.sleep(dice.random() * 0.15)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for changer in changers:
        changer.join()
        known.update(changer.known)
        answered += changer.answered
    process, took = start()
    slowest = max(slowest, took)
    said = stored()
    wishes = dict(changer.open for changer in changers if changer.open)
    unanswered += len(wishes)
    for key, value in known.items():
        if said.get(key) != value:
            if said.get(key) == wishes.get(key):
                half_way += 1
            else:
                lost.append("round %d: %s was answered as %s, but is %s" % (turn, key, value, said.get(key)))
    known = said
process.terminate()
process.wait()
for line in lost[:10]:
    print(line, file=sys.stderr)
print("| kills | changes answered | lost | unanswered at a kill | of these in force | slowest start ms |")
print("| --- | --- | --- | --- | --- | --- |")
print("| %d | %d | %d | %d | %d | %d |" % (rounds, answered, len(lost), unanswered, half_way, slowest * 1000))
sys.exit(bool(lost) or not answered)
