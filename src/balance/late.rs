//! What takes memory only from its first change on.
//!
//! A farm of which nobody has reported yet has nothing to remember, most backends are never marked, checked or resolved,
//! and there may be a hundred thousand of them. So such things stand behind a pointer; until there is something, all read
//! the same blank.

use std::ops::{Deref, DerefMut};

/// What a [`Late`] reads as before it is changed.
pub trait Blank: Clone + 'static {
    /// The same for everybody.
    fn blank() -> &'static Self;
}

/// A value that is a shared blank until it is changed. Taking it for a change makes room for it, even if nothing changes then.
#[derive(Debug)]
pub struct Late<T>(Option<Box<T>>);

impl<T> Late<T> {
    /// Whether it was never changed.
    pub fn is_blank(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Blank> Deref for Late<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::blank())
    }
}

impl<T: Blank> DerefMut for Late<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::blank().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Blank for [f64; 3] {
        fn blank() -> &'static Self {
            static BLANK: [f64; 3] = [0.0; 3];
            &BLANK
        }
    }

    #[test]
    fn reading_leaves_it_blank_and_a_change_is_its_own() {
        let (mut one, other) = (Late::<[f64; 3]>::default(), Late::<[f64; 3]>::default());
        assert_eq!((one[1], one.is_blank()), (0.0, true));
        one[1] = 7.0;
        assert_eq!((*one, one.is_blank()), ([0.0, 7.0, 0.0], false));
        assert_eq!((*other, other.is_blank()), ([0.0; 3], true));
    }
}
