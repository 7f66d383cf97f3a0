//! Athena.
#![forbid(unsafe_code)]

pub mod balance;
pub mod clock;
pub mod metrics;
pub mod simulate;
