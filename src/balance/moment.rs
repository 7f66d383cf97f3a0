//! Time as an argument.
//!
//! The core never asks a clock. The edges give it a [`Moment`]: a count of nanoseconds since the Unix epoch that was
//! anchored to the wall clock once, when the process started, and from then on follows the monotonic clock. So a
//! moment orders events correctly when somebody sets the wall clock, can be shown as a date, and can be stored.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// Before everything else.
    pub const ZERO: Self = Self(0);

    /// The moment `since_epoch` after the Unix epoch; what lies beyond the year 2554 is taken as that year's end.
    pub fn from_unix(since_epoch: Duration) -> Self {
        Self(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment so many nanoseconds after the Unix epoch: the other way round from [`nanos`](Self::nanos).
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time since the Unix epoch.
    pub fn unix(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Nanoseconds since the Unix epoch.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same as [`since`](Self::since), in seconds.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 * 1e-9
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_never_runs_backwards_past_zero_or_over_the_end() {
        let early = Moment::from_unix(Duration::from_secs(5));
        let late = early + Duration::from_millis(1500);
        assert_eq!(late.since(early), Duration::from_millis(1500));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late + Duration::MAX, Moment(u64::MAX));
        assert_eq!(Moment::from_unix(Duration::MAX), Moment(u64::MAX));
        assert!((late.seconds_since(early) - 1.5).abs() < 1e-12);
    }
}
