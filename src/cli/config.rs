//! `athena config`: a commented configuration to begin with.

use clap::Args;

use super::{Failure, output};
use crate::config;

/// Print a commented configuration with every key and its default
#[derive(Debug, Args)]
pub struct Template {}

impl Template {
    /// Prints it.
    pub fn run(self) -> Result<(), Failure> {
        output::print(&config::template()).map(drop)
    }
}
