//! What JSON says of backends, farms and the whole: the same as the text codes, with every state's reason and date.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::State;
use super::date::rfc3339;
use super::text::records::seconds;
use crate::balance::Moment;
use crate::balance::status::{self, BackendStatus, FarmStatus, LoadState};
use crate::metrics::{MirrorMetrics, PeerMetrics};

/// A moment, for people and for programs.
#[derive(Debug, Serialize)]
pub struct Date {
    /// RFC 3339.
    time: String,
    /// Seconds since the Unix epoch.
    unix: f64,
}

/// A state, since when it holds, and why.
#[derive(Debug, Serialize)]
pub struct Stated<'a> {
    value: String,
    /// RFC 3339.
    since: String,
    /// Seconds since the Unix epoch.
    since_unix: f64,
    reason: &'a str,
}

/// One backend.
#[derive(Debug, Serialize)]
pub struct Backend<'a> {
    name: &'a str,
    addresses: Vec<String>,
    host: Option<&'a str>,
    port: Option<u16>,
    available: bool,
    state: Stated<'a>,
    health: Stated<'a>,
    mark: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Stated<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrape_trouble: Option<&'a str>,
    feed: Stated<'a>,
    statistics: BTreeMap<&'a str, f64>,
    weight: f64,
    configured_weight: f64,
    last_report: Option<Date>,
    age_seconds: Option<f64>,
    answers_since_report: u64,
    answers: u64,
    reports: u64,
    farms: Vec<&'a str>,
    /// Since when it is here, if it registered; `null` if it is configured.
    registered: Option<Date>,
}

/// One farm.
#[derive(Debug, Serialize)]
pub struct Farm<'a> {
    name: &'a str,
    state: Stated<'a>,
    algorithm: &'static str,
    load: &'a str,
    ttl: u32,
    members: Vec<Member<'a>>,
    members_available: usize,
    source: Stated<'a>,
    answers: u64,
    loads_not_finite: u64,
}

/// One backend in a farm.
#[derive(Debug, Serialize)]
struct Member<'a> {
    backend: &'a str,
    available: bool,
    reason: &'a str,
    weight: f64,
    share: f64,
    load: Option<f64>,
    load_reason: String,
    /// What the algorithm believes, if it is one that learns: the load now, and answers a second.
    estimate: Option<f64>,
    capacity: Option<f64>,
}

/// The whole.
#[derive(Debug, Serialize)]
pub struct Engine {
    version: &'static str,
    started: Date,
    uptime_seconds: f64,
    dns_queries: u64,
    text_queries: u64,
    reports: u64,
    reports_refused: u64,
    mirror: Mirror,
    obstacles: Vec<String>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Mirror {
    reachable: usize,
    peers: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<LastRefusal>,
}

/// One peer.
#[derive(Debug, Serialize)]
struct Link {
    url: String,
    trouble: Option<String>,
    queued: u64,
    sent: u64,
    dropped: u64,
    failures: u64,
    last_success: Option<Date>,
}

#[derive(Debug, Serialize)]
struct LastRefusal {
    who: String,
    why: String,
    #[serde(flatten)]
    at: Date,
}

/// What `status/debug` says.
#[derive(Debug, Serialize)]
pub struct Everything<'a> {
    /// The effective configuration, without keys.
    pub configuration: &'a str,
    /// Every farm.
    pub farms: Vec<Farm<'a>>,
    /// Every backend.
    pub backends: Vec<Backend<'a>>,
    /// The whole.
    pub engine: Engine,
}

/// What JSON says of a backend at a moment.
pub fn backend(status: &BackendStatus, now: Moment) -> Backend<'_> {
    Backend {
        name: status.name.as_str(),
        addresses: status.addresses.iter().map(ToString::to_string).collect(),
        host: status.host.as_deref(),
        port: status.port,
        available: status.is_available(),
        state: stated(&status.admin),
        health: stated(&status.health),
        mark: status.mark.map(|mark| mark.word()),
        check: status.checked.as_ref().map(stated),
        scrape_trouble: status.scrape_trouble.as_deref(),
        feed: stated(&status.feed),
        statistics: status.statistics.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        weight: status.weight,
        configured_weight: status.configured_weight,
        last_report: status.last_report.map(date),
        age_seconds: status.last_report.map(|last| seconds(now.since(last))),
        answers_since_report: status.answers_since_report,
        answers: status.answers,
        reports: status.reports,
        farms: status.farms.iter().map(|farm| farm.as_str()).collect(),
        registered: status.registered.map(date),
    }
}

/// What JSON says of a farm.
pub fn farm(status: &FarmStatus) -> Farm<'_> {
    Farm {
        name: status.name.as_str(),
        state: stated(&status.switch),
        algorithm: status.algorithm,
        load: &status.load,
        ttl: status.ttl,
        members: status.members.iter().map(member).collect(),
        members_available: status.available,
        source: stated(&status.source),
        answers: status.answers,
        loads_not_finite: status.not_finite,
    }
}

fn member(status: &status::MemberStatus) -> Member<'_> {
    let (load, load_reason) = match &status.load {
        LoadState::Known(load) => (Some(*load), String::new()),
        LoadState::Missing(name) => (None, format!("no {name} reported, the farm's average counts")),
        LoadState::NotFinite => (None, "not finite, the farm's highest load counts".to_owned()),
    };
    Member {
        backend: status.backend.as_str(),
        available: status.available,
        reason: &status.reason,
        weight: status.weight,
        share: status.share,
        load,
        load_reason,
        estimate: status.belief.map(|belief| belief.load),
        capacity: status.belief.and_then(|belief| belief.capacity()),
    }
}

/// What JSON says of the whole at a moment.
pub fn engine(state: &State, now: Moment) -> Engine {
    let counts = state.engine.counts();
    Engine {
        version: state.version,
        started: date(counts.started),
        uptime_seconds: seconds(now.since(counts.started)),
        dns_queries: state.metrics.dns.replies(),
        text_queries: state.metrics.http.balanced.get(),
        reports: counts.reports,
        reports_refused: counts.refused,
        mirror: mirror(&state.metrics.mirror),
        obstacles: state.readiness.obstacles(),
        trouble: state.readiness.trouble(),
    }
}

fn mirror(metrics: &MirrorMetrics) -> Mirror {
    let (reachable, peers) = metrics.reachable();
    let link = |peer: &Arc<PeerMetrics>| Link {
        url: peer.url.clone(),
        trouble: peer.trouble(),
        queued: peer.queued.load(Relaxed),
        sent: peer.sent.get(),
        dropped: peer.dropped.get(),
        failures: peer.failures.get(),
        last_success: peer.last_success().map(date),
    };
    let last = metrics.last_refusal();
    Mirror {
        reachable,
        peers,
        links: metrics.peers.load().iter().map(link).collect(),
        refused: metrics.refused.get(),
        last_refusal: last.map(|last| LastRefusal { who: last.who, why: last.why, at: date(last.at) }),
    }
}

/// Appends one document as a line.
pub fn line(document: &impl Serialize, out: &mut String) {
    // These types hold nothing that JSON cannot say: keys are text, numbers that are not finite become null.
    out.push_str(&serde_json::to_string(document).unwrap_or_default());
    out.push('\n');
}

fn stated<T: std::fmt::Display>(stated: &status::Stated<T>) -> Stated<'_> {
    let Date { time, unix } = date(stated.since);
    Stated { value: stated.value.to_string(), since: time, since_unix: unix, reason: &stated.reason }
}

fn date(moment: Moment) -> Date {
    Date { time: rfc3339(moment), unix: seconds(moment.unix()) }
}
