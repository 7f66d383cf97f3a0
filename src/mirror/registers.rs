//! What every backend last said in every field, with a stamp: last-writer-wins registers.
//!
//! Several Athenas take reports on one backend, in different fields, in different orders, and must come to hold the
//! same. So each field has a stamp: when it was said, by the clock of the Athena that took it but later than what that
//! one held before (a hybrid clock), and that Athena's name. The greater stamp wins everywhere; a message that comes
//! twice, late or by another way changes nothing. Clocks that disagree matter only for what two Athenas took while they
//! were cut off from each other, and only until the next report; how old a report is never depends on them.
//!
//! The core keeps the values that hold; here they stand once more beside their stamps, because whoever mirrors nobody
//! shall not pay for stamps. Everything runs under one lock of [`Mirror`](super::Mirror), inside of which the engine's
//! is taken, never the other way round.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::durable::{Durable, Memory, Stamp};
use crate::balance::random::mix;
use crate::balance::registration::Whereabouts;
use crate::balance::statistics::{Amount, StatisticName};
use crate::balance::update::{BackendUpdate, Feed, Health};
use crate::balance::{Moment, Name};

/// One field and what was said in it.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Feed(Feed),
    Health(Health),
    Statistic(StatisticName, f64),
    /// Where it is, of one that registered.
    Whereabouts(Whereabouts),
}

#[derive(Debug, Clone)]
struct Register {
    said: Said,
    stamp: Stamp,
    /// When it was said, by our clock.
    at: Moment,
    /// Counts changes of registers here.
    turn: u64,
}

/// Fields of one backend that were said at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// The fields; amounts are [`Amount::Set`].
    pub report: BackendUpdate,
    /// Their stamp.
    pub stamp: Stamp,
    /// When, by our clock.
    pub at: Moment,
}

/// All registers.
#[derive(Debug)]
pub struct Registers {
    /// The name on our own stamps.
    by: Arc<str>,
    backends: HashMap<Name, Vec<Register>>,
    turn: u64,
    digest: u64,
}

impl Registers {
    /// Begins with what is known: everything a backend said counts as said here when it last reported.
    pub fn new(by: Arc<str>, memory: &Memory) -> Self {
        let mut registers = Self { by, backends: HashMap::new(), turn: 0, digest: 0 };
        for backend in &memory.backends {
            let Some(at) = backend.last_report else { continue };
            let mut report = BackendUpdate::new(backend.name.clone());
            let statistics = backend.statistics.iter();
            report.statistics = statistics.map(|(name, value)| (name.clone(), Amount::Set(value))).collect();
            report.health = Some(backend.health);
            report.feed = Some(if backend.left { Feed::Out } else { Feed::In });
            report.whereabouts = backend.whereabouts.clone();
            let stamp = Stamp { at, by: Arc::clone(&registers.by) };
            registers.learn(&report, &stamp, at);
        }
        registers
    }

    /// The name on our own stamps from now on.
    pub fn sign_as(&mut self, by: Arc<str>) {
        self.by = by;
    }

    /// Enters what was said here; gives its turn.
    pub fn say(&mut self, report: &BackendUpdate, now: Moment) -> u64 {
        let said = fields(report);
        let held = said.iter().filter_map(|said| self.get(&report.backend, said));
        // Later than all that it takes the place of, whatever our clock says.
        let at = held.map(|held| held.stamp.at + Duration::from_nanos(1)).fold(now, Moment::max);
        let stamp = Stamp { at, by: Arc::clone(&self.by) };
        self.learn(report, &stamp, now);
        self.turn
    }

    /// What in another's report is later than what we hold; `None` if nothing is. Also gives how many fields are not.
    pub fn news(&self, report: &BackendUpdate, stamp: &Stamp) -> (Option<BackendUpdate>, u64) {
        let (mut news, mut any, mut older) = (BackendUpdate::new(report.backend.clone()), false, 0);
        for said in fields(report) {
            if self.get(&report.backend, &said).is_some_and(|held| held.stamp >= *stamp) {
                older += 1;
                continue;
            }
            any = true;
            said.add_to(&mut news);
        }
        (any.then_some(news), older)
    }

    /// Enters what was said with this stamp, at this moment by our clock.
    pub fn learn(&mut self, report: &BackendUpdate, stamp: &Stamp, at: Moment) {
        self.turn += 1;
        let turn = self.turn;
        let registers = self.backends.entry(report.backend.clone()).or_default();
        for said in fields(report) {
            let register = Register { said, stamp: stamp.clone(), at, turn };
            self.digest ^= register.hash(&report.backend);
            match registers.iter_mut().find(|held| held.said.is_same_field(&register.said)) {
                Some(held) => {
                    self.digest ^= held.hash(&report.backend);
                    *held = register;
                }
                None => registers.push(register),
            }
        }
    }

