//! DNS.

pub mod udp;
