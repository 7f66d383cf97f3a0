//! How far a long simulation is, on stderr, if that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::balance::Moment;
use crate::clock::Clock;

/// A line that tells how far we are, and is gone in the end.
pub struct Bar {
    clock: Clock,
    started: Moment,
    shown: Option<Moment>,
    visible: bool,
    jobs: usize,
}

/// How often it is drawn at most.
const PAUSE: Duration = Duration::from_millis(200);

impl Bar {
    /// Begins with `jobs` to do.
    pub fn new(jobs: usize) -> Self {
        let clock = Clock::start();
        let visible = io::stderr().is_terminal();
        Self { clock, started: clock.now(), shown: None, visible, jobs }
    }

    /// Tells that so many are done.
    pub fn show(&mut self, finished: usize) {
        let now = self.clock.now();
        if !self.visible || self.shown.is_some_and(|shown| now.since(shown) < PAUSE) {
            return;
        }
        self.shown = Some(now);
        let so_far = now.seconds_since(self.started);
        let left = so_far / finished.max(1) as f64 * self.jobs.saturating_sub(finished) as f64;
        let jobs = self.jobs;
        // A terminal that is gone is no reason to stop.
        let _ = write!(
            io::stderr(),
            "\r{finished} of {jobs} runs, {so_far:.0} s so far, about {left:.0} s left\x1b[K"
        );
    }

    /// Takes the line away, for what is printed next.
    pub fn hide(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
