//! A thread's own hold on the views of farms that it is asked for again and again.
//!
//! Whoever takes a view from its farm writes down for all threads that it is held, and must wait until they can see
//! that: a fifth of what a choice costs, and a fence, behind which no load of the next query begins before those of
//! this one are done. A thread that does nothing but answer can do without: it keeps the views that it has taken, and
//! compares one pointer to see whether there is a newer one. The price is that a view which was replaced stays in memory
//! until the thread looks at that farm again.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::ahead::want;
use super::farm::Farm;
use super::view::View;

/// A farm and the view of it that was in force when the thread last looked.
pub struct Sight {
    view: Cache<Watched, Arc<View>>,
    /// Answers that the thread has given and not counted yet.
    uncounted: u64,
}

/// A farm as that which holds its view.
struct Watched(Arc<Farm>);

impl Deref for Watched {
    type Target = ArcSwap<View>;

    fn deref(&self) -> &ArcSwap<View> {
        &self.0.hot.view
    }
}

impl Sight {
    /// Begins to watch a farm.
    pub fn of(farm: &Arc<Farm>) -> Self {
        Self { view: Cache::new(Watched(Arc::clone(farm))), uncounted: 0 }
    }

    /// Asks for what tells which view is in force.
    #[inline]
    pub fn want(&self) {
        want(self.view.arc_swap());
    }

    /// The view in force.
    #[inline]
    pub fn view(&mut self) -> &View {
        self.view.load()
    }

    /// The same, with the answers that are not counted yet: see [`Farm::choose_seat`].
    #[inline]
    pub fn look(&mut self) -> (&View, &mut u64) {
        (self.view.load(), &mut self.uncounted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::algorithm;
    use super::super::plan::{BackendPlan, FarmPlan};
    use super::super::{Engine, Moment, Name, Plan};
    use super::*;

    #[test]
    fn a_view_that_was_replaced_is_seen_no_more() {
        let plan = |ttl| {
            let name = |text| Name::parse(text).unwrap();
            let mut farm = FarmPlan::new(name("one"), vec![name("a")], algorithm::find("random").unwrap());
            farm.ttl = ttl;
            let backends = vec![BackendPlan::new(name("a"), vec!["192.0.2.1".parse().unwrap()])];
            Plan { farms: vec![farm], backends }
        };
        let engine = Engine::new(plan(1), Moment::ZERO).unwrap();
        let mut sight = Sight::of(&engine.farm("one").unwrap());
        assert_eq!(sight.view().ttl(), 1);
        engine.reload(plan(2), Moment::ZERO).unwrap();
        assert_eq!(sight.view().ttl(), 2);
    }
}
