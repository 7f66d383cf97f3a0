//! The codes of the text protocol: one table a kind drives parsing of updates, printing by formats, default tables and
//! the messages that list what there is.

/// One code.
#[derive(Debug)]
pub struct Code<F: 'static> {
    /// The letter, as in `%h` and `h=`.
    pub letter: char,
    /// What it stands for.
    pub field: F,
    /// The same for people.
    pub meaning: &'static str,
    /// The heading of its column in a table.
    pub heading: &'static str,
    /// How an update may use it.
    pub update: Use,
}

/// How an update may use a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It says whom the update is about.
    Key,
    /// It is set by people and reports, as its meaning says.
    Settable,
    /// Athena alone knows it.
    ReadOnly,
}

/// A kind of record that has codes.
pub trait Coded: Copy + PartialEq + 'static {
    /// Its table.
    const TABLE: &'static [Code<Self>];
    /// What a table shows that nobody gave a format for.
    const COLUMNS: &'static [Self];
    /// Whether `%{name}` names further fields.
    const NAMED: bool;

    /// The code of this letter.
    fn code(letter: char) -> Option<&'static Code<Self>> {
        Self::TABLE.iter().find(|code| code.letter == letter)
    }

    /// The code of this name of an argument.
    fn argument(name: &str) -> Option<&'static Code<Self>> {
        let mut characters = name.chars();
        let letter = characters.next()?;
        characters.next().is_none().then(|| Self::code(letter)).flatten()
    }

    /// The row that this field stands in.
    fn row(self) -> &'static Code<Self> {
        let mut rows = Self::TABLE.iter();
        // Every field stands in its table: a test holds that.
        rows.find(|code| code.field == self).unwrap_or(&Self::TABLE[0])
    }
}

/// A backend's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phys {
    /// Its name.
    Name,
    /// Its preferred address.
    Address,
    /// Its port.
    Port,
    /// Its administrative state.
    Admin,
    /// Its health, the worst that anybody says.
    Health,
    /// Its health as people marked it.
    Mark,
    /// Its feed.
    Feed,
    /// A statistic that has a letter.
    Statistic(&'static str),
    /// Its weight in force.
    Weight,
    /// Seconds since its last report.
    Age,
    /// Answers since its last report.
    AnswersSince,
    /// Answers.
    Answers,
}

/// A farm's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farm {
    /// Its name.
    Name,
    /// On or off.
    Switch,
    /// Its algorithm.
    Algorithm,
    /// How many members it has.
    Members,
    /// How many of them are available.
    Available,
    /// Where its answers come from.
    Source,
    /// Answers.
    Answers,
}

/// A field of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Our version.
    Version,
    /// Seconds since the start.
    Uptime,
    /// DNS queries answered.
    DnsQueries,
    /// Text queries answered.
    TextQueries,
    /// Reports taken.
    Reports,
    /// Reports refused.
    Refused,
    /// Mirror peers: reachable and all.
    Mirror,
}

const fn row<F>(
    letter: char,
    field: F,
    heading: &'static str,
    update: Use,
    meaning: &'static str,
) -> Code<F> {
    Code { letter, field, meaning, heading, update }
}

use Use::{Key, ReadOnly, Settable};

impl Coded for Phys {
    const TABLE: &'static [Code<Self>] = &[
        row('h', Self::Name, "name", Key, "name"),
        row('a', Self::Address, "address", ReadOnly, "address"),
        row('p', Self::Port, "port", ReadOnly, "port"),
        row('s', Self::Admin, "state", Settable, "administrative state: on, drain, off"),
        row('v', Self::Health, "health", Settable, "health: up, down"),
        row('V', Self::Mark, "mark", Settable, "health as people marked it: up, down"),
        row('i', Self::Feed, "feed", Settable, "feed: new, in, out"),
        row('l', Self::Statistic("l"), "load", Settable, "load"),
        row('c', Self::Statistic("c"), "connections", Settable, "connections"),
        row('u', Self::Statistic("u"), "utilisation", Settable, "utilisation, 0 to 1"),
        row('q', Self::Statistic("q"), "rps", Settable, "requests per second"),
        row('e', Self::Statistic("e"), "eps", Settable, "errors per second"),
        row('r', Self::Statistic("r"), "in-flight", Settable, "requests in flight"),
        row('n', Self::Statistic("n"), "requests", Settable, "requests taken so far (a counter)"),
        row('w', Self::Weight, "weight", Settable, "weight (configured, or overridden)"),
        row('t', Self::Age, "age", ReadOnly, "age of the last report, s"),
        row('d', Self::AnswersSince, "since", ReadOnly, "answers since the last report"),
        row('N', Self::Answers, "answers", ReadOnly, "answers given"),
    ];
    const COLUMNS: &'static [Self] = &[
        Self::Name,
        Self::Address,
        Self::Port,
        Self::Admin,
        Self::Health,
        Self::Feed,
        Self::Statistic("l"),
        Self::Weight,
        Self::Age,
        Self::Answers,
    ];
    const NAMED: bool = true;
}

