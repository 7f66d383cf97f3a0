//! What machines measure about themselves, and tell.

use super::*;
use crate::balance::statistics::Amount;

/// Utilisation and requests a second of a machine, averaged over [`METERED`] seconds.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    utilization: f64,
    rate: f64,
    /// Busy seconds and requests done when it was read last, and when.
    last: Option<(f64, u64, Nanos)>,
}

/// Seconds over which machines average what they measure.
const METERED: f64 = 10.0;

impl Meter {
    fn read(&mut self, machine: &Machine, now: Nanos) {
        let (busy, done, when) = self.last.unwrap_or((0.0, 0, START));
        let span = (now - when) as f64 / SECOND;
        self.last = Some((machine.busy(), machine.done(), now));
        if span > 0.0 {
            let part = 1.0 - (-span / METERED).exp();
            self.utilization += ((machine.busy() - busy) / span - self.utilization) * part;
            self.rate += ((machine.done() - done) as f64 / span - self.rate) * part;
        }
    }
}

impl World<'_> {
    /// A machine reports to every Athena, unless the report gets lost.
    pub(super) fn report(&mut self, member: usize) {
        let reports = &self.setting.reports;
        if reports.lost > 0.0 && self.losses.unit() < reports.lost {
            return;
        }
        let (now, responses) = (self.now, &mut self.responses);
        let machine = &mut self.machines[member];
        machine.advance(now, |arrived, done| responses.count(arrived, done));
        let meter = &mut self.meters[member];
        meter.read(machine, now);
        let taken = self.taken[member] as f64;
        let tell = |figure: Figure| match figure {
            Figure::Load => reports.offset + reports.slope * machine.told_queue(),
            Figure::Utilization => meter.utilization,
            Figure::Rate => meter.rate,
            Figure::Errors => 0.0,
            Figure::InFlight => machine.queue() as f64,
            Figure::Taken => taken,
        };
        if let Update::Backend(update) = &mut self.updates[member] {
            for ((_, amount), &figure) in update.statistics.iter_mut().zip(&self.figures) {
                *amount = Amount::Set(tell(figure));
            }
        }
        self.told[member] = tell(Figure::Load);
        let updates = std::slice::from_ref(&self.updates[member]);
        self.athenas.iter_mut().for_each(|athena| athena.apply(updates, now));
    }
}
