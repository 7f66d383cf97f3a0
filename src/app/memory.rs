//! What outlives the process: the state file opened, recalled and kept up to date.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::{StartError, log_changes};
use crate::balance::Engine;
use crate::clock::Clock;
use crate::state::State;

/// Between two saves of what was reported: what a crash costs at most.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// The open state file and the task that saves reports to it.
pub struct Memory {
    state: Arc<State>,
    saver: AbortHandle,
}

impl Memory {
    /// Opens the state file in `folder`, gives the engine what stands in it, and from then on lets it keep decisions. To
    /// be called before anything answers.
    pub async fn open(folder: &Path, engine: &Arc<Engine>, clock: Clock) -> Result<Self, StartError> {
        let (folder, recalling) = (folder.to_owned(), Arc::clone(engine));
        let opened = spawn_blocking(move || {
            let (state, found) = State::open(&folder)?;
            recalling.entrust(Arc::clone(&state));
            let changes = recalling.recall(found.decisions, &found.memory, clock.now());
            Ok::<_, StartError>((state, changes))
        });
        let (state, changes) = finished(opened.await)?;
        log_changes(&changes);
        let saver =
            tokio::spawn(save_regularly(Arc::clone(&state), Arc::clone(engine), clock)).abort_handle();
        Ok(Self { state, saver })
    }

    /// The state file.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Saves for the last time.
    pub async fn close(self, engine: &Arc<Engine>, clock: Clock) {
        self.saver.abort();
        save(&self.state, engine, clock).await;
        info!("states are saved");
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.saver.abort();
    }
}

async fn save_regularly(state: Arc<State>, engine: Arc<Engine>, clock: Clock) {
    let mut ticks = interval(SAVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and there is nothing new yet.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        save(&state, &engine, clock).await;
    }
}

async fn save(state: &Arc<State>, engine: &Arc<Engine>, clock: Clock) {
    let (state, engine) = (Arc::clone(state), Arc::clone(engine));
    // A failure is logged and counted where it happens.
    let saved = spawn_blocking(move || state.save(&engine.remember(clock.now())).is_ok()).await;
    if let Err(panic) = saved {
        error!("saving states: {panic}");
    }
}

/// The outcome of work on another thread; a panic there goes on here.
pub fn finished<T>(outcome: Result<T, JoinError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => panic!("the runtime ended before the work was done: {cancelled}"),
        },
    }
}
