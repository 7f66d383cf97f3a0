//! From single results to a verdict: up after so many in a row that passed, down after so many that failed.

use crate::balance::update::Health;

/// What was found so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    health: Option<Health>,
    /// The last result, and how many in a row were like it.
    last: bool,
    run: u32,
}

/// What a verdict is after a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub health: Health,
    /// Results in a row like this one.
    pub run: u32,
    /// Whether it is the first result, which counts at once.
    pub is_first: bool,
}

impl Verdict {
    /// Takes a result; `rise` and `fall` are 1 or more.
    pub fn take(&mut self, passed: bool, rise: u32, fall: u32) -> Outcome {
        let is_first = self.health.is_none();
        self.run = if passed == self.last { self.run.saturating_add(1) } else { 1 };
        self.last = passed;
        let (result, needed) = if passed { (Health::Up, rise) } else { (Health::Down, fall) };
        let health = match self.health {
            Some(health) if self.run < needed => health,
            // Nobody shall be given, nor kept out, for a while because nothing is known yet.
            _ => result,
        };
        self.health = Some(health);
        Outcome { health, run: self.run, is_first }
    }

    /// The verdict; `None` before the first result.
    pub fn health(&self) -> Option<Health> {
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdicts(results: &str, rise: u32, fall: u32) -> String {
        let mut verdict = Verdict::default();
        let up = |result| verdict.take(result == '+', rise, fall).health == Health::Up;
        results.chars().map(up).map(|is_up| if is_up { 'u' } else { 'd' }).collect()
    }

    #[test]
    fn the_first_result_counts_at_once_and_then_it_takes_some() {
        assert_eq!(verdicts("---++", 2, 3), "ddddu");
        assert_eq!(verdicts("+--+---+-++", 2, 3), "uuuuuuddddu");
        assert_eq!(verdicts("+-+", 1, 1), "udu");
        let mut verdict = Verdict::default();
        assert_eq!(verdict.take(false, 2, 3), Outcome { health: Health::Down, run: 1, is_first: true });
        assert_eq!(verdict.take(false, 2, 3), Outcome { health: Health::Down, run: 2, is_first: false });
        assert_eq!(verdict.take(true, 2, 3), Outcome { health: Health::Down, run: 1, is_first: false });
    }

    proptest! {
        #[test]
        fn it_turns_exactly_when_the_last_results_all_say_so(
            results in prop::collection::vec(any::<bool>(), 1..60), rise in 1u32..5, fall in 1u32..5,
        ) {
            let mut verdict = Verdict::default();
            let mut up = results[0];
            for (index, &passed) in results.iter().enumerate() {
                let outcome = verdict.take(passed, rise, fall);
                let needed = if passed { rise } else { fall } as usize;
                let run = results[..=index].iter().rev().take_while(|result| **result == passed).count();
                if run >= needed {
                    up = passed;
                }
                prop_assert_eq!(outcome.health == Health::Up, up);
                prop_assert_eq!(outcome.run as usize, run);
            }
        }
    }
}
