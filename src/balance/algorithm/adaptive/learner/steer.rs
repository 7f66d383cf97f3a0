//! From what was learned to what choices read: intervals judged, the driving hypothesis, each member's virtual queue set.

use super::super::super::super::moment::Moment;
use super::super::capacity::{POOLED, USUAL_UTILIZATION};
use super::super::member::{Interval, Last, Member};
use super::super::scale::MOST;
use super::{HELD, Learner, MOST_TOGETHER, STEEPNESS, Seen, WORTH};

impl Learner {
    /// Sees an interval, and shows it to the bank, alone or, where reports come thick, several as one. Capacities are learned
    /// from it only after that: who had seen it would foretell it well, whatever is true.
    pub(super) fn judge(&mut self, index: usize, interval: &Interval) -> bool {
        let member = &mut self.members[index];
        let together = (WORTH / member.arrivals_a_report().max(1e-9)).clamp(1.0, MOST_TOGETHER).floor();
        member.see(interval);
        if member.intervals <= 2 {
            member.take(POOLED, &mut self.pool);
            return false;
        }
        let (whole, count) = member.seen();
        if count < together {
            return false;
        }
        // A load that the answers of an interval do not move cannot be steered by answers.
        let least_gain = self.scale.usual() / (2.0 * self.arrivals_a_report.max(8.0));
        let usual = self.scale.usual();
        let changed = self.bank.judge(&self.members[index], &self.pool, &whole, least_gain, usual);
        self.members[index].take(POOLED, &mut self.pool);
        changed
    }

    /// Learns from an interval up to which load workers are free; lets choices follow that.
    pub(super) fn see_crowd(&mut self, index: usize, interval: &Interval, now: Moment) {
        let (bank, member) = (&self.bank, &self.members[index]);
        let arrivals = bank.took_effect(interval);
        let inflow = arrivals / interval.span;
        let halfway = bank.goes_on(member, &self.pool, interval.before, inflow, 0.5 * interval.span);
        let seen = Seen {
            before: interval.before,
            halfway,
            after: interval.after,
            believed: self.load(index, now),
            arrivals,
            gain: bank.plain_gain(),
            span: interval.span * bank.speed(member, &self.pool).1,
        };
        if self.crowd.take(&seen) {
            self.drive.free.set(if self.bank.is_late() { 0.0 } else { self.crowd.free() * self.stretch() });
        }
    }

    /// The load when a member reported last. A mean is that of the middle of its time; from there it goes on as loads do,
    /// but not for longer than they take to settle, for after that it is about chance.
    pub(super) fn load_at_report(&self, member: &Member, last: &Last) -> f64 {
        let (arrivals, span) = last.since;
        if span <= 0.0 {
            return last.load;
        }
        let settled = self.bank.relaxation(member, &self.pool);
        self.bank.goes_on(member, &self.pool, last.load, arrivals / span, span.min(settled))
    }

    /// Lets choices follow what the bank believes now. Virtual queues are made of answers: when one is believed to bring
    /// another load they hold as many as before, in another unit ([`stretch`](Self::stretch)). So all of them fall at the
    /// same speed and stay comparable, whenever their members reported. Where too much has changed they are made anew.
    pub(super) fn steer(&mut self, now: Moment) {
        let stretch = self.stretch();
        self.drive.unit.set(self.scale.unit() / stretch);
        let knee = self.drive.knee.get();
        if HELD.contains(&stretch) && HELD.contains(&(self.knee() * stretch / knee)) {
            return;
        }
        self.renew();
        for index in 0..self.slab.len() {
            let load = self.slab.queue(index as u32).load(now, knee) / stretch;
            self.put(index, load.min(MOST), self.slab.seen(index), now);
        }
    }

    /// What a load is multiplied by to be held in a virtual queue.
    pub(super) fn stretch(&self) -> f64 {
        self.drive.gain.get() / (self.bank.gain() * self.requests_an_answer())
    }

    /// The loads believed in, of everybody that has a virtual queue.
    pub(super) fn loads(&self, now: Moment) -> impl Iterator<Item = f64> {
        (0..self.slab.len()).map(move |index| self.load(index, now))
    }

