//! Farms and backends by name, for those who hold no lock, and for those who do.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::farm::Farm;
use super::super::name::Name;
use super::super::registration::Pattern;
use super::super::view::Machine;
use super::directory::Directory;
use super::{Engine, Truth};

/// The facts of those that registered.
pub(super) type Machines = HashMap<Name, Arc<Machine>>;

/// What can be found without a lock.
pub(super) struct Roster {
    pub farms: Arc<HashMap<Name, Arc<Farm>>>,
    pub directory: Arc<Directory>,
    /// Those that registered.
    pub registered: Machines,
    /// Whose names fit may register.
    pub patterns: Arc<[Pattern]>,
}

impl Engine {
    /// The farm of this name, in any letter case. Takes no lock.
    pub fn farm(&self, name: &str) -> Option<Arc<Farm>> {
        find(&self.roster.load().farms, name).cloned()
    }

    /// Every farm, in the order of names. Takes no lock.
    pub fn farms(&self) -> Vec<Arc<Farm>> {
        let mut farms: Vec<_> = self.roster.load().farms.values().cloned().collect();
        farms.sort_by(|a, b| a.name().cmp(b.name()));
        farms
    }

    /// The facts of the backend of this name, in any letter case. Takes no lock.
    pub fn machine(&self, name: &str) -> Option<Arc<Machine>> {
        let roster = self.roster.load();
        let known =
            |name: &str| roster.directory.machine(name).or_else(|| roster.registered.get(name).cloned());
        known(name).or_else(|| known(&name.to_ascii_lowercase()))
    }
}

impl Truth {
    /// What is to be found without a lock.
    pub(super) fn roster(&self) -> Roster {
        let (registered, patterns) = self.registered_roster();
        let farms = self.farms.iter().map(|farm| (farm.name().clone(), Arc::clone(&farm.farm)));
        let directory = Arc::clone(&self.directory);
        Roster { farms: Arc::new(farms.collect()), directory, registered, patterns }
    }

    /// The place of the backend of this name, in lower case.
    pub(super) fn backend_number(&self, name: &str) -> Option<usize> {
        self.directory.number(name, &self.backends).or_else(|| self.registered.get(name).copied())
    }

    /// Lets those see who hold no lock where a backend is now.
    pub(super) fn publish(&mut self, index: usize) {
        if index < self.directory.len() {
            self.directory.publish(index, &self.backends[index].machine);
        } else {
            self.registry.moved = true;
        }
    }
}

/// Finds a name in any letter case; names are kept in lower case, so that is tried first.
fn find<'a, T>(map: &'a HashMap<Name, T>, name: &str) -> Option<&'a T> {
    map.get(name).or_else(|| map.get(name.to_ascii_lowercase().as_str()))
}
