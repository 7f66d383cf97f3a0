//! What one thread sees of the farms: their views, kept from query to query, and asked for before their turn comes.
//!
//! Of ten thousand farms, each asked for now and then, nothing is in the cache when its turn comes: seat, farm, view,
//! rule, numbers and member of each lie on some ten lines, and most of them are found only through the one before. Answered one
//! after another, queries would wait for memory most of the time. But the queries of a batch wait for different lines: so all
//! names of a batch are found before the first answer, steps towards each farm are taken while those before it are answered, and
//! each step only asks for what the next one reads.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::hash_table::IntoIter;

use super::super::authority::Authority;
use super::super::query::HEADER;
use super::super::udp::BATCH;
use super::super::zone::{Below, Zones};
use super::seats::{Place, Seat, Seats, Sought};
use crate::balance::sight::Sight;
use crate::balance::view::STEPS;

/// From so many farms on it pays to fetch what a batch needs: fewer stay in the cache.
pub const CROWD: usize = 1000;

/// The views of a configuration's farms, of those that this thread was asked for.
#[derive(Default)]
pub struct Sights {
    /// The configuration; held so that no other one can stand at its address.
    of: Weak<Authority>,
    seats: Seats,
    /// Those of configurations before. A thread may be the last to hold their views: to free ten thousand of them takes
    /// longer than a query should wait.
    former: VecDeque<IntoIter<Seat>>,
    /// Farms that have answers which are not counted yet.
    uncounted: Vec<Place>,
    expected: Expected,
}

/// A farm that is plainly asked for: its seat, and where its name stands.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Its seat.
    pub place: Place,
    /// Where its name stands.
    pub below: Below,
}

/// What the datagrams of a batch ask for, by their numbers in it.
struct Expected {
    each: [Option<Asked>; BATCH],
    /// How many there are; none where it was not found out.
    count: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self { each: [None; BATCH], count: 0 }
    }
}

/// Steps towards a farm, and how many farms before its answer each is taken.
const LEADS: [(u32, usize); 1 + STEPS as usize] = [(0, 10), (1, 8), (2, 6), (3, 4), (4, 2)];

