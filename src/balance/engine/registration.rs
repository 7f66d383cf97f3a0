//! Backends that register: who may, how they join their farms, and when they leave.
//!
//! They stand behind the configured ones in the list of backends, so that both coming and going move nobody but the last
//! of them. A farm that somebody joins or leaves is made anew from the same plan and the same history, as by a reload;
//! the others are not looked at. Methods of the truth run under the engine's lock.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use super::super::backend::{Backend, span};
use super::super::durable::Memory;
use super::super::gauge::Tally;
use super::super::moment::Moment;
use super::super::name::Name;
use super::super::plan::BackendPlan;
use super::super::registration::{Pattern, Registration, RegistrationCounts, Whereabouts};
use super::super::status::{Change, Subject};
use super::super::update::{BackendUpdate, Feed, Refusal, Update};
use super::fresh::Fresh;
use super::reports::TICK;
use super::{Engine, Look, Truth};

/// What is known of registration as a whole.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// `None`: nobody may register.
    pub rules: Option<Registration>,
    /// How many backends are configured; those behind them registered.
    pub configured: usize,
    /// Farms with patterns.
    pub farms: Vec<usize>,
    pub counts: RegistrationCounts,
    /// When the agenda looks at their silence.
    watched: Option<Moment>,
    /// Whether somebody came or went whom the roster does not show yet.
    pub moved: bool,
}

impl Registry {
    /// That of the plan after this one, until it is filled in.
    pub(super) fn after(before: &Self) -> Self {
        Self { rules: before.rules, counts: before.counts, ..Self::default() }
    }
}

impl Engine {
    /// Lets backends register, or not: then those that did leave. Gives what changed. To be called after
    /// [`new`](Self::new) and before [`recall`](Self::recall), and after a [`reload`](Self::reload).
    pub fn set_registration(&self, rules: Option<Registration>, now: Moment) -> Vec<Change> {
        let mut truth = self.lock();
        truth.registry.rules = rules;
        truth.registry.moved = true;
        truth.let_go(now);
        truth.refresh(now);
        self.show_roster(&mut truth);
        self.wake_if_sooner(&truth);
        std::mem::take(&mut truth.changes)
    }

    /// Whether a backend of this name, in any letter case, could register if it is not there yet. Takes no lock.
    pub fn may_register(&self, name: &str) -> bool {
        let roster = self.roster.load();
        let lower = name.to_ascii_lowercase();
        roster.patterns.iter().any(|pattern| pattern.fits(&lower))
    }

    /// Registrations so far, and how things are.
    pub fn registration_counts(&self) -> RegistrationCounts {
        let truth = self.lock();
        let limit = truth.registry.rules.map(|rules| rules.limit);
        RegistrationCounts { present: truth.registered(), limit, ..truth.registry.counts }
    }

    /// Lets those see who hold no lock who came and went.
    pub(super) fn show_roster(&self, truth: &mut Truth) {
        if std::mem::take(&mut truth.registry.moved) {
            let before = self.roster.load();
            let (farms, directory) = (Arc::clone(&before.farms), Arc::clone(&before.directory));
            let (registered, patterns) = truth.registered_roster();
            self.roster.store(Arc::new(super::roster::Roster { farms, directory, registered, patterns }));
        }
    }

    /// Whether all that would register find room; counts it if not.
    pub(super) fn check_room(truth: &mut Truth, updates: &[Update]) -> Result<(), Refusal> {
        let Some(rules) = truth.registry.rules else { return Ok(()) };
        let mut fresh: Vec<&Name> = Vec::new();
        for update in updates {
            let Update::Backend(BackendUpdate { backend, .. }) = update else { continue };
            if truth.backend_number(backend.as_str()).is_some() || fresh.contains(&backend) {
                continue;
            }
            if truth.registered() + fresh.len() >= rules.limit {
                truth.registry.counts.turned_away += 1;
                return Err(Refusal::Full { backend: backend.clone(), limit: rules.limit });
            }
            fresh.push(backend);
        }
        Ok(())
    }
}

impl Truth {
    /// How many are registered.
    fn registered(&self) -> usize {
        self.backends.len() - self.registry.configured
    }

    /// The names of those that are registered, in order.
    pub(super) fn registered_names(&self) -> Vec<Name> {
        let names = self.backends[self.registry.configured..].iter().map(|backend| backend.name());
        let mut names: Vec<Name> =
            names.filter(|name| self.registered.contains_key(*name)).cloned().collect();
        names.sort_unstable();
        names
    }

