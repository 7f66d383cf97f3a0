//! Decisions of people: kept before they are in force, found again after a restart, agreed upon with other Athenas.
//!
//! A decision takes its turn: check, keep, carry out, and only then the next one. So the order on disk is the order
//! in memory, and while a disk is slow, reports and queries go on: the lock around the truth is not held. Nothing that
//! was checked can have become wrong in between, because only a reload changes who is configured, and it takes its turn too.
//! (A report may have brought new names of statistics; then a backend has for once a few more than the limit. One that
//! registered may have left, or the last place been taken; then what people decided counts when it comes back.)

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::super::durable::{Axis, Durable, Keeper, Override, Setting, Stamp};
use super::super::moment::Moment;
use super::super::name::Name;
use super::super::update::{BackendUpdate, FarmUpdate, Refusal, Update, WeightChange, is_weight};
use super::{Applied, Engine, Truth};

/// Whose turn it is to decide, and who keeps what was decided.
#[derive(Default)]
pub(super) struct Administration {
    turn: Mutex<()>,
    keeper: OnceLock<Box<dyn Keeper>>,
}

impl Administration {
    /// Waits for the decision before this one. Taken before the lock around the truth, never after it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has records kept, if there is anything to keep and somebody who does. Blocks; to be called in one's turn.
    pub(super) fn keep(&self, records: &[Durable]) -> Result<(), Refusal> {
        match self.keeper.get() {
            Some(keeper) if !records.is_empty() => {
                keeper.keep(records).map_err(|why| Refusal::NotStored(why.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// Every decision that was ever taken, also on names that the configuration does not have at present: somebody who
/// drained a machine wants it drained when it returns.
#[derive(Default)]
pub(super) struct Ledger {
    records: HashMap<(Axis, Name), Durable>,
    /// The name that our own decisions bear.
    by: Arc<str>,
    /// Decisions that a new configuration overruled, to be kept.
    pub(super) overruled: Vec<Durable>,
}

impl Ledger {
    fn get(&self, axis: Axis, name: &Name) -> Option<&Durable> {
        self.records.get(&(axis, name.clone()))
    }

    fn enter(&mut self, record: Durable) {
        self.records.insert((record.axis(), record.name.clone()), record);
    }

    /// A decision taken here and now.
    fn decide(&self, name: &Name, setting: Setting, now: Moment) -> Durable {
        // Later than what it replaces, also when the clock of who decided that was ahead of ours.
        let before = self.get(setting.axis(), name).map(|record| record.stamp.at + Duration::from_nanos(1));
        let at = before.map_or(now, |before| before.max(now));
        Durable { name: name.clone(), setting, stamp: Stamp { at, by: Arc::clone(&self.by) } }
    }

    /// Those that say something else than what holds; the others need no disk.
    fn changed(&self, records: &[Durable]) -> Vec<Durable> {
        let differs = |record: &&Durable| match self.get(record.axis(), &record.name) {
            Some(have) => have.setting != record.setting,
            None => !record.setting.is_default(),
        };
        records.iter().filter(differs).cloned().collect()
    }
}

impl Engine {
    /// Names who keeps decisions from now on. Without one they last as long as the process. Only the first call counts.
    pub fn entrust(&self, keeper: impl Keeper + 'static) {
        let _ = self.administration.keeper.set(Box::new(keeper));
    }

    /// Names this Athena, for the stamps of its decisions. No two that mirror each other may have one name.
    pub fn sign_as(&self, by: &str) {
        self.lock().ledger.by = by.into();
    }

    /// Every decision that holds, in the order of axis and name: what another Athena needs to agree with us. Those on
    /// names that are not configured now are among them.
    pub fn decisions(&self) -> Vec<Durable> {
        let mut records: Vec<_> = self.lock().ledger.records.values().cloned().collect();
        records.sort_by(|a, b| (a.axis(), &a.name).cmp(&(b.axis(), &b.name)));
        records
    }

    /// [`apply`](Self::apply) for a list with decisions in it. Blocks while they are kept.
    pub(super) fn decide(&self, updates: &[Update], now: Moment) -> Result<Applied, Refusal> {
        let _turn = self.administration.turn();
        let (records, changed) = {
            let mut truth = self.lock();
            self.check(&mut truth, updates)?;
            let records = truth.decisions(updates, now);
            let changed = truth.ledger.changed(&records);
            (records, changed)
        };
        self.administration.keep(&changed).inspect_err(|_| self.count_refused())?;
        let mut truth = self.lock();
        for record in &records {
            truth.ledger.enter(record.clone());
        }
        let mut applied = self.carry_out(&mut truth, updates, now);
        applied.records = records;
        Ok(applied)
    }

    /// Takes decisions of another Athena: each that is later than ours on the same thing is kept and carried out.
    /// Names that are not configured here are passed over. All or none; blocks while they are kept.
    pub fn adopt(&self, records: &[Durable], now: Moment) -> Result<Applied, Refusal> {
        let _turn = self.administration.turn();
        let (news, changed) = {
            let truth = self.lock();
            let news = truth.news(records).inspect_err(|_| self.count_refused())?;
            let changed = truth.ledger.changed(&news);
            (news, changed)
        };
        self.administration.keep(&changed).inspect_err(|_| self.count_refused())?;
        let mut truth = self.lock();
        for record in &news {
            truth.enact(record, &format!("decided at {}", record.stamp.by), now);
            truth.ledger.enter(record.clone());
        }
        truth.refresh(now);
        self.wake_if_sooner(&truth);
        Ok(Applied { changes: std::mem::take(&mut truth.changes), records: news })
    }
}

impl Truth {
    /// What updates that were checked decide, the last word on each thing.
    fn decisions(&self, updates: &[Update], now: Moment) -> Vec<Durable> {
        let mut settings: BTreeMap<(Axis, &Name), Setting> = BTreeMap::new();
        for update in updates {
            let (name, said) = match update {
                Update::Farm(FarmUpdate { farm, switch }) => {
                    (farm, [switch.map(Setting::Switch), None, None])
                }
                Update::Backend(update) => (&update.backend, self.settings(update)),
            };
            settings.extend(said.into_iter().flatten().map(|setting| ((setting.axis(), name), setting)));
        }
        settings.into_iter().map(|((_, name), setting)| self.ledger.decide(name, setting, now)).collect()
    }

    fn settings(&self, update: &BackendUpdate) -> [Option<Setting>; 3] {
        let configured = self.configured_weight(&update.backend).unwrap_or(1.0);
        let weight = update.weight.map(|change| match change {
            WeightChange::Override(weight) => Some(Override { weight, configured }),
            WeightChange::Configured => None,
        });
        [update.admin.map(Setting::Admin), update.mark.map(Setting::Mark), weight.map(Setting::Weight)]
    }

    fn configured_weight(&self, backend: &Name) -> Option<f64> {
        self.backend_number(backend.as_str()).map(|index| self.backends[index].configured_weight)
    }

    /// Those of another's decisions that are news here, the latest on each thing.
    fn news(&self, records: &[Durable]) -> Result<Vec<Durable>, Refusal> {
        let mut news: BTreeMap<(Axis, Name), Durable> = BTreeMap::new();
        for record in records {
            let axis = record.axis();
            let known = match axis {
                Axis::Switch => self.farm_index.contains_key(&record.name),
                _ => self.backend_number(record.name.as_str()).is_some(),
            };
            let mut record = record.clone();
            if let Setting::Weight(Some(change)) = &mut record.setting {
                if !is_weight(change.weight) {
                    return Err(Refusal::Weight { backend: record.name, weight: change.weight });
                }
                // It holds until our configuration changes, whatever the other's says.
                change.configured = self.configured_weight(&record.name).unwrap_or(change.configured);
            }
            let key = (axis, record.name.clone());
            let have = news.get(&key).or_else(|| self.ledger.records.get(&key));
            if known && have.is_none_or(|have| have.stamp < record.stamp) {
                news.insert(key, record);
            }
        }
        Ok(news.into_values().collect())
    }

    /// Carries out a decision; one on a name that is not configured changes nothing.
    fn enact(&mut self, record: &Durable, why: &str, since: Moment) {
        if let Setting::Switch(switch) = record.setting {
            if let Some(&index) = self.farm_index.get(&record.name) {
                self.set_switch(index, switch, why, since);
            }
            return;
        }
        let Some(index) = self.backend_number(record.name.as_str()) else { return };
        let was_in_service = self.is_in_service(index);
        match record.setting {
            Setting::Admin(admin) => self.set_admin(index, admin, why, since),
            Setting::Mark(mark) => self.set_health(index, None, Some(mark), since),
            Setting::Weight(Some(Override { weight, .. })) => {
                self.set_weight(index, WeightChange::Override(weight), why);
            }
            Setting::Weight(None) => self.set_weight(index, WeightChange::Configured, why),
            Setting::Switch(_) => {}
        }
        if !was_in_service && self.is_in_service(index) {
            self.backends[index].rare.returned = Some(since);
        }
    }

    /// Carries out every decision once more, after a start or with a new configuration: for names that were not there
    /// a moment ago they begin to count. A weight gives way where the configured one has changed since it was set.
    pub(super) fn abide(&mut self, now: Moment) {
        let mut records: Vec<Durable> = self.ledger.records.values().cloned().collect();
        records.sort_by(|a, b| (a.axis(), &a.name).cmp(&(b.axis(), &b.name)));
        records.iter().for_each(|record| self.abide_by(record, now));
    }

    /// The same for the decisions on one backend, which was not there before.
    pub(super) fn abide_for(&mut self, backend: &Name, now: Moment) {
        for axis in [Axis::Admin, Axis::Mark, Axis::Weight] {
            if let Some(record) = self.ledger.get(axis, backend).cloned() {
                self.abide_by(&record, now);
            }
        }
    }

    fn abide_by(&mut self, record: &Durable, now: Moment) {
        let configured = self.configured_weight(&record.name);
        match (record.setting, configured) {
            (Setting::Weight(Some(before)), Some(configured)) if before.configured != configured => {
                let overruled = self.ledger.decide(&record.name, Setting::Weight(None), now);
                let from = before.configured;
                let why = format!("the configuration wins: it changed from {from} to {configured} since");
                self.enact(&overruled, &why, now);
                self.ledger.enter(overruled.clone());
                self.ledger.overruled.push(overruled);
            }
            _ => self.enact(record, "as it was decided before", record.stamp.at),
        }
    }

    /// Enters decisions that were kept by a process before this one.
    pub(super) fn read_in(&mut self, records: Vec<Durable>) {
        records.into_iter().for_each(|record| self.ledger.enter(record));
    }
}

#[cfg(test)]
mod tests;
