//! What a configuration was read from. It is kept as long as the configuration is in force, to show it when somebody asks.

use std::fmt;
use std::path::Path;

use super::effective::effective;
use super::file::{Text, Typed};
use super::{DEMONSTRATION, Given, Problems};

/// What a configuration was read from.
pub struct Source {
    file: Text,
    given: Vec<Given>,
}

impl Source {
    /// All that is in force as a file, with the origin of each line that is no default and with secrets hidden. It is made
    /// anew each time, for it may be large and is seldom asked for.
    pub fn shown(&self) -> String {
        self.typed().map(|typed| effective(&typed)).expect("it could be read before")
    }

    /// Reads `file` (`None`: the demonstration); gives the problem if that fails.
    pub(super) fn read(file: Option<&Path>, given: &[Given]) -> Result<Self, Problems> {
        let file = match file {
            Some(path) => Text::read(path).map_err(|problem| Problems::from_some(vec![problem]))?,
            None => Text { path: "built in".into(), text: DEMONSTRATION.to_owned() },
        };
        Ok(Self { file, given: given.to_vec() })
    }

    /// What is typed there, merged; gives the problems of syntax instead if there are any.
    pub(super) fn typed(&self) -> Result<Typed<'_>, Problems> {
        Typed::merge(&self.file, &self.given).map_err(Problems::from_some)
    }
}

/// There are secrets in it.
impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Source").field("file", &self.file.path).finish_non_exhaustive()
    }
}
