//! What a backend says about itself: named numbers.

use std::fmt;

/// Longest name of a statistic, in octets.
pub const MAX_STATISTIC_NAME: usize = 32;
/// Most statistics one report may carry (`http.md`).
pub const MAX_IN_A_REPORT: usize = 64;
/// Most statistics kept of one backend, over all its reports.
pub const MAX_KEPT: usize = 128;

/// Codes of `http.md` that mean something else of a backend (its name, address, states, weight, …) or of a request
/// (`k`, the key), and so are no statistics.
pub const NOT_STATISTICS: [&str; 10] = ["h", "a", "p", "s", "v", "i", "w", "t", "d", "k"];

/// The checked name of a statistic: `[a-z][a-z0-9_]{0,31}` and none of [`NOT_STATISTICS`]. The one-letter codes of
/// `http.md` for numbers (`l`, `c`, `u`, `q`, `e`, `r`, `n`) are such names too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatisticName(Box<str>);

impl StatisticName {
    /// Takes a name as it stands; gives `None` where it is not of the form above.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?.is_ascii_lowercase();
        let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let form = first && rest && text.len() <= MAX_STATISTIC_NAME;
        (form && !NOT_STATISTICS.contains(&text)).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StatisticName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for StatisticName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// How a report changes a statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// The value itself. Finite.
    Set(f64),
    /// Added to the last value (0 if there was none); the sum never goes below 0. Finite.
    Add(f64),
}

impl Amount {
    /// The number that was given.
    pub fn number(self) -> f64 {
        match self {
            Self::Set(number) | Self::Add(number) => number,
        }
    }
}

/// The statistics of one backend, sorted by name. A handful at most, so a sorted vector beats a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics(Vec<(StatisticName, f64)>);

impl Statistics {
    /// The value last reported under `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name).ok().map(|index| self.0[index].1)
    }

    /// Carries out one change. Whether the value may be had and fits was checked before.
    pub fn change(&mut self, name: &StatisticName, amount: Amount) {
        match (self.find(name.as_str()), amount) {
            (Ok(index), Amount::Set(value)) => self.0[index].1 = value,
            (Ok(index), Amount::Add(value)) => {
                let sum = self.0[index].1 + value;
                self.0[index].1 = sum.clamp(0.0, f64::MAX);
            }
            (Err(index), Amount::Set(value)) => self.0.insert(index, (name.clone(), value)),
            (Err(index), Amount::Add(value)) => self.0.insert(index, (name.clone(), value.max(0.0))),
        }
    }

    /// All of them in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&StatisticName, f64)> {
        self.0.iter().map(|(name, value)| (name, *value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was ever reported.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.as_str().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StatisticName {
        StatisticName::parse(text).unwrap()
    }

    #[test]
    fn names_are_lower_case_words() {
        assert!(StatisticName::parse("queue_2").is_some());
        for bad in ["", "Queue", "2queue", "_q", "a-b", "ü", "h", "w", "k", &"x".repeat(33)] {
            assert!(StatisticName::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_sum_starts_at_nothing_and_stays_above_it() {
        let mut statistics = Statistics::default();
        statistics.change(&name("c"), Amount::Add(-1.0));
        assert_eq!(statistics.get("c"), Some(0.0));
        statistics.change(&name("c"), Amount::Add(3.0));
        statistics.change(&name("c"), Amount::Add(-1.0));
        assert_eq!(statistics.get("c"), Some(2.0));
        statistics.change(&name("c"), Amount::Add(-9.0));
        assert_eq!(statistics.get("c"), Some(0.0));
    }

    #[test]
    fn a_sum_that_overflows_stays_finite() {
        let mut statistics = Statistics::default();
        statistics.change(&name("c"), Amount::Set(f64::MAX));
        statistics.change(&name("c"), Amount::Add(f64::MAX));
        assert_eq!(statistics.get("c"), Some(f64::MAX));
    }

    #[test]
    fn values_are_found_by_name_and_listed_in_order() {
        let mut statistics = Statistics::default();
        for (key, value) in [("l", 0.5), ("c", 7.0), ("queue", 3.0), ("l", 0.7)] {
            statistics.change(&name(key), Amount::Set(value));
        }
        let listed: Vec<_> = statistics.iter().map(|(key, value)| (key.as_str(), value)).collect();
        assert_eq!(listed, [("c", 7.0), ("l", 0.7), ("queue", 3.0)]);
        assert_eq!(statistics.get("u"), None);
    }
}
