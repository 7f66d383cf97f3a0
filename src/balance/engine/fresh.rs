//! What a plan needs anew, made side by side before it is handed out.
//!
//! Choices read the numbers of members, tallies, farms and what their members have in common; the engine keeps ten times
//! as much beside them, for reports and people. Were each made when its turn comes, each of ten thousand farms would have
//! its few lines on pages of memory of their own, and an answer would wait for the tables of pages more than for the lines.

use std::collections::VecDeque;
use std::sync::Arc;

use super::views::empty_view;
use crate::balance::common::Common;
use crate::balance::farm::Farm;
use crate::balance::gauge::{Gauges, Pool};
use crate::balance::name::Name;

/// Farms and numbers for whoever has none yet.
#[derive(Default)]
pub(super) struct Fresh {
    /// Tallies and boards.
    pub(super) gauges: Gauges,
    farms: VecDeque<(Arc<Farm>, Arc<Pool>)>,
}

impl Fresh {
    /// Makes farms of these names, to be asked for in this order, and room for so many tallies and members' numbers.
    pub(super) fn prepare<'a>(
        names: impl Iterator<Item = &'a Name>,
        (tallies, boards): (usize, usize),
        common: &Arc<Common>,
    ) -> Self {
        let mut gauges = Gauges::default();
        gauges.reserve(tallies, boards);
        let farms = names.map(|name| (bare(name, common), Arc::default())).collect();
        Self { gauges, farms }
    }

    /// A farm of this name, without members, and what those will have in common.
    pub(super) fn farm(&mut self, name: &Name, common: &Arc<Common>) -> (Arc<Farm>, Arc<Pool>) {
        match self.farms.pop_front_if(|(farm, _)| farm.name() == name) {
            Some(made) => made,
            None => (bare(name, common), Arc::default()),
        }
    }
}

/// A farm of which there is only the name.
pub(super) fn bare(name: &Name, common: &Arc<Common>) -> Arc<Farm> {
    Arc::new(Farm::new(name.clone(), empty_view(), Arc::clone(common)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_gets_a_farm_of_his_name_prepared_or_not() {
        let common = Arc::new(Common::new(1));
        let names = ["one", "two", "three"].map(|name| Name::parse(name).unwrap());
        let mut fresh = Fresh::prepare(names[..2].iter(), (100, 1000), &common);
        let made: Vec<_> = fresh.farms.iter().map(|(farm, _)| Arc::clone(farm)).collect();
        for (index, name) in [(0, &names[0]), (2, &names[2]), (1, &names[1]), (1, &names[1])] {
            let (farm, _) = fresh.farm(name, &common);
            assert_eq!(*farm.name(), names[index]);
            let is_prepared = made.iter().any(|made| Arc::ptr_eq(made, &farm));
            assert_eq!(is_prepared, index < 2 && Arc::strong_count(&farm) == 2);
        }
        assert!(fresh.farms.is_empty());
    }
}
