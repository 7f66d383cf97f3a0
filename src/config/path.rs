//! The way to a value: `farms.farm_one.members[2].weight`.

use std::fmt;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into a table.
    Key(&'a str),
    /// Into a list, counted from 0.
    Item(usize),
}

/// Deepest path of any key in `keys.rs`.
const DEEPEST: usize = 6;

/// A path. It is copied and extended for every value that is looked at and only written down for a problem, so it
/// owns nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path<'a> {
    steps: [Option<Step<'a>>; DEEPEST],
}

impl<'a> Path<'a> {
    /// This path and one step more. A path that is as deep as any key stays as it is.
    pub fn then(mut self, step: Step<'a>) -> Self {
        if let Some(free) = self.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some(step);
        }
        self
    }

    /// Its steps.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> {
        self.steps.into_iter().flatten()
    }

    /// Its keys; an item stands as `*`.
    pub fn words(&self) -> Vec<&'a str> {
        let word = |step| match step {
            Step::Key(key) => key,
            Step::Item(_) => "*",
        };
        self.steps().map(word).collect()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps().enumerate() {
            match step {
                Step::Item(item) => write!(formatter, "[{item}]")?,
                Step::Key(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    write!(formatter, "{dot}{}", written(key))?;
                }
            }
        }
        Ok(())
    }
}

/// A key as it is written in TOML: bare if it can be.
pub fn written(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_people_would() {
        let path = Path::default().then(Step::Key("farms")).then(Step::Key("a b"));
        let path = path.then(Step::Key("members")).then(Step::Item(2)).then(Step::Key("weight"));
        assert_eq!(path.to_string(), "farms.\"a b\".members[2].weight");
        assert_eq!(path.words(), ["farms", "a b", "members", "*", "weight"]);
        assert_eq!(Path::default().to_string(), "");
    }

    #[test]
    fn a_path_deeper_than_any_key_is_cut() {
        let path = (0..20).fold(Path::default(), |path, _| path.then(Step::Key("x")));
        assert_eq!(path.to_string(), "x.x.x.x.x.x");
    }
}
