//! The passing of time, and what is told of states that change.

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::balance::Engine;
use crate::balance::status::{Change, Source, Subject};
use crate::clock::Clock;

/// Lets silence count: sleeps until the engine would have something to do, or is told that it has sooner.
pub async fn sweep(engine: Arc<Engine>, clock: Clock) {
    let sooner = Arc::new(Notify::new());
    let wake = Arc::clone(&sooner);
    engine.on_sooner(move || wake.notify_one());
    loop {
        let now = clock.now();
        let expired = engine.expire(now);
        log_changes(&expired.changes);
        match expired.next {
            Some(next) => {
                let _ = tokio::time::timeout(next.since(clock.now()), sooner.notified()).await;
            }
            None => sooner.notified().await,
        }
    }
}

/// One line for each state that changed, at the level of who must act: an operator's own order is news, a member that is
/// lost wants somebody soon, a farm without members wants somebody now.
pub fn log_changes(changes: &[Change]) {
    for change in changes {
        match (&change.subject, change.axis) {
            (Subject::Farm(_), "source") if change.to == Source::None.to_string() => error!("{change}"),
            (Subject::Farm(_), "source") if change.to != Source::Members.to_string() => warn!("{change}"),
            (Subject::Backend(_), "health" | "feed") if matches!(change.to.as_str(), "down" | "out") => {
                warn!("{change}")
            }
            _ => info!("{change}"),
        }
    }
}
