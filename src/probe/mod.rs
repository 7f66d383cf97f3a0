//! Pull beside push: what we find out about backends by ourselves, for those that cannot say it.
//!
//! Two things, both off unless configured: active [checks](check), which are an origin of health beside reports and people,
//! and [scrapes](scrape), which fetch statistics from a page and hand them to the engine as a report. Both begin with the
//! server and not with the first query. A backend that was not looked at yet counts as it would without us; the first result
//! of a check counts at once, and `/readyz` waits for the first results, for a while only. DNS does not wait.
//!
//! Each look has a task of its own, which one slow backend holds up and nobody else's, at a [pace] that spreads them. A
//! reload leaves alone what stays the same; a check that changes keeps its verdict; one that goes takes back what it said.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`plan`] | what to find out about whom, as data |
//! | [`check`] | whether it works: results, verdicts |
//! | [`scrape`] | what it says of itself: selectors, formats, rates |
//! | [`pace`] | when to look |
//! | [`call`] | one connection, one request |
//! | [`trouble`] | why a look came to nothing |

pub mod call;
pub mod check;
pub mod pace;
pub mod plan;
pub mod scrape;
pub mod trouble;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::balance::random::SplitMix;
use crate::balance::status::Change;
use crate::balance::{Engine, Name};
use crate::clock::Clock;
use crate::metrics::{Metrics, ProbeState};
use crate::tls::Trust;
use check::{Checker, Verdict};
use pace::{Look, MOST_AT_ONCE, keep_looking};
use plan::{Check, Probe, Scrape};
use scrape::Scraper;

/// Who is told of states that a look changed.
pub type Listener = Box<dyn Fn(&[Change]) + Send + Sync>;

/// What every look needs.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    clock: Clock,
    changed: Listener,
    tls: Trust,
}

/// See the module's head. Dropping it ends every look.
pub struct Probes {
    shared: Arc<Shared>,
    seats: Arc<Semaphore>,
    checks: HashMap<Name, Running<Check>>,
    scrapes: HashMap<Name, Running<Scrape>>,
}

/// Looks of one kind at one backend.
struct Running<P> {
    plan: P,
    task: JoinHandle<()>,
    state: Arc<ProbeState>,
    /// Of a check; goes on when its plan changes.
    verdict: Arc<Mutex<Verdict>>,
}

impl<P> Running<P> {
    /// Ends it. When this returns, it says nothing any more.
    async fn end(mut self) -> (Arc<ProbeState>, Arc<Mutex<Verdict>>) {
        self.task.abort();
        let _ = (&mut self.task).await;
        (Arc::clone(&self.state), Arc::clone(&self.verdict))
    }
}

impl<P> Drop for Running<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for the first looks that one call of [`Probes::follow`] began.
pub struct FirstLooks(mpsc::Receiver<Infallible>);

impl FirstLooks {
    /// Returns when each of them has succeeded, failed or was ended.
    pub async fn over(mut self) {
        // Nobody sends; it ends when the last sender is gone.
        let _ = self.0.recv().await;
    }
}

impl Probes {
    /// Nothing to look at yet. `changed` is told of states that looks changed.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, clock: Clock, changed: Listener) -> Self {
        let shared = Arc::new(Shared { engine, metrics, clock, changed, tls: Trust::default() });
        let seats = Arc::new(Semaphore::new(MOST_AT_ONCE));
        Self { shared, seats, checks: HashMap::new(), scrapes: HashMap::new() }
    }

    /// Looks at these from now on, and at nobody else. To be called after the engine knows the backends. Gives a line for
    /// each thing that differs from before, and who waits for the looks that began.
    pub async fn follow(&mut self, probes: &[Probe]) -> (Vec<String>, FirstLooks) {
        let (first, over) = mpsc::channel(1);
        let mut changes = Vec::new();
        let checks = probes.iter().filter_map(|probe| Some((&probe.backend, probe.check.as_ref()?)));
        let scrapes = probes.iter().filter_map(|probe| Some((&probe.backend, probe.scrape.as_ref()?)));

        let mut old = std::mem::take(&mut self.checks);
        let mut states = Vec::new();
        for (backend, plan) in checks {
            let running = match old.remove(backend) {
                Some(same) if same.plan == *plan => same,
                other => {
                    changes.push(line(backend, "check", other.as_ref()));
                    self.start(backend, plan, other, &first, |shared, state, verdict| {
                        Checker::new(backend.clone(), plan.clone(), verdict, shared, state)
                    })
                    .await
                }
            };
            states.push(Arc::clone(&running.state));
            self.checks.insert(backend.clone(), running);
        }
        self.shared.metrics.probes.checked.store(Arc::new(states));
        for (backend, gone) in sorted(old) {
            changes.push(format!("backend {backend}: check removed"));
            gone.end().await;
            let lifted = self.shared.engine.set_checked(backend.as_str(), None, self.shared.clock.now());
            (self.shared.changed)(&lifted);
        }

        let mut old = std::mem::take(&mut self.scrapes);
        let mut states = Vec::new();
        for (backend, plan) in scrapes {
            let running = match old.remove(backend) {
                Some(same) if same.plan == *plan => same,
                other => {
                    changes.push(line(backend, "scrape", other.as_ref()));
                    self.start(backend, plan, other, &first, |shared, state, _| {
                        Scraper::new(backend.clone(), plan.clone(), shared, state)
                    })
                    .await
                }
            };
            states.push(Arc::clone(&running.state));
            self.scrapes.insert(backend.clone(), running);
        }
        self.shared.metrics.probes.scraped.store(Arc::new(states));
        for (backend, gone) in sorted(old) {
            changes.push(format!("backend {backend}: scrape removed"));
            gone.end().await;
            self.shared.engine.set_scrape_trouble(backend.as_str(), None);
        }
        (changes, FirstLooks(over))
    }

    /// Begins looks, after the end of those that had another plan.
    async fn start<P: Clone, L: Look + 'static>(
        &self,
        backend: &Name,
        plan: &P,
        before: Option<Running<P>>,
        first: &mpsc::Sender<Infallible>,
        looker: impl FnOnce(Arc<Shared>, Arc<ProbeState>, Arc<Mutex<Verdict>>) -> L,
    ) -> Running<P> {
        let (state, verdict) = match before {
            Some(before) => before.end().await,
            None => (Arc::new(ProbeState::new(backend.to_string())), Arc::default()),
        };
        let looker = looker(Arc::clone(&self.shared), Arc::clone(&state), Arc::clone(&verdict));
        let random = SplitMix::from_system();
        let task = tokio::spawn(keep_looking(looker, Arc::clone(&self.seats), random, first.clone()));
        Running { plan: plan.clone(), task, state, verdict }
    }
}

fn line<P>(backend: &Name, kind: &str, before: Option<&Running<P>>) -> String {
    let what = if before.is_some() { "changed" } else { "added" };
    format!("backend {backend}: {kind} {what}")
}

fn sorted<P>(running: HashMap<Name, Running<P>>) -> Vec<(Name, Running<P>)> {
    let mut running: Vec<_> = running.into_iter().collect();
    running.sort_by(|(one, _), (other, _)| one.cmp(other));
    running
}
