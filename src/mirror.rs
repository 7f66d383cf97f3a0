//! To and from other Athenas: each knows what all were told.
//!
//! What a client says to us we send on to every peer; what a peer says we never send on, so that three Athenas, or
//! thirty, make no circles. Nobody who reports waits for it: an accepted update marks names in a [`queue`] for each
//! peer, and a task for each peer ([`link`]) empties it. What cannot be sent now is tried again, at least twice a second
//! ([`backoff`]).
//!
//! Queues are for speed; agreement comes from elsewhere. Whoever meets a peer again, or for the first time, asks for all
//! that it holds, takes what is later than its own, and queues what the other one lacks. A digest once a second finds
//! what slipped through even so. That is safe to repeat, because every field and decision has a stamp and the greater
//! one wins everywhere: [`registers`] for what backends say, the engine's own ledger for what people decide.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`link`] | one peer: what waits for it, and what is in the way |
//! | [`session`] | when to send, when to ask, when to wait |
//! | [`client`] | the HTTP connection to it |
//! | [`queue`] | what waits for it |
//! | [`backoff`] | how long a failure makes it wait |
//! | [`registers`] | what every backend last said, with stamps |
//! | [`exchange`] | states written, read and compared |
//!
//! The words on the wire are those of the text protocol: [`http::text::mirror`](crate::http::text::mirror).

pub mod backoff;
pub mod client;
mod exchange;
pub mod link;
pub mod queue;
pub mod registers;
pub mod session;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::balance::durable::Durable;
use crate::balance::engine::{Applied, Hearsay};
use crate::balance::random::{Random, SplitMix};
use crate::balance::status::Change;
use crate::balance::{Engine, Moment, Refusal, Update};
use crate::clock::Clock;
use crate::http::Readiness;
use crate::http::text::mirror::{Heard, is_athena};
use crate::metrics::{Metrics, MirrorRefusal};
use crate::tls::Authorities;
use client::Client;
use link::Link;
use registers::Registers;

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Whether it is reached over HTTPS.
    pub tls: bool,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What its text protocol stands under: begins with `/` and does not end in one, or is empty.
    pub base: String,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tls, host, port, base } = self;
        let scheme = if *tls { "https" } else { "http" };
        match host.contains(':') {
            true => write!(formatter, "{scheme}://[{host}]:{port}{base}"),
            false => write!(formatter, "{scheme}://{host}:{port}{base}"),
        }
    }
}

/// How to mirror.
#[derive(Clone)]
pub struct Options {
    /// Whom to send to.
    pub peers: Vec<Peer>,
    /// Whom the certificates of those reached over HTTPS must come from; `None`: whom the system trusts.
    pub authorities: Option<Authorities>,
    /// What to bring them.
    pub key: Option<String>,
    /// Our name; `None`: one that no other Athena has.
    pub name: Option<String>,
    /// Most names that wait for one peer.
    pub queue: usize,
    /// How long a start waits for the states of peers.
    pub wait: Duration,
    /// Where backends may be that register; `None`: none may.
    pub register: Option<Vec<IpNet>>,
}

/// Who is told of states that a peer's word changed.
pub type Listener = Box<dyn Fn(&[Change]) + Send + Sync>;

/// See the module's head.
pub struct Mirror {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    clock: Clock,
    changed: Listener,
    /// A number that no other process has.
    instance: u64,
    name: ArcSwap<String>,
    /// Where backends may be that register.
    register: ArcSwap<Option<Vec<IpNet>>>,
    /// Whether anybody mirrors; until then updates are not looked at.
    is_active: AtomicBool,
    /// Empty until then.
    registers: Mutex<Option<Registers>>,
    /// How many had left when registers were last looked at.
    left: AtomicU64,
    links: ArcSwap<Vec<Arc<Link>>>,
    tasks: Mutex<Vec<Task>>,
}

struct Task {
    link: Arc<Link>,
    key: Option<String>,
    authorities: Option<Authorities>,
    abort: AbortHandle,
}

