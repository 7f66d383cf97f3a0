//! States written for those who ask, and the states of others read and compared with ours.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::Mirror;
use super::link::{Link, Trouble};
use super::registers::{Spoken, hash_decision};
use crate::balance::durable::{Axis, Durable, Override, Setting, Stamp};
use crate::balance::update::{BackendUpdate, WeightChange};
use crate::balance::{Moment, Name, Update};
use crate::http::Options;
use crate::http::text::mirror::{Batch, Greeting, Heard, is_farm, line, write_decision, write_report};

/// Backends that are written under one hold of the lock.
const SLICE: usize = 256;

/// What came of asking a peer for its state.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// Who answered.
    pub greeting: Greeting,
    /// How many of its words, and of ours that it lacked, should have been there for a while.
    pub late: usize,
}

impl Mirror {
    /// Who we are, and a sum over what we hold.
    pub fn greeting(&self, now: Moment) -> Greeting {
        self.forget_who_left();
        let decisions = self.engine.decisions().iter().fold(0, |sum, record| sum ^ hash_decision(record));
        let digest = decisions ^ self.with_registers(now, |registers| registers.digest());
        Greeting { name: self.name.load().to_string(), instance: self.instance, digest }
    }

    /// The answer to `mirror/state/`.
    pub fn write_state(&self, whole: bool, now: Moment) -> String {
        let mut text = self.greeting(now).write();
        text.push('\n');
        if !whole {
            return text;
        }
        let end = |kind: &str, batch: Batch, text: &mut String| {
            if batch.requests() > 0 {
                text.push_str(kind);
                text.push_str(batch.text());
                text.push('\n');
            }
        };
        for about_farms in [true, false] {
            let mut batch = Batch::default();
            let kind = if about_farms { "farm?" } else { "phys?" };
            for record in self.engine.decisions().iter().filter(|record| is_farm(record) == about_farms) {
                if batch.is_full() {
                    end(kind, std::mem::take(&mut batch), &mut text);
                }
                write_decision(record, &mut batch);
            }
            end(kind, batch, &mut text);
        }
        let mut backends = self.with_registers(now, |registers| registers.backends());
        backends.sort_unstable();
        let mut batch = Batch::default();
        for slice in backends.chunks(SLICE) {
            self.with_registers(now, |registers| {
                for Spoken { report, stamp, at } in slice.iter().flat_map(|backend| registers.all(backend)) {
                    if batch.is_full() {
                        end("phys?", std::mem::take(&mut batch), &mut text);
                    }
                    write_report(&report, &stamp, now.since(at), &mut batch);
                }
            });
        }
        end("phys?", batch, &mut text);
        text
    }

    /// Takes a peer's state: what is later than ours counts, what it lacks is queued for it. Nothing is taken of a state
    /// with a mistake in it. Blocks if it holds decisions.
    pub(super) fn take_state(&self, link: &Link, text: &str, now: Moment) -> Result<Exchanged, Trouble> {
        let mut lines = text.lines().enumerate();
        let greeting = lines.next().and_then(|(_, line)| Greeting::parse(line));
        let greeting = greeting.ok_or_else(|| Trouble::Nonsense("its state has no greeting".to_owned()))?;
        self.recognise(&greeting)?;
        let options = Options::default();
        let mut state = Vec::new();
        for (index, text) in lines {
            let heard = line(text, &options, now)
                .map_err(|error| Trouble::Nonsense(format!("line {} of its state: {error}", index + 1)))?;
            state.push(heard);
        }
        let stamped = state.iter().flatten().all(|heard| heard.stamp.is_some());
        if !stamped {
            return Err(Trouble::Nonsense("its state has an update without a stamp: S".to_owned()));
        }
        let late = self.queue_what_it_lacks(link, &state, now);
        let mut taken = 0;
        for heard in state {
            // Who is unknown here is passed over.
            let mut heard = heard;
            self.look_where_they_are(&mut heard);
            let known = heard.into_iter().filter(|heard| self.is_known(&heard.update)).collect();
            let (changes, news) = self.take(known, now).map_err(|why| Trouble::NotTaken(why.to_string()))?;
            taken += news;
            if !changes.is_empty() {
                (self.changed)(&changes);
            }
        }
        Ok(Exchanged { greeting, late: late + taken })
    }

