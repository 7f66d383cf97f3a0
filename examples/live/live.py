#!/usr/bin/env python3
"""What examples/live/run.sh runs: backends with a real queue each, and clients that ask a real Athena by DNS.

  live.py backends NAME FIRST COUNT PORT ATHENA EVERY UNEQUAL   COUNT servers, in one process
  live.py clients FARM DNS PORT RATE SERVICE WARM SECONDS SEED   the requests of one farm, in one process

A backend serves one request at a time, in the order in which they came; the others wait. It reports how many requests
are in it, with one HTTP GET to Athena every EVERY seconds. The work of a request comes with it (so that all farms get the
same work at the same times), drawn from the exponential law; a fast backend does it in less time.
Only Python's standard library."""

import asyncio
import json
import random
import struct
import sys
import time


class Backend:
    """One HTTP server: requests wait in a queue for its one worker."""

    def __init__(self, name, address, port, speed):
        self.name, self.address, self.port, self.speed = name, address, port, speed
        self.queue = asyncio.Queue()
        self.inside = 0

    async def run(self, athena, every, phase, ready):
        async with await asyncio.start_server(self.take, self.address, self.port, backlog=1024):
            ready()
            await asyncio.gather(self.work(), self.report(athena, every, phase))

    async def take(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            work = float(head.split(b" ", 2)[1].rsplit(b"/", 1)[1])
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError, ConnectionError):
            writer.close()
            return
        self.inside += 1
        done = asyncio.get_running_loop().create_future()
        await self.queue.put((work, done))
        await done
        self.inside -= 1
        body = self.name.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        try:
            await writer.drain()
            writer.close()
        except ConnectionError:
            pass

    async def work(self):
        # When the worker is free again, by the clock: a busy machine wakes us late, and that is not to add up.
        free = time.monotonic()
        while True:
            idle = self.queue.empty()
            work, done = await self.queue.get()
            free = (time.monotonic() if idle else free) + work / self.speed
            await asyncio.sleep(max(0.0, free - time.monotonic()))
            done.set_result(None)

    async def report(self, athena, every, phase):
        host, port = athena.rsplit(":", 1)
        due = time.monotonic() + phase * every
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                request = f"GET /ath/update/phys/?h={self.name},l={self.inside} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
                writer.write(request.encode())
                answer = await reader.read()
                writer.close()
                if b" 200 " not in answer.split(b"\r\n", 1)[0]:
                    print(f"{self.name}: Athena says {answer.decode(errors='replace').strip()!r}", file=sys.stderr)
            except OSError as why:
                print(f"{self.name}: cannot report: {why}", file=sys.stderr)


async def backends(name, first, count, port, athena, every, unequal):
    chance = random.Random(name)
    waiting = count

    def ready():
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            print("ready", flush=True)

    running = []
    for number in range(1, count + 1):
        speed = (2 / 3 if number % 2 else 4 / 3) if unequal else 1.0
        backend = Backend(f"{name}{number:02}", f"{first}.{number}", port, speed)
        running.append(backend.run(athena, every, chance.random(), ready))
    await asyncio.gather(*running)


class Resolver(asyncio.DatagramProtocol):
    """Real DNS queries over UDP, each a question of its own."""

    def __init__(self):
        self.waiting = {}
        self.next = random.randrange(65536)

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _):
        waiting = self.waiting.pop(data[:2], None)
        if waiting is not None and not waiting.done():
            waiting.set_result(data)

    async def ask(self, name):
        self.next = (self.next + 1) % 65536
        number = struct.pack("!H", self.next)
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split("."))
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.transport.sendto(number + struct.pack("!HHHHH", 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1))
        data = await asyncio.wait_for(self.waiting[number], 5)
        flags, _, answers = struct.unpack("!HHH", data[2:8])
        if flags & 15 or not answers:
            raise OSError(f"{name}: RCODE {flags & 15}, {answers} answers")
        # The question as we sent it, then a pointer to its name, type, class, TTL, length, address.
        at = 12 + len(labels) + 1 + 4 + 2 + 8
        if struct.unpack("!H", data[at : at + 2])[0] != 4:
            raise OSError(f"{name}: no address in the answer")
        return ".".join(map(str, data[at + 2 : at + 6]))


async def clients(farm, dns, port, rate, service, warm, seconds, seed):
    host, dns_port = dns.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, resolver = await loop.create_datagram_endpoint(Resolver, remote_addr=(host, int(dns_port)))
    times, by_whom, failed = [], {}, 0

    async def request(work, counts):
        nonlocal failed
        begun = time.monotonic()
        try:
            address = await resolver.ask(farm)
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(f"GET /{work:.9f} HTTP/1.1\r\nhost: {farm}\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            if b" 200 " not in answer.split(b"\r\n", 1)[0]:
                raise OSError("no answer")
        except (OSError, asyncio.TimeoutError):
            failed += counts
            return
        if counts:
            times.append(time.monotonic() - begun)
            name = answer.rsplit(b"\r\n", 1)[1].decode()
            by_whom[name] = by_whom.get(name, 0) + 1

    chance = random.Random(seed)
    started = time.monotonic()
    due, tasks = 0.0, set()
    while due < warm + seconds:
        due += chance.expovariate(rate)
        work = chance.expovariate(1 / service)
        await asyncio.sleep(max(0.0, started + due - time.monotonic()))
        task = asyncio.create_task(request(work, due >= warm))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    # All that came are waited for, however long the queues are.
    await asyncio.gather(*list(tasks))
    times.sort()
    print(json.dumps({
        "requests": len(times),
        "failed": failed,
        "mean": sum(times) / max(1, len(times)),
        "p99": times[min(len(times) - 1, len(times) * 99 // 100)] if times else 0,
        "by_whom": by_whom,
    }))


def main():
    what, *words = sys.argv[1:]
    if what == "backends":
        name, first, count, port, athena, every, unequal = words
        asyncio.run(backends(name, first, int(count), int(port), athena, float(every), unequal == "1"))
    else:
        farm, dns, port, rate, service, warm, seconds, seed = words
        asyncio.run(clients(farm, dns, int(port), float(rate), float(service), float(warm), float(seconds), int(seed)))


main()
