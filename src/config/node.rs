//! What the checks walk: a value with its way and its origin.

use super::file::{Origin, Typed};
use super::path::{Path, Step};
use super::tree::{Entry, Packed, Tree};

/// What a value is, as far as TOML tells things apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape<'a> {
    /// A string.
    Text(&'a str),
    /// An integer.
    Whole(i128),
    /// A number with a fraction, or too large.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list of so many items.
    List(usize),
    /// A table.
    Table,
}

/// A value, with its path and its origin.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    typed: &'a Typed<'a>,
    value: &'a Tree<'a>,
    /// How it was reached.
    pub path: Path<'a>,
}

impl<'a> Node<'a> {
    /// A value of `typed`.
    pub(super) fn new(typed: &'a Typed<'a>, value: &'a Tree<'a>, path: Path<'a>) -> Self {
        Self { typed, value, path }
    }

    /// What it is.
    pub fn shape(&self) -> Shape<'a> {
        match &self.value.value {
            Packed::Text(text) => Shape::Text(text),
            Packed::Flag(flag) => Shape::Flag(*flag),
            Packed::Number(number) => Shape::Number(*number),
            Packed::Whole(number) => Shape::Whole(i128::from(*number)),
            Packed::List(items) => Shape::List(items.len()),
            Packed::Table(_) => Shape::Table,
        }
    }

    /// Where it came from. A table that several layers filled came from the last of them.
    pub fn origin(&self) -> Origin<'a> {
        self.typed.origin(self.value.layer)
    }

    /// The value of this key, if this is a table that has it.
    pub fn get(&self, key: &'a str) -> Option<Self> {
        self.value.get(key).map(|value| self.below(value, Step::Key(key)))
    }

    /// Its keys and their values, in alphabetical order; nothing if it is no table.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let node = *self;
        let entries: &'a [Entry<'a>] = match &self.value.value {
            Packed::Table(entries) => entries,
            _ => &[],
        };
        entries.iter().map(move |(key, value)| (&**key, node.below(value, Step::Key(key))))
    }

    /// Its items; a value that is no list is the only item of one.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let node = *self;
        let (items, single) = match &self.value.value {
            Packed::List(items) => (&**items, None),
            _ => (&[][..], Some(node)),
        };
        let below = move |(place, value)| node.below(value, Step::Item(place));
        items.iter().enumerate().map(below).chain(single)
    }

    fn below(&self, value: &'a Tree<'a>, step: Step<'a>) -> Self {
        Self { value, path: self.path.then(step), ..*self }
    }
}
