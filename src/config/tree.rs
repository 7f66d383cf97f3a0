//! Values as they stand in the layers of a configuration, each with its layer, and how one layer goes over another.
//!
//! A configuration may name a hundred thousand backends. So a table is a sorted list and no tree of its own: trees of
//! small trees take ten times the memory, of which the process keeps a good part for as long as it lives.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A layer's number: later ones win.
pub type Layer = u16;

/// A value and the layer that it came from; a table's is the last one that filled it.
#[derive(Debug, Clone)]
pub struct Value {
    /// The layer.
    pub layer: Layer,
    /// What it is.
    pub content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A string.
    Text(Box<str>),
    /// An integer.
    Whole(i64),
    /// A number with a fraction, or too large.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Box<[Value]>),
    /// A table.
    Table(Table),
}

impl Content {
    /// The value that has this content in this layer.
    pub fn at(self, layer: Layer) -> Value {
        Value { layer, content: self }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// Keys and their values, in alphabetical order.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<(Box<str>, Value)>);

impl Table {
    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(key))
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).ok().map(|place| &self.0[place].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.find(key).ok().map(|place| &mut self.0[place].1)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// Takes entries in any order; of several with one key the last counts.
    pub fn of(entries: impl IntoIterator<Item = (Box<str>, Value)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        // Sorting leaves equal keys in their order; each takes the place of the one before it.
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(entries)
    }

    /// Takes all entries out.
    pub fn take(&mut self) -> impl Iterator<Item = (Box<str>, Value)> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// Puts a value at the end of this path, beside what is there; tables on the way are of this layer if they are new.
    pub fn insert(&mut self, path: &[&str], value: Value) {
        let [first, rest @ ..] = path else { return };
        let layer = value.layer;
        match (self.find(first), rest) {
            (Ok(place), []) => self.0[place].1 = value,
            (Err(place), []) => self.0.insert(place, ((*first).into(), value)),
            (Ok(place), _) => {
                if let Content::Table(below) = &mut self.0[place].1.content {
                    below.insert(rest, value);
                }
            }
            (Err(place), _) => {
                let mut below = Self::default();
                below.insert(rest, value);
                self.0.insert(place, ((*first).into(), Content::Table(below).at(layer)));
            }
        }
    }

    /// Lays another table over this one: tables become one, of everything else the other's counts.
    pub fn merge(&mut self, over: Self) {
        if self.0.is_empty() {
            *self = over;
            return;
        }
        for (key, value) in over.0 {
            match self.find(&key) {
                Err(place) => self.0.insert(place, (key, value)),
                Ok(place) => match (&mut self.0[place].1, value) {
                    (
                        Value { layer, content: Content::Table(under) },
                        Value { layer: upper, content: Content::Table(over) },
                    ) => {
                        *layer = upper;
                        under.merge(over);
                    }
                    (under, over) => *under = over,
                },
            }
        }
    }
}

/// A parsed table as one of this layer. Takes it to pieces on the way, so that no two whole ones are in memory.
pub fn table(parsed: DeTable<'_>, layer: Layer) -> Table {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        (key.into_inner().into(), value_of(value.into_inner(), layer))
    };
    Table::of(parsed.into_iter().map(entry))
}

/// A parsed value as one of this layer.
pub fn value_of(parsed: DeValue<'_>, layer: Layer) -> Value {
    let content = match parsed {
        DeValue::String(text) => Content::Text(text.into()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Content::Whole(number),
            // Beyond 64 bits: no key takes as much, and as a float it can still be shown.
            Err(_) => Content::Number(integer.as_str().parse::<f64>().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(float) => Content::Number(float.as_str().parse::<f64>().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Content::Flag(flag),
        DeValue::Datetime(datetime) => Content::Text(datetime.to_string().into()),
        DeValue::Array(items) => {
            Content::List(items.into_iter().map(|item| value_of(item.into_inner(), layer)).collect())
        }
        DeValue::Table(parsed) => Content::Table(table(parsed, layer)),
    };
    content.at(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, layer: Layer) -> Table {
        let (parsed, errors) = DeTable::parse_recoverable(text);
        assert_eq!(errors, []);
        table(parsed.into_inner(), layer)
    }

    fn whole(table: &Table, path: &[&str]) -> Option<(i64, Layer)> {
        let (last, above) = path.split_last().unwrap();
        let table = above.iter().try_fold(table, |table, key| match &table.get(key)?.content {
            Content::Table(below) => Some(below),
            _ => None,
        })?;
        match table.get(last)? {
            Value { layer, content: Content::Whole(number) } => Some((*number, *layer)),
            _ => None,
        }
    }

    #[test]
    fn a_layer_goes_over_another_key_by_key() {
        let mut root = parsed("a = 1\nb = [1, 2]\n[t]\nx = 1\ny = 1\n[only]\nz = 1\n", 0);
        root.merge(parsed("a = 2\nb = 3\n[t]\ny = 2\n[new]\nw = 2\n", 1));
        for (path, found) in [
            (&["a"][..], (2, 1)),
            (&["b"], (3, 1)),
            (&["t", "x"], (1, 0)),
            (&["t", "y"], (2, 1)),
            (&["only", "z"], (1, 0)),
            (&["new", "w"], (2, 1)),
        ] {
            assert_eq!(whole(&root, path), Some(found), "{path:?}");
        }
        assert_eq!(root.get("t").unwrap().layer, 1, "the last that filled it");
        assert_eq!(root.get("only").unwrap().layer, 0);
        let keys: Vec<_> = root.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "b", "new", "only", "t"]);
    }

    #[test]
    fn a_value_finds_its_place_at_the_end_of_a_path() {
        let mut root = Table::default();
        root.insert(&["b", "c"], Content::Whole(1).at(3));
        root.insert(&["b", "a"], Content::Whole(2).at(3));
        root.insert(&["a"], Content::Whole(3).at(3));
        root.insert(&["b", "c"], Content::Whole(4).at(3));
        root.insert(&["a", "below"], Content::Whole(5).at(3));
        assert_eq!(whole(&root, &["b", "c"]), Some((4, 3)));
        assert_eq!(whole(&root, &["b", "a"]), Some((2, 3)));
        assert_eq!(whole(&root, &["a"]), Some((3, 3)), "what is no table stays");
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        let entries = ["b", "a", "b", "c", "a"].into_iter().zip(1..);
        let table = Table::of(entries.map(|(key, number)| (key.into(), Content::Whole(number).at(0))));
        let found: Vec<_> = table.iter().map(|(key, _)| (key, whole(&table, &[key]).unwrap().0)).collect();
        assert_eq!(found, [("a", 5), ("b", 3), ("c", 4)]);
    }
}
