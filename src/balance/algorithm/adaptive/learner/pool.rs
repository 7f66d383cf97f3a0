//! What members are together: the sums that the farm's capacity and its pace follow from.

use super::super::super::Observation;
use super::super::capacity::POOLED;
use super::super::member::{Sums, weighted};
use super::super::pace::Pace;
use super::Learner;

impl Learner {
    /// Adds the pool up from scratch: a running sum drifts.
    pub(super) fn add_up(&mut self) {
        (self.pool, self.pace) = (Sums::default(), Pace::NONE);
        for index in 0..self.members.len() {
            self.pool_member(index, 1.0);
        }
    }

    /// Adds a member's part of the pool × `part`.
    fn pool_member(&mut self, index: usize, part: f64) {
        let member = &self.members[index];
        self.pool.add(&weighted(&member.sums[POOLED], member.weight), part);
        self.pace.add(&member.pace, member.weight, part);
    }

    /// Takes what a member says of its own speed. It is believed once its last interval was judged.
    pub(super) fn take_pace(&mut self, index: usize, report: &Observation<'_>) {
        let told = |name: &str| report.statistics.get(name);
        let (Some(rate), Some(busy)) = (told("q"), told("u")) else { return };
        let member = &mut self.members[index];
        self.pace.add(&member.pace, member.weight, -1.0);
        let arrivals = member.arrivals_a_report();
        member.pace.take(rate, busy, told("e").unwrap_or(0.0), arrivals);
        self.pace.add(&member.pace, member.weight, 1.0);
        if !member.is_being_seen() {
            member.told_speed = member.pace.relative(&self.pace, member.weight);
        }
    }

    /// Takes another weight of a member.
    pub(super) fn reweigh(&mut self, index: usize, weight: f64) {
        if weight > 0.0 && weight != self.members[index].weight {
            self.pool_member(index, -1.0);
            self.members[index].weight = weight;
            self.pool_member(index, 1.0);
        }
    }
}
