//! Farms by name, in a table of their own beside the index of zones: they are asked for most, and may be ten thousand.
//!
//! A farm's name is one label of at most 32 octets below the apex of the first zone. So it is four words, in lower case and
//! filled up with zeros: read from wherever it stands in a datagram, hashed and compared without a loop over octets or a
//! branch that depends on its length. Whoever answers keeps [what he has found](crate::dns::wire) by the same key.

use std::ops::Range;

use hashbrown::HashTable;

use crate::balance::name::MAX_NAME;
use crate::balance::random::lower;

const WORD: usize = size_of::<u64>();
const WORDS: usize = MAX_NAME / WORD;

/// A farm's name, or what may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u64; WORDS]);

impl Key {
    /// A label of so many octets, in any letter case, which `octets` begin with; they may go on behind it. `None` if no name
    /// is so long, or has the octet 0 at its end, which would be taken for none.
    #[inline]
    pub fn read(octets: &[u8], length: usize) -> Option<Self> {
        if length > MAX_NAME || *octets.get(length.checked_sub(1)?)? == 0 {
            return None;
        }
        let mut copy = [0; MAX_NAME];
        let whole = octets.first_chunk().unwrap_or_else(|| {
            copy[..octets.len()].copy_from_slice(octets);
            &copy
        });
        let (words, _) = whole.as_chunks::<WORD>();
        let bits = length as u32 * u8::BITS;
        let word = |number: usize| {
            let mask = first_bits(bits.saturating_sub(number as u32 * u64::BITS));
            lower(u64::from_le_bytes(words[number]) & mask)
        };
        Some(Self(std::array::from_fn(word)))
    }

    /// A hash of it. Not keyed: only names of the configuration are stored, so no client can make them collide.
    #[inline]
    pub fn hash(&self) -> u64 {
        const ODD: [u64; WORDS] =
            [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd1b5_4a32_d192_ed03];
        let products = self.0.iter().zip(ODD).map(|(word, odd)| word.wrapping_mul(odd));
        // The lower bits of a product tell nothing of the upper ones of a word.
        let sum = products.fold(0, u64::wrapping_add);
        (sum ^ sum >> 32).wrapping_mul(ODD[0])
    }
}

/// So many ones from the lowest bit up, at most all.
#[inline]
fn first_bits(bits: u32) -> u64 {
    1u64.checked_shl(bits).map_or(u64::MAX, |next| next - 1)
}

/// The names of the farms, each with its number.
pub struct FarmTable(HashTable<(Key, u32)>);

impl FarmTable {
    /// Of names in the order of their numbers, all different.
    pub fn new<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let mut table = HashTable::with_capacity(names.len());
        for (name, number) in names.zip(0..) {
            if let Some(key) = Key::read(name.as_bytes(), name.len()) {
                table.insert_unique(key.hash(), (key, number), |(key, _)| key.hash());
            }
        }
        Self(table)
    }

    /// The number of the farm that has this name.
    #[inline]
    pub fn find(&self, key: &Key) -> Option<usize> {
        let (_, number) = self.0.find(key.hash(), |(other, _)| other == key)?;
        Some(*number as usize)
    }
}

/// The apex of the zone that farms are in, as it is looked for behind their names.
pub struct Apex {
    /// Its words, and which of their bits count.
    words: Box<[(u64, u64)]>,
    first: u8,
}

/// A name that may be a farm's, with or without labels in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Where the label below the apex begins, at its length octet.
    pub label: u8,
    /// Where the one in front of that begins; the same where there is none.
    pub before: u8,
}

impl Below {
    /// Where the labels in front stand, each with its length octet; empty if there are none.
    #[inline]
    pub fn labels(self) -> Range<usize> {
        0..usize::from(self.label)
    }

    /// Where the text of the last of them stands; empty if there is none.
    #[inline]
    pub fn nearest(self) -> Range<usize> {
        match self.label {
            0 => 0..0,
            label => usize::from(self.before) + 1..usize::from(label),
        }
    }
}

