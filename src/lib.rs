//! Athena.

pub mod balance;
pub mod clock;
pub mod metrics;
pub mod resolve;
pub mod state;
pub mod systemd;
