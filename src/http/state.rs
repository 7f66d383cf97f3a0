//! Everything that a handler needs, in one place. The application makes one and shares it.

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};

use super::Options;
use super::readiness::Readiness;
use super::reload::{self, Reloading};
use super::text::mirror::Mirror;
use crate::balance::engine::Applied;
use crate::balance::status::Change;
use crate::balance::{Engine, Moment, Refusal, Update};
use crate::clock::Clock;
use crate::connections::Connections;
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
    reload: OnceLock<reload::Hook>,
    pub(super) connections: Arc<Connections>,
    options: ArcSwap<Options>,
    mirror: OnceLock<Arc<dyn Mirror>>,
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
        let (reload, connections) = (OnceLock::new(), Arc::default());
        let options = ArcSwap::from_pointee(options);
        Self {
            engine,
            metrics,
            clock,
            readiness,
            version,
            changed,
            reload,
            connections,
            options,
            mirror: OnceLock::new(),
        }
    }

    /// Names who keeps other Athenas in step. Without one there is no `mirror/`. Only the first call counts.
    pub fn mirror_by(&self, mirror: Arc<dyn Mirror>) {
        let _ = self.mirror.set(mirror);
    }

    /// Who keeps other Athenas in step.
    pub fn mirror(&self) -> Option<&dyn Mirror> {
        self.mirror.get().map(|mirror| &**mirror)
    }

    /// Applies updates of a client, all or none, and tells whoever has to know: other Athenas, and the listener to
    /// changes. Every way in which a client changes something leads through here. Blocks if one of them
    /// [is administrative](Update::is_administrative).
    pub fn apply(&self, updates: &[Update], now: Moment) -> Result<Applied, Refusal> {
        let applied = self.engine.apply(updates, now)?;
        if let Some(mirror) = self.mirror() {
            mirror.accepted(updates, &applied, now);
        }
        if !applied.changes.is_empty() {
            (self.changed)(&applied.changes);
        }
        Ok(applied)
    }

    /// The options in force.
    pub fn options(&self) -> Guard<Arc<Options>> {
        self.options.load()
    }

    /// Names who reads the configuration again when somebody asks for it. Only the first call counts.
    pub fn on_reload(&self, hook: impl Fn() -> Reloading + Send + Sync + 'static) {
        let _ = self.reload.set(Box::new(hook));
    }

    /// Begins a reload, if there is somebody who can.
    pub(super) fn reload(&self) -> Option<Reloading> {
        self.reload.get().map(|hook| hook())
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
