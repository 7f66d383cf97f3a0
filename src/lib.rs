//! Athena.

pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod resolve;
