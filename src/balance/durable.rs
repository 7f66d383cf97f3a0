//! What outlives the process, as data: the core says what is to be kept, somebody else knows how.
//!
//! | kind | what | kept |
//! | --- | --- | --- |
//! | [`Durable`] | what people decided: administrative states, marks on health, weights, farms switched off | before it is in force |
//! | [`Memory`] | what was reported and counted | now and then; a loss costs some seconds of reports |
//!
//! Every decision carries a [`Stamp`], so that Athenas which were cut off from each other agree on the later one.

use std::fmt;
use std::sync::Arc;

use super::moment::Moment;
use super::name::Name;
use super::registration::Whereabouts;
use super::statistics::Statistics;
use super::update::{Admin, Feed, Health, Switch};

/// Which of a backend's or a farm's settings. One name has at most one record of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// A backend's administrative state.
    Admin,
    /// A backend's health as people marked it.
    Mark,
    /// A backend's weight set at run time.
    Weight,
    /// A farm's switch.
    Switch,
}

/// One decision of people, which holds until another one takes its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Durable {
    /// The backend, or for [`Setting::Switch`] the farm.
    pub name: Name,
    /// What was decided.
    pub setting: Setting,
    /// When, and at which Athena.
    pub stamp: Stamp,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// A backend's administrative state.
    Admin(Admin),
    /// A backend's health as people marked it.
    Mark(Health),
    /// A backend's weight set at run time; `None`: the configured one again.
    Weight(Option<Override>),
    /// A farm's switch.
    Switch(Switch),
}

/// A weight set at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Override {
    /// The weight: 0, or [`MIN_WEIGHT`](super::update::MIN_WEIGHT) to [`MAX_WEIGHT`](super::update::MAX_WEIGHT).
    pub weight: f64,
    /// What the configuration said then. Once it says something else, it wins.
    pub configured: f64,
}

/// When something was decided, and where. Of two decisions on the same thing the greater stamp wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// When, by the clock of the Athena that took the order; later than what it replaced, whatever the clock says.
    pub at: Moment,
    /// That Athena's name; breaks ties.
    pub by: Arc<str>,
}

impl Durable {
    /// What it is a record of.
    pub fn axis(&self) -> Axis {
        self.setting.axis()
    }
}

impl Setting {
    /// What it is a setting of.
    pub fn axis(&self) -> Axis {
        match self {
            Self::Admin(_) => Axis::Admin,
            Self::Mark(_) => Axis::Mark,
            Self::Weight(_) => Axis::Weight,
            Self::Switch(_) => Axis::Switch,
        }
    }

    /// Whether this is how things are when nobody ever decided.
    pub(super) fn is_default(&self) -> bool {
        matches!(self, Self::Admin(Admin::On) | Self::Weight(None) | Self::Switch(Switch::On))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(admin) => write!(formatter, "{admin}"),
            Self::Mark(health) => write!(formatter, "{health}"),
            Self::Weight(Some(Override { weight, .. })) => write!(formatter, "{weight}"),
            Self::Weight(None) => formatter.write_str("configured"),
            Self::Switch(switch) => write!(formatter, "{switch}"),
        }
    }
}

/// Who keeps decisions where a crash does not reach them.
pub trait Keeper: Send + Sync {
    /// Keeps all of `records` or none; a record takes the place of the one with its name and axis. When this returns,
    /// they are safe. The engine calls it for one change at a time, in the order of the changes, and holds no lock
    /// that a report or a query takes; so it may block.
    fn keep(&self, records: &[Durable]) -> Result<(), NotKept>;
}

/// Why a decision could not be kept, for people: it names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKept(pub String);

/// What was reported and counted, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// When it was taken.
    pub taken: Moment,
    /// Backends, each at most once.
    pub backends: Vec<BackendMemory>,
    /// Farms, each at most once.
    pub farms: Vec<FarmMemory>,
}

/// What is remembered of one backend.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendMemory {
    /// Its name.
    pub name: Name,
    /// Everything it reported.
    pub statistics: Statistics,
    /// Its health by its own word.
    pub health: Health,
    /// Since when its health, by the worst of all words, is what it is.
    pub health_since: Moment,
    /// Its feed.
    pub feed: Feed,
    /// Since when.
    pub feed_since: Moment,
    /// When it last reported.
    pub last_report: Option<Moment>,
    /// Whether that was a farewell.
    pub left: bool,
    /// When it last came back into service, for slow start.
    pub returned: Option<Moment>,
    /// Reports taken from it.
    pub reports: u64,
    /// Answers that gave it out.
    pub answers: u64,
    /// How many of them came after its last report.
    pub answers_since_report: u64,
    /// Where it was, if it registered.
    pub whereabouts: Option<Whereabouts>,
}

/// What is remembered of one farm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmMemory {
    /// Its name.
    pub name: Name,
    /// Answers given.
    pub answers: u64,
    /// Reports whose formula gave no finite load.
    pub not_finite: u64,
}
