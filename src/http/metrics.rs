//! `/metrics`: everything that the engine knows and the shells count, read when it is asked for.

mod agent;
pub mod exposition;
mod forward;
mod mirror;
mod probe;
mod registration;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use self::exposition::{Dialect, Exposition};
use super::State;
use super::accept::accepts;
use super::access::Class;
use super::error::Error;
use super::server::Peer;
use crate::balance::Moment;
use crate::balance::status::{BackendStatus, FarmStatus, LoadState, MemberStatus, Source};
use crate::balance::update::{Admin, Feed, Health, Switch};
use crate::metrics::{DnsMetrics, HttpMetrics};

/// `/metrics`. Needs query access.
pub async fn page(
    Extract(state): Extract<Arc<State>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let options = state.options();
    let sender = options.access.sender(peer, &headers);
    let check = options.access.check(Class::Query, &sender, None);
    check.map_err(|denied| Error::Denied { argument: "metrics".to_owned(), denied })?;
    drop(options);
    let open = accepts(&headers, "application/openmetrics-text");
    let open = open > 0.0 && open >= accepts(&headers, "text/plain");
    let dialect = if open { Dialect::OpenMetrics } else { Dialect::Prometheus };
    let now = state.clock.now();
    // A hundred thousand backends take a while to write; other connections must not wait for it.
    let written = tokio::task::spawn_blocking(move || write(&state, now, dialect)).await;
    let text = written.map_err(|_| Error::Internal("metrics"))?;
    Ok(([(CONTENT_TYPE, dialect.content_type())], text).into_response())
}

/// The whole text.
pub fn write(state: &State, now: Moment, dialect: Dialect) -> String {
    let mut exposition = Exposition::new(dialect);
    write_whole(state, &mut exposition);
    write_dns(&state.metrics.dns, &mut exposition);
    write_http(&state.metrics.http, state.open_connections(), &mut exposition);
    mirror::write(&state.metrics.mirror, &mut exposition);
    forward::write(&state.metrics.forward, &mut exposition);
    agent::write(&state.metrics.agent, &mut exposition);
    probe::write(&state.metrics.probes, &mut exposition);
    let farms = state.engine.farm_statuses(now);
    write_farms(&farms, &mut exposition);
    write_members(&farms, &mut exposition);
    write_backends(&state.engine.backend_statuses(now), &mut exposition);
    exposition.finish()
}

fn write_whole(state: &State, out: &mut Exposition) {
    let counts = state.engine.counts();
    out.gauge("athena_build_info", "Always 1, labelled with the version.")
        .sample(&[("version", state.version)], 1);
    out.gauge("process_start_time_seconds", "When the process started, in seconds since the Unix epoch.")
        .sample(&[], counts.started.unix().as_secs_f64());
    let ready = state.readiness.obstacles().is_empty();
    out.gauge("athena_ready", "Whether /readyz says 200.").sample(&[], u8::from(ready));
    let trouble = state.readiness.trouble().is_some();
    out.gauge(
        "athena_state_trouble",
        "Whether states cannot be stored, so that changes of them are refused.",
    )
    .sample(&[], u8::from(trouble));
    out.counter("athena_reports", "Reports taken.").sample(&[], counts.reports);
    out.counter(
        "athena_repeated_queries",
        "Packets that came once more and got the member that they had, which is not counted again.",
    )
    .sample(&[], state.engine.repeats());
    let tokens = state.engine.token_counts();
    out.counter("athena_tokens", "Sticky tokens that came with a question that was answered, by outcome.")
        .sample(&[("outcome", "held")], tokens.held)
        .sample(&[("outcome", "expired")], tokens.expired)
        .sample(&[("outcome", "forged")], tokens.forged)
        .sample(&[("outcome", "foreign")], tokens.foreign)
        .sample(&[("outcome", "malformed")], tokens.malformed);
    out.counter("athena_updates_refused", "Updates refused, for whatever reason.")
        .sample(&[], counts.refused);
    registration::write(&state.engine.registration_counts(), out);
}

