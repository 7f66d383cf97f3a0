//! `athena token`: signs a sticky token with the configuration's key. Nobody is asked; the key does not travel.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Failure, output};
use crate::balance::Name;
use crate::balance::token::{self, Mode, TokenKey};
use crate::clock::Clock;
use crate::config::{self, Config, Given};

/// Print a sticky token that keeps a user on a backend of a farm, or moves him to another farm
#[derive(Debug, Args)]
pub struct Token {
    /// The farm that will be asked for
    #[arg(value_parser = Name::parse)]
    farm: Name,
    /// The backend to keep to, or with --mode farm the farm to use instead
    #[arg(value_parser = Name::parse)]
    target: Name,
    /// How long it holds: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// What it asks for
    #[arg(long, value_enum, default_value = "keep")]
    mode: Wanted,
    /// Configuration file whose cookie key signs
    #[arg(short, long = "config", value_name = "FILE", env = "ATHENA_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Wanted {
    /// The backend as long as it is up, on or drained
    Keep,
    /// The backend whatever its state
    Pin,
    /// The other farm
    Farm,
}

impl Token {
    /// Prints the token; refuses names that the configuration does not know, for nobody could follow it.
    pub fn run(self) -> Result<(), Failure> {
        let config = config::load(self.config.as_deref(), &Given::environment())?;
        self.check(&config)?;
        let key = config.cookie.key.as_ref().and_then(|key| TokenKey::new(key.expose().as_bytes()).ok());
        let Some(key) = key else {
            let why = "there is no key to sign with: set cookie.key, or ATHENA_COOKIE__KEY";
            return Err(Failure::Usage(why.to_owned()));
        };
        let mode = match self.mode {
            Wanted::Keep => Mode::Keep,
            Wanted::Pin => Mode::Pin,
            Wanted::Farm => Mode::Farm,
        };
        let expires = Clock::start().now() + self.ttl;
        let token = token::sign(&key, mode, expires, &self.target, &self.farm);
        output::print(&format!("{token}\n")).map(drop)
    }

    fn check(&self, config: &Config) -> Result<(), Failure> {
        let farm = |name: &Name| {
            let found = config.plan.farms.iter().find(|farm| farm.name == *name);
            found.ok_or_else(|| Failure::Usage(format!("no such farm: {name}")))
        };
        let asked = farm(&self.farm)?;
        if self.mode == Wanted::Farm {
            return farm(&self.target).map(drop);
        }
        if asked.members.iter().any(|member| member.backend == self.target) {
            return Ok(());
        }
        Err(Failure::Usage(format!("{} is no member of {}", self.target, self.farm)))
    }
}

/// A whole number with its unit.
fn ttl(text: &str) -> Result<Duration, String> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let mut number = text.chars();
    let seconds = number.next_back().and_then(unit);
    let number = number.as_str().parse::<u64>().ok().filter(|number| *number > 0);
    let product = number.zip(seconds).and_then(|(number, seconds)| number.checked_mul(seconds));
    product.map(Duration::from_secs).ok_or_else(|| "expected a span such as 90s, 15m, 1h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "h", "0h", "-1h", "1", "1w", "99999999999999999999d", "1 h", "1ä"] {
            assert!(ttl(text).is_err(), "{text:?}");
        }
    }
}
