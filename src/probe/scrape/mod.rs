//! Statistics fetched from a page of the backend, for those who cannot report: pull beside push.
//!
//! What is fetched goes the way of any report ([`Engine::apply`](crate::balance::Engine::apply)), so a page that answers is
//! a sign of life, and one that does not is silence, which `expect_update` makes out. A page counts as a whole: where one
//! number that was asked for is missing or none, nothing of it is taken, because what it had before would go on looking
//! fresh.
//!
//! Other Athenas are not told: each has the same configuration and fetches for itself, so that one of them that cannot reach
//! a backend does not make the others believe what it last saw.

mod apache;
mod found;
mod json;
mod nginx;
mod prometheus;
pub mod selector;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::timeout;
use tracing::{info, warn};

use super::Shared;
use super::call::{Caller, addresses};
use super::pace::Look;
use super::plan::{Format, Pace, Scrape};
use super::trouble::Trouble;
use crate::balance::statistics::{Amount, StatisticName};
use crate::balance::update::{BackendUpdate, Feed};
use crate::balance::{Moment, Name, Update};
use crate::metrics::ProbeState;
use selector::Selector;

/// Why a page is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// It is no text.
    #[error("the page is not UTF-8 text")]
    NotText,
    /// It is no JSON.
    #[error("the page is not JSON: {0}")]
    NotJson(String),
    /// It is no page of stub_status; what it begins with.
    #[error("the page is not nginx's stub_status, it begins with {0}")]
    NotStubStatus(String),
    /// This line cannot be read, and why.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// What was asked for is not there.
    #[error("{0} is not on the page")]
    Missing(String),
    /// What was asked for is there so many times.
    #[error(
        "{0} is on the page {1} times; name one of them, or say what to make of them: sum, min, max or avg"
    )]
    Several(String, u32),
    /// What was asked for, and what it is.
    #[error("{0} is no finite number but {1}")]
    NotFinite(String, String),
}

/// Most characters of a page that are shown.
const SHOWN: usize = 60;

/// What a page says, fit for a log and not too long.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(SHOWN) {
        match character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The numbers on a page that these selectors name, in their order; all, or why not. Selectors are of the page's format.
pub fn read(
    format: Format,
    page: &[u8],
    statistics: &[(StatisticName, Selector)],
) -> Result<Vec<f64>, Nonsense> {
    let page = std::str::from_utf8(page).map_err(|_| Nonsense::NotText)?;
    let selectors = statistics.iter().map(|(_, selector)| selector);
    match format {
        Format::Prometheus => prometheus::read(page, selectors),
        Format::Apache => apache::read(page, selectors),
        Format::Nginx => nginx::read(page, selectors),
        Format::Json => json::read(page, selectors),
    }
}

/// From one page to the next: what of it is a statistic now.
#[derive(Debug, Default)]
struct Rates(HashMap<usize, (f64, Moment)>);

impl Rates {
    /// Turns numbers of a page into statistics. One whose growth is meant has none the first time, and none when it fell:
    /// then its counter began anew.
    fn statistics(
        &mut self,
        statistics: &[(StatisticName, Selector)],
        numbers: &[f64],
        now: Moment,
    ) -> Vec<(StatisticName, Amount)> {
        let each = statistics.iter().zip(numbers).enumerate();
        let value = |(index, ((name, selector), &number)): (usize, (&(StatisticName, Selector), &f64))| {
            if !selector.is_rate {
                return Some((name.clone(), Amount::Set(number)));
            }
            let (before, then) = self.0.insert(index, (number, now))?;
            let growth = (number - before) / now.seconds_since(then);
            (growth.is_finite() && growth >= 0.0).then(|| (name.clone(), Amount::Set(growth)))
        };
        each.filter_map(value).collect()
    }
}

/// Fetches one backend's statistics.
pub struct Scraper {
    backend: Name,
    plan: Scrape,
    caller: Caller,
    rates: Rates,
    shared: Arc<Shared>,
    state: Arc<ProbeState>,
}

impl Scraper {
    /// One that has not fetched yet.
    pub(super) fn new(backend: Name, plan: Scrape, shared: Arc<Shared>, state: Arc<ProbeState>) -> Self {
        let caller = Caller::new(plan.target.clone(), &shared.tls);
        Self { backend, plan, caller, rates: Rates::default(), shared, state }
    }

    async fn fetch(&self) -> Result<Vec<f64>, Trouble> {
        let machine = self.shared.engine.machine(self.backend.as_str()).ok_or(Trouble::NoAddress)?;
        let addresses = addresses(&machine);
        let mut trouble = Trouble::NoAddress;
        let share = self.plan.pace.timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        for address in addresses {
            match self.caller.open(address, share).await {
                Ok(mut connection) => {
                    let answer = connection.ask(self.caller.request(address, &self.plan.call)?).await?;
                    let status = answer.status();
                    if status != hyper::StatusCode::OK {
                        return Err(Trouble::Status(status.as_u16(), "200".to_owned()));
                    }
                    let page = crate::fetch::read(answer, self.plan.max_size).await?;
                    return Ok(read(self.plan.format, &page, &self.plan.statistics)?);
                }
                Err(failure) => trouble = failure,
            }
        }
        Err(trouble)
    }

    fn take(&mut self, numbers: &[f64]) -> Result<(), Trouble> {
        let now = self.shared.clock.now();
        let mut update = BackendUpdate::new(self.backend.clone());
        update.statistics = self.rates.statistics(&self.plan.statistics, numbers, now);
        update.feed = Some(Feed::In);
        let applied = self.shared.engine.apply(&[Update::Backend(update)], now)?;
        (self.shared.changed)(&applied.changes);
        Ok(())
    }

    /// Where its page is, by the address that is preferred now.
    fn url(&self) -> String {
        let machine = self.shared.engine.machine(self.backend.as_str());
        match machine.as_deref().map(addresses).unwrap_or_default().first() {
            Some(&address) => {
                self.caller.url(SocketAddr::new(address, self.plan.target.port), &self.plan.call)
            }
            None => self.plan.call.path.clone(),
        }
    }
}

impl Look for Scraper {
    fn pace(&self) -> Pace {
        self.plan.pace
    }

    async fn look(&mut self) -> bool {
        let started = self.shared.clock.now();
        let limit = self.plan.pace.timeout;
        let fetched = timeout(limit, self.fetch()).await.unwrap_or(Err(Trouble::NoAnswer(limit)));
        let taken = fetched.and_then(|numbers| self.take(&numbers));
        let took = self.shared.clock.now().since(started);
        let trouble = taken.err();
        if let Some(Trouble::NoAddress) = trouble {
            return false;
        }
        self.shared.metrics.probes.scrapes.count(trouble.as_ref().map(Trouble::reason));
        self.state.note(trouble.is_none(), took);
        let told = trouble.map(|trouble| format!("scrape of {}: {trouble}", self.url()));
        let before = self.state.set_trouble(told.clone());
        if before == told {
            return true;
        }
        self.shared.engine.set_scrape_trouble(self.backend.as_str(), told.as_deref());
        match told {
            Some(told) => warn!("backend {}: {told}", self.backend),
            None => info!("backend {}: scrape of {} succeeds again", self.backend, self.url()),
        }
        true
    }
}

#[cfg(test)]
mod tests;