fn write_dns(dns: &DnsMetrics, out: &mut Exposition) {
    out.counter("athena_dns_messages", "DNS messages received.")
        .sample(&[("transport", "udp")], dns.udp.get())
        .sample(&[("transport", "tcp")], dns.tcp.get())
        .sample(&[("transport", "tls")], dns.tls.get())
        .sample(&[("transport", "https")], dns.https.get())
        .sample(&[("transport", "quic")], dns.quic.get());
    out.counter("athena_dns_replies", "DNS queries answered, by outcome.")
        .sample(&[("outcome", "answer")], dns.answered.get())
        .sample(&[("outcome", "nodata")], dns.nodata.get())
        .sample(&[("outcome", "referral")], dns.referral.get())
        .sample(&[("outcome", "nxdomain")], dns.nxdomain.get())
        .sample(&[("outcome", "refused")], dns.refused.get())
        .sample(&[("outcome", "servfail")], dns.servfail.get())
        .sample(&[("outcome", "formerr")], dns.formerr.get())
        .sample(&[("outcome", "notimp")], dns.notimp.get())
        .sample(&[("outcome", "badvers")], dns.badvers.get())
        .sample(&[("outcome", "badcookie")], dns.badcookie.get());
    out.counter("athena_dns_dropped", "DNS messages without an answer.").sample(&[], dns.dropped.get());
    out.counter("athena_dns_truncated", "DNS replies with TC set.").sample(&[], dns.truncated.get());
    out.counter("athena_dns_cookies", "Server cookies seen.")
        .sample(&[("outcome", "valid")], dns.cookie_valid.get())
        .sample(&[("outcome", "invalid")], dns.cookie_invalid.get());
    out.counter("athena_dns_tcp_connections", "DNS connections over TCP.")
        .sample(&[("outcome", "accepted")], dns.tcp_accepted.get())
        .sample(&[("outcome", "refused")], dns.tcp_refused.get());
    out.counter("athena_dns_quic_connections", "DNS connections over QUIC.")
        .sample(&[("outcome", "accepted")], dns.quic_accepted.get())
        .sample(&[("outcome", "refused")], dns.quic_refused.get());
    out.counter("athena_dns_handshake_failures", "TLS and QUIC handshakes of DNS that came to nothing.")
        .sample(&[], dns.handshake_failed.get());
    out.counter("athena_dns_send_failures", "DNS replies that could not be sent.")
        .sample(&[], dns.send_failed.get());
}

fn write_http(http: &HttpMetrics, open: usize, out: &mut Exposition) {
    out.counter("athena_http_requests", "HTTP requests, by what they ask for.")
        .sample(&[("kind", "update")], http.update.get())
        .sample(&[("kind", "balance")], http.balance.get())
        .sample(&[("kind", "status")], http.status.get())
        .sample(&[("kind", "other")], http.other.get());
    out.counter("athena_http_balanced", "Farms that balance requests were answered for.")
        .sample(&[], http.balanced.get());
    out.counter("athena_http_refused", "HTTP requests refused, by reason.")
        .sample(&[("reason", "bad_request")], http.bad_request.get())
        .sample(&[("reason", "forbidden")], http.forbidden.get())
        .sample(&[("reason", "not_found")], http.not_found.get())
        .sample(&[("reason", "other")], http.refused.get())
        .sample(&[("reason", "failed")], http.failed.get());
    out.counter("athena_http_connections", "HTTP connections.")
        .sample(&[("outcome", "accepted")], http.accepted.get())
        .sample(&[("outcome", "turned_away")], http.turned_away.get());
    out.counter("athena_http_handshake_failures", "TLS handshakes of HTTP that came to nothing.")
        .sample(&[], http.handshake_failed.get());
    out.gauge("athena_http_connections_open", "HTTP connections open now.").sample(&[], open);
}

/// The words of [`Source`].
const SOURCES: &[&str] = &["members", "fallback", "stale", "none"];

fn write_farms(farms: &[FarmStatus], out: &mut Exposition) {
    let each = |family: &mut exposition::Family<'_>, value: &dyn Fn(&FarmStatus) -> u64| {
        for farm in farms {
            family.sample(&[("farm", farm.name.as_str())], value(farm));
        }
    };
    each(&mut out.gauge("athena_farm_on", "Whether the farm is switched on."), &|farm| {
        u64::from(farm.switch.value == Switch::On)
    });
    each(&mut out.gauge("athena_farm_members", "Members of the farm."), &|farm| farm.members.len() as u64);
    each(&mut out.gauge("athena_farm_members_available", "Members that can be chosen."), &|farm| {
        farm.available as u64
    });
    each(&mut out.gauge("athena_farm_ttl_seconds", "Time to live of the farm's DNS answers."), &|farm| {
        u64::from(farm.ttl)
    });
    each(&mut out.counter("athena_farm_answers", "Answers given by the farm."), &|farm| farm.answers);
    each(
        &mut out.counter("athena_farm_loads_not_finite", "Reports whose formula gave no finite load."),
        &|farm| farm.not_finite,
    );
    let mut family =
        out.gauge("athena_farm_source", "Where the farm's answers come from: 1 for the one in force.");
    for farm in farms {
        let source = match farm.source.value {
            Source::Members => "members",
            Source::Fallback(_) => "fallback",
            Source::Stale => "stale",
            Source::None => "none",
        };
        family.one_of(&[("farm", farm.name.as_str())], "source", SOURCES, source);
    }
}

