//! What is known of few backends only: of those that somebody decided on, that are checked, resolved, or registered.

use std::net::IpAddr;
use std::sync::Arc;

use super::late::Blank;
use super::moment::Moment;
use super::update::Health;

/// What active checks say of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it passes.
    pub health: Health,
    /// What was checked and how it went, for people.
    pub reason: Arc<str>,
    /// Since when it passes, or does not.
    pub since: Moment,
}

/// What most backends never have.
#[derive(Clone)]
pub struct Rare {
    /// A host name that its addresses come from.
    pub host: Option<Box<str>>,
    /// The addresses of its plan, where they are not those it has.
    pub planned: Option<Box<[IpAddr]>>,
    /// By people.
    pub mark: Option<Health>,
    /// By active checks, if it is checked and there was a result.
    pub checked: Option<Checked>,
    /// What is in the way of the figures that we fetch of it.
    pub scrape_trouble: Option<Arc<str>>,
    pub override_weight: Option<f64>,
    /// When it last came back from out, down, drain or off: where slow start begins.
    pub returned: Option<Moment>,
    /// Since when it is here, if nobody configured it: its plan is then what its reports say.
    pub registered: Option<Moment>,
}

impl Blank for Rare {
    fn blank() -> &'static Self {
        static BLANK: Rare = Rare {
            host: None,
            planned: None,
            mark: None,
            checked: None,
            scrape_trouble: None,
            override_weight: None,
            returned: None,
            registered: None,
        };
        &BLANK
    }
}
