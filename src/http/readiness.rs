//! Whether we are ready to be asked, and if not, what we wait for: `/readyz`.
//!
//! The application names its conditions when it starts (listeners, states, peers) and reports each as done. Nothing
//! takes a condition back; only the stop of the process makes a ready Athena unready.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Named conditions, shared between whoever meets them and `/readyz`.
#[derive(Default)]
pub struct Readiness {
    conditions: Mutex<Conditions>,
    trouble: OnceLock<Trouble>,
}

/// Asked for what is wrong though service goes on.
type Trouble = Box<dyn Fn() -> Option<String> + Send + Sync>;

#[derive(Debug, Default)]
struct Conditions {
    pending: Vec<String>,
    stopping: bool,
}

impl Readiness {
    /// Waits for these conditions; ready at once if there are none.
    pub fn new<T: Into<String>>(conditions: impl IntoIterator<Item = T>) -> Self {
        let pending = conditions.into_iter().map(Into::into).collect();
        Self { conditions: Mutex::new(Conditions { pending, stopping: false }), trouble: OnceLock::new() }
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

    /// Names who is asked for [`trouble`](Self::trouble) from now on. Only the first call counts.
    pub fn watch(&self, trouble: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let _ = self.trouble.set(Box::new(trouble));
    }

    /// What is wrong though service goes on: states that cannot be stored. It makes nobody unready, since queries are
    /// answered as ever.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.get().and_then(|trouble| trouble())
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn trouble_is_told_while_it_lasts_and_is_no_obstacle() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        let full = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&full);
        let readiness = Readiness::default();
        assert_eq!(readiness.trouble(), None);
        readiness.watch(move || asked.load(Ordering::Relaxed).then(|| "the disk is full".to_owned()));
        assert_eq!(readiness.trouble().as_deref(), Some("the disk is full"));
        assert!(readiness.obstacles().is_empty());
        full.store(false, Ordering::Relaxed);
        assert_eq!(readiness.trouble(), None);
    }
}
