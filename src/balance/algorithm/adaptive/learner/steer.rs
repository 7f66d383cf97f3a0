//! From what was learned to what choices read: intervals judged, the driving hypothesis, each member's virtual queue set.

use super::super::super::super::moment::Moment;
use super::super::capacity::{POOLED, USUAL_UTILIZATION};
use super::super::member::{Interval, Last, Member};
use super::super::scale::MOST;
use super::{GAIN_STEP, Learner, MOST_TOGETHER, STEEPNESS, STEP, Seen, WORTH};

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
            span: interval.span * bank.relative(member, &self.pool),
        };
        if self.crowd.take(&seen) {
            self.drive.free.set(if self.bank.is_late() { 0.0 } else { self.crowd.free() });
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

    /// Lets choices follow what the bank believes now. Where answers bring much more or less than was believed the virtual
    /// queues are made of answers of the old size and fall at the old speed: all of them are taken to the new one at once, or
    /// who reports last would look empty and get everything until then.
    pub(super) fn steer(&mut self, now: Moment) {
        let gain = self.bank.gain() * self.requests_an_answer();
        let grown = gain / self.drive.gain.get();
        self.drive.gain.set(gain);
        let moved = |factor: f64, step: f64| factor.ln().abs() > step;
        let resized = moved(grown, GAIN_STEP);
        if resized || moved(self.knee() / self.drive.knee.get(), STEP) {
            let resize = |load: f64| if resized { (load * grown).min(MOST) } else { load };
            let loads: Vec<f64> = self.loads(now).map(resize).collect();
            self.put_all(&loads, now);
        }
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

    pub(super) fn put_all(&mut self, loads: &[f64], now: Moment) {
        self.drive.knee.set(self.knee());
        self.drive.unit.set(self.scale.unit());
        self.drive.idle.set(self.scale.idle());
        self.drive.gain.set(self.bank.gain() * self.requests_an_answer());
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
        let rate = match self.bank.rate(member, &self.pool) {
            0.0 => self.answer_rate * self.drive.gain.get() * member.weight / USUAL_UTILIZATION,
            rate => rate,
        };
        // Before any capacity is known answers are counted by weight.
        let relative = self.bank.relative(member, &self.pool);
        let factor = if rate > 0.0 { relative.powf(-1.0 / STEEPNESS) } else { 1.0 / member.weight };
        let load = (load, self.drive.knee.get());
        let part = f64::from(member.part);
        self.slab.set(index, rate * part, factor / part, load, answers, now);
    }
}
