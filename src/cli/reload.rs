//! `athena reload`: has a running Athena read its configuration again.

use clap::Args;

use super::client::{Client, Query};
use super::{Failure, output};

/// Have a running Athena read its configuration again
///
/// Prints a line for each thing that changed. If anything is wrong with the configuration, the old one goes on: then every
/// problem is printed, and the exit code is 1.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    client: Client,
}

impl Reload {
    /// Prints what changed, when it is in force.
    pub fn run(self) -> Result<(), Failure> {
        output::print(&self.client.change("reload", &Query::default())?).map(drop)
    }
}
