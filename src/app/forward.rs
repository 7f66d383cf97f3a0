//! Forwarding: from the configuration to what DNS answers with.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Running, options};
use crate::clock::Clock;
use crate::config::{Config, ForwardOrder};
use crate::dns::forward::Order;
use crate::dns::{self, ForwardOptions, Forwarder};
use crate::metrics::Metrics;

/// How DNS answers, forwarding included. The cache of the `former` options goes on if the upstreams are the same.
pub fn dns_options(
    config: &Config,
    metrics: &Arc<Metrics>,
    clock: Clock,
    former: Option<&dns::Options>,
) -> dns::Options {
    let former = former.and_then(|former| former.forward.as_deref());
    let forward = forward_options(config)
        .map(|options| Arc::new(Forwarder::new(options, metrics, clock, Handle::current(), former)));
    if forward.is_none() {
        metrics.forward.upstreams.store(Arc::default());
    }
    dns::Options { forward, ..options::dns_options(config) }
}

/// `None`: nothing is forwarded.
fn forward_options(config: &Config) -> Option<ForwardOptions> {
    let forward = &config.forward;
    let options = ForwardOptions {
        upstreams: forward.upstreams.clone(),
        order: match forward.order {
            ForwardOrder::Listed => Order::Listed,
            ForwardOrder::Rotate => Order::Rotate,
        },
        timeout: forward.timeout,
        cache: forward.cache,
        access: forward.access.clone(),
        queries: forward.queries,
        queries_per_client: forward.queries_per_client,
    };
    (!options.upstreams.is_empty()).then_some(options)
}

impl Running {
    /// Waits for the questions that others were asked and that are not answered yet.
    pub(super) async fn finish_forwarding(&self) {
        let forward = self.parts.handler.authority().options.forward.clone();
        if let Some(forward) = forward {
            forward.finish().await;
        }
    }
}
