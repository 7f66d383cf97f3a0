//! A look-up taken apart into steps, so that those of many names can be taken together: each reads what the next one needs
//! and nothing that is behind that. They only guess; [`Zones::find`] says what is so.

use super::super::name::{self, Labels};
use super::{Kind, Zones};

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

    /// The node that has this hash, as far as the index itself tells.
    #[inline]
    pub fn node_ahead(&self, hash: u64) -> Option<u32> {
        self.index.find(hash, |_| true).copied()
    }

    /// The farm that a node is, and where its name begins.
    #[inline]
    pub fn farm_ahead(&self, node: u32) -> Option<(u32, u32)> {
        let node = self.nodes.get(node as usize)?;
        match node.kind {
            Kind::Farm(farm) => Some((farm, node.name.0)),
            _ => None,
        }
    }

    /// Reads where a name begins, to bring it into the cache.
    #[inline]
    pub fn fetch_name(&self, start: u32) -> u64 {
        self.names.get(start as usize).copied().map_or(0, u64::from)
    }
}