    /// What [`Engine::machine`] and [`Engine::may_register`] are to find.
    pub(super) fn registered_roster(&self) -> (super::roster::Machines, Arc<[Pattern]>) {
        let machine = |backend: &Backend| (backend.name().clone(), Arc::clone(&backend.machine));
        let machines = self.backends[self.registry.configured..].iter().map(machine).collect();
        let farms = self.registry.farms.iter().filter(|_| self.registry.rules.is_some());
        let patterns = farms.flat_map(|&farm| &self.farms[farm].plan.patterns);
        (machines, patterns.map(|pattern| pattern.pattern.clone()).collect())
    }

    /// Whether an update would let a backend that is not there register, if there is room.
    pub(super) fn would_register(&self, update: &BackendUpdate) -> bool {
        let is_somewhere = update.whereabouts.as_ref().is_some_and(|at| !at.addresses.is_empty());
        self.registry.rules.is_some()
            && is_somewhere
            && update.is_report()
            && update.feed != Some(Feed::Out)
            && self.registry.farms.iter().any(|&farm| self.farms[farm].plan.admits(&update.backend))
    }

    /// The backend of an update that was said `at` some moment; it registers if it has to and may. Gives its place.
    pub(super) fn find_or_register(
        &mut self,
        update: &BackendUpdate,
        at: Moment,
        now: Moment,
    ) -> Option<usize> {
        if let Some(index) = self.backend_number(update.backend.as_str()) {
            self.relocate(index, update);
            return Some(index);
        }
        let whereabouts = update.whereabouts.as_ref().filter(|_| self.would_register(update))?;
        if self.registered() >= self.registry.rules?.limit {
            self.registry.counts.turned_away += 1;
            return None;
        }
        self.registry.counts.joined += 1;
        let index =
            self.join(&update.backend, whereabouts, "it reported, and a farm names it by pattern", now);
        (self.backends[index].rare.registered, self.backends[index].known_since) = (Some(at), at);
        // It may have been started a moment ago, with cold caches.
        self.backends[index].rare.returned = Some(now);
        self.watch_registered(index);
        Some(index)
    }

    /// Adds a backend to the farms that name it by pattern; decisions on its name begin to count. Gives its place.
    pub(super) fn join(&mut self, name: &Name, at: &Whereabouts, why: &str, now: Moment) -> usize {
        let (index, addresses) = (self.backends.len(), at.addresses.clone());
        let plan = BackendPlan { port: at.port, ..BackendPlan::new(name.clone(), addresses) };
        let mut backend = Backend::new(plan, Tally::default(), now);
        backend.rare.registered = Some(now);
        self.backends.push(backend);
        self.registered.insert(name.clone(), index);
        self.registry.moved = true;
        let admits = |farm: &&usize| self.farms[**farm].plan.admits(name);
        let farms: Vec<usize> = self.registry.farms.iter().filter(admits).copied().collect();
        for farm in farms {
            self.reseat(farm, now);
        }
        let expectations =
            self.backends[index].places.iter().filter_map(|(farm, _)| self.farms[farm].plan.expect_update);
        self.backends[index].expect = expectations.min();
        self.backends[index].feed = self.backends[index].feed_for(self.backends[index].expect, now);
        self.note_registration(name, ["absent", &at.to_string()], why);
        self.abide_for(name, now);
        index
    }

    /// Lets those register again that a process before this one left, if they were not silent for too long by then.
    pub(super) fn rejoin(&mut self, memory: &Memory, now: Moment) {
        let Some(rules) = self.registry.rules else { return };
        for then in &memory.backends {
            let (Some(at), false) = (&then.whereabouts, self.backend_number(then.name.as_str()).is_some())
            else {
                continue;
            };
            let in_time = then.last_report.is_some_and(|last| memory.taken.since(last) <= rules.silence);
            let fits = self.registry.farms.iter().any(|&farm| self.farms[farm].plan.admits(&then.name));
            if in_time && fits && self.registered() < rules.limit {
                self.join(&then.name, at, "as it was before", now);
            }
        }
    }

