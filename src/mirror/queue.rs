//! What waits to be sent to one peer: names, not values.
//!
//! A backend stands in the queue once, however often it reports; what it said is looked up when its turn comes. So the
//! latest value of each field wins by itself, and the queue is as long as there are names, at most. A decision stands
//! there once for each name and axis. Decisions go first, and room is made at the expense of reports: those come again.

use std::collections::{HashMap, VecDeque};

use crate::balance::Name;
use crate::balance::durable::{Axis, Durable};

/// The queue of one peer.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    decisions: VecDeque<(Axis, Name)>,
    decided: HashMap<(Axis, Name), Durable>,
    reports: VecDeque<Name>,
    /// The turn from which on fields of a backend are unsent.
    reported: HashMap<Name, u64>,
}

/// What to send next.
#[derive(Debug, Default, PartialEq)]
pub struct Taken {
    /// Decisions, the oldest first.
    pub decisions: Vec<Durable>,
    /// Backends, the longest in the queue first, with the turn from which on their fields are unsent.
    pub reports: Vec<(Name, u64)>,
}

impl Queue {
    /// An empty queue for `limit` names and decisions, at least one.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            decisions: VecDeque::new(),
            decided: HashMap::new(),
            reports: VecDeque::new(),
            reported: HashMap::new(),
        }
    }

    /// How many names and decisions wait.
    pub fn len(&self) -> usize {
        self.decided.len() + self.reported.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A backend reported: its fields from `turn` on are unsent. Gives whether something else had to go.
    pub fn report(&mut self, name: &Name, turn: u64) -> bool {
        if let Some(since) = self.reported.get_mut(name) {
            *since = turn.min(*since);
            return false;
        }
        let dropped = self.make_room();
        self.reports.push_back(name.clone());
        self.reported.insert(name.clone(), turn);
        dropped
    }

    /// Something was decided. Gives whether something else had to go.
    pub fn decide(&mut self, record: Durable) -> bool {
        let key = (record.axis(), record.name.clone());
        if let Some(have) = self.decided.get_mut(&key) {
            if have.stamp < record.stamp {
                *have = record;
            }
            return false;
        }
        let dropped = self.make_room();
        self.decisions.push_back(key.clone());
        self.decided.insert(key, record);
        dropped
    }

    /// Whether one more would make something else go.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    fn make_room(&mut self) -> bool {
        if !self.is_full() {
            return false;
        }
        if let Some(name) = self.reports.pop_front() {
            self.reported.remove(&name);
        } else if let Some(key) = self.decisions.pop_front() {
            self.decided.remove(&key);
        }
        true
    }

    /// Takes up to `most` decisions and up to `most` backends out.
    pub fn take(&mut self, most: usize) -> Taken {
        let keys: Vec<_> = self.decisions.drain(..most.min(self.decisions.len())).collect();
        let decisions = keys.iter().filter_map(|key| self.decided.remove(key)).collect();
        let names: Vec<_> = self.reports.drain(..most.min(self.reports.len())).collect();
        let reports = names.into_iter().filter_map(|name| self.reported.remove_entry(&name)).collect();
        Taken { decisions, reports }
    }

    /// Puts back what could not be sent, in front of what came meanwhile; what came meanwhile on the same name is joined
    /// to it. Gives how many found no room.
    pub fn put_back(&mut self, taken: Taken) -> u64 {
        let mut dropped = 0;
        for (name, turn) in taken.reports.into_iter().rev() {
            if let Some(since) = self.reported.get_mut(&name) {
                *since = turn.min(*since);
            } else if self.is_full() {
                dropped += 1;
            } else {
                self.reports.push_front(name.clone());
                self.reported.insert(name, turn);
            }
        }
        for record in taken.decisions.into_iter().rev() {
            let key = (record.axis(), record.name.clone());
            if self.decided.contains_key(&key) {
                continue;
            }
            dropped += u64::from(self.make_room());
            self.decisions.push_front(key.clone());
            self.decided.insert(key, record);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Moment;
    use crate::balance::durable::{Setting, Stamp};
    use crate::balance::update::Admin;

    fn name(index: usize) -> Name {
        Name::parse(&format!("app{index:02}")).unwrap()
    }

    fn decision(index: usize, admin: Admin, at: u64) -> Durable {
        let stamp = Stamp { at: Moment::from_nanos(at), by: "ns1".into() };
        Durable { name: name(index), setting: Setting::Admin(admin), stamp }
    }

    #[test]
    fn a_backend_waits_once_however_often_it_reports() {
        let mut queue = Queue::new(10);
        for turn in 1..100 {
            assert!(!queue.report(&name(1), turn));
            assert!(!queue.report(&name(2), turn));
        }
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.take(10).reports, [(name(1), 1), (name(2), 1)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn of_two_decisions_on_one_thing_the_later_waits() {
        let mut queue = Queue::new(10);
        queue.decide(decision(1, Admin::Off, 5));
        queue.decide(decision(1, Admin::Drain, 7));
        queue.decide(decision(1, Admin::On, 6));
        assert_eq!(queue.take(10).decisions, [decision(1, Admin::Drain, 7)]);
    }

    #[test]
    fn reports_make_room_for_what_is_newer_and_for_decisions() {
        let mut queue = Queue::new(2);
        queue.report(&name(1), 1);
        queue.report(&name(2), 2);
        assert!(queue.report(&name(3), 3), "app01 goes");
        assert!(queue.decide(decision(9, Admin::Off, 1)), "app02 goes");
        assert!(queue.decide(decision(8, Admin::Off, 2)), "app03 goes");
        assert!(queue.decide(decision(7, Admin::Off, 3)), "and now the oldest decision");
        let taken = queue.take(10);
        assert_eq!(taken.decisions, [decision(8, Admin::Off, 2), decision(7, Admin::Off, 3)]);
        assert!(taken.reports.is_empty());
    }

    #[test]
    fn what_could_not_be_sent_is_joined_with_what_came_meanwhile() {
        let mut queue = Queue::new(3);
        queue.report(&name(1), 1);
        queue.report(&name(2), 2);
        queue.decide(decision(1, Admin::Off, 1));
        let taken = queue.take(10);
        queue.report(&name(2), 7);
        queue.decide(decision(1, Admin::On, 2));
        assert_eq!(queue.put_back(taken), 0);
        let taken = queue.take(1);
        assert_eq!(taken.decisions, [decision(1, Admin::On, 2)], "the later one");
        assert_eq!(taken.reports, [(name(1), 1)], "in front of what came later");
        assert_eq!(queue.take(1).reports, [(name(2), 2)], "from its first unsent field on");
        let mut small = Queue::new(1);
        small.report(&name(5), 5);
        let unsent = Taken { decisions: vec![decision(1, Admin::Off, 1)], reports: vec![(name(1), 1)] };
        assert_eq!(small.put_back(unsent), 2, "app01, and app05 for a decision");
        assert_eq!(small.take(5).decisions.len(), 1);
    }
}