impl Mirror {
    /// One that has no peers yet. `changed` is told of states that peers changed when we asked them; what they tell us is
    /// told by whoever takes it.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, clock: Clock, changed: Listener) -> Arc<Self> {
        let instance = SplitMix::from_system().next();
        let mirror = Self {
            engine,
            metrics,
            clock,
            changed,
            instance,
            name: ArcSwap::from_pointee(name(None, instance)),
            register: ArcSwap::default(),
            is_active: AtomicBool::new(false),
            registers: Mutex::new(None),
            left: AtomicU64::new(0),
            links: ArcSwap::default(),
            tasks: Mutex::default(),
        };
        mirror.engine.sign_as(&mirror.name.load());
        Arc::new(mirror)
    }

    /// Mirrors as `options` say from now on. Peers that stay keep their queues. To be called within a runtime, after
    /// states of a process before this one were recalled. `readiness`, at a start, waits for the state of each peer, or
    /// until `options.wait` is over.
    pub fn follow(self: &Arc<Self>, options: &Options, readiness: Option<&Arc<Readiness>>) {
        let name = Arc::new(name(options.name.as_deref(), self.instance));
        self.engine.sign_as(&name);
        self.name.store(Arc::clone(&name));
        self.register.store(Arc::new(options.register.clone()));
        if !options.peers.is_empty() || self.is_active.load(Ordering::Acquire) {
            self.with_registers(self.clock.now(), |registers| {
                registers.sign_as(name.as_str().into());
                registers.retain(|backend| self.engine.machine(backend.as_str()).is_some());
            });
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *tasks);
        for peer in &options.peers {
            let same = |task: &Task| {
                let trust = !peer.tls || task.authorities == options.authorities;
                *task.link.peer() == *peer && task.key == options.key && trust
            };
            match before.iter().position(same) {
                Some(index) => tasks.push(before.swap_remove(index)),
                None => tasks.push(self.spawn(peer, options, readiness)),
            }
        }
        for gone in before {
            gone.abort.abort();
        }
        let links: Vec<_> = tasks.iter().map(|task| Arc::clone(&task.link)).collect();
        self.publish(links);
    }

    fn spawn(self: &Arc<Self>, peer: &Peer, options: &Options, readiness: Option<&Arc<Readiness>>) -> Task {
        let link = Arc::new(Link::new(peer.clone(), options.queue));
        let authorities = options.authorities.as_ref();
        let client = Client::new(peer.clone(), authorities, options.key.as_deref(), &self.name.load());
        let task = tokio::spawn(session::follow(Arc::clone(self), Arc::clone(&link), client));
        if let Some(readiness) = readiness {
            let condition = format!("the state of {peer}");
            readiness.expect(condition.clone());
            let (link, readiness, wait) = (Arc::clone(&link), Arc::clone(readiness), options.wait);
            tokio::spawn(async move {
                if tokio::time::timeout(wait, link.met()).await.is_err() {
                    let trouble = link.metrics().trouble().unwrap_or_default();
                    warn!(
                        "mirror: peer {}: no state within {wait:?}, ready without it: {trouble}",
                        link.peer()
                    );
                }
                readiness.done(&condition);
            });
        }
        let (key, authorities) = (options.key.clone(), options.authorities.clone());
        Task { link, key, authorities, abort: task.abort_handle() }
    }

    /// Shows these links to whoever sends and whoever asks for metrics.
    fn publish(&self, links: Vec<Arc<Link>>) {
        self.metrics
            .mirror
            .peers
            .store(Arc::new(links.iter().map(|link| Arc::clone(link.metrics())).collect()));
        self.links.store(Arc::new(links));
    }

    /// A peer turned out to be this Athena itself.
    fn leave_out(&self, ourselves: &Arc<Link>) {
        let links = self.links.load();
        self.publish(links.iter().filter(|link| !Arc::ptr_eq(link, ourselves)).cloned().collect());
    }

    /// Sends what is queued to peers that can be reached, for a second at most, and ends all links.
    pub async fn stop(&self) {
        let links = self.links.load_full();
        let sent = async {
            for link in links.iter() {
                link.sent_all().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, sent).await;
        self.abort();
    }

    /// Ends all links at once.
    pub fn abort(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort.abort();
        }
    }

    /// Does something with the registers; the first call begins to keep them, with what the engine holds. Takes their
    /// lock.
    fn with_registers<T>(&self, now: Moment, work: impl FnOnce(&mut Registers) -> T) -> T {
        let mut registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        work(registers.get_or_insert_with(|| {
            self.is_active.store(true, Ordering::Release);
            Registers::new(self.name.load().as_str().into(), &self.engine.remember(now))
        }))
    }

    /// Enters what clients said and, if it is to be sent on, marks it for every peer.
    fn note(&self, updates: &[Update], records: &[Durable], send: bool, now: Moment) {
        let links = self.links.load();
        let links = if send { &links[..] } else { &[] };
        self.with_registers(now, |registers| {
            for update in updates {
                let Update::Backend(update) = update else { continue };
                // What was applied at the same time has come to the same, in whatever order it is entered here.
                if update.is_report()
                    && let Some(outcome) = self.engine.outcome(update)
                {
                    let turn = registers.say(&outcome, now);
                    links.iter().for_each(|link| link.report(&update.backend, turn));
                }
            }
        });
        for record in records {
            links.iter().for_each(|link| link.decide(record.clone()));
        }
    }

    /// Takes what another Athena says; gives what changed, and how many of its words were news of some age.
    fn take(&self, mut heard: Vec<Heard>, now: Moment) -> Result<(Vec<Change>, usize), Refusal> {
        self.look_where_they_are(&mut heard);
        let is_there = |said: &Heard| self.is_known(&said.update);
        // A cluster is reconfigured one by one: what one does not know yet, or any more, it passes over. Only who asks for
        // nothing else, or did not stamp it, is told.
        let stranger = heard.iter().find(|said| !is_there(said)).map(|said| unknown(&said.update));
        let count = heard.len();
        let heard: Vec<_> = heard.into_iter().filter(|said| is_there(said) || said.stamp.is_none()).collect();
        if let Some(stranger) = stranger.filter(|_| heard.is_empty() && count > 0) {
            self.engine.count_refused();
            return Err(stranger);
        }
        let (stamped, plain): (Vec<_>, Vec<_>) = heard.into_iter().partition(|said| said.stamp.is_some());
        let mut changes = Vec::new();
        let decided: Vec<Durable> = stamped.iter().flat_map(exchange::decisions).collect();
        let mut late = 0;
        if !decided.is_empty() {
            let adopted = self.engine.adopt(&decided, now)?;
            late += adopted.records.len();
            self.metrics.mirror.taken.add(adopted.records.len() as u64);
            self.metrics.mirror.older.add((decided.len() - adopted.records.len()) as u64);
            changes.extend(adopted.changes);
        }
        let (applied, old) = self.hear_reports(&stamped, now)?;
        late += old;
        changes.extend(applied.changes);
        if !plain.is_empty() {
            let updates: Vec<_> = plain.into_iter().map(|said| said.update).collect();
            let applied = self.engine.apply(&updates, now)?;
            self.note(&updates, &[], false, now);
            changes.extend(applied.changes);
        }
        Ok((changes, late))
    }

    /// Takes what backends said elsewhere, as far as it is later than what we hold; gives also how much of it should have
    /// been here for a while.
    fn hear_reports(&self, heard: &[Heard], now: Moment) -> Result<(Applied, usize), Refusal> {
        self.with_registers(now, |registers| {
            let (mut reports, mut stamps, mut late) = (Vec::new(), Vec::new(), 0);
            for said in heard {
                let (Update::Backend(update), Some(stamp)) = (&said.update, &said.stamp) else { continue };
                let (news, older) = registers.news(update, stamp);
                self.metrics.mirror.older.add(older);
                let at = Moment::from_nanos(now.nanos().saturating_sub(nanos(said.age)));
                if let Some(update) = news {
                    late += usize::from(said.age > IN_FLIGHT);
                    reports.push(Hearsay { update, at });
                    stamps.push(stamp.clone());
                }
            }
            if reports.is_empty() {
                return Ok((Applied::default(), 0));
            }
            let applied = self.engine.hear(&reports, now)?;
            for (Hearsay { update, at }, stamp) in reports.iter().zip(stamps) {
                // There was no room for it to register.
                if self.engine.machine(update.backend.as_str()).is_none() {
                    continue;
                }
                let fields = update.statistics.len() as u64;
                let words = u64::from(update.feed.is_some()) + u64::from(update.health.is_some());
                self.metrics.mirror.taken.add(fields + words);
                registers.learn(update, &stamp, *at);
            }
            Ok((applied, late))
        })
    }
}