    /// Follows a backend that registered to where its report says that it is.
    fn relocate(&mut self, index: usize, update: &BackendUpdate) {
        let Some(at) = &update.whereabouts else { return };
        let backend = &mut self.backends[index];
        let is_its_own = at.is_said || !update.statistics.is_empty() || update.feed.is_some();
        if backend.rare.registered.is_none() || !is_its_own {
            return;
        }
        let from = backend.whereabouts();
        let addresses = if at.addresses.is_empty() { &from.addresses } else { &at.addresses };
        if backend.relocate(addresses, at.port.or(from.port)) {
            let to = backend.whereabouts().to_string();
            let subject = Subject::Backend(backend.name().clone());
            let why = if at.is_said { "its report says so" } else { "it reported from there" }.to_owned();
            self.changes.push(Change { subject, axis: "addresses", from: from.to_string(), to, why });
            self.publish(index);
            self.mark_farms_of(index);
        }
    }

    /// Parts with those that were silent for too long, or with all that may not be there any more.
    pub(super) fn let_go(&mut self, now: Moment) {
        self.registry.watched = None;
        // From the end: the last one takes the place of who leaves, and was looked at already.
        for index in (self.registry.configured..self.backends.len()).rev() {
            let silence = now.since(self.backends[index].last_sign());
            match self.registry.rules {
                None => self.leave(index, "backends may not register any more", now),
                Some(rules) if silence > rules.silence => {
                    let (silence, patience) = (span(silence), span(rules.silence));
                    self.leave(index, &format!("silent for {silence}, {patience} are allowed"), now);
                }
                Some(_) => {}
            }
        }
        self.watch_all_registered();
    }

    fn leave(&mut self, index: usize, why: &str, now: Moment) {
        let name = self.backends[index].name().clone();
        self.note_registration(&name, [&self.backends[index].whereabouts().to_string(), "absent"], why);
        self.registered.remove(&name);
        let farms: Vec<usize> = self.backends[index].places.iter().map(|(farm, _)| farm).collect();
        for farm in farms {
            self.reseat(farm, now);
        }
        self.backends.swap_remove(index);
        if let Some(moved) = self.backends.get(index) {
            self.registered.insert(moved.name().clone(), index);
            for (farm, member) in moved.places.iter() {
                self.farms[farm].members[member].backend = index as u32;
            }
        }
        self.registry.counts.left += 1;
        self.registry.moved = true;
    }

    /// Notes that somebody came or went.
    pub(super) fn note_registration(&mut self, name: &Name, [from, to]: [&str; 2], why: &str) {
        self.changes.push(Change {
            subject: Subject::Backend(name.clone()),
            axis: "registration",
            from: from.to_owned(),
            to: to.to_owned(),
            why: why.to_owned(),
        });
    }

    /// Makes a farm's list of members anew. What is known of those that stay is kept.
    fn reseat(&mut self, index: usize, now: Moment) {
        let registered = self.registered_names();
        let old = self.farms.swap_remove(index);
        for place in &old.members {
            self.backends[place.backend()].places.leave(index);
        }
        let (dependents, rising, rank) = (old.dependents.clone(), old.rising, old.rank);
        let plan = (old.name().clone(), old.named(&self.backends), Arc::clone(&old.plan));
        let former = |number: u32| self.backends[number as usize].name();
        let mut fresh = Fresh::default();
        let mut farm = self.farm(plan, rank, Some(old), (&former, &mut fresh), &registered, now);
        (farm.dependents, farm.rising) = (dependents, rising);
        self.farms.push(farm);
        let last = self.farms.len() - 1;
        self.farms.swap(index, last);
        // Members have other numbers now.
        self.agenda.retain(|entry| !matches!(entry.0.1, Look::Silence(farm, _) if farm as usize == index));
        for member in 0..self.farms[index].members.len() {
            let backend = self.farms[index].members[member].backend();
            self.backends[backend].places.push(index, member);
            self.watch(index, member, now);
        }
        self.mark_dirty(index);
    }

    /// Puts the silence of all that registered on an agenda that has nothing of it yet.
    pub(super) fn watch_all_registered(&mut self) {
        self.registry.watched = None;
        for index in self.registry.configured..self.backends.len() {
            self.watch_registered(index);
        }
    }

    /// Sees to it that the agenda looks at the silence of a backend that is registered, when it would leave or before.
    pub(super) fn watch_registered(&mut self, index: usize) {
        let Some(rules) = self.registry.rules else { return };
        let due = self.backends[index].last_sign() + rules.silence + TICK;
        if self.registry.watched.is_none_or(|watched| due < watched) {
            self.registry.watched = Some(due);
            self.agenda.push(Reverse((due, Look::Registration)));
        }
    }

    /// What the agenda asks for: lets go, unless another look was put on it since.
    pub(super) fn look_at_registered(&mut self, due: Moment, now: Moment) {
        if self.registry.watched == Some(due) {
            self.let_go(now);
        }
    }
}
