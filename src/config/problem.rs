//! What is wrong with a configuration, where, and what would be right.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

/// Where a problem stands. Ordered as people will look: the file from top to bottom, then the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Counted from 1; 0: the file as a whole.
        line: usize,
        /// Counted from 1 in characters; 0: the line as a whole.
        column: usize,
    },
    /// In an environment variable or a flag of this name.
    Given(String),
    /// In what is built in.
    BuiltIn,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => write!(formatter, "{}", path.display()),
            Self::File { path, line, column: 0 } => write!(formatter, "{}:{line}", path.display()),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::Given(name) => write!(formatter, "{name}"),
            Self::BuiltIn => write!(formatter, "built in"),
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The path of its key; empty where there is none.
    pub key: String,
    /// What is wrong and what would be right. Never holds a secret.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        write!(formatter, "{}", self.text)
    }
}

/// All problems of a configuration, one a line; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Takes problems in any order and several times, gives each once and in order; `None` if there are none.
    pub fn gather(problems: Vec<Problem>) -> Option<Self> {
        let mut seen = HashSet::new();
        let mut once: Vec<_> = problems.into_iter().filter(|problem| seen.insert(problem.clone())).collect();
        once.sort();
        (!once.is_empty()).then_some(Self(once))
    }

    /// The same for a list that is known to hold some.
    pub fn from_some(problems: Vec<Problem>) -> Self {
        Self::gather(problems).unwrap_or(Self(Vec::new()))
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            let line_end = if place == 0 { "" } else { "\n" };
            write!(formatter, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

/// The candidate that somebody meant who wrote `word`, if one is near.
pub fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    // A third of the letters may be wrong, of short words one; a shuffled pair counts once.
    let letters = lower.chars().count();
    let most = if letters < 2 { 0 } else { (letters / 3).max(1) };
    let near = candidates.into_iter().filter(|candidate| candidate.len().abs_diff(lower.len()) <= most);
    near.map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "listen"?`, or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    meant(word, candidates).map(|candidate| format!("; did you mean {candidate:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let words = ["listen", "threads", "max_udp"];
        assert_eq!(meant("lisetn", words), Some("listen"));
        assert_eq!(meant("Thread", words), Some("threads"));
        assert_eq!(meant("max-udp", words), Some("max_udp"));
        assert_eq!(meant("zone", words), None);
        assert_eq!((meant("", words), meant("b", ["a"]), meant("A", ["a"])), (None, None, Some("a")));
        assert_eq!(did_you_mean("lissen", words), "; did you mean \"listen\"?");
        assert_eq!(did_you_mean("whatever", words), "");
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_once() {
        let at = |line, text: &str| Problem {
            place: Place::File { path: "a.toml".into(), line, column: 0 },
            key: "k".into(),
            text: text.into(),
        };
        let given = Problem { place: Place::Given("ATHENA_K".into()), key: "k".into(), text: "c".into() };
        let problems = Problems::gather(vec![given, at(9, "b"), at(2, "a"), at(9, "b")]).unwrap();
        assert_eq!(problems.to_string(), "a.toml:2: k: a\na.toml:9: k: b\nATHENA_K: k: c");
        assert_eq!(Problems::gather(vec![]), None);
    }
}
