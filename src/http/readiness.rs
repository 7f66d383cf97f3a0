//! Whether we are ready to be asked, and if not, what we wait for: `/readyz`.
//!
//! The application names its conditions when it starts (listeners, states, peers) and reports each as done. Nothing
//! takes a condition back; only the stop of the process makes a ready Athena unready.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Named conditions, shared between whoever meets them and `/readyz`.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Conditions>);

#[derive(Debug, Default)]
struct Conditions {
    pending: Vec<String>,
    stopping: bool,
}

impl Readiness {
    /// Waits for these conditions; ready at once if there are none.
    pub fn new<T: Into<String>>(conditions: impl IntoIterator<Item = T>) -> Self {
        let pending = conditions.into_iter().map(Into::into).collect();
        Self(Mutex::new(Conditions { pending, stopping: false }))
    }

    /// Waits for one more: `dns listener 127.0.0.1:5300`.
    pub fn expect(&self, condition: impl Into<String>) {
        self.lock().pending.push(condition.into());
    }

    /// This condition is met. One that nobody waits for changes nothing.
    pub fn done(&self, condition: &str) {
        self.lock().pending.retain(|pending| pending != condition);
    }

    /// The process stops: not ready from now on, whatever was met.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// What is in the way, for people; empty: ready.
    pub fn obstacles(&self) -> Vec<String> {
        let conditions = self.lock();
        let waiting = conditions.pending.iter().map(|condition| format!("waiting for {condition}"));
        let stopping = conditions.stopping.then(|| "stopping".to_owned());
        stopping.into_iter().chain(waiting).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_condition_is_met_and_until_the_stop() {
        let readiness = Readiness::new(["states"]);
        readiness.expect("dns listener 127.0.0.1:5300");
        assert_eq!(readiness.obstacles(), ["waiting for states", "waiting for dns listener 127.0.0.1:5300"]);
        readiness.done("states");
        readiness.done("dns listener 127.0.0.1:5300");
        readiness.done("something else");
        assert!(readiness.obstacles().is_empty());
        readiness.stop();
        assert_eq!(readiness.obstacles(), ["stopping"]);
    }
}
