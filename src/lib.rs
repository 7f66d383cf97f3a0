//! Athena.

pub mod app;
pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod http;
pub mod metrics;
pub mod resolve;
pub mod simulate;
pub mod state;
pub mod systemd;
