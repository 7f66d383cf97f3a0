//! What a plan needs anew, made side by side before it is handed out.
//!
//! Choices read the numbers of members, tallies, farms and what their members have in common; the engine keeps ten times
//! as much beside them, for reports and people. Were each made when its turn comes, each of ten thousand farms would have
//! its few lines on pages of memory of their own, and an answer would wait for the tables of pages more than for the lines. So
//! what belongs to the same few farms is made together, and nothing between.

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
    /// Makes farms of these names and numbers of members, to be asked for in this order, and room for the members' numbers and
    /// so many tallies of backends, which mostly come in the order of the members.
    pub(super) fn prepare<'a>(
        farms: impl Iterator<Item = (&'a Name, usize)>,
        tallies: usize,
        common: &Arc<Common>,
    ) -> Self {
        let mut fresh = Self::default();
        let mut members = 0;
        for (name, more) in farms {
            members += more;
            fresh.gauges.reserve(tallies.min(members), members);
            fresh.farms.push_back((bare(name, common), Arc::default()));
        }
        fresh.gauges.reserve(tallies, members);
        fresh
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
        let mut fresh = Fresh::prepare(names[..2].iter().map(|name| (name, 500)), 100, &common);
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
