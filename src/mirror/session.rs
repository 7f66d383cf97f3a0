//! One peer: when to ask for its state, when to send, when to wait.
//!
//! A session begins with an exchange of states and then goes from change to change, with a heartbeat once a second that
//! compares digests. A connection that fails ends the session, and the next attempt begins one anew: so whatever was
//! missed meanwhile is made good, by whichever side meets the other first. A peer that answers but refuses keeps its
//! session; what it refused is tried again, except for what it cannot read: that would never get better.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::Mirror;
use super::backoff::Backoff;
use super::client::{Answer, Carry};
use super::exchange::Exchanged;
use super::link::{Link, Trouble};
use super::queue::Taken;
use crate::balance::durable::Durable;
use crate::balance::random::SplitMix;
use crate::http::error::shown;
use crate::http::text::may_block;
use crate::http::text::mirror::{Batch, Greeting, Mirror as _, is_farm, write_decision, write_report};

/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Names that are taken from the queue at once.
const BATCH: usize = 256;
/// Heartbeats in a row with different digests after which states are exchanged.
const PATIENCE: u32 = 3;
/// The same if the last exchange for this reason brought nothing: under load some report is always on its way.
const MOST_PATIENCE: u32 = 300;

/// Keeps a peer in step for as long as it is polled; returns only if the peer is this Athena itself.
pub async fn follow<C: Carry>(mirror: Arc<Mirror>, link: Arc<Link>, carry: C) {
    let mut session = Session {
        mirror,
        link,
        carry,
        backoff: Backoff::default(),
        random: SplitMix::from_system(),
        instance: 0,
        mismatches: 0,
        patience: PATIENCE,
    };
    loop {
        let trouble = session.run().await;
        if matches!(trouble, Trouble::Ourselves) {
            let Session { mirror, link, .. } = session;
            info!("mirror: peer {} is this Athena itself and is left out", link.peer);
            link.metrics.is_ourselves.store(true, Ordering::Relaxed);
            mirror.leave_out(&link);
            link.met.send_replace(true);
            return link.quiet();
        }
        session.failed(&trouble);
        session.pause().await;
    }
}

struct Session<C> {
    mirror: Arc<Mirror>,
    link: Arc<Link>,
    carry: C,
    backoff: Backoff,
    random: SplitMix,
    /// Which process the peer was when states were last exchanged.
    instance: u64,
    /// Heartbeats in a row with different digests.
    mismatches: u32,
    patience: u32,
}

impl<C: Carry> Session<C> {
    /// From an exchange of states to the first failure of the connection.
    async fn run(&mut self) -> Trouble {
        let link = Arc::clone(&self.link);
        if let Err(trouble) = self.exchange().await {
            return trouble;
        }
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        loop {
            match self.drain().await {
                Ok(()) => {
                    self.backoff.reset();
                    self.reached();
                }
                Err(trouble @ Trouble::Refused(..)) => {
                    self.failed(&trouble);
                    self.pause().await;
                    continue;
                }
                Err(trouble) => return trouble,
            }
            if link.doubts.swap(false, Ordering::AcqRel)
                && let Err(trouble) = self.exchange().await
            {
                return trouble;
            }
            tokio::select! {
                () = link.wake.notified() => {}
                _ = beats.tick() => if let Err(trouble) = self.beat().await {
                    return trouble;
                }
            }
        }
    }

    /// Asks for everything, takes what is later, and queues what the peer lacks.
    async fn exchange(&mut self) -> Result<usize, Trouble> {
        self.link.doubts.store(false, Ordering::Release);
        let text = ok(self.carry.ask("mirror/state/", None).await?)?;
        let (mirror, link) = (&self.mirror, &self.link);
        let Exchanged { greeting, late } = may_block(|| mirror.take_state(link, &text, mirror.clock.now()))?;
        self.instance = greeting.instance;
        self.mismatches = 0;
        self.link.met.send_replace(true);
        Ok(late)
    }

    /// Compares digests, and exchanges states if they have differed for a while.
    async fn beat(&mut self) -> Result<(), Trouble> {
        let text = ok(self.carry.ask("mirror/state/?digest", None).await?)?;
        let greeting = text.lines().next().and_then(Greeting::parse);
        let greeting = greeting.ok_or_else(|| Trouble::Nonsense("its state has no greeting".to_owned()))?;
        self.mirror.recognise(&greeting)?;
        if greeting.instance != self.instance {
            return self.exchange().await.map(drop);
        }
        if greeting.digest == self.mirror.greeting(self.mirror.clock.now()).digest {
            (self.mismatches, self.patience) = (0, PATIENCE);
            return Ok(());
        }
        self.mismatches += 1;
        if self.mismatches >= self.patience {
            self.patience = match self.exchange().await? {
                0 => (self.patience * 2).min(MOST_PATIENCE),
                _ => PATIENCE,
            };
        }
        Ok(())
    }

