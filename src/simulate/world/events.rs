//! What happens, in the order of time: the loop itself.

use super::farm::{athena, backend_name};
use super::*;
use crate::balance::statistics::Amount;

impl<'a> World<'a> {
    pub(super) fn new(
        setting: &'a Setting,
        rule: Rule,
        requests: u64,
        seed: u64,
    ) -> Result<Self, Impossible> {
        let members = setting.capacities.len();
        let athenas = match rule {
            Rule::ShortestQueue | Rule::Reported(_) => Vec::new(),
            Rule::Algorithm(spec) => {
                (0..setting.athenas).map(|_| athena(setting, spec)).collect::<Result<_, _>>()?
            }
        };
        let warm = START + seconds(requests as f64 * WARM_UP / setting.rate);
        let machine =
            |&capacity: &f64| Machine::new(capacity, setting.workers, setting.reports.smoothing, START);
        let stream = |number: u64| SplitMix::new(crate::balance::random::mix(seed ^ (number << 32)));
        let (names, figures): (Vec<_>, Vec<_>) = setting.statistics().into_iter().unzip();
        let statistics: Vec<_> = names.into_iter().map(|name| (name, Amount::Set(0.0))).collect();
        let update = |place| {
            let mut update = BackendUpdate::new(backend_name(setting, place)?);
            update.statistics = statistics.clone();
            Ok(Update::Backend(update))
        };
        Ok(Self {
            setting,
            rule,
            athenas,
            told: vec![0.0; members],
            machines: setting.capacities.iter().map(machine).collect(),
            responses: Responses::new(warm, requests as usize),
            requests,
            taken: vec![0; members],
            counted: vec![0; members],
            given: vec![0.0; members],
            updates: (0..members).map(update).collect::<Result<_, _>>()?,
            figures,
            meters: vec![Meter::default(); members],
            later: BinaryHeap::new(),
            now: START,
            answers: 0,
            moves: 0,
            last: 0,
            unanswered: 0,
            drained: None,
            arrivals: stream(1),
            services: stream(2),
            choices: stream(3),
            losses: stream(4),
            changes: stream(5),
        })
    }

    /// Runs until all requests that count have come.
    pub(super) fn run(&mut self) {
        let (setting, rule) = (self.setting, self.rule);
        let members = self.machines.len();
        let gap = 1.0 / (setting.rate / setting.burst as f64);
        let every = setting.reports.every * SECOND;
        let mut arrival = START + seconds(exponential(&mut self.arrivals) * gap);
        let mut round = 0u64;
        let mut place = 0;
        let order = self.phases();
        let at = |round: u64, place: usize| START + ((round as f64 + order[place].0) * every) as Nanos;
        let mut report = if matches!(rule, Rule::ShortestQueue) { NEVER } else { at(0, 0) };
        let mut drift = setting.drift.map_or(NEVER, |span| START + seconds(span));
        let mut churn = setting.churn.map_or(NEVER, |span| START + seconds(span));
        let mut left = self.requests;
        while left > 0 {
            let later = self.later.peek().map_or(NEVER, |next| next.0.0);
            let due = self.athenas.iter().map(|athena| athena.due).min().unwrap_or(NEVER);
            let next = arrival.min(report).min(later).min(drift).min(churn).min(due);
            self.now = next;
            if next == arrival {
                left -= self.answer(left);
                arrival += seconds(exponential(&mut self.arrivals) * gap).max(1);
            } else if next == report {
                self.report(order[place].1);
                place += 1;
                if place == members {
                    (place, round) = (0, round + 1);
                }
                report = at(round, place).max(self.now);
            } else if next == later {
                if let Some(Reverse((_, member))) = self.later.pop() {
                    left -= u64::from(self.request(member as usize)).min(left);
                }
            } else if next == due {
                self.expire();
            } else if next == drift {
                self.swap();
                drift += setting.drift.map_or(NEVER, seconds);
            } else {
                self.come_and_go();
                churn += setting.churn.map_or(NEVER, seconds);
            }
        }
    }

    /// In which order members report, and when in the time between two reports (0 to 1): at random, as if each had
    /// been started by somebody at some time.
    fn phases(&mut self) -> Vec<(f64, usize)> {
        let staggered = self.setting.reports.staggered;
        let mut phase = |place| (if staggered { self.changes.unit() } else { 0.0 }, place);
        let mut phases: Vec<(f64, usize)> = (0..self.machines.len()).map(&mut phase).collect();
        phases.sort_by(|one, other| one.0.total_cmp(&other.0));
        phases
    }

