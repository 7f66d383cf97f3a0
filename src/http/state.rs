//! Everything that a handler needs, in one place. The application makes one and shares it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Options;
use super::connections::Connections;
use super::readiness::Readiness;
use crate::balance::Engine;
use crate::balance::status::Change;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Who is told of states that an update changed, before the update is answered.
pub type Listener = Box<dyn Fn(&[Change]) + Send + Sync>;

/// See the module's head.
pub struct State {
    /// Farms and backends.
    pub engine: Arc<Engine>,
    /// What the shells count.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Whether we are ready.
    pub readiness: Arc<Readiness>,
    /// Our version.
    pub version: &'static str,
    /// Who is told of changes. Called outside the engine's lock, never with an empty list.
    pub changed: Listener,
    pub(super) connections: Arc<Connections>,
    options: ArcSwap<Options>,
}

impl State {
    /// Takes what the application made.
    pub fn new(
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        clock: Clock,
        readiness: Arc<Readiness>,
        options: Options,
        changed: Listener,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let (connections, options) = (Arc::default(), ArcSwap::from_pointee(options));
        Self { engine, metrics, clock, readiness, version, changed, connections, options }
    }

    /// The options in force.
    pub fn options(&self) -> Guard<Arc<Options>> {
        self.options.load()
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.connections.open()
    }

    /// Takes other options: requests that come from now on follow them, and so do the limits of new connections.
    pub fn replace_options(&self, options: Options) {
        self.options.store(Arc::new(options));
    }
}
