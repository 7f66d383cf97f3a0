//! Active checks: whether a backend works, found out by trying.
//!
//! Tried are the addresses that answers give, the first of each family; it passes if all of them do, since a client may be
//! given any. What our own machine cannot try (no IPv6 here, no file descriptors left) says nothing about the backend: the
//! verdict stands, and the status and the log say why it is not renewed.

mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::timeout;
use tracing::warn;

use super::Shared;
use super::call::{Caller, addresses};
use super::pace::Look;
use super::plan::{Ask, Check, Encryption, Pace};
use super::trouble::Trouble;
use crate::balance::Name;
use crate::balance::update::Health;
use crate::metrics::ProbeState;
pub use verdict::Verdict;

/// Checks one backend.
pub struct Checker {
    backend: Name,
    plan: Check,
    caller: Caller,
    verdict: Arc<Mutex<Verdict>>,
    /// What the engine was told last.
    told: Option<(Health, String)>,
    shared: Arc<Shared>,
    state: Arc<ProbeState>,
}

/// What one look came to.
#[derive(Debug)]
enum Result {
    Passed(SocketAddr),
    Failed(SocketAddr, Trouble),
    /// Nothing about the backend.
    Nothing(Trouble),
}

impl Checker {
    /// One that goes on from this verdict.
    pub(super) fn new(
        backend: Name,
        plan: Check,
        verdict: Arc<Mutex<Verdict>>,
        shared: Arc<Shared>,
        state: Arc<ProbeState>,
    ) -> Self {
        let caller = Caller::new(plan.target.clone(), &shared.tls);
        Self { backend, plan, caller, verdict, told: None, shared, state }
    }

    async fn try_all(&self) -> Result {
        let Some(machine) = self.shared.engine.machine(self.backend.as_str()) else {
            return Result::Nothing(Trouble::NoAddress);
        };
        let addresses = addresses(&machine);
        let try_one = async |address: Option<&IpAddr>| match address {
            Some(&address) => {
                let limit = self.plan.pace.timeout;
                let tried = timeout(limit, self.try_one(address)).await;
                let at = SocketAddr::new(address, self.plan.target.port);
                Some((at, tried.unwrap_or(Err(Trouble::NoAnswer(limit)))))
            }
            None => None,
        };
        // One of each family, so two at most.
        let (one, other) = tokio::join!(try_one(addresses.first()), try_one(addresses.get(1)));
        worst(one.into_iter().chain(other))
    }

    async fn try_one(&self, address: IpAddr) -> std::result::Result<(), Trouble> {
        let limit = self.plan.pace.timeout;
        let Ask::Http(call, expected) = &self.plan.ask else {
            return self.caller.connect(address, limit).await.map(drop);
        };
        let mut connection = self.caller.open(address, limit).await?;
        // Its head says all; the body is not even read.
        let status = connection.ask(self.caller.request(address, call)?).await?.status().as_u16();
        match expected.iter().any(|range| range.contains(&status)) {
            true => Ok(()),
            false => Err(Trouble::Status(status, ranges(expected))),
        }
    }

    /// `tcp check 10.0.0.11:8080`
    fn label(&self, at: SocketAddr) -> String {
        match &self.plan.ask {
            Ask::Tcp if self.plan.target.encryption == Encryption::Off => format!("tcp check {at}"),
            Ask::Tcp => format!("tls check {at}"),
            Ask::Http(call, _) => format!("http check {}", self.caller.url(at, call)),
        }
    }

    /// The verdict after a result, and why, for people; `None`: there is none yet.
    fn judge(&self, result: &Result) -> (Option<Health>, String) {
        let Check { rise, fall, .. } = self.plan;
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Result::Nothing(trouble) => (verdict.health(), format!("not checked now: {trouble}")),
            Result::Passed(at) => {
                let outcome = verdict.take(true, rise, fall);
                // Once it is up there is nothing to count.
                let count = match outcome.run {
                    run if run <= rise && !outcome.is_first => format!(", {run} of {rise}"),
                    _ => String::new(),
                };
                (Some(outcome.health), format!("{} passed{count}", self.label(*at)))
            }
            Result::Failed(at, trouble) => {
                let outcome = verdict.take(false, rise, fall);
                let (run, first) = (outcome.run.min(fall), outcome.is_first);
                let count = match first {
                    true => "the first check".to_owned(),
                    false => format!("{run} of {fall} failed"),
                };
                (Some(outcome.health), format!("{}: {trouble}, {count}", self.label(*at)))
            }
        }
    }
}

