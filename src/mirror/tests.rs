//! Two mirrors in virtual time, over a wire that can be cut.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use tokio::time::timeout;

use super::client::{Answer, Carry};
use super::link::Trouble;
use super::*;
use crate::balance::Name;
use crate::balance::plan::{BackendPlan, Plan};
use crate::balance::statistics::{Amount, StatisticName};
use crate::balance::update::{Admin, BackendUpdate, Feed};
use crate::http::text::Kind;
use crate::http::text::mirror::{Mirror as _, batch};

/// One for both, as on machines whose clocks agree: two that are started one after the other differ by however long the
/// system lets a thread wait between its two readings.
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

/// A mirror over an engine of `count` backends.
fn mirror(name: &str, count: usize) -> Arc<Mirror> {
    let clock = *CLOCK;
    let backend = |index| BackendPlan::new(backend(index), vec!["10.0.0.1".parse().unwrap()]);
    let plan = Plan { backends: (0..count).map(backend).collect(), farms: Vec::new() };
    let engine = Arc::new(Engine::new(plan, clock.now()).unwrap());
    let mirror = Mirror::new(engine, Arc::default(), clock, Box::new(|_| ()));
    let options = Options {
        peers: Vec::new(),
        authorities: None,
        key: None,
        name: Some(name.into()),
        queue: 9,
        wait: Duration::ZERO,
        register: None,
    };
    mirror.follow(&options, None);
    mirror
}

fn backend(index: usize) -> Name {
    Name::parse(&format!("app{index:02}")).unwrap()
}

impl Mirror {
    /// As a client's update would.
    fn update(&self, updates: &[Update]) {
        let now = self.clock.now();
        let applied = self.engine.apply(updates, now).unwrap();
        self.accepted(updates, &applied, now);
    }

    fn report(&self, index: usize, load: f64) {
        let mut update = BackendUpdate::new(backend(index));
        update.statistics = vec![(StatisticName::parse("l").unwrap(), Amount::Set(load))];
        self.update(&[Update::Backend(update)]);
    }

    fn decide(&self, index: usize, admin: Admin) {
        let update = BackendUpdate { admin: Some(admin), ..BackendUpdate::new(backend(index)) };
        self.update(&[Update::Backend(update)]);
    }

    /// What is said of every backend.
    fn shows(&self) -> Vec<(Option<f64>, Admin, Feed)> {
        let statuses = self.engine.backend_statuses(self.clock.now());
        let load = |status: &crate::balance::status::BackendStatus| status.statistics.get("l");
        statuses.iter().map(|status| (load(status), status.admin.value, status.feed.value)).collect()
    }
}

/// Leads to another mirror of this process.
#[derive(Clone)]
struct Wire {
    to: Arc<Mirror>,
    is_cut: Arc<AtomicBool>,
    /// Requests asked for, whether they came through or not.
    asked: Arc<AtomicU64>,
    /// Messages that came through.
    sent: Arc<AtomicU64>,
}

impl Carry for Wire {
    async fn ask(&mut self, path: &str, form: Option<String>) -> Result<Answer, Trouble> {
        self.asked.fetch_add(1, SeqCst);
        if self.is_cut.load(SeqCst) {
            return Err(Trouble::Connect(std::io::ErrorKind::ConnectionRefused.into()));
        }
        let now = self.to.clock.now();
        let Some(form) = form else {
            return Ok(Answer { status: 200, text: self.to.state(!path.ends_with("?digest"), now) });
        };
        self.sent.fetch_add(1, SeqCst);
        let kind = if path == "mirror/farm/" { Kind::MirrorFarm } else { Kind::MirrorPhys };
        let heard = batch(kind, &form, &crate::http::Options::default(), now);
        let taken = heard.map_err(|error| (400, error.to_string()));
        let taken =
            taken.and_then(|heard| self.to.hear(heard, now).map_err(|error| (404, error.to_string())));
        let (status, text) = taken.map_or_else(|refused| refused, |_| (200, "ok\n".to_owned()));
        Ok(Answer { status, text })
    }
}

/// Connects `from` to `to`, with a queue of nine.
fn connect(from: &Arc<Mirror>, to: &Arc<Mirror>, is_cut: &Arc<AtomicBool>) -> Wire {
    let wire =
        Wire { to: Arc::clone(to), is_cut: Arc::clone(is_cut), asked: Arc::default(), sent: Arc::default() };
    let peer = Peer { tls: false, host: format!("{}.test", to.name.load()), port: 1, base: String::new() };
    let link = Arc::new(Link::new(peer, 9));
    let links: Vec<_> = from.links.load().iter().cloned().chain([Arc::clone(&link)]).collect();
    from.publish(links);
    tokio::spawn(session::follow(Arc::clone(from), link, wire.clone()));
    wire
}

/// Lets virtual time pass.
async fn pass(span: Duration) {
    let _ = timeout(span, std::future::pending::<()>()).await;
}

