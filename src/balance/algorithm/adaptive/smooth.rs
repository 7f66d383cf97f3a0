//! Loads that the sender averaged before it told them: what they were.
//!
//! What is averaged exponentially over s seconds moves by (load − told)/s a second. So of two reports follows the mean load
//! between them: (told − before·k)/(1 − k), with k = exp(−span/s). Where reports come thick that multiplies whatever is
//! rough in what is told (it is rounded, or measured seldom) by s/span. So there are two readings: since the last report,
//! and since one that is at least s/[`ROUGH`] old. Whichever is nearer to what is read next, by the squares, is believed:
//! the first where averages are exact, the second where they are not. Either is a mean, so it is the load of the middle of
//! its time; the learner lets it go on from there.

use super::super::super::moment::Moment;

/// The longer reading spans at least this part of the averaging.
const ROUGH: f64 = 256.0;
/// Comparisons over which it is learned which reading is the nearer one.
const MEMORY: f64 = 256.0;
/// Readings are not taken to be further apart than this, so that squares stay finite.
const MOST_APART: f64 = 1e100;

/// How the members of a farm average.
#[derive(Debug)]
pub struct Smoothing {
    /// The span that they average over, greater than 0.
    seconds: f64,
    /// Mean squares of how far what is read next was from the reading since the last report, and from the longer one.
    errors: [f64; 2],
    compared: f64,
}

/// Where a reading of one member starts, and what it read last.
#[derive(Debug, Clone, Copy)]
struct Mark {
    told: f64,
    at: Moment,
    load: f64,
}

/// The two readings of one member: since its last report, and the longer one.
#[derive(Debug, Clone)]
pub struct Readings([Mark; 2]);

impl Readings {
    /// After the first report.
    pub fn new(told: f64, at: Moment) -> Self {
        Self([Mark { told, at, load: told }; 2])
    }
}

impl Smoothing {
    /// Of members that average over so many seconds, more than 0.
    pub fn new(seconds: f64) -> Self {
        Self { seconds, errors: [0.0; 2], compared: 0.0 }
    }

    /// The mean load since the last report that gave one; `None` if the time since then is too short to tell.
    pub fn read(&mut self, readings: &mut Readings, told: f64, now: Moment) -> Option<f64> {
        let before = readings.0.map(|mark| mark.load);
        let [last, longer] = &mut readings.0;
        let sharp = self.since(last, told, now, 0.0);
        let rough = self.since(longer, told, now, self.seconds / ROUGH);
        if let Some(sharp) = sharp {
            self.compared = (self.compared + 1.0).min(MEMORY);
            for (error, before) in self.errors.iter_mut().zip(before) {
                let apart = (before - sharp).abs().min(MOST_APART);
                *error += (apart * apart - *error) / self.compared;
            }
        }
        if self.errors[0] < self.errors[1] { sharp } else { rough }
    }

    /// Reads from a mark on, and moves it here, if it is older than `least` seconds.
    fn since(&self, mark: &mut Mark, told: f64, now: Moment, least: f64) -> Option<f64> {
        let span = now.seconds_since(mark.at);
        if span <= 0.0 || span < least {
            return None;
        }
        let parts = -span / self.seconds;
        let load = (told - mark.told * parts.exp()) / -parts.exp_m1();
        if !load.is_finite() {
            return None;
        }
        *mark = Mark { told, at: now, load };
        Some(load)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::random::{Random, SplitMix};
    use super::*;
    use std::time::Duration;

    /// What is read of a queue that is averaged over 60, told every 0.1 after it went through `round`: how many reports
    /// gave a reading, and the mean error of those.
    fn read(round: impl Fn(f64) -> f64) -> (usize, f64) {
        let mut random = SplitMix::new(1);
        let at = |turn: u32| Moment::from_unix(Duration::from_millis(1_000_000 + 100 * u64::from(turn)));
        let mut smoothing = Smoothing::new(60.0);
        let (mut queue, mut told) = (2.0, 2.0);
        let mut readings = Readings::new(told, at(0));
        let (mut given, mut wrong) = (0, 0.0);
        for turn in 1..5000 {
            told = queue + (told - queue) * (-0.1f64 / 60.0).exp();
            if let Some(load) = smoothing.read(&mut readings, round(told), at(turn)) {
                given += 1;
                wrong += (load - queue).abs();
            }
            if random.unit() < 0.1 {
                queue = if random.unit() < 0.5 { queue + 1.0 } else { f64::max(queue - 1.0, 0.0) };
            }
        }
        (given, wrong / given as f64)
    }

    #[test]
    fn of_exact_averages_every_report_tells_the_load() {
        let (given, wrong) = read(|told| told);
        assert!(given > 4900 && wrong < 0.01, "{given} {wrong}");
    }

    #[test]
    fn of_rounded_averages_so_much_is_not_read() {
        let (given, wrong) = read(|told| (told * 100.0).round() / 100.0);
        assert!(
            given < 2000 && wrong < 1.5,
            "{given} {wrong}: the reading since the last report is off by 2"
        );
    }

    #[test]
    fn what_was_told_at_the_same_time_or_before_reads_nothing() {
        let at = Moment::from_unix(Duration::from_secs(1_000));
        let (mut smoothing, mut readings) = (Smoothing::new(60.0), Readings::new(2.0, at));
        assert_eq!(smoothing.read(&mut readings, 3.0, at), None);
        assert_eq!(smoothing.read(&mut readings, 3.0, Moment::from_unix(Duration::from_secs(999))), None);
        let later = Moment::from_unix(Duration::from_secs(1_001));
        let told = smoothing.read(&mut readings, f64::MAX, later);
        assert_eq!(told, None, "beyond all numbers");
        assert!(smoothing.read(&mut readings, 2.0, later).is_some_and(|load| (load - 2.0).abs() < 1e-9));
    }
}
