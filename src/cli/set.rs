//! `athena set`: states that people decide on.

use clap::{Args, Subcommand, ValueEnum};

use super::client::{Client, Query};
use super::{Failure, output};

/// Set the state of a backend or a farm, or a backend's weight
#[derive(Debug, Args)]
pub struct Set {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A backend: on, drain and off are whether it shall serve; up and down are your word on its health
    Backend {
        /// Its name
        name: String,
        /// What it shall be
        state: BackendState,
        #[command(flatten)]
        client: Client,
    },
    /// A farm: off means that it answers with its fallback
    Farm {
        /// Its name
        name: String,
        /// What it shall be
        state: FarmState,
        #[command(flatten)]
        client: Client,
    },
    /// A backend's weight; "default" is the configured one again
    Weight {
        /// Its name
        name: String,
        /// A number from 0 on, or "default"
        #[arg(value_parser = weight)]
        weight: String,
        #[command(flatten)]
        client: Client,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BackendState {
    /// In service
    On,
    /// No new choices; who is on it stays on it
    Drain,
    /// Out of service
    Off,
    /// Healthy, as far as people know
    Up,
    /// Not healthy, whatever its reports say
    Down,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FarmState {
    /// In service
    On,
    /// Answers with its fallback
    Off,
}

/// A weight as it is sent.
fn weight(text: &str) -> Result<String, String> {
    let fits =
        text == "default" || text.parse::<f64>().is_ok_and(|weight| weight.is_finite() && weight >= 0.0);
    if fits { Ok(text.to_owned()) } else { Err("a weight is a number from 0 on, or \"default\"".to_owned()) }
}

impl Set {
    /// Has it set, and prints what the server says.
    pub fn run(self) -> Result<(), Failure> {
        let answer = match &self.what {
            What::Backend { name, state, client } => {
                let (code, word) = match state {
                    BackendState::On => ("s", "on"),
                    BackendState::Drain => ("s", "drain"),
                    BackendState::Off => ("s", "off"),
                    BackendState::Up => ("V", "up"),
                    BackendState::Down => ("V", "down"),
                };
                client.change("update/phys", &Query::default().pair("h", name).pair(code, word))
            }
            What::Farm { name, state, client } => {
                let word = match state {
                    FarmState::On => "on",
                    FarmState::Off => "off",
                };
                client.change("update/farm", &Query::default().pair("n", name).pair("s", word))
            }
            What::Weight { name, weight, client } => {
                client.change("update/phys", &Query::default().pair("h", name).pair("w", weight))
            }
        };
        output::print(&answer?).map(drop)
    }
}