    fn get(&self, backend: &Name, said: &Said) -> Option<&Register> {
        self.backends.get(backend)?.iter().find(|held| held.said.is_same_field(said))
    }

    /// What was said of a backend here from this turn on.
    pub fn own(&self, backend: &Name, turn: u64) -> Vec<Spoken> {
        self.spoken(backend, |register| register.turn >= turn && register.stamp.by == self.by)
    }

    /// Everything that was said of a backend, wherever.
    pub fn all(&self, backend: &Name) -> Vec<Spoken> {
        self.spoken(backend, |_| true)
    }

    fn spoken(&self, backend: &Name, which: impl Fn(&Register) -> bool) -> Vec<Spoken> {
        let mut spoken: Vec<Spoken> = Vec::new();
        for register in self.backends.get(backend).into_iter().flatten().filter(|register| which(register)) {
            let Register { said, stamp, at, .. } = register;
            let at_once = |it: &&mut Spoken| it.stamp == *stamp && it.at == *at;
            match spoken.iter_mut().find(at_once) {
                Some(spoken) => said.add_to(&mut spoken.report),
                None => {
                    let mut report = BackendUpdate::new(backend.clone());
                    said.add_to(&mut report);
                    spoken.push(Spoken { report, stamp: stamp.clone(), at: *at });
                }
            }
        }
        spoken
    }

    /// The first turn of a field that was said here and that `theirs`, everything another Athena holds of this backend,
    /// lacks or holds with an older stamp; and when it was said.
    pub fn lacking(&self, backend: &Name, theirs: &[(&BackendUpdate, &Stamp)]) -> Option<(u64, Moment)> {
        let own = self.backends.get(backend)?.iter().filter(|register| register.stamp.by == self.by);
        let lacks = |register: &&Register| {
            let holds = |(report, stamp): &(&BackendUpdate, &Stamp)| {
                **stamp >= register.stamp && register.said.is_in(report)
            };
            !theirs.iter().any(holds)
        };
        own.filter(lacks).map(|register| (register.turn, register.at)).min()
    }

    /// The backends that ever said something, in no order.
    pub fn backends(&self) -> Vec<Name> {
        self.backends.keys().cloned().collect()
    }

    /// Forgets backends that are not there any more.
    pub fn retain(&mut self, is_there: impl Fn(&Name) -> bool) {
        let digest = &mut self.digest;
        self.backends.retain(|name, registers| {
            let stays = is_there(name);
            if !stays {
                *digest = registers.iter().fold(*digest, |digest, register| digest ^ register.hash(name));
            }
            stays
        });
    }

    /// A sum over all fields and stamps: who holds the same has the same.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl Register {
    fn hash(&self, backend: &Name) -> u64 {
        let field = match &self.said {
            Said::Feed(_) => "i",
            Said::Health(_) => "v",
            Said::Whereabouts(_) => "A",
            Said::Statistic(name, _) => name.as_str(),
        };
        hash(&[backend.as_str(), field, &self.stamp.by], self.stamp.at)
    }
}

/// What a decision adds to a digest.
pub fn hash_decision(record: &Durable) -> u64 {
    let axis = match record.axis() {
        crate::balance::durable::Axis::Admin => "s",
        crate::balance::durable::Axis::Mark => "V",
        crate::balance::durable::Axis::Weight => "w",
        crate::balance::durable::Axis::Switch => "n",
    };
    hash(&[record.name.as_str(), axis, &record.stamp.by], record.stamp.at)
}

/// FNV-1a over the words and a separator each, then mixed with the time: the same in every process.
fn hash(words: &[&str], at: Moment) -> u64 {
    let octets = words.iter().flat_map(|word| word.bytes().chain([0]));
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3);
    mix(octets.fold(0xcbf2_9ce4_8422_2325, step) ^ mix(at.nanos()))
}

impl Said {
    fn is_same_field(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Feed(_), Self::Feed(_))
            | (Self::Health(_), Self::Health(_))
            | (Self::Whereabouts(_), Self::Whereabouts(_)) => true,
            (Self::Statistic(name, _), Self::Statistic(other, _)) => name == other,
            _ => false,
        }
    }

    fn is_in(&self, report: &BackendUpdate) -> bool {
        match self {
            Self::Feed(_) => report.feed.is_some(),
            Self::Health(_) => report.health.is_some(),
            Self::Whereabouts(_) => report.whereabouts.is_some(),
            Self::Statistic(name, _) => report.statistics.iter().any(|(other, _)| other == name),
        }
    }

    fn add_to(&self, report: &mut BackendUpdate) {
        match self {
            Self::Feed(feed) => report.feed = Some(*feed),
            Self::Health(health) => report.health = Some(*health),
            Self::Whereabouts(whereabouts) => report.whereabouts = Some(whereabouts.clone()),
            Self::Statistic(name, value) => report.statistics.push((name.clone(), Amount::Set(*value))),
        }
    }
}

