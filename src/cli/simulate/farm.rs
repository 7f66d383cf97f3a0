//! A farm out of a configuration: what one says of its machines and requests, and what the table says beside figures.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::grid::{Block, Grid, Head, Unit, every_text};
use super::table::digits;
use super::{Simulate, unknown};
use crate::cli::Failure;
use crate::config::{self, Given};
use crate::simulate::farm::{Circumstances, Farm, NotSimulated};
use crate::simulate::law::Law;

/// What the command line says of a farm.
#[derive(Debug, Args)]
#[command(next_help_heading = "A farm")]
pub struct Asked {
    /// The farm, of the configuration
    #[arg(requires_all = ["rate", "service", "report_every"])]
    farm: Option<String>,
    /// Configuration file [default: the demonstration]
    #[arg(short, long = "config", value_name = "FILE", env = "ATHENA_CONFIG")]
    config: Option<PathBuf>,
    /// Requests a second
    #[arg(long, value_name = "N", conflicts_with = "experiment")]
    rate: Option<f64>,
    /// Mean time that a request takes on a member of weight 1, such as 20ms; twice the weight, half the time
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "experiment")]
    service: Option<Duration>,
    /// How service times differ
    #[arg(
        long,
        value_enum,
        value_name = "LAW",
        default_value = "exponential",
        conflicts_with = "experiment"
    )]
    law: LawName,
    /// Requests that a member serves at a time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "experiment")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: u32,
    /// The part of the reports that gets lost, 0 to 1
    #[arg(long, value_name = "PART", default_value_t = 0.0, conflicts_with = "experiment")]
    lost: f64,
    /// Members tell how many requests they have taken, as n
    #[arg(long, conflicts_with = "experiment")]
    counter: bool,
    /// Span over which members average their load before they tell it [default: the farm's load_smoothing]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "experiment")]
    smoothing: Option<Duration>,
    /// Requests that one answer brings
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "experiment")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    burst: u32,
    /// Time over which they come, spread at random [default: the farm's ttl]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "experiment")]
    ttl: Option<Duration>,
    /// Athenas that share the members; each knows its own answers only
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "experiment")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    athenas: u32,
    /// Two members swap their speeds every so often
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "experiment")]
    drift: Option<Duration>,
    /// A member is drained for so long, is back for as long, then another one
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "experiment")]
    churn: Option<Duration>,
}

/// A law of service times, as people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LawName {
    /// Without memory, the usual model
    Exponential,
    /// Most are short, few very long: exponent 1.5, bounded
    Pareto,
    /// All alike
    Constant,
}

/// Reports of a member that a run should see, so that rules which learn have learned.
const REPORTS: f64 = 400.0;
/// Fewest and most requests of a run, if nobody says how many.
const REQUESTS: (f64, f64) = (2e5, 1e7);

/// The runs that are asked for.
pub fn grid(asked: &Simulate) -> Result<Grid, Failure> {
    let given = &asked.farm;
    let (Some(name), Some(rate), Some(service)) = (&given.farm, given.rate, given.service) else {
        return Err(Failure::Usage("a farm needs --rate, --service and --report-every".to_owned()));
    };
    let every = asked.report_every.iter().map(|text| duration(text).map(|span| span.as_secs_f64()));
    let every: Vec<f64> =
        every.collect::<Result<_, _>>().map_err(|why| Failure::Usage(format!("--report-every: {why}")))?;
    let circumstances = circumstances(given, asked.together, rate, service)?;
    let config = config::load(given.config.as_deref(), &Given::environment())?;
    let farm = Farm::new(&config.plan, name, &circumstances).map_err(|why| match why {
        NotSimulated::Unknown(name) => {
            let names: Vec<&str> = config.plan.farms.iter().map(|farm| farm.name.as_str()).collect();
            unknown("farm", &name, &names)
        }
        NotSimulated::Nobody(_) => Failure::Usage(why.to_string()),
    })?;
    let longest = every.iter().copied().fold(0.0, f64::max);
    let requests = asked.requests.unwrap_or((rate * longest * REPORTS).clamp(REQUESTS.0, REQUESTS.1) as u64);
    let notes = notes(&farm, given, &every, asked.requests.is_none() && requests as f64 >= REQUESTS.1);
    if let Some(overload) = overload(&farm, given, rate) {
        eprintln!("athena: {overload}");
    }
    let configured = farm.rule();
    let block = Block {
        title: title(&farm, rate),
        name: farm.name().to_owned(),
        head: Head::Farm { farm: farm.name().to_owned(), members: farm.members(), rate },
        notes,
        endless: farm.rho() >= 1.0,
        setting: Box::new(move |_, every| farm.setting(every)),
    };
    Ok(Grid {
        blocks: vec![block],
        every,
        rules: asked.rules()?,
        unit: Unit::Milliseconds,
        requests,
        configured: Some(configured),
    })
}

