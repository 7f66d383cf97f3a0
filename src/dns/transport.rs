//! How a message came, and what follows from that.

use crate::metrics::{Counter, DnsMetrics};

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A stream of messages.
    Tcp,
    /// The same, encrypted (RFC 7858).
    Tls,
    /// A request and a response of HTTP each, encrypted (RFC 8484).
    Https,
    /// A stream of its own each, encrypted (RFC 9250).
    Quic,
}

impl Transport {
    /// Whether nobody on the way can read it, so that only lengths are left to hide.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }

    /// Its count of messages.
    pub fn counter(self, metrics: &DnsMetrics) -> &Counter {
        match self {
            Self::Udp => &metrics.udp,
            Self::Tcp => &metrics.tcp,
            Self::Tls => &metrics.tls,
            Self::Https => &metrics.https,
            Self::Quic => &metrics.quic,
        }
    }
}
