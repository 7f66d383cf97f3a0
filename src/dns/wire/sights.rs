//! What one thread sees of the farms: their views, kept from query to query, and fetched for a whole batch at once.
//!
//! Of ten thousand farms, each asked for now and then, nothing is in the cache when its turn comes: name, farm, view,
//! rule, numbers and member of each lie on some ten lines, and most of them are found only through the one before. Answered one
//! after another, queries would wait for memory most of the time. But the queries of a batch wait for different lines: so
//! all of them take the first step, then all take the second, and a core has ten loads or more under way at a time.
//! These are ordinary loads, whose values are thrown away.

use std::hint::black_box;
use std::sync::{Arc, Weak};

use super::super::authority::Authority;
use super::super::udp::BATCH;
use super::super::zone::Zones;
use crate::balance::sight::Sight;

/// From so many farms on it pays to fetch what a batch needs: fewer stay in the cache, and the extra look-up costs some
/// per cent of an answer.
pub const CROWD: usize = 1000;

/// The views of a configuration's farms, of those that this thread was asked for.
#[derive(Default)]
pub struct Sights {
    /// The configuration; held so that no other one can stand at its address.
    of: Weak<Authority>,
    each: Vec<Option<Sight>>,
}

impl Sights {
    /// These are the farms from now on.
    pub fn attend(&mut self, authority: &Arc<Authority>) {
        if self.of.as_ptr() != Arc::as_ptr(authority) {
            self.of = Arc::downgrade(authority);
            self.each.clear();
            self.each.resize_with(authority.zones.farms().len(), || None);
        }
    }

    /// The farm at this place in `zones`, those of the configuration.
    #[inline]
    pub fn of(&mut self, zones: &Zones, number: usize) -> &mut Sight {
        self.each[number].get_or_insert_with(|| Sight::of(&zones.farms()[number]))
    }

    /// Brings what the answers for these farms need into the cache.
    pub fn fetch(&mut self, zones: &Zones, farms: impl Iterator<Item = usize>) {
        let (mut numbers, mut count) = ([0; BATCH], 0);
        for (place, number) in numbers.iter_mut().zip(farms) {
            *place = number;
            count += 1;
        }
        let numbers = &numbers[..count];
        for step in 0..3 {
            let fetched = numbers.iter().map(|&number| self.of(zones, number).view().fetch(step));
            black_box(fetched.fold(0, u64::wrapping_add));
        }
    }
}
