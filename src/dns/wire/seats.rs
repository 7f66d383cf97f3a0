//! A thread's own table of the farms that it was asked for: name, farm and view of each on one line of the cache.
//!
//! A farm that nobody has asked for lately is found by one line and not by three: that of its name in the zones, that of its
//! number among the thread's sights, and that of the sight.

use hashbrown::HashTable;
use hashbrown::hash_table::IntoIter;

use super::super::zone::{Key, Zones};
use crate::balance::ahead::want;
use crate::balance::sight::Sight;

/// A farm's name and what the thread sees of it.
#[repr(align(64))]
pub struct Seat {
    key: Key,
    sight: Sight,
}

/// Where a farm's seat is. It stays there for as long as the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

/// A name that is looked for.
#[derive(Clone, Copy)]
pub struct Sought {
    key: Key,
    hash: u64,
}

impl From<Key> for Sought {
    #[inline]
    fn from(key: Key) -> Self {
        Self { key, hash: key.hash() }
    }
}

/// The farms of one configuration that the thread was asked for.
#[derive(Default)]
pub struct Seats(HashTable<Seat>);

impl Seats {
    /// Room for so many farms, and none of them.
    pub fn of(farms: usize) -> Self {
        Self(HashTable::with_capacity(farms))
    }

    /// Asks for what [`find`](Self::find) will read.
    #[inline]
    pub fn seek(&self, name: &Sought) {
        // Of all that look like it: were it only the first, every twentieth name would be waited for.
        self.0.find(name.hash, |seat| {
            want(seat);
            false
        });
    }

    /// The seat of a farm; a new one if the thread is asked for that farm for the first time. `None` if there is no such farm in
    /// `zones`, those of the configuration.
    #[inline]
    pub fn find(&mut self, zones: &Zones, name: &Sought) -> Option<Place> {
        self.known(name).or_else(|| self.welcome(zones, name))
    }

    #[inline]
    fn known(&self, name: &Sought) -> Option<Place> {
        let index = self.0.find_bucket_index(name.hash, |seat| seat.key == name.key)?;
        Some(Place(index as u32))
    }

    #[cold]
    fn welcome(&mut self, zones: &Zones, name: &Sought) -> Option<Place> {
        let farm = &zones.farms()[zones.named(&name.key)?];
        // There is room for all, so nobody has to leave his place.
        if self.0.len() < self.0.capacity() {
            let seat = Seat { key: name.key, sight: Sight::of(farm) };
            self.0.insert_unique(name.hash, seat, |seat| seat.key.hash());
        }
        self.known(name)
    }

    #[inline]
    fn seat(&self, place: Place) -> Option<&Seat> {
        self.0.get_bucket(place.0 as usize)
    }

    /// What the thread sees of the farm that sits here.
    #[inline]
    pub fn sight(&self, place: Place) -> Option<&Sight> {
        self.seat(place).map(|seat| &seat.sight)
    }

    /// The same, to be brought up to date.
    #[inline]
    pub fn sight_mut(&mut self, place: Place) -> Option<&mut Sight> {
        self.0.get_bucket_mut(place.0 as usize).map(|seat| &mut seat.sight)
    }
}

impl IntoIterator for Seats {
    type Item = Seat;
    type IntoIter = IntoIter<Seat>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
