//! Configuration files. What is taken must make an engine, and what is shown of it must be taken again and mean the same;
//! what is refused must say where, on a line that the file has, and what.

use std::path::PathBuf;

use athena::balance::random::SplitMix;
use athena::balance::{Engine, Moment};
use athena::config::{self, Config, Place};
use tempfile::TempDir;

use super::text::Target;

/// See the head of this file.
pub struct Configuration {
    folder: TempDir,
}

impl Configuration {
    /// With a folder that goes with it.
    pub fn new() -> Result<Self, String> {
        Ok(Self { folder: tempfile::tempdir().map_err(|error| error.to_string())? })
    }

    /// Writes the file and loads it.
    fn load(&self, text: &[u8]) -> Result<Result<Config, config::Problems>, String> {
        let file = self.file();
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(config::load(Some(&file), &[]))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("athena.toml")
    }
}

/// What is shown, without where it came from.
fn bare(shown: &str) -> Vec<&str> {
    shown.lines().map(|line| line.strip_suffix("  # file").unwrap_or(line)).collect()
}

impl Target for Configuration {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let files = [
            include_str!("../../examples/athena.toml"),
            include_str!("../../examples/systemd/athena.toml"),
            include_str!("corpus/small.toml"),
            include_str!("corpus/inline.toml"),
        ];
        let template = config::template().into_bytes();
        files.iter().map(|text| text.as_bytes().to_vec()).chain([template]).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "[farms.x]\n",
            "[[zones]]\n",
            "[backends.app01]\n",
            "members = []\n",
            "weight = -1\n",
            "\"15s\"",
            "true",
            "1e400",
            "\"\"",
            "ttl = 4294967296\n",
            "[",
            "]",
            "= ",
            "\"\"\"",
            "'",
            "\\u0000",
            "{ name = \"app01\" }",
            "algorithm = \"hash\"\n",
            "fallback = [\"shop\"]\n",
            "load = \"l/(1-u)\"\n",
            "listen = 53\n",
            "nan",
            "#",
        ]
    }

    fn check(&mut self, input: &[u8], _: &mut SplitMix) -> Result<bool, String> {
        let lines = input.split(|octet| *octet == b'\n').count();
        let config = match self.load(input)? {
            Ok(config) => config,
            Err(problems) => {
                if problems.iter().next().is_none() {
                    return Err("refused without a problem".to_owned());
                }
                for problem in problems.iter() {
                    let beyond = matches!(&problem.place, Place::File { line, .. } if *line > lines);
                    if problem.text.is_empty() || beyond {
                        return Err(format!("a problem that is none, or not in the file: {problem}"));
                    }
                }
                return Ok(false);
            }
        };
        Engine::new(config.plan.clone(), Moment::ZERO)
            .map_err(|problems| format!("taken, but the engine refuses it: {problems:?}"))?;
        // A secret is not shown, so what is shown is another configuration.
        if !config.shown().contains("\"***\"") {
            let again = self.load(config.shown().as_bytes())?;
            let again = again.map_err(|problems| format!("what is shown is refused: {problems}"))?;
            if bare(&again.shown()) != bare(&config.shown()) {
                return Err(format!("shown:\n{}\nand again:\n{}", config.shown(), again.shown()));
            }
        }
        Ok(true)
    }
}
