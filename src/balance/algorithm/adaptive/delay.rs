//! How late the requests of an answer come: the delays that are tried, and which of them to expect.
//!
//! An answer that is kept for a TTL brings its requests over that time. Reports tell it, but the less the longer the time
//! between them is: what came between two reports is then about what was answered between them, whatever the delay. So
//! the farm's own TTL says what to expect. It is no more than that: who asks anew each time is found out by reports.

/// Mean time from an answer to the requests that it brings, in seconds.
pub const DELAYS: [f64; 5] = [0.0, 2.0, 8.0, 32.0, 128.0];
/// With the last of them what comes is nearly steady, whatever was answered. Where that predicts best most requests come
/// from elsewhere (other Athenas give the same members), and not late from here: nothing is taken to be late then.
pub const STEADY: usize = DELAYS.len() - 1;
/// How likely each delay is before anything is known.
const PRIOR: [f64; DELAYS.len()] = [1.0, 1e-3, 1e-3, 1e-3, 1e-3];
/// By so much the others are less likely where a TTL says which to expect.
const NOT_CACHED: f64 = 1e-2;
/// A TTL makes delays from this part of it to all of it likely.
const PART: f64 = 0.125;
/// The part of a reported load that the requests of a cached answer will meet: the rest is gone when they come. By
/// simulation at loads from 0.5 to 0.9; anything from 0.4 to 0.7 does.
const STAYS: f64 = 0.5;

/// What delays to expect.
#[derive(Debug)]
pub struct Expected {
    /// How likely each is before anything is known.
    pub prior: [f64; DELAYS.len()],
    /// Which of them the TTL makes likely.
    cached: [bool; DELAYS.len()],
}

impl Expected {
    /// Of answers that are kept for `ttl` seconds; 0: not at all, as far as we know.
    pub fn of_ttl(ttl: f64) -> Self {
        let least = (PART * ttl).min(DELAYS[STEADY - 1]);
        let likely = |place: usize| (1..STEADY).contains(&place) && (least..=ttl).contains(&DELAYS[place]);
        let cached: [bool; DELAYS.len()] = std::array::from_fn(likely);
        let prior = |place: usize| if cached[place] { 1.0 } else { NOT_CACHED * PRIOR[place] };
        let prior = if cached.contains(&true) { std::array::from_fn(prior) } else { PRIOR };
        Self { prior, cached }
    }

    /// The part of a reported load that the requests of an answer given now will meet, if this delay drives.
    pub fn stays(&self, delay: usize) -> f64 {
        if self.cached[delay] { STAYS } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_says_which_delays_to_expect() {
        let likeliest = |ttl: f64| {
            let prior = Expected::of_ttl(ttl).prior;
            let best = prior.iter().copied().fold(0.0, f64::max);
            let likely = (0..DELAYS.len()).filter(|&place| prior[place] == best);
            likely.map(|place| DELAYS[place]).collect::<Vec<f64>>()
        };
        assert_eq!(likeliest(0.0), [0.0]);
        assert_eq!(likeliest(1.0), [0.0], "shorter than any delay that is told apart");
        assert_eq!(likeliest(5.0), [2.0]);
        assert_eq!(likeliest(50.0), [8.0, 32.0]);
        assert_eq!(likeliest(86_400.0), [32.0], "the last one stands for requests from elsewhere");
    }

    #[test]
    fn what_is_there_when_an_answer_is_given_counts_less_if_its_requests_come_later() {
        let cached = Expected::of_ttl(50.0);
        assert_eq!((cached.stays(0), cached.stays(3)), (1.0, STAYS));
        assert_eq!(Expected::of_ttl(0.0).stays(3), 1.0, "late for another reason");
    }
}