impl Coded for Farm {
    const TABLE: &'static [Code<Self>] = &[
        row('n', Self::Name, "name", Key, "name"),
        row('s', Self::Switch, "state", Settable, "administrative state: on, off"),
        row('g', Self::Algorithm, "algorithm", ReadOnly, "algorithm"),
        row('k', Self::Members, "members", ReadOnly, "members"),
        row('j', Self::Available, "available", ReadOnly, "members available"),
        row('x', Self::Source, "source", ReadOnly, "source of answers: members, fallback NAME, stale, none"),
        row('N', Self::Answers, "answers", ReadOnly, "answers given"),
    ];
    const COLUMNS: &'static [Self] = &[
        Self::Name,
        Self::Switch,
        Self::Algorithm,
        Self::Members,
        Self::Available,
        Self::Answers,
        Self::Source,
    ];
    const NAMED: bool = false;
}

impl Coded for Engine {
    const TABLE: &'static [Code<Self>] = &[
        row('V', Self::Version, "version", ReadOnly, "version"),
        row('U', Self::Uptime, "uptime", ReadOnly, "uptime, s"),
        row('Q', Self::DnsQueries, "dns-queries", ReadOnly, "DNS queries answered"),
        row('B', Self::TextQueries, "text-queries", ReadOnly, "text queries answered"),
        row('R', Self::Reports, "reports", ReadOnly, "reports taken"),
        row('E', Self::Refused, "refused", ReadOnly, "reports refused"),
        row('M', Self::Mirror, "mirror", ReadOnly, "mirror peers reachable/all"),
    ];
    const COLUMNS: &'static [Self] = &[
        Self::Version,
        Self::Uptime,
        Self::DnsQueries,
        Self::TextQueries,
        Self::Reports,
        Self::Refused,
        Self::Mirror,
    ];
    const NAMED: bool = false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::statistics::{NOT_STATISTICS, StatisticName};

    /// `http.md`, "Codes": those of a backend, farm and engine, in its order.
    const SPEC: [&str; 3] = ["hapsvilcuqernwtdN", "nsgkjxN", "VUQBREM"];

    fn letters<F: Coded>() -> String {
        F::TABLE.iter().map(|code| code.letter).collect()
    }

    fn each_field_stands_once<F: Coded + std::fmt::Debug>() {
        for code in F::TABLE {
            assert_eq!(F::TABLE.iter().filter(|other| other.letter == code.letter).count(), 1, "{code:?}");
            assert_eq!(code.field.row().letter, code.letter, "{code:?}");
        }
        for &column in F::COLUMNS {
            assert_eq!(column.row().field, column);
        }
    }

    #[test]
    fn the_tables_are_those_of_the_contract() {
        // `V` is ours: the mark of people on health, which balance.md keeps apart.
        assert_eq!(letters::<Phys>().replace('V', ""), SPEC[0]);
        assert_eq!(letters::<Farm>(), SPEC[1]);
        assert_eq!(letters::<Engine>(), SPEC[2]);
        each_field_stands_once::<Phys>();
        each_field_stands_once::<Farm>();
        each_field_stands_once::<Engine>();
    }

    #[test]
    fn letters_of_statistics_are_statistics_to_the_engine_and_others_are_not() {
        for code in Phys::TABLE {
            let name = code.letter.to_string();
            match code.field {
                Phys::Statistic(statistic) => {
                    assert_eq!(statistic, name);
                    assert!(StatisticName::parse(statistic).is_some(), "{name}");
                }
                _ if code.letter.is_ascii_lowercase() => {
                    assert!(NOT_STATISTICS.contains(&name.as_str()), "{name}");
                }
                _ => assert!(StatisticName::parse(&name).is_none(), "{name}"),
            }
        }
    }
}