    /// Sends all that is queued. What the peer refuses for now, or what does not reach it, is queued again.
    async fn drain(&mut self) -> Result<(), Trouble> {
        loop {
            let taken = self.link.with_queue(|queue| queue.take(BATCH));
            if taken == Taken::default() {
                return Ok(());
            }
            let mut refused = None;
            let mut parts = self.parts(taken).into_iter();
            while let Some(part) = parts.next() {
                let (requests, names) =
                    (part.batch.requests(), part.taken.decisions.len() + part.taken.reports.len());
                if requests == 0 {
                    continue;
                }
                match self.carry.ask(part.path, Some(part.batch.text().to_owned())).await.and_then(ok) {
                    Ok(_) => self.link.metrics.sent.add(requests as u64),
                    // It has none of these names, or it cannot read them: trying again would not help.
                    Err(Trouble::Refused(404, _)) => self.link.metrics.dropped.add(names as u64),
                    Err(trouble @ Trouble::Refused(400..500, _)) if !is_forbidden(&trouble) => {
                        self.link.metrics.dropped.add(names as u64);
                        self.failed(&trouble);
                    }
                    Err(trouble @ Trouble::Refused(..)) => {
                        self.link.put_back(part.taken);
                        refused = Some(trouble);
                    }
                    Err(trouble) => {
                        self.link.put_back(part.taken);
                        parts.for_each(|part| self.link.put_back(part.taken));
                        return Err(trouble);
                    }
                }
            }
            self.link
                .metrics
                .queued
                .store(self.link.with_queue(|queue| queue.len()) as u64, Ordering::Relaxed);
            if let Some(trouble) = refused {
                return Err(trouble);
            }
        }
    }

    /// What was taken from the queue as messages. Decisions travel apart from reports, which a peer may take that does
    /// not let us decide or cannot write to its disk.
    fn parts(&self, taken: Taken) -> [Part; 3] {
        let (farms, backends): (Vec<_>, Vec<_>) = taken.decisions.into_iter().partition(is_farm);
        let decisions = |path, decisions: Vec<Durable>| {
            let mut batch = Batch::default();
            decisions.iter().for_each(|record| write_decision(record, &mut batch));
            Part { path, batch, taken: Taken { decisions, reports: Vec::new() } }
        };
        let (mut batch, mut reports) = (Batch::default(), taken.reports);
        let now = self.mirror.clock.now();
        let written = self.mirror.with_registers(now, |registers| {
            for (index, (backend, turn)) in reports.iter().enumerate() {
                if batch.is_full() {
                    return index;
                }
                for spoken in registers.own(backend, *turn) {
                    write_report(&spoken.report, &spoken.stamp, now.since(spoken.at), &mut batch);
                }
            }
            reports.len()
        });
        let rest = reports.split_off(written);
        self.link.put_back(Taken { decisions: Vec::new(), reports: rest });
        [
            decisions("mirror/farm/", farms),
            decisions("mirror/phys/", backends),
            Part { path: "mirror/phys/", batch, taken: Taken { decisions: Vec::new(), reports } },
        ]
    }

    fn reached(&self) {
        let Link { metrics, peer, .. } = &*self.link;
        metrics.last_success.store(self.mirror.clock.now().nanos(), Ordering::Relaxed);
        if metrics.set_trouble(None).is_some() {
            info!("mirror: peer {peer} is in step");
        }
        if self.link.with_queue(|queue| queue.is_empty()) {
            self.link.quiet();
        }
    }

    fn failed(&self, trouble: &Trouble) {
        let Link { metrics, peer, .. } = &*self.link;
        metrics.failures.count();
        let text = trouble.to_string();
        if metrics.set_trouble(Some(text.clone())).as_ref() != Some(&text) {
            warn!("mirror: peer {peer}: {text}; trying again");
        }
        if matches!(trouble, Trouble::Nonsense(_)) {
            self.mirror.refused(&peer.to_string(), &text, self.mirror.clock.now());
        }
        self.link.quiet();
    }

    async fn pause(&mut self) {
        let wait = self.backoff.next(&mut self.random);
        let _ = timeout(wait, std::future::pending::<()>()).await;
    }
}

/// One message, and what it says.
struct Part {
    path: &'static str,
    batch: Batch,
    taken: Taken,
}

/// The text of an answer that is no error.
fn ok(answer: Answer) -> Result<String, Trouble> {
    match answer.status {
        200 => Ok(answer.text),
        status => Err(Trouble::Refused(status, shown(answer.text.lines().next().unwrap_or("")))),
    }
}

/// Whether somebody has to change the configuration of one of us, after which it will do.
fn is_forbidden(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused(401 | 403 | 405 | 408 | 429, _))
}