    /// The knee that drives, for a member of average weight.
    pub(super) fn knee(&self) -> f64 {
        let weights: f64 = self.members.iter().map(|member| member.weight).sum();
        self.bank.knee(&self.pool, weights / self.members.len().max(1) as f64)
    }

    /// What virtual queues are made by from now on.
    fn renew(&self) {
        self.drive.knee.set(self.knee());
        self.drive.unit.set(self.scale.unit());
        self.drive.idle.set(self.scale.idle());
        self.drive.gain.set(self.bank.gain() * self.requests_an_answer());
    }

    /// Makes virtual queues anew, with these loads.
    pub(super) fn put_all(&mut self, loads: &[f64], now: Moment) {
        self.renew();
        for (index, &load) in loads.iter().enumerate() {
            self.put(index, load, self.slab.seen(index), now);
        }
    }

    /// Sets a member's virtual queue, if it has one.
    pub(super) fn put(&self, index: usize, load: f64, answers: u64, now: Moment) {
        if index >= self.slab.len() {
            return;
        }
        let member = &self.members[index];
        let stretch = self.stretch();
        let (rate, relative) = self.bank.speed(member, &self.pool);
        let rate = match rate {
            0.0 => self.answer_rate * self.drive.gain.get() * member.weight / USUAL_UTILIZATION,
            rate => rate * stretch,
        };
        // Before any capacity is known answers are counted by weight.
        let factor = if rate <= 0.0 {
            1.0 / member.weight
        } else if relative == 1.0 {
            1.0
        } else {
            relative.powf(-1.0 / STEEPNESS)
        };
        let load = (load * stretch, self.drive.knee.get());
        let part = f64::from(member.part);
        self.slab.set(index, rate * part, factor / part, load, answers, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::super::super::super::gauge::{Gauge, Pool};
    use super::super::super::super::{Candidate, MemberId, Params};
    use super::super::super::delay::DELAYS;
    use super::super::super::member::Sums;
    use super::super::super::virtual_queue::Drive;
    use super::*;

    #[test]
    fn virtual_queues_fall_alike_whatever_an_answer_was_believed_to_bring_when_members_reported() {
        let drive = Arc::new(Drive::default());
        let mut learner = Learner::new(&Params::default(), Arc::clone(&drive));
        let pool = Arc::new(Pool::default());
        let candidates = [0, 1].map(|place| Candidate {
            id: MemberId(place),
            weight: 1.0,
            seed: 7 + u64::from(place),
            gauge: Gauge::new(Arc::default(), Arc::clone(&pool)),
        });
        learner.enlist(&candidates);
        let arrivals = [1000.0; DELAYS.len()];
        learner.pool = Sums { drop: 0.0, arrivals, span: 100.0, intervals: 100.0, busy: [80.0; 2] };
        let now = Moment::from_unix(Duration::from_secs(1000));
        learner.bank.begin_with(1.0);
        learner.put_all(&[4.0; 2], now);
        // One reports that it has what it had, when an answer is believed to bring more.
        learner.bank.begin_with(1.08);
        learner.steer(now);
        learner.put(0, 4.0, 0, now);
        let capacities = [0, 1].map(|place| learner.slab.queue(place).capacity());
        assert!((capacities[0] / capacities[1] - 1.0).abs() < 1e-9, "{capacities:?}");
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < 1e-9;
        let loads = |learner: &Learner| learner.loads(now).collect::<Vec<f64>>();
        let held = loads(&learner);
        assert!(near(held[0], 4.0) && near(held[1], 4.32), "the other holds as many answers: {held:?}");
        assert!(near(drive.gain.get() * drive.unit.get(), 1.08), "what people are told");
        // Too much has changed: all are made anew, of as many answers.
        learner.bank.begin_with(2.0);
        learner.steer(now);
        let held = loads(&learner);
        assert!(near(held[0], 4.0 * 2.0 / 1.08) && near(held[1], 8.0), "{held:?}");
        assert_eq!((drive.gain.get(), drive.unit.get()), (2.0, 1.0));
    }
}
