//! Runs in blocks, columns and rows: blocks are cases or a farm, columns are times between reports, rows are rules.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::plot::{self, Panel};
use super::progress::Bar;
use super::table::{Cell, columns, digits};
use super::{Figure, Simulate};
use crate::cli::{Failure, output};
use crate::simulate::batch::{self, Job, Progress};
use crate::simulate::outcome::Outcome;
use crate::simulate::setting::{Rule, SHORTEST_QUEUE, Setting};
use crate::simulate::world::Impossible;

/// The rule that others are compared with.
const OURS: &str = "adaptive";

/// Everything that is to be run, and how it is shown.
pub struct Grid {
    /// One table each.
    pub blocks: Vec<Block>,
    /// Seconds of virtual time between two reports of a member.
    pub every: Vec<f64>,
    /// Who is compared.
    pub rules: Vec<Rule>,
    /// How times are shown.
    pub unit: Unit,
    /// Requests in a run.
    pub requests: u64,
    /// The rule that a configuration names, to be marked.
    pub configured: Option<&'static str>,
}

/// A case at a load, or a farm.
pub struct Block {
    /// What stands above its table.
    pub title: String,
    /// The same in short, for a picture.
    pub name: String,
    /// How its lines of JSON begin.
    pub head: Head,
    /// Sentences below its title.
    pub notes: Vec<String>,
    /// More is asked of the members than they can do, whoever chooses.
    pub endless: bool,
    /// What is simulated for a rule at a time between reports.
    pub setting: Box<dyn Fn(Rule, f64) -> Setting>,
}

/// How lines of JSON begin.
pub enum Head {
    /// A case of the experiment.
    Case {
        /// Its name.
        case: &'static str,
        /// How many members it has.
        members: usize,
        /// The part of the capacity in use.
        rho: f64,
    },
    /// A farm.
    Farm {
        /// Its name.
        farm: String,
        /// How many members take requests.
        members: usize,
        /// Requests a second.
        rate: f64,
    },
}

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// As they are: a service time is a second of virtual time.
    ServiceTimes,
    /// Response times in ms, times between reports with their unit.
    Milliseconds,
}

/// Why it ended before its end.
enum Ended {
    /// Nobody reads any more.
    Unread,
    /// It failed.
    Failed(Failure),
}

