//! What is known of the looks that we take at backends: checks and scrapes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

/// Checks and scrapes.
#[derive(Debug, Default)]
pub struct ProbeMetrics {
    /// Active checks.
    pub checks: Outcomes,
    /// Statistics fetched.
    pub scrapes: Outcomes,
    /// Backends that are checked, in the order of the configuration.
    pub checked: ArcSwap<Vec<Arc<ProbeState>>>,
    /// Backends whose statistics are fetched, in the order of the configuration.
    pub scraped: ArcSwap<Vec<Arc<ProbeState>>>,
}

/// Why a look came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeReason {
    /// Our own machine could not try, or there is no address to try.
    Local,
    /// No connection.
    Connect,
    /// Not in time.
    Timeout,
    /// TLS.
    Tls,
    /// It broke off, or its answer is not HTTP.
    Http,
    /// Not the status that was expected.
    Status,
    /// A page that is too long.
    Size,
    /// A page that says nothing of use.
    Nonsense,
}

impl ProbeReason {
    /// All of them with their words, in the order of the type.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Local, "local"),
        (Self::Connect, "connect"),
        (Self::Timeout, "timeout"),
        (Self::Tls, "tls"),
        (Self::Http, "http"),
        (Self::Status, "status"),
        (Self::Size, "size"),
        (Self::Nonsense, "nonsense"),
    ];
}

/// How looks went.
#[derive(Debug, Default)]
pub struct Outcomes {
    succeeded: AtomicU64,
    failed: [AtomicU64; ProbeReason::ALL.len()],
}

impl Outcomes {
    /// Counts one: it succeeded, or failed for this reason.
    pub fn count(&self, failure: Option<ProbeReason>) {
        let counter = failure.map_or(&self.succeeded, |reason| &self.failed[reason as usize]);
        counter.fetch_add(1, Relaxed);
    }

    /// Each outcome by its word, and how often it was met.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let failed = ProbeReason::ALL.iter().zip(&self.failed);
        std::iter::once(("ok", self.succeeded.load(Relaxed)))
            .chain(failed.map(|((_, word), count)| (*word, count.load(Relaxed))))
    }
}

/// What is known of the looks of one kind at one backend.
#[derive(Debug)]
pub struct ProbeState {
    /// The backend.
    pub backend: String,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// How long the last one took, in nanoseconds.
    took: AtomicU64,
    /// Whether the last one succeeded.
    is_good: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl ProbeState {
    /// One that was not looked at yet.
    pub fn new(backend: String) -> Self {
        Self {
            backend,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            took: AtomicU64::new(0),
            is_good: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }
    }

    /// Notes how a look went, and how long it took.
    pub fn note(&self, succeeded: bool, took: Duration) {
        let counter = if succeeded { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Relaxed);
        self.took.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.is_good.store(succeeded, Relaxed);
    }

    /// How many succeeded, and how many failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.succeeded.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Whether the last one succeeded, and how long it took; `None` before the first.
    pub fn last(&self) -> Option<(bool, Duration)> {
        let (succeeded, failed) = self.counts();
        let took = Duration::from_nanos(self.took.load(Relaxed));
        (succeeded + failed > 0).then(|| (self.is_good.load(Relaxed), took))
    }

    /// What is in the way, as it was told last.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is in the way, or that nothing is; gives what was before.
    pub fn set_trouble(&self, trouble: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_their_words() {
        let outcomes = Outcomes::default();
        for (place, (reason, _)) in ProbeReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
        outcomes.count(None);
        outcomes.count(Some(ProbeReason::Nonsense));
        outcomes.count(Some(ProbeReason::Nonsense));
        let each: Vec<_> = outcomes.each().filter(|(_, count)| *count > 0).collect();
        assert_eq!(each, [("ok", 1), ("nonsense", 2)]);
    }

    #[test]
    fn the_last_look_is_remembered() {
        let state = ProbeState::new("app01".to_owned());
        assert_eq!(state.last(), None);
        state.note(false, Duration::from_secs(2));
        state.note(true, Duration::from_millis(3));
        assert_eq!((state.last(), state.counts()), (Some((true, Duration::from_millis(3))), (1, 1)));
        assert_eq!(state.set_trouble(Some("x".into())), None);
        assert_eq!(state.trouble().as_deref(), Some("x"));
    }
}
