//! The way in which open connections learn that the listener stops.
//!
//! A connection that serves a hundred thousand requests a second asks at each turn whether to stop: that is one atomic
//! load and one comparison here. (A channel or a notification would be polled, and registered anew, at each turn.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// A stop that may come.
#[derive(Debug, Default)]
pub struct Stop {
    begun: AtomicBool,
    followers: Mutex<Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

/// Somebody who is told of the stop.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<Stop>,
    id: u64,
    waker: Option<Waker>,
}

impl Stop {
    /// Tells all followers, once and for ever.
    pub fn begin(&self) {
        self.begun.store(true, SeqCst);
        for waker in self.lock().wakers.values() {
            waker.wake_by_ref();
        }
    }

    /// One more follower.
    pub fn follower(self: &Arc<Self>) -> Follower {
        let mut followers = self.lock();
        followers.next += 1;
        Follower { stop: Arc::clone(self), id: followers.next, waker: None }
    }

    fn lock(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Whether the stop has begun; if not, the task of `context` is woken when it does.
    pub fn has_begun(&mut self, context: &Context<'_>) -> bool {
        // Registered before it is asked: a stop between the two wakes us.
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            self.stop.lock().wakers.insert(self.id, context.waker().clone());
            self.waker = Some(context.waker().clone());
        }
        self.stop.begun.load(SeqCst)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.lock().wakers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn who_follows_is_woken_once_and_who_comes_later_knows() {
        let (stop, woken) = (Arc::new(Stop::default()), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        let mut follower = stop.follower();
        let mut gone = stop.follower();
        assert!(!follower.has_begun(&context) && !follower.has_begun(&context) && !gone.has_begun(&context));
        drop(gone);
        stop.begin();
        assert_eq!(woken.0.load(SeqCst), 1);
        assert!(follower.has_begun(&context) && stop.follower().has_begun(&context));
        drop(follower);
        assert!(stop.lock().wakers.is_empty());
    }
}
