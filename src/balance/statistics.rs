//! What a backend says about itself: named numbers.

use std::cmp::Ordering;
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
/// Nearly all are short, and every report brings some for every backend: a short one takes no memory of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StatisticName(Octets);

/// Octets with their number; what is not used is 0.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Octets {
    Few(u8, [u8; FEW]),
    Many(Box<(u8, [u8; MAX_STATISTIC_NAME])>),
}

/// So many, with their number and a word for which it is, are as long as two pointers.
const FEW: usize = 14;

impl Octets {
    fn new(text: &str) -> Self {
        let length = text.len() as u8;
        if text.len() <= FEW {
            let mut octets = [0; FEW];
            octets[..text.len()].copy_from_slice(text.as_bytes());
            Self::Few(length, octets)
        } else {
            let mut octets = [0; MAX_STATISTIC_NAME];
            octets[..text.len()].copy_from_slice(text.as_bytes());
            Self::Many(Box::new((length, octets)))
        }
    }

    fn get(&self) -> &[u8] {
        match self {
            Self::Few(length, octets) => &octets[..usize::from(*length)],
            Self::Many(many) => &many.1[..usize::from(many.0)],
        }
    }
}

impl StatisticName {
    /// Takes a name as it stands; gives `None` where it is not of the form above.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?.is_ascii_lowercase();
        let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let form = first && rest && text.len() <= MAX_STATISTIC_NAME;
        (form && !NOT_STATISTICS.contains(&text)).then(|| Self(Octets::new(text)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.get()).expect("the grammar above is of ASCII")
    }
}

impl Ord for StatisticName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.get().cmp(other.0.get())
    }
}

impl PartialOrd for StatisticName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for StatisticName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for StatisticName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
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
        let found = self.find(name.as_str());
        if found.is_err() {
            // Most backends have the same few for ever, and there may be many backends.
            self.0.reserve_exact(1);
        }
        match (found, amount) {
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
        self.0.binary_search_by(|(have, _)| have.0.get().cmp(name.as_bytes()))
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
    fn a_name_is_what_it_was_parsed_from_however_long_it_is() {
        let texts: Vec<String> = (1..=MAX_STATISTIC_NAME).map(|length| "q".repeat(length)).collect();
        for pair in texts.windows(2) {
            let (shorter, longer) = (name(&pair[0]), name(&pair[1]));
            assert_eq!((shorter.as_str(), longer.as_str()), (pair[0].as_str(), pair[1].as_str()));
            assert!(shorter < longer && shorter != longer && shorter == shorter.clone());
        }
        assert!(name("b") > name("aaaaaaaaaaaaaaaaaaaa") && name("b") < name("baaaaaaaaaaaaaaaaaaa"));
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