impl crate::http::text::mirror::Mirror for Mirror {
    fn accepted(&self, updates: &[Update], applied: &Applied, now: Moment) {
        if self.is_active.load(Ordering::Acquire) {
            self.note(updates, &applied.records, true, now);
        }
    }

    fn hear(&self, heard: Vec<Heard>, now: Moment) -> Result<Vec<Change>, Refusal> {
        self.take(heard, now).map(|(changes, _)| changes)
    }

    fn state(&self, whole: bool, now: Moment) -> String {
        self.write_state(whole, now)
    }

    fn refused(&self, who: &str, why: &str, now: Moment) {
        let refusal = MirrorRefusal { who: who.to_owned(), why: why.to_owned(), at: now };
        let before = self.metrics.mirror.refuse(refusal);
        // Whoever says the same nonsense all day is named once a minute.
        let again = |before: &MirrorRefusal| {
            before.who == who && before.why == why && now.since(before.at) < Duration::from_secs(60)
        };
        if !before.as_ref().is_some_and(again) {
            warn!("mirror: {who} was refused: {why}");
        }
    }
}

fn unknown(update: &Update) -> Refusal {
    match update {
        Update::Backend(update) => Refusal::UnknownBackend(update.backend.clone()),
        Update::Farm(update) => Refusal::UnknownFarm(update.farm.clone()),
    }
}

/// The name given, or the host's and a few digits that make it unique.
fn name(given: Option<&str>, instance: u64) -> String {
    if let Some(name) = given {
        return name.to_owned();
    }
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let host = host.filter(|host| is_athena(host) && host.len() <= 48).unwrap_or_else(|| "athena".to_owned());
    format!("{host}-{:08x}", instance >> 32)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A report that is younger may still be on its way.
const IN_FLIGHT: Duration = Duration::from_secs(2);
/// How long a stop waits for queues to be sent.
const FAREWELL: Duration = Duration::from_secs(1);
