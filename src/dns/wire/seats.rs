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

/// The farms of one configuration that the thread was asked for.
#[derive(Default)]
pub struct Seats(HashTable<Seat>);

/// A name that is looked for, and where its seat probably is.
#[derive(Clone, Copy)]
pub struct Sought {
    key: Key,
    hash: u64,
    guess: Option<Place>,
}

impl Seats {
    /// Room for so many farms, and none of them.
    pub fn of(farms: usize) -> Self {
        Self(HashTable::with_capacity(farms))
    }

    /// Asks for what [`find`](Self::find) will read.
    #[inline]
    pub fn seek(&self, key: Key) -> Sought {
        let hash = key.hash();
        let guess = self.0.find_bucket_index(hash, |_| true);
        if let Some(seat) = guess.and_then(|index| self.0.get_bucket(index)) {
            want(seat);
        }
        Sought { key, hash, guess: guess.map(|index| Place(index as u32)) }
    }

    /// The seat of a name that was sought; a new one if the thread is asked for that farm for the first time. `None` if there is
    /// no such farm in `zones`, those of the configuration.
    #[inline]
    pub fn find(&mut self, zones: &Zones, sought: &Sought) -> Option<Place> {
        match sought.guess {
            Some(place) if self.seat(place).is_some_and(|seat| seat.key == sought.key) => Some(place),
            _ => self.find_again(zones, sought),
        }
    }

    #[cold]
    fn find_again(&mut self, zones: &Zones, sought: &Sought) -> Option<Place> {
        let Sought { key, hash, .. } = *sought;
        let find = |table: &HashTable<Seat>| table.find_bucket_index(hash, |seat| seat.key == key);
        let index = find(&self.0).or_else(|| {
            let farm = &zones.farms()[zones.named(&key)?];
            // There is room for all, so nobody has to leave his place.
            let has_room = self.0.len() < self.0.capacity();
            has_room.then(|| self.0.insert_unique(hash, Seat { key, sight: Sight::of(farm) }, |seat| seat.key.hash()))?;
            find(&self.0)
        })?;
        Some(Place(index as u32))
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
