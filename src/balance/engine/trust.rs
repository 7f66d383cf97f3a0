//! Whom a farm trusts: what tokens, KEYs and second tries need of it, and the suspicions in force. Every
//! method of the truth runs under the engine's lock.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::algorithm::Candidate;
use super::super::backend::{Backend, Unavailable, span};
use super::super::common::TokenCounts;
use super::super::moment::Moment;
use super::super::name::Name;
use super::super::random::hash_key;
use super::super::status::{Change, Subject};
use super::super::sticky::{Rendezvous, Standing};
use super::super::suspicion::{Evidence, Ledgers, Suspicion};
use super::super::token::TokenKeys;
use super::super::update::Switch;
use super::carry::Former;
use super::{Engine, FarmTruth, Look, Truth};

/// See the module's head.
pub(super) struct Trust {
    /// Places of members in the order of their names.
    pub by_name: Arc<[u32]>,
    pub rendezvous: Arc<Rendezvous>,
    pub ledgers: Arc<Ledgers>,
    /// A number that depends on the farm's name and the names of its members, in order.
    pub salt: u64,
    /// By member: those in force, and those that were, so that the next one lasts longer.
    suspicions: BTreeMap<u32, Suspicion>,
}

impl Trust {
    /// For a farm whose members are these backends; what was known of members of the same name is kept. `former` names the
    /// members of `old`.
    pub(super) fn carry<'a>(
        (farm, suspicion): (&Name, bool),
        members: impl Iterator<Item = &'a Backend> + Clone,
        old: Option<&FarmTruth>,
        former: Former<'_>,
        now: Moment,
    ) -> Self {
        let names = members.clone().map(|backend| backend.name().as_str());
        let begun = hash_key(0, farm.as_str().as_bytes());
        let salt = names.clone().fold(begun, |salt, name| hash_key(salt, name.as_bytes()));
        let mut by_name: Vec<(&str, u32)> = names.zip(0..).collect();
        by_name.sort_unstable();

        let same = |old: &&FarmTruth| old.trust.salt == salt && old.plan.suspicion == suspicion;
        let kept = old.filter(same).map(|old| Arc::clone(&old.trust.ledgers));
        let answers = members.map(|backend| backend.tally.answers());
        let begun = || Arc::new(Ledgers::new(suspicion, answers, now));
        let mut trust = Self {
            by_name: by_name.iter().map(|&(_, place)| place).collect(),
            rendezvous: Arc::default(),
            ledgers: kept.unwrap_or_else(begun),
            salt,
            suspicions: BTreeMap::new(),
        };
        let Some(old) = old else { return trust };
        if same(&old) {
            trust.suspicions = old.trust.suspicions.clone();
            return trust;
        }
        old.farm.hot.last.forget();
        for (&place, &suspected) in old.trust.suspicions.iter().filter(|_| suspicion) {
            let name = former(old.members[place as usize].backend).as_str();
            if let Ok(found) = by_name.binary_search_by(|(other, _)| (*other).cmp(name)) {
                trust.suspicions.insert(by_name[found].1, suspected);
            }
        }
        trust
    }

    fn suspicion(&self, place: usize) -> Option<&Suspicion> {
        self.suspicions.get(&(place as u32)).filter(|suspicion| suspicion.holds)
    }

    /// Why a member is suspect, if it is.
    pub(super) fn evidence(&self, place: usize) -> Option<Evidence> {
        self.suspicion(place).map(|suspicion| suspicion.evidence)
    }
}

impl Engine {
    /// Takes the keys of sticky tokens in place of those before. Takes no lock.
    pub fn set_token_keys(&self, keys: TokenKeys) {
        self.common.keys.store(Arc::new(keys));
    }

    /// The keys of sticky tokens in force; to sign with. Takes no lock.
    pub fn token_keys(&self) -> Arc<TokenKeys> {
        self.common.keys.load_full()
    }

    /// Packets that came once more and got the answer that they had. Takes no lock.
    pub fn repeats(&self) -> u64 {
        self.common.repeats.load(Ordering::Relaxed)
    }

    /// What became of sticky tokens. Takes no lock.
    pub fn token_counts(&self) -> TokenCounts {
        self.common.tokens.read()
    }
}

impl Truth {
    /// Takes the words that queries left in ledgers.
    pub(super) fn heed(&mut self, now: Moment) {
        if !self.common.take_word() {
            return;
        }
        for index in 0..self.farms.len() {
            if !self.farms[index].farm.has_word.swap(false, Ordering::Acquire) {
                continue;
            }
            let ledgers = Arc::clone(&self.farms[index].trust.ledgers);
            for (place, ledger) in ledgers.all().iter().enumerate() {
                if let Some(evidence) = ledger.take() {
                    self.suspect(index, place, evidence, now);
                }
            }
        }
    }

    fn suspect(&mut self, index: usize, place: usize, evidence: Evidence, now: Moment) {
        let farm = &mut self.farms[index];
        let last = farm.trust.suspicions.get(&(place as u32)).copied();
        if last.is_some_and(|last| last.holds) {
            return;
        }
        let suspicion = Suspicion::next(last, evidence, now);
        farm.trust.suspicions.insert(place as u32, suspicion);
        if let Some(ledger) = farm.trust.ledgers.all().get(place) {
            ledger.hush(suspicion.until);
        }
        let lasts = suspicion.until.since(now);
        self.agenda.push(Reverse((suspicion.until, Look::Suspicion(index as u32))));
        self.note_trust(index, place, ["trusted", "suspect"], &format!("{evidence}; for {}", span(lasts)));
    }

