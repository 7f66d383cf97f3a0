//! What may change, in words that every shell shares: the text protocol, JSON, a mirror, a scenario file in a test.
//!
//! An [`Update`] is only a wish. [`Engine::apply`](super::Engine::apply) checks a whole list of them against what
//! exists and then carries out all of them, or none.

use std::fmt;

use super::name::Name;
use super::registration::Whereabouts;
use super::statistics::{Amount, StatisticName};

/// Administrative state of a backend: set by people and scripts only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admin {
    /// In service.
    #[default]
    On,
    /// No new choices; sticky tokens still hold.
    Drain,
    /// Out of service.
    Off,
}

/// Whether a backend works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It works.
    #[default]
    Up,
    /// It does not.
    Down,
}

/// Whether a backend speaks to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// It has not reported yet.
    New,
    /// It has reported in time, or nobody expects it to.
    In,
    /// It has been silent for too long, or said that it leaves.
    Out,
}

/// Administrative state of a farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Switch {
    /// In service.
    #[default]
    On,
    /// Answers come from `fallback_off` or `fallback`.
    Off,
}

/// A new weight for a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeightChange {
    /// This weight instead of the configured one: finite, 0 to [`MAX_WEIGHT`]. 0 takes no new choices.
    Override(f64),
    /// The configured weight again.
    Configured,
}

/// Largest weight; smallest but 0 is [`MIN_WEIGHT`].
pub const MAX_WEIGHT: f64 = 1e6;
/// Smallest weight but 0.
pub const MIN_WEIGHT: f64 = 1e-6;

/// Whether a backend may have this weight.
pub fn is_weight(weight: f64) -> bool {
    weight == 0.0 || (MIN_WEIGHT..=MAX_WEIGHT).contains(&weight)
}

/// One change that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// About one backend.
    Backend(BackendUpdate),
    /// About one farm.
    Farm(FarmUpdate),
}

impl Update {
    /// Whether only people may say this; such an update may have to wait for a disk.
    pub fn is_administrative(&self) -> bool {
        match self {
            Self::Backend(update) => update.is_administrative(),
            Self::Farm(update) => update.switch.is_some(),
        }
    }
}

/// What a report or a person says about one backend. What is not named stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendUpdate {
    /// The backend.
    pub backend: Name,
    /// Statistics, in the order given.
    pub statistics: Vec<(StatisticName, Amount)>,
    /// `v`: health as the backend itself, or who reports for it, sees it.
    pub health: Option<Health>,
    /// `V`: health as people have marked it; kept apart from `v`, and the worse of them counts.
    pub mark: Option<Health>,
    /// `i`: `in` is a report without figures, `out` a farewell, `new` forgets that it ever reported.
    pub feed: Option<Feed>,
    /// `s`
    pub admin: Option<Admin>,
    /// `w`
    pub weight: Option<WeightChange>,
    /// `A`, `P`: where it is, if nobody configured it.
    pub whereabouts: Option<Whereabouts>,
}

impl BackendUpdate {
    /// An update of `backend` that changes nothing yet.
    pub fn new(backend: Name) -> Self {
        Self {
            backend,
            statistics: Vec::new(),
            health: None,
            mark: None,
            feed: None,
            admin: None,
            weight: None,
            whereabouts: None,
        }
    }

    /// Whether it is a sign of life: it carries statistics, health, or the feed itself.
    pub fn is_report(&self) -> bool {
        !self.statistics.is_empty() || self.health.is_some() || self.feed.is_some()
    }

    /// Whether only people may say this: administrative state, weight, or their mark on its health.
    pub fn is_administrative(&self) -> bool {
        self.admin.is_some() || self.weight.is_some() || self.mark.is_some()
    }
}

/// What a person says about one farm.
#[derive(Debug, Clone, PartialEq)]
pub struct FarmUpdate {
    /// The farm.
    pub farm: Name,
    /// `s`
    pub switch: Option<Switch>,
}

/// Why a list of updates was refused; then nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such backend.
    #[error("unknown backend: {0}")]
    UnknownBackend(Name),
    /// As many backends are registered as may be.
    #[error(
        "h: {backend} cannot register: there are {limit} already, and access.auto_register_limit allows no more"
    )]
    Full {
        /// The backend.
        backend: Name,
        /// How many may be registered.
        limit: usize,
    },
    /// No such farm.
    #[error("unknown farm: {0}")]
    UnknownFarm(Name),
    /// A number that is infinite or no number at all.
    #[error("{argument}: not a finite number ({backend})")]
    NotFinite {
        /// The backend it was for.
        backend: Name,
        /// The statistic's name.
        argument: String,
    },
    /// A weight out of range.
    #[error("w: a weight is 0, or from {MIN_WEIGHT} to {MAX_WEIGHT}, not {weight} ({backend})")]
    Weight {
        /// The backend it was for.
        backend: Name,
        /// The weight given.
        weight: f64,
    },
    /// More names of statistics than are kept.
    #[error("{argument}: at most {limit} statistics are kept of a backend ({backend})")]
    TooMany {
        /// The backend it was for.
        backend: Name,
        /// The first statistic that found no room.
        argument: String,
        /// How many there may be.
        limit: usize,
    },
    /// A decision that could not be kept where a crash does not reach it. Not the sender's fault.
    #[error("the change could not be stored: {0}, nothing was changed")]
    NotStored(String),
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every word, in the order of the type.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The protocol's word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Takes the protocol's word; gives `None` for any other.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.word())
            }
        }
    };
}

words!(Admin { On = "on", Drain = "drain", Off = "off" });
words!(Health { Up = "up", Down = "down" });
words!(Feed { New = "new", In = "in", Out = "out" });
words!(Switch { On = "on", Off = "off" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for word in Admin::WORDS {
            assert_eq!(Admin::parse(word).unwrap().word(), *word);
        }
        assert_eq!(Feed::parse("In"), None, "the protocol's words are lower case");
        assert_eq!(format!("{:>5}", Health::Down), " down");
    }

    #[test]
    fn a_report_and_an_order_are_told_apart() {
        let mut update = BackendUpdate::new(Name::parse("app01").unwrap());
        assert!(!update.is_report() && !update.is_administrative());
        update.health = Some(Health::Down);
        assert!(update.is_report() && !update.is_administrative());
        update.mark = Some(Health::Down);
        assert!(update.is_administrative());
    }
}
