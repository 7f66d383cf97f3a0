//! Athena.

pub mod balance;
pub mod clock;
pub mod dns;
pub mod metrics;
pub mod resolve;
