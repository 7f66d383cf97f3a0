//! What one thread sees of the farms: their views, kept from query to query by the farms' names, and asked for ahead.
//!
//! Of ten thousand farms, each asked for now and then, nothing is in the cache when its turn comes: name, farm, view,
//! rule, numbers and member of each lie on some fifteen lines, and most of them are found only through the one before. Answered
//! one after another, queries would wait for memory most of the time. But the queries of a batch wait for different lines: so
//! steps towards each farm are taken while those before it are answered, and each step only asks for what the next one reads.

use std::sync::{Arc, Weak};

use super::super::authority::Authority;
use super::super::query::HEADER;
use super::super::udp::BATCH;
use super::super::zone::{Key, Zones};
use crate::balance::ahead::want_at;
use crate::balance::sight::Sight;
use crate::balance::view::STEPS;

/// From so many farms on it pays to ask ahead for what a batch needs: fewer stay in the cache, and the extra look-up costs some
/// per cent of an answer.
pub const CROWD: usize = 1000;

/// The views of a configuration's farms, of those that this thread was asked for.
#[derive(Default)]
pub struct Sights {
    /// The configuration; held so that no other one can stand at its address.
    of: Weak<Authority>,
    /// By the hash of the name; whoever finds his place taken has the next one that is free. A quarter at least are.
    seats: Vec<Seat>,
    /// Those of configurations before. A thread may be the last to hold their views: to free ten thousand of them takes
    /// longer than a query should wait.
    former: Vec<Seat>,
    /// Seats of farms that have answers which are not counted yet.
    uncounted: Vec<u32>,
    expected: Expected,
}

/// A farm that the thread was asked for, or room for one: name and view on one line of the cache.
#[derive(Default)]
#[repr(align(64))]
struct Seat {
    key: Key,
    sight: Option<Sight>,
}

/// The farms that a batch may be for, in its order; of those that follow each other and are the same only one.
struct Expected {
    /// Their names, and where they sit.
    farms: [(Key, u32); BATCH],
    count: usize,
    /// Before which of them the next answer is.
    next: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self { farms: [(Key::default(), 0); BATCH], count: 0, next: 0 }
    }
}

/// Steps towards a farm, and how many farms before its answer each is taken.
const LEADS: [(u32, usize); 1 + STEPS as usize] = [(0, 16), (1, 12), (2, 8), (3, 4)];
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
        self.former.append(&mut self.seats);
        self.seats.resize_with((farms + farms / 3 + 1).next_power_of_two(), Seat::default);
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

    /// The seat of this name, or the one that it would get.
    #[inline]
    fn find(&self, key: &Key) -> usize {
        let mut at = first_seat(&self.seats, key);
        while let Some(seat) = self.seats.get(at)
            && seat.sight.is_some()
            && seat.key != *key
        {
            at = (at + 1) & (self.seats.len() - 1);
        }
        at
    }

    /// The farm of this name among those of `zones`, the configuration; and its number here.
    #[inline]
    pub fn of(&mut self, zones: &Zones, key: &Key) -> Option<(u32, &mut Sight)> {
        let at = self.find(key);
        let seat = self.seats.get_mut(at)?;
        if seat.sight.is_none() {
            *seat = Seat { key: *key, sight: Some(Sight::of(zones.farm(key)?)) };
        }
        Some((at as u32, seat.sight.as_mut()?))
    }

    /// Notes that a farm has given an answer that is not counted.
    #[inline]
    pub fn note(&mut self, number: u32) {
        // Those of one farm mostly come one after another.
        if self.uncounted.last() != Some(&number) {
            self.uncounted.push(number);
        }
    }

    /// Counts what is not counted yet.
    pub fn settle(&mut self) {
        for number in self.uncounted.drain(..) {
            if let Some(Seat { sight: Some(sight), .. }) = self.seats.get_mut(number as usize) {
                sight.settle();
            }
        }
    }

    /// Finds out which farms these queries may be for, and begins to ask for what their answers will read. Each begins with a
    /// datagram, and may go on behind it.
    pub fn expect<'a>(&mut self, zones: &Zones, batch: impl Iterator<Item = &'a [u8]>) {
        let (mut count, farms) = (0, &mut self.expected.farms[..]);
        for datagram in batch {
            let Some(name) = datagram.get(HEADER..).and_then(|name| zones.farm_name(name)) else { continue };
            // Some ask for the same one.
            if count > 0 && farms[count - 1].0 == name {
                continue;
            }
            let Some(place) = farms.get_mut(count) else { break };
            *place = (name, 0);
            want_at(&self.seats, first_seat(&self.seats, &name));
            count += 1;
        }
        (self.expected.count, self.expected.next) = (count, 0);
        for (step, lead) in LEADS {
            (0..lead).for_each(|number| self.ask(number, step));
        }
    }

    /// Asks for what comes a little later; to be called before each answer.
    #[inline]
    pub fn go_on(&mut self) {
        let next = self.expected.next;
        if next < self.expected.count {
            self.expected.next += 1;
            for (step, lead) in LEADS {
                self.ask(next + lead, step);
            }
        }
    }

    /// Takes a step towards the farm that is expected at this place of the batch.
    #[inline]
    fn ask(&mut self, place: usize, step: u32) {
        if place >= self.expected.count {
            return;
        }
        let (key, mut at) = self.expected.farms[place];
        if step == 0 {
            at = self.find(&key) as u32;
            self.expected.farms[place].1 = at;
        }
        if let Some(Seat { sight: Some(sight), .. }) = self.seats.get(at as usize) {
            if step == 0 { sight.want() } else { sight.seen().fetch(step) }
        }
    }
}

/// Where the look-up of a name begins.
#[inline]
fn first_seat(seats: &[Seat], key: &Key) -> usize {
    key.hash() as usize & seats.len().wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::plan::FarmPlan;
    use crate::balance::{Engine, Farm, Moment, Name, Plan, algorithm};

    #[test]
    fn a_seat_is_one_line() {
        assert_eq!(size_of::<Seat>(), 64);
    }

    #[test]
    fn what_was_seen_under_another_configuration_is_let_go_a_little_at_a_time() {
        let rule = algorithm::find("random").unwrap();
        let one = FarmPlan::new(Name::parse("one").unwrap(), [], rule);
        let engine = Engine::new(Plan { farms: vec![one], backends: Vec::new() }, Moment::ZERO).unwrap();
        let farm: Arc<Farm> = engine.farm("one").unwrap();
        let held = Arc::strong_count(&farm);

        let mut sights = Sights::default();
        sights.begin(30);
        assert_eq!(sights.seats.len(), 64, "room for a third more");
        sights.seats.truncate(40);
        sights.seats.iter_mut().for_each(|seat| seat.sight = Some(Sight::of(&farm)));
        sights.begin(40);
        assert_eq!(Arc::strong_count(&farm), held + 40, "nobody waits for it");
        for left in [24, 8, 0, 0] {
            sights.let_go();
            assert_eq!(Arc::strong_count(&farm), held + left);
        }
        assert_eq!((sights.seats.len(), sights.former.capacity()), (64, 0));
    }
}