/// Virtual time until something holds, in steps of 10 ms.
async fn time_until(what: &str, holds: impl Fn() -> bool) -> Duration {
    const STEP: Duration = Duration::from_millis(10);
    for steps in 0..100_000 {
        if holds() {
            return STEP * steps;
        }
        pass(STEP).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_there_at_once_and_does_not_come_back() {
    let (a, b, is_cut) = (mirror("a", 2), mirror("b", 2), Arc::default());
    let (there, back) = (connect(&a, &b, &is_cut), connect(&b, &a, &is_cut));
    time_until("both are in step", || a.metrics.mirror.reachable() == (1, 1)).await;
    a.report(0, 0.5);
    a.decide(1, Admin::Drain);
    let time = time_until("b knows", || a.shows() == b.shows()).await;
    assert!(time <= Duration::from_millis(20), "{time:?}");
    assert_eq!(b.shows()[1].1, Admin::Drain);
    pass(Duration::from_secs(60)).await;
    assert_eq!(back.sent.load(SeqCst), 0, "b was told nothing by a client");
    assert!(there.sent.load(SeqCst) <= 2);
    assert_eq!(a.greeting(a.clock.now()).digest, b.greeting(b.clock.now()).digest);
}

#[tokio::test(start_paused = true)]
async fn two_that_were_cut_off_agree_within_two_seconds_of_healing() {
    for cut_for in [0, 50, 333, 5_000, 3_600_000] {
        let (a, b, is_cut) = (mirror("a", 30), mirror("b", 30), Arc::<AtomicBool>::default());
        let _wires = (connect(&a, &b, &is_cut), connect(&b, &a, &is_cut));
        time_until("both are in step", || a.metrics.mirror.reachable() == (1, 1)).await;
        is_cut.store(true, SeqCst);
        a.report(0, 1.0);
        b.report(0, 2.0);
        b.report(1, 3.0);
        a.report(1, 4.0);
        b.decide(0, Admin::Off);
        a.decide(0, Admin::Drain);
        // More than fits into the queue of nine.
        (2..30).for_each(|index| a.report(index, index as f64));
        pass(Duration::from_millis(cut_for)).await;
        is_cut.store(false, SeqCst);
        let time = time_until("they agree", || a.shows() == b.shows()).await;
        assert!(time < Duration::from_secs(2), "{time:?} after a cut of {cut_for} ms");
        let shown = a.shows();
        assert_eq!(shown[0], (Some(2.0), Admin::Drain, Feed::In), "the later of each");
        assert_eq!(shown[1].0, Some(4.0));
        assert_eq!(shown[29].0, Some(29.0), "although it found no room");
        assert!(a.metrics.mirror.peers.load()[0].dropped.get() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_reports_during_a_cut_are_one_message() {
    let (a, b, is_cut) = (mirror("a", 2), mirror("b", 2), Arc::<AtomicBool>::default());
    let wire = connect(&a, &b, &is_cut);
    time_until("a is in step", || a.metrics.mirror.reachable() == (1, 1)).await;
    is_cut.store(true, SeqCst);
    (0..1000).for_each(|load| a.report(0, f64::from(load)));
    pass(Duration::from_secs(10)).await;
    let peer = Arc::clone(&a.metrics.mirror.peers.load()[0]);
    assert_eq!((peer.queued.load(SeqCst), peer.dropped.get()), (1, 0));
    assert!(peer.trouble().is_some() && peer.failures.get() > 5);
    is_cut.store(false, SeqCst);
    time_until("b knows", || a.shows() == b.shows()).await;
    pass(Duration::from_secs(10)).await;
    assert_eq!((wire.sent.load(SeqCst), b.shows()[0].0), (1, Some(999.0)));
    assert_eq!((peer.queued.load(SeqCst), peer.trouble()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_is_asked_a_few_times_a_second() {
    let (a, b, is_cut) = (mirror("a", 1), mirror("b", 1), Arc::new(AtomicBool::new(true)));
    let wire = connect(&a, &b, &is_cut);
    pass(Duration::from_secs(10)).await;
    let before = wire.asked.load(SeqCst);
    pass(Duration::from_secs(100)).await;
    let attempts = wire.asked.load(SeqCst) - before;
    assert!((200..=400).contains(&attempts), "{attempts} in 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_slip_is_found_by_the_digest() {
    let (a, b, is_cut) = (mirror("a", 1), mirror("b", 1), Arc::<AtomicBool>::default());
    let _wire = connect(&a, &b, &is_cut);
    time_until("a is in step", || a.metrics.mirror.reachable() == (1, 1)).await;
    // b has no link to a: only a's heartbeat can find that b knows more.
    b.decide(0, Admin::Off);
    let time = time_until("a knows", || a.shows() == b.shows()).await;
    assert!(time <= Duration::from_secs(4), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn an_athena_that_meets_itself_or_its_namesake_says_so() {
    let (a, namesake, is_cut) = (mirror("a", 1), mirror("a", 1), Arc::<AtomicBool>::default());
    connect(&a, &a, &is_cut);
    time_until("it has no peer", || a.metrics.mirror.reachable() == (0, 0)).await;
    connect(&a, &namesake, &is_cut);
    let says = |a: &Mirror| a.metrics.mirror.peers.load()[0].trouble().unwrap();
    time_until("it says so", || says(&a).contains("mirror.name")).await;
    assert_eq!(says(&a), "it is called a as we are, and each needs a mirror.name of its own");
}