    /// Whether somebody who greets like this is another Athena with a name of its own.
    pub(super) fn recognise(&self, greeting: &Greeting) -> Result<(), Trouble> {
        if greeting.instance == self.instance {
            return Err(Trouble::Ourselves);
        }
        if greeting.name == **self.name.load() {
            return Err(Trouble::SameName(greeting.name.clone()));
        }
        Ok(())
    }

    /// Takes the whereabouts out of what was heard where they are of no use here: nobody may register, or not there.
    pub(super) fn look_where_they_are(&self, heard: &mut [Heard]) {
        let networks = self.register.load();
        let within = |address: &IpAddr| networks.iter().flatten().any(|network| network.contains(address));
        for said in heard {
            if let Update::Backend(update) = &mut said.update {
                update.whereabouts.take_if(|at| !at.addresses.iter().all(within));
            }
        }
    }

    /// Forgets what those said who have left since this was last called.
    pub(super) fn forget_who_left(&self) {
        let left = self.engine.registration_counts().left;
        if self.left.swap(left, Ordering::Relaxed) != left {
            self.with_registers(self.clock.now(), |registers| {
                registers.retain(|backend| self.engine.machine(backend.as_str()).is_some());
            });
        }
    }

    /// Whether what it is about is here, or may come.
    pub(super) fn is_known(&self, update: &Update) -> bool {
        match update {
            Update::Backend(update) => {
                let name = update.backend.as_str();
                let may_come = || update.whereabouts.is_some() && self.engine.may_register(name);
                self.engine.machine(name).is_some() || may_come()
            }
            Update::Farm(update) => self.engine.farm(update.farm.as_str()).is_some(),
        }
    }

    /// Compares a peer's state with ours. Decisions it lacks are queued wherever they were taken: they must not be lost
    /// with whoever took them. Of what backends say only what they said here is.
    fn queue_what_it_lacks(&self, link: &Link, state: &[Vec<Heard>], now: Moment) -> usize {
        let mut reports: HashMap<&Name, Vec<(&BackendUpdate, &Stamp)>> = HashMap::new();
        let mut decided: HashMap<(Axis, Name), Stamp> = HashMap::new();
        for heard in state.iter().flatten() {
            for Durable { name, setting, stamp } in decisions(heard) {
                decided.insert((setting.axis(), name), stamp);
            }
            if let (Update::Backend(update), Some(stamp)) = (&heard.update, &heard.stamp)
                && update.is_report()
            {
                reports.entry(&update.backend).or_default().push((update, stamp));
            }
        }
        let mut late = 0;
        for record in self.engine.decisions() {
            let theirs = decided.get(&(record.axis(), record.name.clone()));
            if theirs.is_none_or(|theirs| *theirs < record.stamp) {
                late += 1;
                link.repair_decision(record);
            }
        }
        let backends = self.with_registers(now, |registers| registers.backends());
        for slice in backends.chunks(SLICE) {
            self.with_registers(now, |registers| {
                for backend in slice {
                    let theirs = reports.get(backend).map_or(&[][..], Vec::as_slice);
                    if let Some((turn, at)) = registers.lacking(backend, theirs) {
                        late += usize::from(now.since(at) > super::IN_FLIGHT);
                        link.repair_report(backend, turn);
                    }
                }
            });
        }
        late
    }
}

/// What people decided in a stamped update.
pub fn decisions(said: &Heard) -> Vec<Durable> {
    let Some(stamp) = &said.stamp else { return Vec::new() };
    let record =
        |name: &Name, setting: Setting| Durable { name: name.clone(), setting, stamp: Stamp::clone(stamp) };
    match &said.update {
        Update::Farm(update) => {
            update.switch.map(|switch| record(&update.farm, Setting::Switch(switch))).into_iter().collect()
        }
        Update::Backend(update) => {
            let weight = update.weight.map(|change| match change {
                // What the configuration says here is filled in by whoever adopts it.
                WeightChange::Override(weight) => {
                    Setting::Weight(Some(Override { weight, configured: weight }))
                }
                WeightChange::Configured => Setting::Weight(None),
            });
            let settings = [update.admin.map(Setting::Admin), update.mark.map(Setting::Mark), weight];
            settings.into_iter().flatten().map(|setting| record(&update.backend, setting)).collect()
        }
    }
}