    /// An answer, and the requests it brings; gives how many of them count now.
    fn answer(&mut self, left: u64) -> u64 {
        self.answers += 1;
        let Some(member) = self.choose() else {
            let counted = if self.now >= self.responses.from { self.setting.burst as u64 } else { 0 };
            self.unanswered += counted.min(left);
            return counted.min(left);
        };
        self.moves += u64::from(member != self.last);
        self.last = member;
        let mut counted = 0;
        for _ in 0..self.setting.burst {
            if self.setting.spread > 0.0 {
                let wait = seconds(self.arrivals.unit() * self.setting.spread);
                self.later.push(Reverse((self.now + wait, member as u32)));
            } else {
                counted += u64::from(self.request(member));
            }
        }
        counted.min(left)
    }

    /// A request comes to a machine; gives whether it counts.
    fn request(&mut self, member: usize) -> bool {
        let responses = &mut self.responses;
        let machine = &mut self.machines[member];
        machine.advance(self.now, |arrived, done| responses.count(arrived, done));
        let work = self.setting.law.draw(&mut self.services);
        machine.take(work);
        self.taken[member] += 1;
        self.given[member] += work;
        let counts = self.now >= self.responses.from;
        if counts {
            self.counted[member] += 1;
        }
        counts
    }

    /// Two machines swap their capacities.
    fn swap(&mut self) {
        let (one, other) = (self.changes.below(self.machines.len()), self.changes.below(self.machines.len()));
        let (now, responses) = (self.now, &mut self.responses);
        for place in [one, other] {
            self.machines[place].advance(now, |arrived, done| responses.count(arrived, done));
        }
        let (first, second) = (self.machines[one].capacity(), self.machines[other].capacity());
        self.machines[one].set_capacity(second);
        self.machines[other].set_capacity(first);
    }

    /// The machine that was drained comes back, or another one is drained.
    fn come_and_go(&mut self) {
        let (member, admin) = match self.drained.take() {
            Some(member) => (member, Admin::On),
            None => {
                let member = self.changes.below(self.machines.len());
                self.drained = Some(member);
                (member, Admin::Drain)
            }
        };
        if let Update::Backend(update) = &self.updates[member] {
            let mut update = BackendUpdate::new(update.backend.clone());
            update.admin = Some(admin);
            let updates = [Update::Backend(update)];
            self.athenas.iter_mut().for_each(|athena| athena.apply(&updates, self.now));
        }
    }

    /// Athenas for which it is time look at who is silent, and who rises.
    fn expire(&mut self) {
        let now = self.now;
        self.athenas.iter_mut().filter(|athena| athena.due <= now).for_each(|athena| athena.expire(now));
    }

    pub(super) fn outcome(mut self) -> Outcome {
        let (now, responses) = (self.now, &mut self.responses);
        self.machines.iter_mut().for_each(|machine| {
            machine.advance(now, |arrived, done| responses.count(arrived, done));
        });
        let able: Vec<f64> = self.machines.iter().map(Machine::able).collect();
        for machine in &mut self.machines {
            machine.advance(NEVER, |arrived, done| responses.count(arrived, done));
        }
        let requests = self.responses.len() as u64;
        let asked = requests + self.unanswered;
        let (mean, p99) = self.responses.summary();
        let capacity: f64 = able.iter().sum();
        let fair = |place: usize| able[place] / capacity * requests as f64;
        // One request brings work for one second in the mean, so that their number says more than their work, which
        // has the tail of its law; but who was given less work than he can do is not overloaded, however many came.
        // Requests of one answer come together: that much wider is the play of chance.
        let chance = |place: usize| 4.0 * (able[place] * self.setting.burst as f64).sqrt();
        let places = || 0..self.machines.len();
        let taken = |place: usize| self.taken[place] as f64;
        Outcome {
            requests,
            mean,
            p99,
            worst: places()
                .map(|place| self.counted[place] as f64 / fair(place).max(1e-9))
                .fold(0.0, f64::max),
            moves: self.moves as f64 / self.answers.max(1) as f64,
            unanswered: self.unanswered as f64 / asked.max(1) as f64,
            overload: places().map(|place| taken(place) / able[place].max(1e-9)).fold(0.0, f64::max),
            overloaded: places()
                .any(|place| taken(place) > able[place] + chance(place) && self.given[place] > able[place]),
        }
    }
}