impl From<Impossible> for Ended {
    fn from(why: Impossible) -> Self {
        Self::Failed(why.into())
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Grid {
    /// Runs all of it and prints each table, or each line, when it is there.
    pub fn run(&self, asked: &Simulate) -> Result<(), Failure> {
        // Before a long run, not after it.
        let mut picture = asked.plot.as_deref().map(|path| self.picture(path)).transpose()?;
        let jobs = self.jobs(&asked.seeds);
        let seeds = asked.seeds.len();
        let block = self.every.len() * self.rules.len() * seeds;
        let mut bar = Bar::new(jobs.len());
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut panels: Vec<Panel> = Vec::new();
        let ended = batch::run::<Ended>(&jobs, asked.threads.unwrap_or_else(batch::cores), |progress| {
            let (place, outcome) = match progress {
                Progress::Ran { finished } => {
                    bar.show(finished);
                    return Ok(());
                }
                Progress::Next { place, outcome } => (place, outcome),
            };
            let number = place / block;
            let mut text = String::new();
            if asked.json {
                text = self.blocks[number].line(&jobs[place], &outcome)?;
            }
            outcomes.push(outcome);
            if outcomes.len() == block {
                let table = Table { grid: self, block: &self.blocks[number], outcomes: &outcomes, seeds };
                if !asked.json {
                    text = format!("{}{}", if number > 0 { "\n" } else { "" }, table.text(&asked.figure));
                }
                panels.push(table.panel());
                outcomes.clear();
            }
            if text.is_empty() {
                return Ok(());
            }
            bar.hide();
            if output::print(&text)? { Ok(()) } else { Err(Ended::Unread) }
        });
        bar.hide();
        match ended {
            Err(Ended::Failed(failure)) => return Err(failure),
            // Who reads no tables may still want the picture, but it would lack what was not run.
            Err(Ended::Unread) => return Ok(()),
            Ok(()) => {}
        }
        if let (Some(file), Some(path)) = (&mut picture, &asked.plot) {
            let words = match self.unit {
                Unit::ServiceTimes => {
                    ("service times between two reports", "mean response time in service times")
                }
                Unit::Milliseconds => ("seconds between two reports", "mean response time in ms"),
            };
            let written = file.write_all(plot::svg(&panels, words.0, words.1).as_bytes());
            written.map_err(|why| Failure::Refused(format!("cannot write {}: {why}", path.display())))?;
        }
        Ok(())
    }

    fn picture(&self, path: &Path) -> Result<File, Failure> {
        if self.every.len() < 2 {
            let text = "--plot: a picture needs two or more times in --report-every";
            return Err(Failure::Usage(text.to_owned()));
        }
        File::create(path).map_err(|why| Failure::Usage(format!("cannot write {}: {why}", path.display())))
    }

    fn jobs(&self, seeds: &[u64]) -> Vec<Job> {
        let mut jobs = Vec::new();
        for block in &self.blocks {
            for &every in &self.every {
                for &rule in &self.rules {
                    let setting = (block.setting)(rule, every);
                    let job = |&seed| Job { setting: setting.clone(), rule, requests: self.requests, seed };
                    jobs.extend(seeds.iter().map(job));
                }
            }
        }
        jobs
    }
}

/// Seconds as people write them: `500ms`, `5s`.
pub fn every_text(seconds: f64) -> String {
    if seconds < 1.0 { format!("{}ms", (seconds * 1e6).round() / 1e3) } else { format!("{seconds}s") }
}

/// A block and what came of its runs, in the order of the jobs.
struct Table<'a> {
    grid: &'a Grid,
    block: &'a Block,
    outcomes: &'a [Outcome],
    seeds: usize,
}

impl Table<'_> {
    /// The runs of a rule (a row) at a time between reports (a column), one for each seed.
    fn runs(&self, column: usize, row: usize) -> &[Outcome] {
        let place = (column * self.grid.rules.len() + row) * self.seeds;
        &self.outcomes[place..place + self.seeds]
    }

    fn cell(&self, figure: Figure, column: usize, row: usize) -> Cell {
        let mut cell = Cell::of(figure, self.runs(column, row));
        cell.endless |= self.block.endless && matches!(figure, Figure::Mean | Figure::P99);
        if self.grid.unit == Unit::Milliseconds && matches!(figure, Figure::Mean | Figure::P99) {
            cell.value *= 1e3;
        }
        cell
    }

    /// Its table: all figures side by side if there is one time between reports, else a table for each figure.
    fn text(&self, figures: &[Figure]) -> String {
        let mut text = format!("{}\n", self.block.title);
        for note in &self.block.notes {
            text.push_str(&format!("{note}\n"));
        }
        let some = self.outcomes.iter().any(|outcome| outcome.unanswered > 0.0);
        if let [every] = self.grid.every[..] {
            let mut shown = figures.to_vec();
            if shown.is_empty() {
                shown = vec![Figure::Mean, Figure::P99, Figure::Worst, Figure::Moves];
                shown.extend(some.then_some(Figure::Unanswered));
            }
            let heads = shown.iter().map(|&figure| self.head(figure).to_owned()).collect();
            let row = |row| shown.iter().map(|&figure| self.cell(figure, 0, row).text()).collect();
            let comparison = if shown.contains(&Figure::Mean) { self.comparison() } else { None };
            text.push_str(&self.table(
                &format!("a report every {}", self.every(every)),
                heads,
                row,
                comparison,
            ));
        } else {
            let mean = [Figure::Mean];
            for &figure in if figures.is_empty() { &mean } else { figures } {
                let heads = self.grid.every.iter().map(|&every| self.every(every)).collect();
                let columns = || 0..self.grid.every.len();
                let row = |row| columns().map(|column| self.cell(figure, column, row).text()).collect();
                let comparison = if figure == Figure::Mean { self.comparison() } else { None };
                text.push_str(&self.table(self.words(figure), heads, row, comparison));
            }
            if some && figures.is_empty() {
                text.push_str("some requests found nobody: see --figure unanswered\n");
            }
        }
        if let Some(name) = self.grid.configured
            && self.grid.rules.iter().any(|rule| rule.name() == name)
        {
            text.push_str("* the farm's own rule\n");
        }
        text
    }

