//! Looking at backends: wired, begun, waited for.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::{AbortOnDrop, Parts, log_changes};
use crate::config::Config;
use crate::probe::Probes;

/// How long a start waits for the first results before it is ready without them. Longer than the time-out of a look that
/// nobody configured.
const FIRST: Duration = Duration::from_secs(5);
/// What `/readyz` waits for.
const CONDITION: &str = "first checks and scrapes";

/// Looks at what `config` names. Answers go out meanwhile; it is `/readyz` that waits for the first results.
pub async fn begin(config: &Config, parts: &Parts) -> (Probes, Option<AbortOnDrop>) {
    let (engine, metrics) = (Arc::clone(&parts.engine), Arc::clone(&parts.metrics));
    let mut probes = Probes::new(engine, metrics, parts.clock, Box::new(log_changes));
    if config.probes.is_empty() {
        return (probes, None);
    }
    parts.readiness.expect(CONDITION);
    let (_, first) = probes.follow(&config.probes).await;
    let readiness = Arc::clone(&parts.readiness);
    let waiting = tokio::spawn(async move {
        if tokio::time::timeout(FIRST, first.over()).await.is_err() {
            warn!("some checks or scrapes have no result after {} s; ready without them", FIRST.as_secs());
        }
        readiness.done(CONDITION);
    });
    (probes, Some(AbortOnDrop(waiting.abort_handle())))
}
