//! A thread's own hold on the views of farms that it is asked for again and again.
//!
//! Whoever takes a view from its farm writes down for all threads that it is held, and must wait until they can see
//! that: a fifth of what a choice costs, and a fence, behind which no load of the next query begins before those of
//! this one are done. A thread that does nothing but answer can do without: it keeps the views that it has taken, and
//! compares one number to see whether there is a newer one. The price is that a view which was replaced stays in memory
//! until the thread looks at that farm again.

use std::sync::Arc;

use super::ahead::want;
use super::algorithm::MemberId;
use super::farm::Farm;
use super::view::View;

/// A farm and the view of it that was in force when the thread last looked.
pub struct Sight {
    farm: Arc<Farm>,
    view: Arc<View>,
    /// The view's number: see [`Farm::version`].
    version: u32,
    uncounted: Uncounted,
}

/// What a thread has given of a view and not counted yet. To count an answer takes the line of its member's tally, which only
/// the choice tells: so that is asked for, and the answer counted when the next one is due, or the batch ends.
#[derive(Debug, Default)]
pub struct Uncounted {
    /// Answers that the farm has given.
    answers: u32,
    /// The member that the last of them gave.
    member: Option<MemberId>,
}

impl Uncounted {
    /// Counts the last answer for its member, which must be one of `view`.
    #[inline]
    pub(super) fn settle_member(&mut self, view: &View) {
        if let Some(member) = self.member.take() {
            view.crew.count(member);
        }
    }

    /// Notes an answer of the farm that gave `member` of `view`, to be counted later.
    #[inline]
    pub(super) fn note_member(&mut self, view: &View, member: MemberId) {
        view.crew.want_tally(member);
        self.member = Some(member);
        self.note();
    }

    /// Notes an answer of the farm, whose member is counted.
    #[inline]
    pub(super) fn note(&mut self) {
        self.answers += 1;
    }
}

impl Sight {
    /// Begins to watch a farm.
    pub fn of(farm: &Arc<Farm>) -> Self {
        let (version, view) = farm.versioned_view();
        Self { farm: Arc::clone(farm), view, version, uncounted: Uncounted::default() }
    }

    /// Asks for what tells which view is in force, and for that which was.
    #[inline]
    pub fn want(&self) {
        want(&self.farm.hot);
        self.view.want();
    }

    /// The view that was in force when the thread last looked.
    #[inline]
    pub fn seen(&self) -> &View {
        &self.view
    }

    /// The farm and its view in force, with the answers that are not counted yet: see [`Farm::choose_seat`].
    #[inline]
    pub fn look(&mut self) -> (&Farm, &View, &mut Uncounted) {
        if self.version != self.farm.version() {
            self.renew();
        }
        (&self.farm, &self.view, &mut self.uncounted)
    }

    #[cold]
    fn renew(&mut self) {
        self.uncounted.settle_member(&self.view);
        (self.version, self.view) = self.farm.versioned_view();
    }

    /// Counts the answers that are not counted yet.
    #[inline]
    pub fn settle(&mut self) {
        self.uncounted.settle_member(&self.view);
        self.farm.count_on(u64::from(std::mem::take(&mut self.uncounted.answers)));
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
        assert_eq!(sight.look().1.ttl(), 1);
        engine.reload(plan(2), Moment::ZERO).unwrap();
        assert_eq!(sight.look().1.ttl(), 2);
    }
}
