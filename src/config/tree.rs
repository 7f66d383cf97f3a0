//! A configuration's values, packed: a configuration may have a hundred thousand sections of one key.
//!
//! A table is a sorted list, a string lies in the file's text where it can. figment's own values and the parser's are five
//! and ten times as large for such sections; they are taken apart as these are made of them.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

/// A value, and which layer it came from.
#[derive(Debug)]
pub struct Tree<'t> {
    /// The layer's number.
    pub layer: u16,
    /// What it is.
    pub value: Packed<'t>,
}

/// What a value is.
#[derive(Debug)]
pub enum Packed<'t> {
    /// A string.
    Text(Cow<'t, str>),
    /// An integer.
    Whole(i64),
    /// A number with a fraction, or too large.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Box<[Tree<'t>]>),
    /// A table, in the order of its keys.
    Table(Box<[Entry<'t>]>),
}

/// A key and its value.
pub type Entry<'t> = (Cow<'t, str>, Tree<'t>);

impl<'t> Tree<'t> {
    /// The value of this key, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Packed::Table(entries) = &self.value else { return None };
        find(entries, key).map(|place| &entries[place].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Packed::Table(entries) = &mut self.value else { return None };
        find(entries, key).map(|place| &mut entries[place].1)
    }

    /// Packs what was parsed, all of it from this layer.
    pub fn of_file(value: DeValue<'t>, layer: u16) -> Self {
        let value = match value {
            DeValue::String(text) => Packed::Text(text),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Packed::Whole(number),
                Err(_) => Packed::Number(beyond(integer.as_str())),
            },
            DeValue::Float(float) => Packed::Number(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Packed::Flag(flag),
            DeValue::Datetime(datetime) => Packed::Text(datetime.to_string().into()),
            DeValue::Array(items) => {
                let item = |item: toml::Spanned<DeValue<'t>>| Self::of_file(item.into_inner(), layer);
                Packed::List(items.into_iter().map(item).collect())
            }
            DeValue::Table(table) => Packed::table(table, layer),
        };
        Self { layer, value }
    }
}

impl<'t> Packed<'t> {
    /// Packs a table that was parsed, all of it from this layer.
    pub fn table(table: DeTable<'t>, layer: u16) -> Self {
        let mut entries: Vec<Entry<'t>> = Vec::with_capacity(table.len());
        for (key, value) in table {
            entries.push((key.into_inner(), Tree::of_file(value.into_inner(), layer)));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self::Table(entries.into())
    }
}

fn find(entries: &[Entry<'_>], key: &str) -> Option<usize> {
    entries.binary_search_by(|(have, _)| (**have).cmp(key)).ok()
}

/// An integer beyond 64 bits: no key takes as much, and as a float it can still be shown.
pub fn beyond(text: &str) -> f64 {
    text.parse().unwrap_or(f64::INFINITY)
}
