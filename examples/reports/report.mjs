#!/usr/bin/env node
// Reports from inside a Node application: how far its event loop lags, and what it has in flight.
//
//   ATHENA_SERVER=http://10.0.0.53:8053 ./report.mjs app01 [SECONDS]
//
// Run like this it reports for a pretended application. In your own:
//
//   import { reporter } from "./report.mjs";
//   const stop = reporter("app01", () => ({ r: inFlight, queue: jobs.length }));   // when it can serve
//   process.on("SIGTERM", async () => { await stop(); server.close(); });           // when it no longer can
//
// ATHENA_KEY is the key that access.update_key asks for, if it does. Node 18 or later, and nothing else.

import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

/**
 * Reports what `statistics` gives (names and finite numbers) every so many seconds, beside `u`, the part of the time that
 * the event loop was busy, and `lag`, the worst delay of a timer in milliseconds. Never throws into the application and
 * never keeps the process alive. Gives a function that stops it and says farewell.
 */
export function reporter(backend, statistics, every = 2) {
  const server = (process.env.ATHENA_SERVER || "http://127.0.0.1:8053").replace(/\/+$/, "");
  const headers = process.env.ATHENA_KEY ? { authorization: `Bearer ${process.env.ATHENA_KEY}` } : {};
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let busy = performance.eventLoopUtilization();
  let failing = null;

  async function send(values) {
    const pairs = Object.entries({ h: backend, ...values }).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    try {
      const response = await fetch(`${server}/ath/update/phys/?${pairs.join(",")}`, {
        method: "POST",
        headers,
        redirect: "error",
        signal: AbortSignal.timeout(5000), // a late report is worth nothing
      });
      const answer = (await response.text()).trim();
      if (!response.ok) throw new Error(answer);
      if (failing !== null) console.warn(`athena: reports to ${server} are taken again`);
      failing = null;
    } catch (error) {
      // One line when it begins, not one for each report.
      const why = error.cause?.message || error.cause?.code || error.message;
      if (failing !== why) console.warn(`athena: reports to ${server} fail: ${why}`);
      failing = why;
    }
  }

  async function report() {
    const now = performance.eventLoopUtilization();
    const u = performance.eventLoopUtilization(now, busy).utilization;
    busy = now;
    const lag = Number.isFinite(delay.max) ? delay.max / 1e6 : 0;
    delay.reset();
    await send({ u: u.toFixed(4), lag: lag.toFixed(3), ...statistics() });
  }

  report();
  const timer = setInterval(report, every * 1000);
  timer.unref();
  return async () => {
    clearInterval(timer);
    delay.disable();
    await send({ i: "out" });
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [backend, seconds] = process.argv.slice(2);
  if (!backend || process.argv.length > 4) {
    console.error("usage: report.mjs BACKEND [SECONDS]");
    process.exit(2);
  }
  let served = 0;
  // n: requests taken so far
  const stop = reporter(backend, () => ({ n: (served += 7), r: 1 }), Number(seconds || 2));
  const forever = setInterval(() => {}, 1 << 30);
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, async () => {
      await stop();
      clearInterval(forever);
    });
  }
}
