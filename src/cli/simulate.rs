//! `athena simulate`: what would happen, under the real rules and a virtual clock.

mod farm;
mod grid;
mod lines;
mod plot;
mod progress;
mod stale;
mod table;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Failure;
use crate::config::problem::did_you_mean;
use crate::simulate::setting::Rule;
use crate::simulate::world::Impossible;

/// Simulate a farm, or a built-in experiment, with the real rules and a virtual clock
#[derive(Debug, Args)]
#[command(after_help = "\
Which rule suits a farm whose members report every 5 s and serve 16 requests at a time, in 20 ms each?
  athena simulate -c athena.toml farm_one --rate 800 --report-every 5s --service 20ms --workers 16
How do rules fare as reports grow old?
  athena simulate --experiment stale --case equal,unequal --rho 0.9 --plot stale.svg")]
pub struct Simulate {
    /// A built-in experiment
    #[arg(long, value_enum, value_name = "NAME", required_unless_present = "farm", conflicts_with = "farm")]
    #[arg(help_heading = "The experiment")]
    experiment: Option<Experiment>,
    /// Cases of the experiment [default: all]
    #[arg(long = "case", value_name = "LIST", value_delimiter = ',', conflicts_with = "farm")]
    #[arg(help_heading = "The experiment")]
    cases: Vec<String>,
    /// Parts of the capacity in use, in the experiment [default: 0.5,0.7,0.9,0.95]
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "farm")]
    #[arg(help_heading = "The experiment")]
    rho: Vec<String>,
    /// From a member's report to its next: of a farm 5s,500ms,1m; in the experiment service times
    /// [default: 0.1,1,5,20,50]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    report_every: Vec<String>,
    /// Rules to compare: those of farms; shortest-queue, an oracle that sees all queues as they are; lowest-reported and
    /// two-reported, which look at reported loads alone and are not among the default [default: all others]
    #[arg(long = "rule", value_name = "LIST", value_delimiter = ',')]
    rules: Vec<String>,
    /// Requests that count in each run; a tenth as many come before, to warm up [default: 200000, of a farm as many as
    /// come in 400 reports of a member, up to 10 million]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    requests: Option<u64>,
    /// Members report all at the same time, not each at its own
    #[arg(long)]
    together: bool,
    /// The seeds of chance; of several, tables show the mean
    #[arg(long = "seed", value_name = "LIST", value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Figures in tables [default: mean; all if there is one time between reports]
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    figure: Vec<Figure>,
    /// One JSON object a line instead of tables
    #[arg(long, conflicts_with = "figure")]
    json: bool,
    /// A picture too: mean response time over the time between reports
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Threads to run on [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    farm: farm::Asked,
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
    /// The part of the requests for which there was nobody
    Unanswered,
}

impl Simulate {
    /// Runs it on all cores and prints it.
    pub fn run(self) -> Result<(), Failure> {
        let grid = if self.experiment.is_some() { stale::grid(&self)? } else { farm::grid(&self)? };
        grid.run(&self)
    }

    fn rules(&self) -> Result<Vec<Rule>, Failure> {
        if self.rules.is_empty() {
            return Ok(Rule::all());
        }
        let names: Vec<&str> = Rule::known().iter().map(Rule::name).collect();
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
