//! Turns by earliest deadline under weights that may change at any moment.
//!
//! A virtual clock goes forward with each turn. A member is due one over its weight after its last turn, by the weight
//! that it has when one looks, and who is due first is next. With steady weights that is as even as smooth weighted
//! round robin; when a weight changes it counts at once, and who was slow for long has one turn at hand, not all those
//! that it missed. One number a member and one clock, changed without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::gauge::AtomicF64;

/// The virtual clock of a farm.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// Not negative, so that its bits are ordered as it is.
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    /// A member that has its first turn one over its weight from now.
    pub fn newcomer(&self) -> Turn {
        Turn(AtomicF64::new(self.get()))
    }
}

/// When one member had its last turn.
#[derive(Debug)]
pub struct Turn(AtomicF64);

impl Turn {
    /// When it is due; `cost` is one over its weight.
    #[inline]
    pub fn due(&self, cost: f64) -> f64 {
        self.0.get() + cost
    }

    /// Gives it its turn.
    #[inline]
    pub fn take(&self, cost: f64, clock: &VirtualClock) {
        let due = self.due(cost);
        let late = (clock.get() - due).max(0.0);
        self.0.add(cost + late);
        clock.0.fetch_max(due.max(0.0).to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of members with these weights, as letters.
    fn run(clock: &VirtualClock, turns: &[Turn], weights: &[f64], count: usize) -> String {
        let next = |_| {
            let due = |&place: &usize| turns[place].due(1.0 / weights[place]);
            let first = (0..turns.len()).min_by(|a, b| due(a).total_cmp(&due(b))).unwrap();
            turns[first].take(1.0 / weights[first], clock);
            char::from(b'a' + first as u8)
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn turns_are_spread_evenly_by_weight() {
        let clock = VirtualClock::default();
        let turns: Vec<Turn> = (0..3).map(|_| clock.newcomer()).collect();
        assert_eq!(run(&clock, &turns, &[4.0, 2.0, 1.0], 14), "aabaabcaabaabc");
    }

    #[test]
    fn a_weight_that_rises_counts_at_once_and_is_not_made_up_for() {
        let clock = VirtualClock::default();
        let turns: Vec<Turn> = (0..2).map(|_| clock.newcomer()).collect();
        let slow = run(&clock, &turns, &[1.0, 1e-3], 100);
        assert_eq!(slow.matches('b').count(), 0);
        let even = run(&clock, &turns, &[1.0, 1.0], 10);
        assert_eq!(even.matches('b').count(), 5, "{even}");
        assert!(!even.contains("bbb"), "{even}");
    }
}
