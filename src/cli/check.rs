//! `athena check`: reads a configuration as `serve` would, and prints what is in force or what is wrong.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, output};
use crate::config::{self, Given};

/// Check a configuration and print what is in force
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file [default: the demonstration]
    #[arg(short, long = "config", value_name = "FILE", env = "ATHENA_CONFIG")]
    config: Option<PathBuf>,
}

impl Check {
    /// Prints the effective configuration with the origin of each line, secrets hidden.
    pub fn run(self) -> Result<(), Failure> {
        let config = config::load(self.config.as_deref(), &Given::environment())?;
        output::print(&config.shown()).map(drop)
    }
}
