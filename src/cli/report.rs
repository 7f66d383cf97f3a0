//! `athena report`: one report of a backend.

use clap::Args;

use super::client::{Client, Query};
use super::{Failure, output};

/// Report a backend's statistics, or its health
#[derive(Debug, Args)]
pub struct Report {
    /// The backend
    backend: String,
    /// What it says: l=0.7 c=12 queue=3, c=+1 to add, v=down
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    #[command(flatten)]
    client: Client,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, such as l=0.7".to_owned()),
    }
}

impl Report {
    /// Sends it, and prints what the server says.
    pub fn run(self) -> Result<(), Failure> {
        let named = Query::default().pair("h", &self.backend);
        let query = self.values.iter().fold(named, |query, (name, value)| query.pair(name, value));
        output::print(&self.client.change("update/phys", &query)?).map(drop)
    }
}