    fn table(
        &self,
        corner: &str,
        heads: Vec<String>,
        cells: impl Fn(usize) -> Vec<String>,
        comparison: Option<Vec<String>>,
    ) -> String {
        let line = |first: String, rest: Vec<String>| [first].into_iter().chain(rest).collect::<Vec<_>>();
        let mut rows = vec![line(corner.to_owned(), heads)];
        for (row, rule) in self.grid.rules.iter().enumerate() {
            let mark = if self.grid.configured == Some(rule.name()) { " *" } else { "" };
            rows.push(line(format!("{}{mark}", rule.name()), cells(row)));
        }
        rows.extend(comparison);
        columns(&rows)
    }

    fn every(&self, every: f64) -> String {
        match self.grid.unit {
            Unit::ServiceTimes => format!("T={every}"),
            Unit::Milliseconds => every_text(every),
        }
    }

    fn head(&self, figure: Figure) -> &'static str {
        match (figure, self.grid.unit) {
            (Figure::Mean, Unit::ServiceTimes) => "mean",
            (Figure::Mean, Unit::Milliseconds) => "mean ms",
            (Figure::P99, Unit::ServiceTimes) => "p99",
            (Figure::P99, Unit::Milliseconds) => "p99 ms",
            (Figure::Worst, _) => "worst share",
            (Figure::Moves, _) => "moves",
            (Figure::Unanswered, _) => "unanswered",
        }
    }

    fn words(&self, figure: Figure) -> &'static str {
        match (figure, self.grid.unit) {
            (Figure::Mean, Unit::ServiceTimes) => "mean response time",
            (Figure::Mean, Unit::Milliseconds) => "mean response time in ms",
            (Figure::P99, Unit::ServiceTimes) => "99 % of the response times are below",
            (Figure::P99, Unit::Milliseconds) => "99 % of the response times are below, in ms",
            (Figure::Worst, _) => "worst member's share, 1 is fair",
            (Figure::Moves, _) => "answers that move on",
            (Figure::Unanswered, _) => "requests that found nobody",
        }
    }

    /// How ours compares with the best of the others, oracles apart.
    fn comparison(&self) -> Option<Vec<String>> {
        let rules = &self.grid.rules;
        let ours = rules.iter().position(|rule| rule.name() == OURS)?;
        let apart = [OURS, SHORTEST_QUEUE];
        let others = || (0..rules.len()).filter(|&row| !apart.contains(&rules[row].name()));
        others().next()?;
        let ratio = |column| {
            let best = others().map(|row| self.cell(Figure::Mean, column, row)).filter(|cell| !cell.endless);
            let best = best.map(|cell| cell.value).fold(f64::INFINITY, f64::min);
            let mine = self.cell(Figure::Mean, column, ours);
            match (mine.endless, best.is_finite()) {
                (true, _) => mine.text(),
                (false, true) => digits(mine.value / best),
                (false, false) => "0".to_owned(),
            }
        };
        let name = format!("{OURS} / best other");
        Some([name].into_iter().chain((0..self.grid.every.len()).map(ratio)).collect())
    }

    /// Mean response times over the time between reports, for a picture.
    fn panel(&self) -> Panel {
        let value = |row: usize| {
            let cells = (0..self.grid.every.len()).map(move |column| self.cell(Figure::Mean, column, row));
            cells.map(|cell| (!cell.endless).then_some(cell.value)).collect()
        };
        let rules = self.grid.rules.iter().enumerate();
        Panel {
            title: self.block.name.clone(),
            at: self.grid.every.clone(),
            lines: rules.map(|(row, rule)| (rule.name(), value(row))).collect(),
        }
    }
}
