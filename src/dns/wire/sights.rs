//! What one thread sees of the farms: their views, kept from query to query, and asked for before their turn comes.
//!
//! Of ten thousand farms, each asked for now and then, nothing is in the cache when its turn comes: name, farm, view,
//! rule, numbers and member of each lie on some fifteen lines, and most of them are found only through the one before. Answered one
//! after another, queries would wait for memory most of the time. But the queries of a batch wait for different lines: so
//! steps towards each farm are taken while those before it are answered, and each step only asks for what the next one reads.

use std::sync::{Arc, Weak};

use super::super::authority::Authority;
use super::super::query::HEADER;
use super::super::udp::BATCH;
use super::super::zone::{Lead, PlainName, Zones};
use crate::balance::ahead::want_at;
use crate::balance::sight::Sight;
use crate::balance::view::STEPS;

/// From so many farms on it pays to fetch what a batch needs: fewer stay in the cache, and the extra look-up costs some
/// per cent of an answer.
pub const CROWD: usize = 1000;

/// The views of a configuration's farms, of those that this thread was asked for.
#[derive(Default)]
pub struct Sights {
    /// The configuration; held so that no other one can stand at its address.
    of: Weak<Authority>,
    each: Vec<Option<Sight>>,
    /// Those of configurations before. A thread may be the last to hold their views: to free ten thousand of them takes
    /// longer than a query should wait.
    former: Vec<Option<Sight>>,
    /// Farms that have answers which are not counted yet.
    uncounted: Vec<u32>,
    expected: Expected,
}

/// What the datagrams of a batch ask for, by their places in it.
struct Expected {
    names: [Option<PlainName>; BATCH],
    /// How many there are; none where it was not found out.
    count: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self { names: [None; BATCH], count: 0 }
    }
}

/// Names that are sought at a time.
const SOUGHT: usize = 8;

/// Steps towards a farm, and how many farms before its answer each is taken.
const LEADS: [(u32, usize); 1 + STEPS as usize] = [(0, 16), (1, 12), (2, 8), (3, 4)];

/// Former sights that one batch lets go.
const LET_GO: usize = 16;

impl Sights {
    /// These are the farms from now on.
    pub fn attend(&mut self, authority: &Arc<Authority>) {
        if self.of.as_ptr() != Arc::as_ptr(authority) {
            self.of = Arc::downgrade(authority);
            self.begin(authority.zones.farms().len());
        }
        self.let_go();
    }

    fn begin(&mut self, farms: usize) {
        self.uncounted.clear();
        self.former.append(&mut self.each);
        self.each.resize_with(farms, || None);
    }

    #[inline]
    fn let_go(&mut self) {
        if !self.former.is_empty() {
            self.former.truncate(self.former.len().saturating_sub(LET_GO));
            if self.former.is_empty() {
                self.former = Vec::new();
            }
        }
    }

    /// The farm at this place in `zones`, those of the configuration.
    #[inline]
    pub fn of(&mut self, zones: &Zones, number: usize) -> &mut Sight {
        self.each[number].get_or_insert_with(|| Sight::of(&zones.farms()[number]))
    }

    /// Notes that a farm has given an answer that is not counted.
    #[inline]
    pub fn note(&mut self, number: usize) {
        // Those of one farm mostly come one after another.
        if self.uncounted.last() != Some(&(number as u32)) {
            self.uncounted.push(number as u32);
        }
    }

    /// Counts what is not counted yet: the batch is over.
    pub fn settle(&mut self) {
        self.expected.count = 0;
        for number in self.uncounted.drain(..) {
            if let Some(Some(sight)) = self.each.get_mut(number as usize) {
                sight.settle();
            }
        }
    }

    /// Finds out which farms these queries ask for, if there are many, and begins to ask for what their answers will read. Each
    /// begins with a datagram, and may go on behind it.
    pub fn expect<'a>(&mut self, zones: &Zones, batch: impl Iterator<Item = &'a [u8]>) {
        if zones.farms().len() < CROWD {
            return;
        }
        self.expected.count = 0;
        let mut sought = [None; SOUGHT];
        for datagram in batch.take(BATCH) {
            let place = self.expected.count;
            if place >= SOUGHT {
                self.found(zones, place - SOUGHT, &sought[place % SOUGHT]);
            }
            sought[place % SOUGHT] = datagram.get(HEADER..).and_then(|name| zones.seek(name));
            self.expected.count += 1;
        }
        let count = self.expected.count;
        (count.saturating_sub(SOUGHT)..count).for_each(|place| self.found(zones, place, &sought[place % SOUGHT]));
        for (step, lead) in LEADS {
            (0..lead).for_each(|place| self.ask(zones, place, step));
        }
    }

    /// Notes what a datagram asks for.
    #[inline]
    fn found(&mut self, zones: &Zones, place: usize, lead: &Option<Lead<'_>>) {
        let name = lead.as_ref().and_then(|lead| zones.follow(lead));
        self.expected.names[place] = name;
        if let Some(name) = name {
            want_at(&self.each, name.number());
        }
    }

    /// What the datagram at this place of the batch, whose name `octets` begin with, asks for: see [`Zones::plainly_asked`].
    #[inline]
    pub fn asked(&self, zones: &Zones, place: usize, octets: &[u8]) -> Option<PlainName> {
        match self.expected.names[..self.expected.count].get(place) {
            Some(name) => *name,
            None => zones.plainly_asked(octets),
        }
    }

    /// Asks for what comes a little later; to be called before the answer at this place of the batch.
    #[inline]
    pub fn go_on(&mut self, zones: &Zones, place: usize) {
        if place < self.expected.count {
            for (step, lead) in LEADS {
                self.ask(zones, place + lead, step);
            }
        }
    }

    /// Takes a step towards the farm that is asked for at this place of the batch.
    #[inline]
    fn ask(&mut self, zones: &Zones, place: usize, step: u32) {
        if let Some(Some(name)) = self.expected.names[..self.expected.count].get(place) {
            let sight = self.of(zones, name.number());
            if step == 0 { sight.want() } else { sight.seen().fetch(step) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::plan::FarmPlan;
    use crate::balance::{Engine, Farm, Moment, Name, Plan, algorithm};

    #[test]
    fn what_was_seen_under_another_configuration_is_let_go_a_little_at_a_time() {
        let rule = algorithm::find("random").unwrap();
        let one = FarmPlan::new(Name::parse("one").unwrap(), [], rule);
        let engine = Engine::new(Plan { farms: vec![one], backends: Vec::new() }, Moment::ZERO).unwrap();
        let farm: Arc<Farm> = engine.farm("one").unwrap();
        let held = Arc::strong_count(&farm);

        let mut sights = Sights::default();
        sights.begin(40);
        sights.each.iter_mut().for_each(|sight| *sight = Some(Sight::of(&farm)));
        sights.begin(40);
        assert_eq!(Arc::strong_count(&farm), held + 40, "nobody waits for it");
        for left in [24, 8, 0, 0] {
            sights.let_go();
            assert_eq!(Arc::strong_count(&farm), held + left);
        }
        assert_eq!((sights.each.len(), sights.former.capacity()), (40, 0));
    }
}