/// Former seats that one batch lets go.
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
        self.former.push_back(std::mem::replace(&mut self.seats, Seats::of(farms)).into_iter());
    }

    #[inline]
    fn let_go(&mut self) {
        if let Some(seats) = self.former.front_mut()
            && seats.by_ref().take(LET_GO).count() < LET_GO
        {
            self.former.pop_front();
        }
    }

    /// A farm that was [asked](Self::asked) for.
    #[inline]
    pub fn of(&mut self, asked: Asked) -> Option<&mut Sight> {
        self.seats.sight_mut(asked.place)
    }

    /// Notes that a farm has given an answer that is not counted.
    #[inline]
    pub fn note(&mut self, asked: Asked) {
        // Those of one farm mostly come one after another.
        if self.uncounted.last() != Some(&asked.place) {
            self.uncounted.push(asked.place);
        }
    }

    /// Counts what is not counted yet: the batch is over.
    pub fn settle(&mut self) {
        self.expected.count = 0;
        for place in self.uncounted.drain(..) {
            if let Some(sight) = self.seats.sight_mut(place) {
                sight.settle();
            }
        }
    }

    /// Finds out which farms these queries ask for, if there are many, and begins to ask for what their answers will read. Each
    /// begins with a datagram, and may go on behind it.
    pub fn expect<'a>(&mut self, zones: &Zones, batch: impl Iterator<Item = &'a [u8]>) {
        // A panic may have left something of the batch before.
        self.expected.count = 0;
        if zones.farms().len() < CROWD {
            return;
        }
        let mut sought: [Option<(Sought, Below)>; BATCH] = [None; BATCH];
        let mut count = 0;
        for (sought, datagram) in sought.iter_mut().zip(batch) {
            let name = datagram.get(HEADER..).and_then(|octets| zones.plainly(octets));
            *sought = name.map(|name| (Sought::from(*name.key()), name.below()));
            if let Some((name, _)) = sought {
                self.seats.seek(name);
            }
            count += 1;
        }
        for (asked, sought) in self.expected.each.iter_mut().zip(&sought[..count]) {
            *asked = sought.as_ref().and_then(|(sought, below)| {
                let place = self.seats.find(zones, sought)?;
                Some(Asked { place, below: *below })
            });
        }
        self.expected.count = count;
        for (step, lead) in LEADS {
            (0..lead).for_each(|number| self.ask(number, step));
        }
    }

    /// What the datagram of this number in the batch, whose name `octets` begin with, asks for, if that is a farm and plainly.
    #[inline]
    pub fn asked(&mut self, zones: &Zones, number: usize, octets: &[u8]) -> Option<Asked> {
        if let Some(asked) = self.expected.each[..self.expected.count].get(number) {
            return *asked;
        }
        let name = zones.plainly(octets)?;
        let place = self.seats.find(zones, &Sought::from(*name.key()))?;
        Some(Asked { place, below: name.below() })
    }

    /// Asks for what comes a little later; to be called before the answer to the datagram of this number.
    #[inline]
    pub fn go_on(&self, number: usize) {
        if number < self.expected.count {
            for (step, lead) in LEADS {
                self.ask(number + lead, step);
            }
        }
    }

    /// Takes a step towards the farm that the datagram of this number asks for.
    #[inline]
    fn ask(&self, number: usize, step: u32) {
        if let Some(Some(asked)) = self.expected.each[..self.expected.count].get(number)
            && let Some(sight) = self.seats.sight(asked.place)
        {
            if step == 0 { sight.want() } else { sight.seen().fetch(step) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::ZoneContent;
    use super::*;
    use crate::balance::plan::FarmPlan;
    use crate::balance::{Engine, Farm, Moment, Name, Plan, algorithm};

    const ZONE: &str = "@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

    /// So many farms, `f0` and so on, without members.
    fn farms(count: usize) -> (Vec<Arc<Farm>>, Zones) {
        let rule = algorithm::find("random").unwrap();
        let plan = |number| FarmPlan::new(Name::parse(&format!("f{number}")).unwrap(), [], rule);
        let plan = Plan { farms: (0..count).map(plan).collect(), backends: Vec::new() };
        let farms = Engine::new(plan, Moment::ZERO).unwrap().farms();
        let content = ZoneContent::parse("zone".as_ref(), ZONE, &"athena.".parse().unwrap()).unwrap();
        let zones = Zones::new(&[content], &farms).unwrap();
        (farms, zones)
    }

    fn query(farm: &str) -> Vec<u8> {
        [&[0; HEADER], &[farm.len() as u8][..], farm.as_bytes(), b"\x06athena\0\0\x01\0\x01"].concat()
    }

    #[test]
    fn a_farm_has_one_seat_and_a_stranger_none() {
        let (farms, zones) = farms(3);
        let mut sights = Sights::default();
        sights.begin(farms.len());
        let mut asked = |name: &str| {
            let asked = sights.asked(&zones, 0, &query(name)[HEADER..])?;
            Some((asked.place, sights.of(asked).unwrap().look().0.name().to_string()))
        };
        let first: Vec<_> = ["f0", "f1", "F2"].iter().map(|name| asked(name).unwrap()).collect();
        let names: Vec<_> = first.iter().map(|(_, name)| &**name).collect();
        assert_eq!(names, ["f0", "f1", "f2"]);
        let again: Vec<_> = ["F0", "f1", "f2"].iter().map(|name| asked(name).unwrap()).collect();
        assert_eq!(again, first);
        assert!((3..1000).all(|number| asked(&format!("f{number}")).is_none()));
    }

    #[test]
    fn what_was_seen_under_another_configuration_is_let_go_a_little_at_a_time() {
        let (farms, zones) = farms(40);
        let held = || farms.iter().filter(|farm| Arc::strong_count(farm) > 2).count();
        let mut sights = Sights::default();
        sights.begin(farms.len());
        assert_eq!(held(), 0);
        for number in 0..40 {
            let asked = sights.asked(&zones, 0, &query(&format!("f{number}"))[HEADER..]).unwrap();
            sights.note(asked);
        }
        sights.settle();
        assert_eq!(held(), 40);
        sights.begin(farms.len());
        assert_eq!(held(), 40, "nobody waits for it");
        // First the seats before these, of which there are none.
        for left in [40, 24, 8, 0, 0] {
            sights.let_go();
            assert_eq!(held(), left);
        }
        assert!(sights.former.is_empty());
    }
}
