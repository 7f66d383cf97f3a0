//! The configured backends by name: one table for the engine, which asks under its lock, and for those who hold none.
//!
//! It holds numbers only, four octets each; the names are where the numbers lead.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use super::super::backend::Backend;
use super::super::view::Machine;

/// See the module's head. Its backends stay who they are as long as it is there.
#[derive(Default)]
pub(super) struct Directory {
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// By number, for those who hold no lock.
    machines: Box<[ArcSwap<Machine>]>,
}

impl Directory {
    /// Of these backends, numbered in their order. No two have the same name.
    pub fn new(backends: &[Backend]) -> Self {
        let hasher = RandomState::new();
        let hash = |number: u32| hasher.hash_one(backends[number as usize].name().as_str());
        let mut numbers = HashTable::with_capacity(backends.len());
        for number in 0..backends.len() as u32 {
            numbers.insert_unique(hash(number), number, |&number| hash(number));
        }
        let machines = backends.iter().map(|backend| ArcSwap::new(Arc::clone(&backend.machine))).collect();
        Self { numbers, hasher, machines }
    }

    /// The number of the backend of this name, in lower case; `backends` are those that it was made of, maybe with others
    /// behind them.
    pub fn number(&self, name: &str, backends: &[Backend]) -> Option<usize> {
        let is_it = |&number: &u32| backends[number as usize].name().as_str() == name;
        self.numbers.find(self.hasher.hash_one(name), is_it).map(|&number| number as usize)
    }

    /// The facts of the backend of this name, in lower case. Needs no lock.
    pub fn machine(&self, name: &str) -> Option<Arc<Machine>> {
        let is_it = |&number: &u32| self.machines[number as usize].load().name.as_str() == name;
        let number = self.numbers.find(self.hasher.hash_one(name), is_it)?;
        Some(self.machines[*number as usize].load_full())
    }

    /// Shows other facts of a backend to those who hold no lock.
    pub fn publish(&self, number: usize, machine: &Arc<Machine>) {
        self.machines[number].store(Arc::clone(machine));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.machines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gauge::Tally;
    use super::super::super::moment::Moment;
    use super::super::super::name::Name;
    use super::super::super::plan::BackendPlan;
    use super::*;

    #[test]
    fn everybody_is_found_by_name_and_nobody_else() {
        let backend = |number: u32| {
            let name = Name::parse(&format!("b{number}")).unwrap();
            let plan = BackendPlan::new(name, vec![std::net::Ipv4Addr::from_bits(number).into()]);
            Backend::new(plan, Tally::default(), Moment::ZERO)
        };
        let mut backends: Vec<Backend> = (0..1000).map(backend).collect();
        let directory = Directory::new(&backends);
        backends.push(backend(1000));
        assert_eq!(directory.len(), 1000);
        for number in 0..1000 {
            let name = format!("b{number}");
            assert_eq!(directory.number(&name, &backends), Some(number));
            let machine = directory.machine(&name).unwrap();
            assert!(Arc::ptr_eq(&machine, &backends[number].machine), "{name}");
        }
        assert_eq!(directory.number("b1000", &backends), None, "came later");
        assert!(directory.machine("b1000").is_none() && directory.machine("").is_none());
        assert!(Directory::default().machine("b1").is_none());
        directory.publish(7, &backends[8].machine);
        assert_eq!(directory.machines[7].load().name.as_str(), "b8");
    }
}
