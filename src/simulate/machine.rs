//! A simulated backend: some workers, one queue in order of arrival, and what it would report.
//!
//! Under such a discipline it is settled when a request arrives when it will be done, unless the machine's speed
//! changes; so there are no events of departure, only a list of the requests in the machine, by the time they are done.

use std::collections::VecDeque;

/// Nanoseconds of virtual time.
pub type Nanos = u64;

/// A second of virtual time, one mean service time at capacity 1.
pub const SECOND: f64 = 1e9;

/// A request in the machine.
#[derive(Debug, Clone, Copy)]
struct Inside {
    done: Nanos,
    arrived: Nanos,
}

/// A backend.
#[derive(Debug)]
pub struct Machine {
    /// Work done in a second by all its workers together.
    capacity: f64,
    /// When each worker is free.
    free: Box<[Nanos]>,
    /// By the time they are done.
    inside: VecDeque<Inside>,
    /// Up to when it was followed.
    now: Nanos,
    /// Requests done so far.
    done: u64,
    /// Worker-seconds so far.
    busy: f64,
    /// Work that it could have done so far.
    able: f64,
    /// Average of the queue, if it averages: its span in seconds, and the value.
    average: Option<(f64, f64)>,
}

impl Machine {
    /// An idle machine at time `now`; `smoothing`: the span over which it averages its queue, in seconds.
    pub fn new(capacity: f64, workers: usize, smoothing: Option<f64>, now: Nanos) -> Self {
        Self {
            capacity,
            free: vec![now; workers.max(1)].into(),
            inside: VecDeque::new(),
            now,
            done: 0,
            busy: 0.0,
            able: 0.0,
            average: smoothing.map(|span| (span, 0.0)),
        }
    }

    /// Follows it up to `now`; tells `leave` of each request that was done by then: when it arrived and when it left.
    #[inline]
    pub fn advance(&mut self, now: Nanos, mut leave: impl FnMut(Nanos, Nanos)) {
        while let Some(&Inside { done, arrived }) = self.inside.front().filter(|first| first.done <= now) {
            self.pass(done);
            self.inside.pop_front();
            self.done += 1;
            leave(arrived, done);
        }
        self.pass(now);
    }

    /// Lets time pass in which nobody comes or goes.
    #[inline]
    fn pass(&mut self, until: Nanos) {
        let span = (until - self.now) as f64 / SECOND;
        self.now = until;
        let queue = self.inside.len();
        self.able += span * self.capacity;
        self.busy += span * queue.min(self.free.len()) as f64;
        if let Some((over, average)) = &mut self.average {
            *average = queue as f64 + (*average - queue as f64) * (-span / *over).exp();
        }
    }

    /// Takes a request that needs `work` seconds of a whole machine of capacity 1. It must have been followed up to now.
    #[inline]
    pub fn take(&mut self, work: f64) {
        let workers = self.free.len();
        let span = work * workers as f64 / self.capacity * SECOND;
        // The longest-free worker; a machine with one needs no search.
        let worker = if workers == 1 { 0 } else { least(&self.free) };
        let done = self.free[worker].max(self.now) + (span as Nanos).max(1);
        self.free[worker] = done;
        let place = self.inside.iter().rposition(|other| other.done <= done).map_or(0, |place| place + 1);
        self.inside.insert(place, Inside { done, arrived: self.now });
    }

    /// Changes its capacity; what is left of every request takes longer or shorter from now on. It must have been
    /// followed up to now.
    pub fn set_capacity(&mut self, capacity: f64) {
        let stretch = self.capacity / capacity;
        let now = self.now;
        let later =
            |time: Nanos| if time > now { now + ((time - now) as f64 * stretch) as Nanos } else { time };
        self.free.iter_mut().for_each(|time| *time = later(*time));
        self.inside.iter_mut().for_each(|request| request.done = later(request.done));
        self.capacity = capacity;
    }

    /// Work done in a second.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Requests waiting or in service.
    #[inline]
    pub fn queue(&self) -> usize {
        self.inside.len()
    }

    /// Its queue as it would tell it: averaged, if it averages.
    pub fn told_queue(&self) -> f64 {
        self.average.map_or(self.inside.len() as f64, |(_, average)| average)
    }

    /// Requests done so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Work that it could have done so far, had it always had some.
    pub fn able(&self) -> f64 {
        self.able
    }

    /// Seconds that its workers were busy so far, divided by their number.
    pub fn busy(&self) -> f64 {
        self.busy / self.free.len() as f64
    }
}

fn least(times: &[Nanos]) -> usize {
    let mut least = 0;
    for (place, time) in times.iter().enumerate() {
        if *time < times[least] {
            least = place;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn leave(machine: &mut Machine, now: Nanos) -> Vec<(Nanos, Nanos)> {
        let mut left = Vec::new();
        machine.advance(now, |arrived, done| left.push((arrived, done)));
        left
    }

    #[test]
    fn one_worker_serves_in_order() {
        let mut machine = Machine::new(2.0, 1, None, 0);
        machine.take(4.0);
        machine.take(2.0);
        assert_eq!(leave(&mut machine, 2 * S), [(0, 2 * S)]);
        assert_eq!((machine.queue(), machine.done()), (1, 1));
        assert_eq!(leave(&mut machine, 9 * S), [(0, 3 * S)]);
        assert!((machine.busy() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn workers_share_the_capacity() {
        let mut machine = Machine::new(1.0, 2, None, 0);
        machine.take(1.0);
        machine.take(0.5);
        machine.take(0.5);
        assert_eq!(leave(&mut machine, 4 * S), [(0, S), (0, 2 * S), (0, 2 * S)]);
        assert!((machine.busy() - 2.0).abs() < 1e-9, "two workers for two of four seconds");
    }

    #[test]
    fn a_change_of_speed_stretches_what_is_left() {
        let mut machine = Machine::new(1.0, 1, None, 0);
        machine.take(2.0);
        leave(&mut machine, S);
        machine.set_capacity(0.5);
        assert_eq!(leave(&mut machine, 5 * S), [(0, 3 * S)]);
    }

    #[test]
    fn an_averaged_queue_lags_behind() {
        let mut machine = Machine::new(1.0, 1, Some(60.0), 0);
        machine.take(60.0);
        leave(&mut machine, 60 * S);
        assert!((machine.told_queue() - (1.0 - (-1.0f64).exp())).abs() < 1e-9);
    }
}
