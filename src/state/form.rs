//! The form of records in the state file: JSON, so that a field can be added and anybody can read a dump.
//!
//! A decision stands under its axis and name as `{"setting":{"weight":{"weight":2.5,"configured":1.0}},"at":…,"by":…}`;
//! moments are nanoseconds since the Unix epoch. What does not fit this form is named and refused.

use serde::{Deserialize, Serialize};

use crate::balance::Name;
use crate::balance::durable::{Axis, BackendMemory, Durable, FarmMemory, Memory, Override, Setting, Stamp};
use crate::balance::moment::Moment;
use crate::balance::statistics::{Amount, StatisticName, Statistics};
use crate::balance::update::{Admin, Feed, Health, Switch, is_weight};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionForm {
    setting: SettingForm,
    at: u64,
    by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SettingForm {
    Admin(String),
    Mark(String),
    Weight(Option<OverrideForm>),
    Switch(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideForm {
    weight: f64,
    configured: f64,
}

#[derive(Serialize, Deserialize)]
struct BackendForm {
    statistics: Vec<(String, f64)>,
    health: String,
    health_since: u64,
    feed: String,
    feed_since: u64,
    last_report: Option<u64>,
    left: bool,
    returned: Option<u64>,
    reports: u64,
    answers: u64,
    answers_since_report: u64,
}

#[derive(Serialize, Deserialize)]
struct FarmForm {
    answers: u64,
    not_finite: u64,
}

fn axis_word(axis: Axis) -> &'static str {
    match axis {
        Axis::Admin => "admin",
        Axis::Mark => "mark",
        Axis::Weight => "weight",
        Axis::Switch => "switch",
    }
}

/// The axis and the rest of a decision; its name is the other half of the key.
pub(super) fn write_decision(record: &Durable) -> (&'static str, Vec<u8>) {
    let setting = match record.setting {
        Setting::Admin(admin) => SettingForm::Admin(admin.to_string()),
        Setting::Mark(health) => SettingForm::Mark(health.to_string()),
        Setting::Weight(change) => SettingForm::Weight(
            change.map(|Override { weight, configured }| OverrideForm { weight, configured }),
        ),
        Setting::Switch(switch) => SettingForm::Switch(switch.to_string()),
    };
    let form = DecisionForm { setting, at: record.stamp.at.nanos(), by: record.stamp.by.to_string() };
    (axis_word(record.axis()), octets(&form))
}

/// A decision from its key and its value; or what is wrong with it.
pub(super) fn read_decision(axis: &str, name: &str, value: &[u8]) -> Result<Durable, String> {
    let form: DecisionForm = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let setting = match form.setting {
        SettingForm::Admin(word) => Setting::Admin(parsed(Admin::parse, &word)?),
        SettingForm::Mark(word) => Setting::Mark(parsed(Health::parse, &word)?),
        SettingForm::Weight(None) => Setting::Weight(None),
        SettingForm::Weight(Some(OverrideForm { weight, .. })) if !is_weight(weight) => {
            return Err(format!("{weight} is no weight"));
        }
        SettingForm::Weight(Some(OverrideForm { weight, configured })) => {
            Setting::Weight(Some(Override { weight, configured }))
        }
        SettingForm::Switch(word) => Setting::Switch(parsed(Switch::parse, &word)?),
    };
    if axis_word(setting.axis()) != axis {
        return Err("it stands in another's place".to_owned());
    }
    let stamp = Stamp { at: Moment::from_nanos(form.at), by: form.by.into() };
    Ok(Durable { name: named(name)?, setting, stamp })
}

/// Kind, name and value of everything in a memory.
pub(super) fn write_memory(memory: &Memory) -> impl Iterator<Item = (&'static str, &str, Vec<u8>)> {
    let backends = memory.backends.iter().map(|backend| {
        let form = BackendForm {
            statistics: backend.statistics.iter().map(|(name, value)| (name.to_string(), value)).collect(),
            health: backend.health.to_string(),
            health_since: backend.health_since.nanos(),
            feed: backend.feed.to_string(),
            feed_since: backend.feed_since.nanos(),
            last_report: backend.last_report.map(Moment::nanos),
            left: backend.left,
            returned: backend.returned.map(Moment::nanos),
            reports: backend.reports,
            answers: backend.answers,
            answers_since_report: backend.answers_since_report,
        };
        (BACKEND, backend.name.as_str(), octets(&form))
    });
    let farms = memory.farms.iter().map(|farm| {
        let form = FarmForm { answers: farm.answers, not_finite: farm.not_finite };
        (FARM, farm.name.as_str(), octets(&form))
    });
    backends.chain(farms)
}

const BACKEND: &str = "backend";
const FARM: &str = "farm";

/// Adds what a key and its value say to `memory`; or gives what is wrong with it.
pub(super) fn read_memory(kind: &str, name: &str, value: &[u8], memory: &mut Memory) -> Result<(), String> {
    let name = named(name)?;
    match kind {
        BACKEND => {
            let form: BackendForm = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            memory.backends.push(backend(name, form)?);
        }
        FARM => {
            let FarmForm { answers, not_finite } =
                serde_json::from_slice(value).map_err(|error| error.to_string())?;
            memory.farms.push(FarmMemory { name, answers, not_finite });
        }
        _ => return Err("neither backend nor farm".to_owned()),
    }
    Ok(())
}

fn backend(name: Name, form: BackendForm) -> Result<BackendMemory, String> {
    let mut statistics = Statistics::default();
    for (name, value) in form.statistics {
        let name =
            StatisticName::parse(&name).ok_or_else(|| format!("{name:?} is no name of a statistic"))?;
        statistics.change(&name, Amount::Set(value));
    }
    Ok(BackendMemory {
        name,
        statistics,
        health: parsed(Health::parse, &form.health)?,
        health_since: Moment::from_nanos(form.health_since),
        feed: parsed(Feed::parse, &form.feed)?,
        feed_since: Moment::from_nanos(form.feed_since),
        last_report: form.last_report.map(Moment::from_nanos),
        left: form.left,
        returned: form.returned.map(Moment::from_nanos),
        reports: form.reports,
        answers: form.answers,
        answers_since_report: form.answers_since_report,
    })
}

fn named(name: &str) -> Result<Name, String> {
    Name::parse(name).map_err(|error| error.to_string())
}

fn parsed<T>(parse: fn(&str) -> Option<T>, word: &str) -> Result<T, String> {
    parse(word).ok_or_else(|| format!("{word:?} is no state"))
}

/// These forms have no maps with keys that are not strings and no writer that fails, so there is nothing to refuse.
fn octets(form: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(form).unwrap_or_default()
}
