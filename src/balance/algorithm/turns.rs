//! Turns by earliest deadline under weights that may change at any moment.
//!
//! A virtual clock goes forward with each turn. A member is due one over its weight after its last turn, by the weight
//! that it has when one looks, and who is due first is next. With steady weights that is as even as smooth weighted
//! round robin; when a weight changes it counts at once, and who was slow for long has one turn at hand, not all those
//! that it missed. One number a member and one clock, changed without a lock.

use super::super::gauge::AtomicF64;

/// The virtual clock of a farm.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicF64);

impl VirtualClock {
    /// A member that never had a turn has its first one over its weight from now.
    pub fn begin(&self, turn: &AtomicF64) {
        if turn.get() == 0.0 {
            turn.set(self.0.get());
        }
    }

    /// Gives a member its turn; `turn` is when it had its last one, `due` when this one is. Of two threads that do so
    /// in the same nanoseconds one may be overlooked: a turn more for somebody, once.
    #[inline]
    pub fn take(&self, turn: &AtomicF64, due: f64) {
        let now = self.0.get();
        turn.set(if now > due { now } else { due });
        if due > now {
            self.0.set(due);
        }
    }
}

/// When a member is due that had its last turn at `turn`; `cost` is one over its weight.
#[inline]
pub fn due(turn: &AtomicF64, cost: f64) -> f64 {
    turn.get() + cost
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of members with these weights, as letters.
    fn run(clock: &VirtualClock, turns: &[AtomicF64], weights: &[f64], count: usize) -> String {
        let next = |_| {
            let due = |&place: &usize| due(&turns[place], 1.0 / weights[place]);
            let first = (0..turns.len()).min_by(|a, b| due(a).total_cmp(&due(b))).unwrap();
            clock.take(&turns[first], due(&first));
            char::from(b'a' + first as u8)
        };
        (0..count).map(next).collect()
    }

    fn begun<const COUNT: usize>(clock: &VirtualClock) -> [AtomicF64; COUNT] {
        let turns = std::array::from_fn(|_| AtomicF64::new(0.0));
        turns.iter().for_each(|turn| clock.begin(turn));
        turns
    }

    #[test]
    fn a_newcomer_waits_for_its_turn_like_everybody() {
        let clock = VirtualClock::default();
        let turns = begun::<3>(&clock);
        run(&clock, &turns[..2], &[1.0, 1.0], 100);
        clock.begin(&turns[2]);
        let after = run(&clock, &turns, &[1.0; 3], 9);
        assert_eq!(after, "abcabcabc", "it begins with the others, and not at the clock's beginning");
    }

    #[test]
    fn turns_are_spread_evenly_by_weight() {
        let clock = VirtualClock::default();
        let turns = begun::<3>(&clock);
        assert_eq!(run(&clock, &turns, &[4.0, 2.0, 1.0], 14), "aabaabcaabaabc");
    }

    #[test]
    fn a_weight_that_rises_counts_at_once_and_is_not_made_up_for() {
        let clock = VirtualClock::default();
        let turns = begun::<2>(&clock);
        let slow = run(&clock, &turns, &[1.0, 1e-3], 100);
        assert_eq!(slow.matches('b').count(), 0);
        let even = run(&clock, &turns, &[1.0, 1.0], 10);
        assert_eq!(even.matches('b').count(), 5, "{even}");
        assert!(!even.contains("bbb"), "{even}");
    }
}
