//! A small reporter: the same report again and again, until SIGTERM or SIGINT.
//!
//! What goes wrong is no reason to end: an Athena that is restarted, not reached or not yet told of this backend is asked
//! again. stderr hears of it once, when it begins, and once when it is over.

use std::future::pending;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::Failure;
use super::super::client::{Query, Session};
use super::Report;
use super::system::System;
use crate::balance::random::{Random, SplitMix};

/// The longest pause after failures, unless reports are further apart anyway: an Athena that is back is told within this.
const LONGEST: Duration = Duration::from_secs(5);

/// Ends with the process's good end, or with what makes each further report useless: wrong use.
pub fn repeat(report: &Report, every: Duration) -> Result<(), Failure> {
    let broken =
        |error: std::io::Error| Failure::Refused(format!("cannot wait for reports and signals: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let outcome = runtime.block_on(async {
        let stop = Stop::new().map_err(broken)?;
        // A server that does not answer must not keep us from the next report for long.
        let patience = every.clamp(Duration::from_secs(1), Duration::from_secs(10));
        let session = report.client.session(patience)?;
        Repeating { report, every, session, said: None, stop }.run().await
    });
    // A request that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

struct Repeating<'a> {
    report: &'a Report,
    every: Duration,
    session: Session,
    /// What was said last of how it goes.
    said: Option<String>,
    stop: Stop,
}

impl Repeating<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut system = self.report.first_look()?;
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut random = SplitMix::from_system();
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                () = self.stop.come() => break,
                _ = ticks.tick() => {}
            }
            let sending = send(self.session.clone(), self.query(&mut system));
            let outcome = tokio::select! {
                biased;
                () = self.stop.come() => break,
                outcome = sending => outcome,
            };
            match outcome {
                Ok(()) => failures = 0,
                Err(failure @ Failure::Usage(_)) => return Err(failure),
                Err(failure) => {
                    self.say(format!("report of {}: {failure}; goes on trying", self.report.backend));
                    let pause = pause(self.every, failures, &mut random);
                    failures += 1;
                    tokio::select! {
                        biased;
                        () = self.stop.come() => break,
                        _ = timeout(pause, pending::<()>()) => ticks.reset_immediately(),
                    }
                    continue;
                }
            }
            let every = self.every.as_secs_f64();
            self.say(format!(
                "{} is reported to {} every {every} s",
                self.report.backend,
                self.session.server()
            ));
        }
        if self.report.last.is_empty() {
            return Ok(());
        }
        send(self.session, Ok(self.report.query(&self.report.last))).await
    }

    fn query(&self, system: &mut Option<System>) -> Result<Query, Failure> {
        let values = self.report.values_now(system.as_mut())?;
        Ok(self.report.query(&values))
    }

    /// Says how it goes, if that has changed.
    fn say(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            eprintln!("athena: {what}");
            self.said = Some(what);
        }
    }
}

/// Sends it, a second time if the first fails: the server may have closed the connection that was kept, and a value is
/// the same however often it is sent.
async fn send(session: Session, query: Result<Query, Failure>) -> Result<(), Failure> {
    let query = query?;
    let sent = tokio::task::spawn_blocking(move || match session.change("update/phys", &query) {
        Err(Failure::Unreachable { .. }) => session.change("update/phys", &query),
        other => other,
    });
    match sent.await {
        Ok(answer) => answer.map(drop),
        Err(error) => Err(Failure::Refused(format!("a report broke off: {error}"))),
    }
}

/// How long to wait after so many failures in a row: twice as long each time, and never all reporters at once.
fn pause(every: Duration, failures: u32, random: &mut dyn Random) -> Duration {
    let step = every.saturating_mul(1 << failures.min(16)).min(LONGEST.max(every));
    step.mul_f64(0.5 + random.unit() / 2.0)
}

/// SIGTERM or SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_that_is_never_shorter_than_the_pace() {
        let mut random = SplitMix::new(7);
        let mut pause =
            |every, failures| pause(Duration::from_secs(every), failures, &mut random).as_secs_f64();
        for (every, failures, step) in
            [(1, 0, 1.0), (1, 1, 2.0), (1, 2, 4.0), (1, 3, 5.0), (1, 99, 5.0), (60, 9, 60.0)]
        {
            let wait = pause(every, failures);
            assert!((step / 2.0..=step).contains(&wait), "{wait} of {step}");
        }
    }
}