    /// Ends the suspicions of a farm whose time is over.
    pub(super) fn forgive(&mut self, index: usize, now: Moment) {
        let over = |(&place, suspicion): (&u32, &mut Suspicion)| {
            let over = suspicion.holds && suspicion.until <= now;
            suspicion.holds &= !over;
            over.then(|| (place as usize, suspicion.until.since(suspicion.since)))
        };
        let freed: Vec<(usize, Duration)> =
            self.farms[index].trust.suspicions.iter_mut().filter_map(over).collect();
        for (place, lasted) in freed {
            self.note_trust(index, place, ["suspect", "trusted"], &format!("{} are over", span(lasted)));
        }
    }

    fn note_trust(&mut self, index: usize, place: usize, [from, to]: [&str; 2], why: &str) {
        let farm = &self.farms[index];
        self.changes.push(Change {
            subject: Subject::Backend(self.backends[farm.members[place].backend()].name().clone()),
            axis: "trust",
            from: from.to_owned(),
            to: to.to_owned(),
            why: format!("farm {}: {why}", farm.name()),
        });
        self.mark_dirty(index);
    }

    /// Puts the ends of suspicions that were carried over on the agenda.
    pub(super) fn watch_suspicions(&mut self) {
        for (farm, index) in self.farms.iter().zip(0..) {
            let held = farm.trust.suspicions.values().filter(|suspicion| suspicion.holds);
            let looks = held.map(|suspicion| Reverse((suspicion.until, Look::Suspicion(index))));
            self.agenda.extend(looks);
        }
    }

    /// Takes suspects out of the candidates, those first that have been suspect for longest, as long as at least half of
    /// the farm's weight remains.
    pub(super) fn part_with_suspects(&mut self, index: usize, candidates: &mut Vec<Candidate>) {
        let farm = &mut self.farms[index];
        farm.members.iter_mut().for_each(|place| place.suspended = false);
        let held = |candidate: &Candidate| {
            let place = candidate.id.0 as usize;
            farm.trust.suspicion(place).map(|suspicion| (suspicion.since, place))
        };
        let mut suspects: Vec<(Moment, usize)> = candidates.iter().filter_map(held).collect();
        if suspects.is_empty() {
            return;
        }
        suspects.sort_unstable();
        let weight = |place: &super::Place| self.backends[place.backend()].weight() * place.factor;
        let all: f64 = farm.members.iter().map(weight).sum();
        let mut left: f64 =
            candidates.iter().map(|candidate| weight(&farm.members[candidate.id.0 as usize])).sum();
        for (_, place) in suspects {
            let without = left - weight(&farm.members[place]);
            // A rounding error of the sums must not keep the second of two.
            if without * 2.0 >= all * (1.0 - 1e-9) {
                left = without;
                farm.members[place].suspended = true;
            }
        }
        candidates.retain(|candidate| !farm.members[candidate.id.0 as usize].suspended);
    }

    /// What a token or a KEY may expect of each member, once it is known who the candidates are.
    pub(super) fn standing(&mut self, index: usize, now: Moment) -> Box<[Standing]> {
        let farm = &mut self.farms[index];
        let (expect, is_on) = (farm.plan.expect_update, farm.switch == Switch::On);
        let standing = |(number, place): (usize, &mut super::Place)| {
            place.held = self.backends[place.backend()].holds(expect, now);
            match place.candidate {
                true => Standing::Candidate,
                false if is_on && place.held && farm.trust.suspicion(number).is_none() => Standing::Held,
                false => Standing::Gone,
            }
        };
        farm.members.iter_mut().enumerate().map(standing).collect()
    }

    /// The rendezvous of a farm, made anew where weights changed. Slow start says nothing here: it would move keys.
    pub(super) fn rendezvous(&mut self, index: usize) -> Arc<Rendezvous> {
        let farm = &mut self.farms[index];
        let seat =
            |place: &super::Place| (self.backends[place.backend()].weight() * place.factor, place.seed);
        if !farm.trust.rendezvous.is_for(farm.members.iter().map(seat)) {
            farm.trust.rendezvous = Arc::new(Rendezvous::new(farm.members.iter().map(seat)));
        }
        Arc::clone(&farm.trust.rendezvous)
    }
}

impl FarmTruth {
    /// Whether a member can be chosen, as people are told: and if not, why, or what else there is to say of it.
    pub(super) fn verdict(&self, place: usize, available: Result<(), Unavailable>) -> (bool, String) {
        match (available, self.trust.evidence(place)) {
            (Err(why), _) => (false, why.to_string()),
            (Ok(()), None) => (true, String::new()),
            (Ok(()), Some(evidence)) if self.members[place].suspended => {
                (false, Unavailable::Suspect(evidence).to_string())
            }
            (Ok(()), Some(evidence)) => {
                let kept = "suspect, but too little of the farm would remain";
                (true, format!("{kept}: {evidence}"))
            }
        }
    }
}