impl Look for Checker {
    fn pace(&self) -> Pace {
        self.plan.pace
    }

    async fn look(&mut self) -> bool {
        let started = self.shared.clock.now();
        let result = self.try_all().await;
        let now = self.shared.clock.now();
        let trouble = match &result {
            Result::Nothing(Trouble::NoAddress) => return false,
            Result::Passed(_) => None,
            Result::Failed(_, trouble) | Result::Nothing(trouble) => Some(trouble),
        };
        self.shared.metrics.probes.checks.count(trouble.map(Trouble::reason));
        self.state.note(trouble.is_none(), now.since(started));
        let ours = trouble.filter(|trouble| trouble.is_ours()).map(ToString::to_string);
        if let Some(ours) = &ours
            && self.state.trouble().as_ref() != Some(ours)
        {
            warn!("backend {}: not checked: {ours}; its health stays as it was", self.backend);
        }
        self.state.set_trouble(ours);
        let (health, why) = self.judge(&result);
        let Some(health) = health else { return true };
        if self.told.as_ref() == Some(&(health, why.clone())) {
            return true;
        }
        let changes = self.shared.engine.set_checked(self.backend.as_str(), Some((health, &why)), now);
        (self.shared.changed)(&changes);
        self.told = Some((health, why));
        true
    }
}

/// `200-399, 404`
fn ranges(ranges: &[std::ops::RangeInclusive<u16>]) -> String {
    let range = |range: &std::ops::RangeInclusive<u16>| match (range.start(), range.end()) {
        (from, to) if from == to => from.to_string(),
        (from, to) if from % 100 == 0 && *to == from + 99 => format!("{}xx", from / 100),
        (from, to) => format!("{from}-{to}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// All must pass: the first that failed, else the first that passed, else why none could be tried.
fn worst(results: impl Iterator<Item = (SocketAddr, std::result::Result<(), Trouble>)>) -> Result {
    let mut worst = Result::Nothing(Trouble::NoAddress);
    for (at, result) in results {
        worst = match (worst, result) {
            (failed @ Result::Failed(..), _) => failed,
            (_, Err(trouble)) if !trouble.is_ours() => Result::Failed(at, trouble),
            (passed @ Result::Passed(_), _) => passed,
            (_, Ok(())) => Result::Passed(at),
            (_, Err(ours)) => Result::Nothing(ours),
        };
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn all_addresses_must_pass_but_what_we_cannot_try_says_nothing() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let failed = || Err(Trouble::Connect(io::Error::other("refused")));
        let ours = || Err(Trouble::Ours(io::Error::other("no route")));
        let word =
            |results: Vec<(SocketAddr, std::result::Result<(), Trouble>)>| match worst(results.into_iter()) {
                Result::Passed(at) => format!("passed {}", at.port()),
                Result::Failed(at, _) => format!("failed {}", at.port()),
                Result::Nothing(trouble) => trouble.to_string(),
            };
        assert_eq!(word(vec![(at(1), Ok(())), (at(2), Ok(()))]), "passed 1");
        assert_eq!(word(vec![(at(1), Ok(())), (at(2), failed())]), "failed 2");
        assert_eq!(word(vec![(at(1), failed()), (at(2), failed())]), "failed 1");
        assert_eq!(word(vec![(at(1), ours()), (at(2), Ok(()))]), "passed 2");
        assert_eq!(word(vec![(at(1), Ok(())), (at(2), ours())]), "passed 1");
        assert_eq!(word(vec![(at(1), ours()), (at(2), failed())]), "failed 2");
        assert_eq!(word(vec![(at(1), ours())]), "cannot be tried from here: no route");
        assert_eq!(word(vec![]), "it has no address yet");
    }
}
