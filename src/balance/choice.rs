//! What a farm answers to one question.

use std::sync::Arc;

use arc_swap::Guard;

use super::algorithm::MemberId;
use super::plan::Fallback;
use super::view::{Machine, View, ViewSource};

/// What a farm answers to one question.
pub enum Choice {
    /// One of the farm's members, or of the farm that it falls back on.
    Member(Chosen),
    /// A fallback that is no farm. Never [`Fallback::Farm`].
    Elsewhere(Elsewhere),
    /// There are members to give, but none of them has an address of the family asked for.
    NoAddress,
    /// Nobody is left.
    Nobody,
}

impl Choice {
    /// The member that was chosen, with its view.
    pub(super) fn into_first(self) -> Option<(Guard<Arc<View>>, MemberId)> {
        match self {
            Self::Member(Chosen { view, first, .. }) => Some((view, first)),
            _ => None,
        }
    }
}

/// Why there is no member to give, though the view has some.
pub(super) enum Lack {
    /// None of the family asked for.
    Address,
    /// Nobody is left.
    Member,
}

/// A member that was chosen, best first if several were asked for. Keeps the view that it belongs to alive.
pub struct Chosen {
    pub(super) view: Guard<Arc<View>>,
    pub(super) first: MemberId,
    pub(super) spares: Vec<MemberId>,
}

impl Chosen {
    /// The chosen member.
    pub fn machine(&self) -> &Arc<Machine> {
        self.view.machine(self.first)
    }

    /// The chosen member, then the spares, best first.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        std::iter::once(self.first).chain(self.spares.iter().copied()).map(|id| self.view.machine(id))
    }
}

/// A fallback that was taken.
pub struct Elsewhere(pub(super) Guard<Arc<View>>);

impl Elsewhere {
    /// An address, host or URL.
    pub fn fallback(&self) -> &Fallback {
        match &self.0.source {
            ViewSource::Elsewhere(fallback) => fallback,
            _ => unreachable!("made from a view with this source only"),
        }
    }
}
