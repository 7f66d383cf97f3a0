//! Numbers of many that are read together, side by side in memory.
//!
//! A choice reads a few numbers of every member that it looks at. Were each of them an allocation of its own, each would
//! cost a line of the cache, found through a pointer that costs another; of a farm that nobody has asked for a while all of them
//! are out of reach. So whoever makes many numbers takes them from a [`Mint`], which puts those that are made one
//! after another into the same chunk of memory. A [`Slot`] is one of them; it keeps its chunk alive, and stays where it is
//! for as long as anybody has it, so that numbers never move under those who read or count.

use std::collections::VecDeque;
use std::sync::Arc;

/// Places in a chunk.
pub const CHUNK: usize = 64;

/// A place in a chunk, which holds the numbers of [`CHUNK`] places; a clone is the same place.
#[derive(Debug)]
pub struct Slot<C> {
    chunk: Arc<C>,
    place: u8,
}

impl<C> Clone for Slot<C> {
    fn clone(&self) -> Self {
        Self { chunk: Arc::clone(&self.chunk), place: self.place }
    }
}

impl<C: Default> Default for Slot<C> {
    /// A slot with a chunk to itself: for few.
    fn default() -> Self {
        Mint::default().slot()
    }
}

impl<C> Slot<C> {
    /// Its chunk.
    #[inline]
    pub fn chunk(&self) -> &Arc<C> {
        &self.chunk
    }

    /// Its place there, below [`CHUNK`].
    #[inline]
    pub fn place(&self) -> usize {
        usize::from(self.place) % CHUNK
    }
}

/// Makes slots one after another.
#[derive(Debug)]
pub struct Mint<C> {
    last: Option<Slot<C>>,
    /// Chunks that nobody has a slot of yet.
    ready: VecDeque<Arc<C>>,
}

impl<C> Default for Mint<C> {
    fn default() -> Self {
        Self { last: None, ready: VecDeque::new() }
    }
}

impl<C: Default> Mint<C> {
    /// Makes the chunks of so many slots to come, as far as they are not there. Those made first are taken first.
    pub fn reserve(&mut self, slots: usize) {
        let chunks = slots.div_ceil(CHUNK).max(self.ready.len());
        self.ready.resize_with(chunks, Arc::default);
    }

    /// A fresh slot, beside the one before.
    pub fn slot(&mut self) -> Slot<C> {
        let slot = match self.last.take() {
            Some(last) if last.place() + 1 < CHUNK => Slot { place: last.place + 1, chunk: last.chunk },
            _ => Slot { chunk: self.ready.pop_front().unwrap_or_default(), place: 0 },
        };
        self.last = Some(slot.clone());
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    /// Numbers that are as many as a chunk has places.
    struct Numbers([AtomicU64; CHUNK]);

    impl Default for Numbers {
        fn default() -> Self {
            Self(std::array::from_fn(|_| AtomicU64::new(0)))
        }
    }

    fn number(slot: &Slot<Numbers>) -> &AtomicU64 {
        &slot.chunk().0[slot.place()]
    }

    #[test]
    fn no_two_slots_are_the_same_place_and_neighbours_share_a_chunk() {
        let mut mint = Mint::<Numbers>::default();
        mint.reserve(CHUNK + 1);
        mint.reserve(1);
        assert_eq!(mint.ready.len(), 2);
        let slots: Vec<_> = (0..3 * CHUNK as u64).map(|_| mint.slot()).collect();
        slots.iter().zip(0..).for_each(|(slot, value)| number(slot).store(value, Relaxed));
        assert!(slots.iter().zip(0..).all(|(slot, value)| number(slot).load(Relaxed) == value));
        assert!(Arc::ptr_eq(slots[0].chunk(), slots[CHUNK - 1].chunk()));
        assert!(!Arc::ptr_eq(slots[0].chunk(), slots[CHUNK].chunk()));
    }

    #[test]
    fn a_clone_is_the_same_place_and_outlives_the_mint() {
        let first = Slot::<Numbers>::default();
        let second = first.clone();
        number(&first).store(7, Relaxed);
        drop(first);
        assert_eq!(number(&second).load(Relaxed), 7);
    }
}
