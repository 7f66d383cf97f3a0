//! `athena serve`, and `athena` alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Next, logging};
use crate::config::{self, Config, Given, Level, LogFormat, Problems};

/// Serve; without a configuration, a demonstration
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file [default: a demonstration]
    #[arg(short, long = "config", value_name = "FILE", env = "ATHENA_CONFIG")]
    config: Option<PathBuf>,
    /// Answer DNS on this address, UDP and TCP; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    dns_listen: Vec<String>,
    /// Answer HTTP on this address; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    http_listen: Vec<String>,
    /// The form of log lines
    #[arg(long, value_name = "FORMAT", env = "ATHENA_LOG_FORMAT", value_parser = words(LogFormat::WORDS))]
    log_format: Option<String>,
    /// What is logged: this and what is more urgent
    #[arg(long, value_name = "LEVEL", env = "ATHENA_LOG", value_parser = words(Level::WORDS))]
    log_level: Option<String>,
    /// Log one query in N; 0: none
    #[arg(long, value_name = "N")]
    log_queries: Option<u32>,
}

fn words(words: &'static [&'static str]) -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(words.iter().copied())
}

impl Serve {
    /// Loads and checks the configuration: at the start, and again for each reload.
    pub fn load(&self) -> Result<Config, Problems> {
        let mut given = Given::environment();
        given.extend(self.flags());
        config::load(self.config.as_deref(), &given)
    }

    /// Loads the first configuration, sets up logging, and hands itself and it on.
    pub fn run(self) -> Result<Next, Failure> {
        let config = self.load()?;
        logging::start(config.log);
        Ok(Next::Serve(Box::new((self, config))))
    }

    /// What to try, if this is the demonstration.
    pub fn greeting(&self, config: &Config) -> String {
        if self.config.is_none() { greeting(config) } else { String::new() }
    }

    /// What the flags say, as configuration.
    fn flags(&self) -> Vec<Given> {
        let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
        let one = |text: &Option<String>| text.clone().map(|text| vec![text]);
        let flags = [
            ("--dns-listen", "dns.listen", list(&self.dns_listen)),
            ("--http-listen", "http.listen", list(&self.http_listen)),
            ("--log-format", "log.format", one(&self.log_format)),
            ("--log-level", "log.level", one(&self.log_level)),
            ("--log-queries", "dns.log_queries", self.log_queries.map(|number| vec![number.to_string()])),
        ];
        let given = flags.into_iter().filter_map(|(flag, key, texts)| Some(Given::flag(flag, key, texts?)));
        given.collect()
    }
}

/// What a newcomer can try.
fn greeting(config: &Config) -> String {
    let mut text = String::from("athena: no configuration (-c FILE), so this is a demonstration. Try:\n");
    let zone = config.zones.first().map_or("", |zone| zone.name.trim_end_matches('.'));
    let farm = config.plan.farms.first().map_or("", |farm| farm.name.as_str());
    let member = config.plan.backends.first().map_or("", |backend| backend.name.as_str());
    let fixed = |addresses: &[SocketAddr]| addresses.first().copied().filter(|address| address.port() != 0);
    if let Some(address) = fixed(&config.dns.listen) {
        let (server, port) = (address.ip(), address.port());
        text.push_str(&format!("  dig @{server} -p {port} {farm}.{zone} A +short\n"));
    }
    if let Some(address) = fixed(&config.http.listen) {
        let base = format!("http://{address}{}", config.http.path);
        let option =
            if address.port() == 8053 { String::new() } else { format!(" --server http://{address}") };
        text.push_str(&format!("  curl '{base}/balance/?{farm}'\n"));
        text.push_str(&format!("  curl '{base}/update/phys/?h={member},l=9'\n"));
        text.push_str(&format!("  athena status{option}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_says_what_to_try() {
        let text = greeting(&config::demonstration());
        assert!(text.contains("\n  dig @127.0.0.1 -p 5300 farm_one.athena A +short\n"), "{text}");
        assert!(text.contains("\n  curl 'http://127.0.0.1:8053/ath/balance/?farm_one'\n"), "{text}");
        assert!(text.contains("\n  curl 'http://127.0.0.1:8053/ath/update/phys/?h=app01,l=9'\n"), "{text}");
    }
}