impl Apex {
    /// Of a wire name in lower case.
    pub fn new(wire: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            (u64::from_le_bytes(word), first_bits(chunk.len() as u32 * u8::BITS))
        };
        Self { words: wire.chunks(WORD).map(word).collect(), first: wire.first().copied().unwrap_or(0) }
    }

    /// Whether a wire name in any letter case is this one; `octets` may go on behind it.
    #[inline]
    fn begins(&self, octets: &[u8]) -> bool {
        let is_there = |(number, &(word, mask)): (usize, &(u64, u64))| {
            let rest = octets.get(number * WORD..).unwrap_or_default();
            let found = rest.first_chunk().copied().unwrap_or_else(|| {
                let mut few = [0; WORD];
                few[..rest.len()].copy_from_slice(rest);
                few
            });
            lower(u64::from_le_bytes(found) & mask) == word
        };
        // The last octet of a name is 0, and so are those that are not there.
        octets.len() >= self.length() && self.words.iter().enumerate().all(is_there)
    }

    fn length(&self) -> usize {
        let last = self.words.last().map_or(0, |(_, mask)| mask.count_ones() / u8::BITS);
        self.words.len().saturating_sub(1) * WORD + last as usize
    }

    /// Where in the name that `octets` begin with, in any letter case, the labels in front of the apex are. `None` if it is not
    /// below the apex. `octets` may go on behind the name.
    #[inline]
    pub fn below(&self, octets: &[u8]) -> Option<Below> {
        let (mut at, mut below) = (0, None);
        loop {
            let length = *octets.get(at)?;
            if length == self.first && self.begins(&octets[at..]) {
                return below;
            }
            if !(1..=63).contains(&length) {
                return None;
            }
            // Nor is a name longer.
            let label = u8::try_from(at).ok()?;
            let before = below.map_or(label, |below: Below| below.label);
            below = Some(Below { label, before });
            at += 1 + usize::from(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: &str = "a-name-of-two-and-thirty-octets_";

    fn find(table: &FarmTable, label: &[u8], behind: &[u8]) -> Option<usize> {
        let octets = [label, behind].concat();
        table.find(&Key::read(&octets, label.len())?)
    }

    #[test]
    fn names_are_found_in_any_case_and_whatever_stands_behind_them() {
        let names = ["one", "two", "o", "farm_one", "farm-ten", LONGEST, &LONGEST[..31]];
        let table = FarmTable::new(names.iter().copied());
        for behind in [&b""[..], b"\x06athena\0", &[0; 40], &[b'Z'; 40]] {
            for (name, number) in names.iter().zip(0..) {
                assert_eq!(find(&table, name.as_bytes(), behind), Some(number));
                assert_eq!(find(&table, name.to_uppercase().as_bytes(), behind), Some(number));
            }
            let longer = [LONGEST, "x"].concat();
            for stranger in
                [&b""[..], b"on", b"ones", b"one\0", b"o\0", b"\0", b"farm_ona", longer.as_bytes()]
            {
                assert_eq!(find(&table, stranger, behind), None, "{stranger:?}");
            }
        }
        assert_eq!(Key::read(b"one", 5), None, "cut short");
    }

    #[test]
    fn ten_thousand_names_are_each_their_own() {
        let names: Vec<String> = (0..10_000).map(|number| format!("farm_{number}")).collect();
        let table = FarmTable::new(names.iter().map(String::as_str));
        assert!(
            names.iter().zip(0..).all(|(name, number)| find(&table, name.as_bytes(), b"") == Some(number))
        );
    }

    #[test]
    fn the_apex_is_found_at_the_end_of_a_name_and_nowhere_else() {
        let apex = Apex::new(b"\x06athena\x07example\0");
        assert_eq!(apex.length(), 16);
        let below = |octets: &[u8]| apex.below(octets).map(|below| (below.before, below.label));
        assert_eq!(below(b"\x03one\x06ATHENA\x07example\0\0\x01"), Some((0, 0)));
        assert_eq!(below(b"\x01a\x02bc\x03one\x06athena\x07Example\0"), Some((2, 5)));
        assert_eq!(below(b"\x06athena\x07example\0"), None, "the apex itself");
        assert_eq!(below(b"\x06athena\x06athena\x07example\0"), Some((0, 0)));
        for other in [
            &b""[..],
            b"\0",
            b"\x03one\x06athena\x07example",
            b"\x03one\x06athena\x07example\x01a\0",
            b"\x03one\x06athenb\x07example\0",
            b"\x03one\xc0\x0c",
            b"\x40",
        ] {
            assert_eq!(below(other), None, "{other:?}");
        }
        assert_eq!(below(&[1; 4000]), None);
        assert_eq!(Apex::new(b"\0").below(b"\x01a\x03one\0"), Some(Below { label: 2, before: 0 }));
    }
}
