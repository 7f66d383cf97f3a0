//! Numbers of many that are read together, side by side in memory.
//!
//! A choice reads a few numbers of every member that it looks at. Were each of them an allocation of its own, each would
//! cost a line of the cache, found through a pointer that costs another; of a farm that nobody has asked for a while all of them
//! are out of reach. So whoever makes many numbers takes them from a [`Mint`], which puts those that are made one
//! after another into the same chunk of memory. A [`Slot`] is one of them; it keeps its chunk alive, and stays where it is
//! for as long as anybody has it, so that numbers never move under those who read or count.

use std::ops::Deref;
use std::sync::Arc;

/// Slots in a chunk.
const CHUNK: usize = 64;

/// Slots that live and die together, beginning at a line of the cache.
#[derive(Debug)]
#[repr(align(64))]
pub struct Chunk<T>([T; CHUNK]);

impl<T> Chunk<T> {
    /// The slot at a place that [`Slot::parts`] gave.
    #[inline]
    pub fn at(&self, place: u8) -> &T {
        &self.0[usize::from(place) % CHUNK]
    }
}

/// A place in a chunk; a clone is the same place.
#[derive(Debug)]
pub struct Slot<T> {
    chunk: Arc<Chunk<T>>,
    place: u8,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { chunk: Arc::clone(&self.chunk), place: self.place }
    }
}

impl<T> Deref for Slot<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.chunk.at(self.place)
    }
}

impl<T: Default> Default for Slot<T> {
    /// A slot with a chunk to itself: for few.
    fn default() -> Self {
        Mint::default().slot()
    }
}

impl<T> Slot<T> {
    /// Its chunk and its place there, for those who keep many and pack them tighter.
    pub fn parts(&self) -> (&Arc<Chunk<T>>, u8) {
        (&self.chunk, self.place)
    }
}

/// Makes slots one after another.
#[derive(Debug)]
pub struct Mint<T>(Option<Slot<T>>);

impl<T> Default for Mint<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Default> Mint<T> {
    /// A fresh slot, beside the one before.
    pub fn slot(&mut self) -> Slot<T> {
        let slot = match self.0.take() {
            Some(last) if usize::from(last.place) + 1 < CHUNK => {
                Slot { place: last.place + 1, chunk: last.chunk }
            }
            _ => Slot { chunk: Arc::new(Chunk(std::array::from_fn(|_| T::default()))), place: 0 },
        };
        self.0 = Some(slot.clone());
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn no_two_slots_are_the_same_place_and_neighbours_share_a_chunk() {
        let mut mint = Mint::<AtomicU64>::default();
        let slots: Vec<_> = (0..3 * CHUNK as u64).map(|_| mint.slot()).collect();
        slots.iter().zip(0..).for_each(|(slot, number)| slot.store(number, Relaxed));
        assert!(slots.iter().zip(0..).all(|(slot, number)| slot.load(Relaxed) == number));
        assert!(Arc::ptr_eq(slots[0].parts().0, slots[CHUNK - 1].parts().0));
        assert!(!Arc::ptr_eq(slots[0].parts().0, slots[CHUNK].parts().0));
    }

    #[test]
    fn a_clone_is_the_same_place_and_outlives_the_mint() {
        let first = Slot::<AtomicU64>::default();
        let second = first.clone();
        first.store(7, Relaxed);
        drop(first);
        assert_eq!(second.load(Relaxed), 7);
        let (chunk, place) = second.parts();
        assert_eq!(chunk.at(place).load(Relaxed), 7);
    }
}
