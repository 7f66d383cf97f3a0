//! Checks and scrapes, as metrics.

use std::sync::Arc;

use super::exposition::{Exposition, Family};
use crate::metrics::{ProbeMetrics, ProbeState};

/// Appends the metrics of the probes.
pub fn write(probes: &ProbeMetrics, out: &mut Exposition) {
    let mut family = out.counter("athena_checks", "Active checks of backends, by outcome.");
    for (outcome, count) in probes.checks.each() {
        family.sample(&[("outcome", outcome)], count);
    }
    let mut family = out.counter("athena_scrapes", "Pages of statistics fetched, by outcome.");
    for (outcome, count) in probes.scrapes.each() {
        family.sample(&[("outcome", outcome)], count);
    }
    let checked = probes.checked.load();
    flags(&mut out.gauge("athena_backend_check_success", "Whether the last check passed."), &checked);
    let help = "How long the last check took.";
    spans(&mut out.gauge("athena_backend_check_duration_seconds", help), &checked);
    counts(&mut out.counter("athena_backend_checks", "Active checks of the backend."), &checked);
    let scraped = probes.scraped.load();
    flags(&mut out.gauge("athena_backend_scrape_success", "Whether the last page was of use."), &scraped);
    let help = "How long the last page took.";
    spans(&mut out.gauge("athena_backend_scrape_duration_seconds", help), &scraped);
    counts(&mut out.counter("athena_backend_scrapes", "Pages fetched of the backend."), &scraped);
}

fn flags(family: &mut Family<'_>, states: &[Arc<ProbeState>]) {
    for state in states {
        if let Some((success, _)) = state.last() {
            family.sample(&[("backend", &state.backend)], u8::from(success));
        }
    }
}

fn spans(family: &mut Family<'_>, states: &[Arc<ProbeState>]) {
    for state in states {
        if let Some((_, took)) = state.last() {
            family.sample(&[("backend", &state.backend)], took.as_secs_f64());
        }
    }
}

fn counts(family: &mut Family<'_>, states: &[Arc<ProbeState>]) {
    for state in states {
        let (succeeded, failed) = state.counts();
        family.sample(&[("backend", &state.backend), ("outcome", "ok")], succeeded);
        family.sample(&[("backend", &state.backend), ("outcome", "failed")], failed);
    }
}
