//! Athena.

pub mod balance;
pub mod clock;
pub mod config;
pub mod dns;
pub mod metrics;
pub mod resolve;
