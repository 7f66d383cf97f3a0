//! Where members stand in what was learned, and who is gone.

use std::sync::atomic::Ordering::Relaxed;

use super::super::member::Member;
use super::Learner;

/// So few members are looked through; more are indexed.
const FEW: usize = 32;

impl Learner {
    /// The place of a member, who gets one if he has none.
    pub(super) fn find_or_add(&mut self, id: usize, seed: u64, weight: f64) -> usize {
        let place = self.by_id.get(id).map(|&index| index as usize);
        let is_it = |&index: &usize| self.members.get(index).is_some_and(|member| member.seed == seed);
        if let Some(index) = place.filter(is_it) {
            return index;
        }
        let index = self.place_of(seed).unwrap_or_else(|| {
            self.members.push(Member::new(seed, weight.max(1e-9)));
            self.index();
            self.members.len() - 1
        });
        if self.by_id.len() <= id {
            self.by_id.resize(id + 1, u32::MAX);
        }
        self.by_id[id] = index as u32;
        index
    }

    /// Where the member of this seed stands.
    pub(super) fn place_of(&self, seed: u64) -> Option<usize> {
        match self.members.len() {
            0..=FEW => self.members.iter().position(|member| member.seed == seed),
            _ => self.by_seed.get(&seed).copied(),
        }
    }

    /// Indexes the members that are not yet, if they are more than few.
    fn index(&mut self) {
        if self.members.len() > FEW {
            let fresh = self.members.iter().enumerate().skip(self.by_seed.len());
            self.by_seed.extend(fresh.map(|(index, member)| (member.seed, index)));
        }
    }

    /// Those of whose seed `stays` says no are gone. They are dropped when there is a new row of virtual queues.
    pub fn part(&mut self, stays: &dyn Fn(u64) -> bool) {
        self.members.iter_mut().for_each(|member| member.is_gone = !stays(member.seed));
    }

    /// Drops members that are gone. Gives the places that those who stay had.
    pub(super) fn forget_the_gone(&mut self) -> Vec<usize> {
        let stays = |index: &usize| !self.members[*index].is_gone;
        let stayed: Vec<usize> = (0..self.members.len()).filter(stays).collect();
        if stayed.len() < self.members.len() {
            self.members.retain(|member| !member.is_gone);
            self.by_id.clear();
            self.by_seed.clear();
            self.index();
            let known = self.members.iter().filter(|member| member.last.is_some()).count();
            self.drive.known.store(known as u64, Relaxed);
            self.add_up();
        }
        stayed
    }
}
