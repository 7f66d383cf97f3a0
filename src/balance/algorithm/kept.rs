//! What a rule keeps of each member while selectors come and go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One `T` a member, by the number that depends on its name alone: places in the farm's list change at a reload.
///
/// An entry lives as long as a selector holds it, so nobody is remembered who is gone. The lock is taken when selectors
/// are prepared and when reports come, both under the engine's own lock; never by a choice.
#[derive(Debug)]
pub struct Kept<T>(Mutex<HashMap<u64, Arc<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<T> Kept<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member's entry, made by `new` if there is none.
    pub fn entry(&self, seed: u64, new: impl FnOnce() -> T) -> Arc<T> {
        Arc::clone(self.lock().entry(seed).or_insert_with(|| Arc::new(new())))
    }

    /// The member's entry, if there is one.
    pub fn get(&self, seed: u64) -> Option<Arc<T>> {
        self.lock().get(&seed).cloned()
    }

    /// Forgets entries that no selector holds.
    pub fn tidy(&self) {
        self.lock().retain(|_, entry| Arc::strong_count(entry) > 1);
    }

    /// Every entry's value of something.
    pub fn values(&self, value: impl Fn(&T) -> Option<f64>) -> Vec<f64> {
        self.lock().values().filter_map(|entry| value(entry)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }
}