fn fields(report: &BackendUpdate) -> Vec<Said> {
    let whereabouts = report.whereabouts.clone().map(Said::Whereabouts);
    let words = [report.feed.map(Said::Feed), report.health.map(Said::Health), whereabouts];
    let statistics = report.statistics.iter();
    let statistics = statistics.map(|(name, amount)| Said::Statistic(name.clone(), amount.number()));
    words.into_iter().flatten().chain(statistics).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::parse("app01").unwrap()
    }

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    fn report(values: &[(&str, f64)]) -> BackendUpdate {
        let mut report = BackendUpdate::new(name());
        let set = |&(name, value): &(&str, f64)| (StatisticName::parse(name).unwrap(), Amount::Set(value));
        report.statistics = values.iter().map(set).collect();
        report.feed = Some(Feed::In);
        report
    }

    fn registers(by: &str) -> Registers {
        Registers::new(by.into(), &Memory::default())
    }

    /// Gives everything that one holds to another.
    fn tell(from: &Registers, to: &mut Registers) {
        for Spoken { report, stamp, at } in from.all(&name()) {
            if let (Some(news), _) = to.news(&report, &stamp) {
                to.learn(&news, &stamp, at);
            }
        }
    }

    fn held(registers: &Registers) -> Vec<(String, f64)> {
        let mut held = Vec::new();
        for spoken in registers.all(&name()) {
            held.extend(
                spoken.report.statistics.iter().map(|(name, amount)| (name.to_string(), amount.number())),
            );
        }
        held.sort_by(|a, b| a.0.cmp(&b.0));
        held
    }

    #[test]
    fn two_that_took_different_fields_come_to_hold_the_same() {
        let (mut a, mut b) = (registers("a"), registers("b"));
        a.say(&report(&[("l", 1.0), ("c", 1.0)]), at(10));
        b.say(&report(&[("c", 2.0)]), at(20));
        a.say(&report(&[("q", 3.0)]), at(30));
        assert_ne!(a.digest(), b.digest());
        tell(&a, &mut b);
        tell(&b, &mut a);
        let expected = [("c", 2.0), ("l", 1.0), ("q", 3.0)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!((held(&a), held(&b)), (expected.to_vec(), expected.to_vec()));
        assert_eq!(a.digest(), b.digest());
        tell(&a, &mut b);
        assert_eq!(a.digest(), b.digest(), "telling again changes nothing");
    }

    #[test]
    fn a_slow_clock_still_says_the_later_thing() {
        let (mut ahead, mut slow) = (registers("a"), registers("b"));
        ahead.say(&report(&[("l", 1.0)]), at(1_000_000));
        tell(&ahead, &mut slow);
        slow.say(&report(&[("l", 2.0)]), at(5));
        tell(&slow, &mut ahead);
        assert_eq!(held(&ahead), [("l".to_owned(), 2.0)]);
    }

    #[test]
    fn what_was_heard_is_not_passed_on() {
        let (mut a, mut b) = (registers("a"), registers("b"));
        a.say(&report(&[("l", 1.0)]), at(10));
        tell(&a, &mut b);
        assert_eq!(b.own(&name(), 0), []);
        let turn = b.say(&report(&[("c", 1.0)]), at(20));
        let own = b.own(&name(), turn);
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].report, report(&[("c", 1.0)]));
        assert_eq!(b.own(&name(), turn + 1), []);
    }

    #[test]
    fn what_another_lacks_is_known_field_by_field() {
        let (mut a, mut b) = (registers("a"), registers("b"));
        let first = a.say(&report(&[("l", 1.0), ("c", 1.0)]), at(10));
        tell(&a, &mut b);
        let lacking = |a: &Registers, b: &Registers| {
            let theirs = b.all(&name());
            let theirs: Vec<_> = theirs.iter().map(|it| (&it.report, &it.stamp)).collect();
            a.lacking(&name(), &theirs).map(|(turn, _)| turn)
        };
        assert_eq!(lacking(&a, &b), None);
        let second = a.say(&report(&[("c", 2.0)]), at(20));
        assert_eq!(lacking(&a, &b), Some(second));
        assert_eq!(lacking(&a, &registers("c")), Some(first));
        assert_eq!(lacking(&b, &registers("c")), None, "it said nothing itself");
    }

    #[test]
    fn who_is_gone_is_forgotten_without_a_trace() {
        let mut registers = registers("a");
        registers.say(&report(&[("l", 1.0)]), at(10));
        registers.retain(|_| false);
        assert_eq!((registers.digest(), registers.backends()), (0, vec![]));
    }
}
