//! `athena simulate`: what would happen, under the real rules and a virtual clock.

mod progress;
mod stale;
mod table;

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use super::Failure;
use crate::config::problem::did_you_mean;
use crate::simulate::setting::Rule;
use crate::simulate::world::Impossible;

/// Simulate farms under the real rules and a virtual clock
#[derive(Debug, Args)]
pub struct Simulate {
    /// A built-in experiment
    #[arg(long, value_enum, required = true)]
    experiment: Option<Experiment>,
    /// Cases of the experiment [default: all]
    #[arg(long = "case", value_name = "LIST", value_delimiter = ',')]
    cases: Vec<String>,
    /// Parts of the capacity in use [default: 0.5,0.7,0.9,0.95]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    rho: Vec<String>,
    /// Service times from a member's report to its next [default: 0.1,1,5,20,50]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    report_every: Vec<String>,
    /// Rules to compare; shortest-queue is an oracle that sees all queues as they are [default: all]
    #[arg(long = "rule", value_name = "LIST", value_delimiter = ',')]
    rules: Vec<String>,
    /// Requests that count in each run; a tenth as many come before, to warm up
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    requests: u64,
    /// The seeds of chance; of several, tables show the mean
    #[arg(long = "seed", value_name = "LIST", value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Figures in tables
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "mean")]
    figure: Vec<Figure>,
    /// One JSON object a line instead of tables
    #[arg(long, conflicts_with = "figure")]
    json: bool,
    /// Threads to run on [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Experiment {
    /// Every rule under load information that is old
    Stale,
}

/// What a table shows of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// Mean response time
    Mean,
    /// The response time that one request in a hundred exceeds
    P99,
    /// The busiest member's part of the requests over its part of the capacity
    Worst,
    /// The part of the answers that gave another member than the answer before
    Moves,
}

impl Simulate {
    /// Runs it on all cores and prints it.
    pub fn run(self) -> Result<(), Failure> {
        stale::run(&self)
    }

    fn rules(&self) -> Result<Vec<Rule>, Failure> {
        if self.rules.is_empty() {
            return Ok(Rule::all());
        }
        let names: Vec<&str> = Rule::all().iter().map(Rule::name).collect();
        let find = |name: &String| Rule::find(name).ok_or_else(|| unknown("rule", name, &names));
        self.rules.iter().map(find).collect()
    }
}

impl From<Impossible> for Failure {
    fn from(why: Impossible) -> Self {
        Self::Usage(format!("cannot simulate that: {why}"))
    }
}

fn unknown(what: &str, name: &str, names: &[&str]) -> Failure {
    let hint = did_you_mean(name, names.iter().copied());
    Failure::Usage(format!("no {what} {name:?}{hint}; there are {}", names.join(", ")))
}

/// Numbers of a flag's list that lie between two bounds (which are no such numbers).
fn numbers(flag: &str, texts: &[String], least: f64, most: f64) -> Result<Vec<f64>, Failure> {
    let number = |text: &String| {
        let number = text.trim().parse().ok().filter(|&number: &f64| number > least && number < most);
        number.ok_or_else(|| {
            Failure::Usage(format!("{flag}: expected numbers between {least} and {most}, found {text:?}"))
        })
    };
    texts.iter().map(number).collect()
}
