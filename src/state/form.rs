//! The form of records in the state file: JSON, so that a field can be added and anybody can read a dump.
//!
//! A decision stands under its axis and name as `{"setting":{"weight":{"weight":2.5,"configured":1.0}},"at":…,"by":…}`;
//! moments are nanoseconds since the Unix epoch. What does not fit this form is named and refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::balance::Name;
use crate::balance::durable::{Axis, BackendMemory, Durable, FarmMemory, Memory, Override, Setting, Stamp};
use crate::balance::moment::Moment;
use crate::balance::registration::Whereabouts;
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

/// Left out is what most backends do not have.
#[derive(Serialize, Deserialize)]
struct BackendForm {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statistics: Vec<(String, f64)>,
    health: String,
    health_since: u64,
    feed: String,
    feed_since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_report: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    left: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned: Option<u64>,
    reports: u64,
    answers: u64,
    answers_since_report: u64,
    /// Of one that registered: its addresses, and its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whereabouts: Option<(Vec<IpAddr>, Option<u16>)>,
}

#[derive(Serialize, Deserialize)]
struct FarmForm {
    name: String,
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

/// Kind, number and value of everything in a memory, some hundred to a value: a hundred thousand small ones would cost
/// seconds.
pub(super) fn write_memory(memory: &Memory) -> impl Iterator<Item = (&'static str, u64, Vec<u8>)> {
    let backends = memory.backends.chunks(SLICE).zip(0..).map(|(slice, number)| {
        let forms: Vec<BackendForm> = slice.iter().map(backend_form).collect();
        (BACKENDS, number, octets(&forms))
    });
    let farms = memory.farms.chunks(SLICE).zip(0..).map(|(slice, number)| {
        let form = |FarmMemory { name, answers, not_finite }: &FarmMemory| FarmForm {
            name: name.to_string(),
            answers: *answers,
            not_finite: *not_finite,
        };
        let forms: Vec<FarmForm> = slice.iter().map(form).collect();
        (FARMS, number, octets(&forms))
    });
    backends.chain(farms)
}

const BACKENDS: &str = "backends";
const FARMS: &str = "farms";
const SLICE: usize = 128;

/// Adds what a value of this kind says to `memory`; or gives what is wrong with it.
pub(super) fn read_memory(kind: &str, value: &[u8], memory: &mut Memory) -> Result<(), String> {
    match kind {
        BACKENDS => {
            let forms: Vec<BackendForm> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            for form in forms {
                memory.backends.push(backend(form)?);
            }
        }
        FARMS => {
            let forms: Vec<FarmForm> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            for FarmForm { name, answers, not_finite } in forms {
                memory.farms.push(FarmMemory { name: named(&name)?, answers, not_finite });
            }
        }
        _ => return Err("neither backends nor farms".to_owned()),
    }
    Ok(())
}

fn backend_form(backend: &BackendMemory) -> BackendForm {
    BackendForm {
        name: backend.name.to_string(),
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
        whereabouts: backend.whereabouts.as_ref().map(|at| (at.addresses.clone(), at.port)),
    }
}

fn backend(form: BackendForm) -> Result<BackendMemory, String> {
    let mut statistics = Statistics::default();
    for (name, value) in form.statistics {
        let name =
            StatisticName::parse(&name).ok_or_else(|| format!("{name:?} is no name of a statistic"))?;
        statistics.change(&name, Amount::Set(value));
    }
    Ok(BackendMemory {
        name: named(&form.name)?,
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
        whereabouts: form.whereabouts.map(|(addresses, port)| Whereabouts { addresses, port, is_said: true }),
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
