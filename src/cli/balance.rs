//! `athena balance`: which member a farm gives.

use clap::Args;

use super::client::{Client, Query};
use super::{Failure, output};

/// Ask a running Athena which member each farm gives
#[derive(Debug, Args)]
pub struct Balance {
    /// Farms; one line each, in order
    #[arg(required = true, value_name = "FARM")]
    farms: Vec<String>,
    /// The format of a line, by the codes of a backend: "%h %a %p"
    #[arg(short, long)]
    format: Option<String>,
    /// Up to so many different members, best first, one a line
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u32>,
    /// What hashing algorithms choose by
    #[arg(long = "for", value_name = "VALUE")]
    key: Option<String>,
    #[command(flatten)]
    client: Client,
}

impl Balance {
    /// Prints the answer. A farm among several that has nobody to give has a line that begins with `!`.
    pub fn run(self) -> Result<(), Failure> {
        let mut query = self.farms.iter().fold(Query::default(), |query, farm| query.word(farm));
        if let Some(format) = &self.format {
            query = query.pair("f", format);
        }
        if let Some(count) = self.count {
            query = query.pair("n", &count.to_string());
        }
        if let Some(key) = &self.key {
            query = query.pair("key", key);
        }
        let answer = self.client.ask("balance", &query)?;
        output::print(&answer)?;
        let several = self.farms.len() > 1;
        let failed = answer.lines().filter_map(|line| line.strip_prefix('!')).filter(|_| several);
        let failed: Vec<&str> = failed.map(str::trim).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failure::Refused(failed.join("; "))) }
    }
}
