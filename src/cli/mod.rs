//! The command line: one file a command.
//!
//! Data goes to stdout, messages for people to stderr. Exit codes: 0 done, 1 the server said no (or stopped with an
//! error), 2 wrong use or configuration, 3 the server could not be reached. `monitor` has those of monitoring plugins.
//!
//! | room | what lives there |
//! | --- | --- |
//! | `serve`, `check`, `config`, `balance`, `status`, `monitor`, `set`, `report`, `reload`, `simulate`, `completions` | the commands |
//! | `client` | requests in the text protocol to a running Athena |
//! | `logging` | where log lines go |
//! | `output` | stdout, whose reader may leave |

mod balance;
mod check;
mod client;
mod completions;
mod config;
mod logging;
mod monitor;
mod output;
mod reload;
mod report;
mod serve;
mod set;
mod simulate;
mod status;
mod token;

use std::io;

use clap::{Parser, Subcommand};

use crate::config::{Config, Problems};

/// Athena, an authoritative DNS server that balances load.
///
/// Without a command it serves; without a configuration it serves a demonstration.
#[derive(Debug, Parser)]
#[command(name = "athena", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 the server said no, 2 wrong use or configuration, 3 could not reach it."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Config(config::Template),
    Balance(balance::Balance),
    Status(status::Status),
    Monitor(monitor::Monitor),
    Set(set::Set),
    Report(report::Report),
    Reload(reload::Reload),
    Token(token::Token),
    Simulate(simulate::Simulate),
    Completions(completions::Completions),
}

/// What is left to do when the command line has been carried out.
#[derive(Debug)]
pub enum Next {
    /// Nothing; the exit code.
    Exit(u8),
    /// Serve this configuration, and load others as the command says. Logging is set up.
    Serve(Box<(serve::Serve, Config)>),
}

/// Why a command failed. Its text is for people, on stderr.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A running Athena answered with an error.
    #[error("{0}")]
    Refused(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used.
    #[error("{count} in the configuration\n{problems}", count = counted(problems))]
    Configuration {
        /// What is wrong with it.
        #[from]
        problems: Problems,
    },
    /// Nobody answered.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Where somebody should have answered.
        server: String,
        /// What happened instead.
        why: String,
    },
    /// The answer could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

fn counted(problems: &Problems) -> String {
    match problems.iter().count() {
        1 => "1 problem".to_owned(),
        several => format!("{several} problems"),
    }
}

impl Failure {
    /// The exit code that says it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Output(_) => 1,
            Self::Usage(_) | Self::Configuration { .. } => 2,
            Self::Unreachable { .. } => 3,
        }
    }
}

impl Cli {
    /// Carries the command out.
    pub fn run(self) -> Result<Next, Failure> {
        match self.command {
            None => return self.serve.run(),
            Some(Command::Serve(serve)) => return serve.run(),
            Some(Command::Check(check)) => check.run()?,
            Some(Command::Config(template)) => template.run()?,
            Some(Command::Balance(balance)) => balance.run()?,
            Some(Command::Status(status)) => status.run()?,
            Some(Command::Monitor(monitor)) => return monitor.run().map(Next::Exit),
            Some(Command::Set(set)) => set.run()?,
            Some(Command::Report(report)) => report.run()?,
            Some(Command::Reload(reload)) => reload.run()?,
            Some(Command::Token(token)) => token.run()?,
            Some(Command::Simulate(simulate)) => simulate.run()?,
            Some(Command::Completions(completions)) => completions.run()?,
        }
        Ok(Next::Exit(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_the_flags_are_those_of_serve() {
        let cli = Cli::try_parse_from(["athena", "-c", "x.toml", "--dns-listen", "127.0.0.1:0"]).unwrap();
        assert!(cli.command.is_none());
        assert!(
            Cli::try_parse_from(["athena", "-c", "x.toml", "check"]).is_err(),
            "not mixed with another command"
        );
    }

    #[test]
    fn each_variable_of_the_command_line_is_kept_out_of_the_configuration() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let Some(name) = argument.get_env() else { continue };
                let variable = (name.to_string_lossy().into_owned(), "x".to_owned());
                assert_eq!(crate::config::Given::variables([variable]), [], "{name:?}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