fn write_members(farms: &[FarmStatus], out: &mut Exposition) {
    let each = |family: &mut exposition::Family<'_>, value: &dyn Fn(&MemberStatus) -> Option<f64>| {
        for farm in farms {
            for member in &farm.members {
                if let Some(value) = value(member) {
                    let labels = [("farm", farm.name.as_str()), ("backend", member.backend.as_str())];
                    family.sample(&labels, value);
                }
            }
        }
    };
    let flag = |is: bool| Some(f64::from(u8::from(is)));
    each(&mut out.gauge("athena_member_available", "Whether the farm can choose the member."), &|member| {
        flag(member.available)
    });
    each(&mut out.gauge("athena_member_weight", "The member's weight here and now."), &|member| {
        Some(member.weight)
    });
    each(
        &mut out.gauge("athena_member_share_ratio", "The share of answers that the member may expect."),
        &|member| Some(member.share),
    );
    each(&mut out.gauge("athena_member_load", "The member's load by the farm's formula."), &|member| {
        match member.load {
            LoadState::Known(load) => Some(load),
            _ => None,
        }
    });
    each(
        &mut out.gauge("athena_member_load_estimate", "The load now, as an algorithm that learns believes."),
        &|member| member.belief.map(|belief| belief.load),
    );
    each(
        &mut out.gauge(
            "athena_member_capacity",
            "Answers a second it can serve, as an algorithm that learns believes.",
        ),
        &|member| member.belief.and_then(|belief| belief.capacity()),
    );
    each(&mut out.gauge("athena_member_load_unknown", "Whether the formula gave no load."), &|member| {
        flag(!matches!(member.load, LoadState::Known(_)))
    });
}

fn write_backends(backends: &[BackendStatus], out: &mut Exposition) {
    let words = |family: &mut exposition::Family<'_>,
                 label: &str,
                 all: &[&str],
                 holds: &dyn Fn(&BackendStatus) -> &'static str| {
        for backend in backends {
            family.one_of(&[("backend", backend.name.as_str())], label, all, holds(backend));
        }
    };
    let mut family = out.gauge("athena_backend_state", "Administrative state: 1 for the one in force.");
    words(&mut family, "state", Admin::WORDS, &|backend| backend.admin.value.word());
    let mut family =
        out.gauge("athena_backend_health", "Health, the worst that anybody says: 1 for the one in force.");
    words(&mut family, "health", Health::WORDS, &|backend| backend.health.value.word());
    let mut family = out.gauge("athena_backend_feed", "Whether it reports: 1 for the state in force.");
    words(&mut family, "feed", Feed::WORDS, &|backend| backend.feed.value.word());

    let each = |family: &mut exposition::Family<'_>, value: &dyn Fn(&BackendStatus) -> Option<f64>| {
        for backend in backends {
            if let Some(value) = value(backend) {
                family.sample(&[("backend", backend.name.as_str())], value);
            }
        }
    };
    each(&mut out.gauge("athena_backend_available", "Whether it is on, up and not out."), &|backend| {
        Some(f64::from(u8::from(backend.is_available())))
    });
    each(&mut out.gauge("athena_backend_weight", "Its weight in force."), &|backend| Some(backend.weight));
    let help = "When it last reported, in seconds since the Unix epoch.";
    each(&mut out.gauge("athena_backend_last_report_timestamp_seconds", help), &|backend| {
        backend.last_report.map(|last| last.unix().as_secs_f64())
    });
    let mut family = out.counter("athena_backend_answers", "Answers that gave it.");
    for backend in backends {
        family.sample(&[("backend", backend.name.as_str())], backend.answers);
    }
    let mut family = out.counter("athena_backend_reports", "Reports taken from it.");
    for backend in backends {
        family.sample(&[("backend", backend.name.as_str())], backend.reports);
    }
    let mut family = out.gauge("athena_backend_statistic", "What it last reported.");
    for backend in backends {
        for (name, value) in backend.statistics.iter() {
            family.sample(&[("backend", backend.name.as_str()), ("statistic", name.as_str())], value);
        }
    }
}