fn circumstances(
    given: &Asked,
    together: bool,
    rate: f64,
    service: Duration,
) -> Result<Circumstances, Failure> {
    let refuse = |what: String| Err(Failure::Usage(what));
    if !(rate > 0.0 && rate <= 1e9) {
        return refuse(format!("--rate: expected a number above 0, up to 1000000000, found {rate}"));
    }
    if !(0.0..1.0).contains(&given.lost) {
        return refuse(format!("--lost: expected a number from 0, below 1, found {}", given.lost));
    }
    Ok(Circumstances {
        rate,
        service,
        law: match given.law {
            LawName::Exponential => Law::Exponential,
            LawName::Pareto => Law::heavy(),
            LawName::Constant => Law::Constant,
        },
        workers: given.workers as usize,
        staggered: !together,
        counter: given.counter,
        lost: given.lost,
        smoothing: given.smoothing,
        burst: given.burst as usize,
        ttl: given.ttl,
        athenas: given.athenas as usize,
        drift: given.drift,
        churn: given.churn,
    })
}

fn title(farm: &Farm, rate: f64) -> String {
    let members =
        if farm.members() == 1 { "1 member".to_owned() } else { format!("{} members", farm.members()) };
    let (name, capacity) = (farm.name(), digits(farm.capacity()));
    format!("{name}: {members}, {rate} of {capacity} requests a second (ρ = {})", digits(farm.rho()))
}

fn overload(farm: &Farm, given: &Asked, rate: f64) -> Option<String> {
    let rho = farm.rho();
    let needed = (f64::from(given.workers) * rho).floor() as u64 + 1;
    (rho >= 1.0).then(|| {
        format!(
            "farm {} is overloaded: {rate} requests a second are {} times what its members can serve ({} a second), so \
             queues grow without end; at this rate and service time each member needs more than {} workers \
             (--workers {needed} or more)",
            farm.name(),
            digits(rho),
            digits(farm.capacity()),
            needed - 1,
        )
    })
}

/// What one should know beside the figures.
fn notes(farm: &Farm, given: &Asked, every: &[f64], short: bool) -> Vec<String> {
    let told = farm.told().into_iter().map(|(name, figure)| format!("{name} as {}", figure.words()));
    let mut notes = vec![format!("members report {}", told.collect::<Vec<_>>().join(", "))];
    if let Some(span) = farm.expect_update()
        && let Some(rare) = every.iter().find(|&&every| every >= span)
    {
        let (rare, span) = (every_text(*rare), every_text(span));
        notes
            .push(format!("with a report every {rare}, members are out in between: expect_update is {span}"));
    }
    if given.churn.is_some() && farm.members() > 1 {
        let left = farm.rho() * farm.members() as f64 / (farm.members() - 1) as f64;
        notes.push(format!("while a member is drained, ρ of the others is {} or so", digits(left)));
    }
    if short {
        notes.push(
            "a run is shorter than 400 reports of a member: rules that learn may want more --requests".into(),
        );
    }
    notes
}

/// `5s`, `500ms`, `1.5ms`, `200us`, `2m`, `1h`; longer than nothing, no longer than a day.
fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit = match &text[end..] {
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = text[..end].parse::<f64>().ok();
    let span = number.zip(unit).map(|(number, unit)| number * unit);
    span.filter(|span| (1e-6..=86_400.0).contains(span))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("expected a time from 1us to 24h such as 20ms, 5s, 2m or 1h, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_bounds() {
        let good =
            [("20ms", 20_000), ("1.5ms", 1500), ("200us", 200), ("5s", 5_000_000), ("2m", 120_000_000)];
        for (text, micros) in good {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for bad in ["", "5", "s", "-5s", "0s", "5d", "25h", "nans", "infs", "1e99s", "5 min"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
