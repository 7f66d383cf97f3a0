//! A look-up taken apart into steps, so that those of many names can be taken together: each asks for what the next one
//! reads. They only guess; [`Zones::find`] says what is so.

use super::super::name::{self, Labels};
use super::{Kind, Zones};
use crate::balance::ahead::want_at;

impl Zones {
    /// The hash under which a farm would be that this wire name, in any letter case, asks for.
    pub fn farm_hash(&self, wire: &[u8]) -> Option<u64> {
        let (zone, labels) = (self.zones.first()?, Labels::of(wire)?);
        let apex = wire.len().checked_sub(zone.wire.len())?;
        let is_last = |index: &usize| labels.text(wire, *index).end == apex;
        let last = (0..labels.count()).rev().find(is_last)?;
        let label = labels.label(wire, last);
        let (mut lower, length) = ([0; 64], label.len());
        lower[..length].copy_from_slice(label);
        lower[..length].make_ascii_lowercase();
        wire[apex..].eq_ignore_ascii_case(&zone.wire).then(|| name::extend_hash(zone.hash, &lower[..length]))
    }

    /// The node that has this hash, as far as the index itself tells; asks for it.
    #[inline]
    pub fn node_ahead(&self, hash: u64) -> Option<u32> {
        let node = *self.index.find(hash, |_| true)?;
        want_at(&self.nodes, node as usize);
        Some(node)
    }

    /// The farm that a node is; asks for its name and for where it stands in the list.
    #[inline]
    pub fn farm_ahead(&self, node: u32) -> Option<usize> {
        let node = self.nodes.get(node as usize)?;
        let Kind::Farm(farm) = node.kind else { return None };
        want_at(&self.names, node.name.0 as usize);
        want_at(&self.farms, farm as usize);
        Some(farm as usize)
    }
}
