//! The one place that reads clocks: the edges ask it, the core is told.

use std::time::{Duration, Instant, SystemTime};

use crate::balance::Moment;

/// A clock that was set by the wall once and from then on follows the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall: Duration,
    started: Instant,
}

impl Clock {
    /// Set by the wall clock now; one that stands before 1970 counts as 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { wall, started: Instant::now() }
    }

    /// The same in the words of std, for libraries that ask for them.
    pub fn instant(&self) -> Instant {
        self.started + self.started.elapsed()
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::from_unix(self.wall + self.started.elapsed())
    }
}
