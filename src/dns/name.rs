//! Names in wire format: what the index of zones is keyed by, and what messages are compressed by.
//!
//! A wire name is labels, each a length octet and as many octets, then the root's 0 (RFC 1035, 3.1). Hashes run from the
//! root outwards, so the hash of a name goes on from that of its parent and one pass gives the hashes of all suffixes.

use std::ops::Range;

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Most labels of a name of 255 octets, the root not counted.
pub const MAX_LABELS: usize = 127;

/// The hash of the root.
pub const ROOT_HASH: u64 = 0x243f_6a88_85a3_08d3;

/// The hash of a name, from its parent's and its first label with the length octet. Not keyed: only names of the
/// configuration are stored under it, so no client can make them collide.
#[inline]
pub fn extend_hash(parent: u64, label: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(29);
    let (words, rest) = label.as_chunks::<8>();
    let hash = words.iter().fold(parent, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let tail = rest.iter().rev().fold(0, |tail, &octet| tail << 8 | u64::from(octet));
    let hash = mix(hash, tail);
    hash ^ hash >> 32
}

/// Where the labels of a name begin.
pub struct Labels {
    starts: [u8; MAX_LABELS],
    count: usize,
}

impl Labels {
    /// Finds the labels of the name that `wire` begins with; `None` if it begins with none, or with a compressed one.
    #[inline]
    pub fn of(wire: &[u8]) -> Option<Self> {
        let mut labels = Self { starts: [0; MAX_LABELS], count: 0 };
        let mut at = 0;
        loop {
            match *wire.get(at)? {
                0 => return Some(labels),
                length @ 1..=63 => {
                    *labels.starts.get_mut(labels.count)? = u8::try_from(at).ok()?;
                    labels.count += 1;
                    at += 1 + usize::from(length);
                }
                _ => return None,
            }
        }
    }

    /// How many there are, the root not counted.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where label `index`, counted from the left, begins: at its length octet.
    #[inline]
    pub fn start(&self, index: usize) -> usize {
        usize::from(self.starts[index])
    }

    /// Label `index` of `wire` with its length octet.
    #[inline]
    pub fn label<'a>(&self, wire: &'a [u8], index: usize) -> &'a [u8] {
        let start = self.start(index);
        &wire[start..=start + usize::from(wire[start])]
    }

    /// Where the text of label `index` of `wire` stands, without the length octet.
    #[inline]
    pub fn text(&self, wire: &[u8], index: usize) -> Range<usize> {
        let start = self.start(index);
        start + 1..start + 1 + usize::from(wire[start])
    }
}

/// A name in wire format, in its own letter case.
pub fn to_wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 1);
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label);
    }
    wire.push(0);
    wire
}

/// A name in wire format and lower case (RFC 4343; length octets are below the letters and stay).
pub fn to_lower_wire(name: &Name) -> Vec<u8> {
    let mut wire = to_wire(name);
    wire.make_ascii_lowercase();
    wire
}

/// The name that an uncompressed wire name spells.
pub fn from_wire(wire: &[u8]) -> Option<Name> {
    Name::read(&mut BinDecoder::new(wire)).ok()
}

/// The key that labels in front of a farm are for hashing rules: their text, joined by dots, without the last dot; the
/// same bytes that `key=` of a text query holds. One label needs no copy; several are joined in `buffer`.
pub fn key<'a>(labels: &'a [u8], buffer: &'a mut [u8; 255]) -> &'a [u8] {
    let Some((&first, text)) = labels.split_first() else { return &[] };
    if usize::from(first) == text.len() {
        return text;
    }
    let Some(joined) = buffer.get_mut(..text.len()) else { return text };
    joined.copy_from_slice(text);
    let mut at = usize::from(first);
    while let Some(&length) = text.get(at) {
        joined[at] = b'.';
        at += 1 + usize::from(length);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_and_broken_names_are_not() {
        let wire = b"\x03a-b\x01c\0rest";
        let labels = Labels::of(wire).unwrap();
        assert_eq!((labels.count(), labels.start(1)), (2, 4));
        assert_eq!((labels.label(wire, 0), &wire[labels.text(wire, 1)]), (&b"\x03a-b"[..], &b"c"[..]));
        assert_eq!(Labels::of(b"\0").unwrap().count(), 0);
        for broken in [&b""[..], b"\x03ab", b"\xc0\x0c", b"\x40a\0"] {
            assert!(Labels::of(broken).is_none(), "{broken:?}");
        }
        assert!(Labels::of(&[1].repeat(600)).is_none());
        let most = [&b"\x01a".repeat(127)[..], b"\0"].concat();
        assert_eq!(Labels::of(&most).unwrap().count(), 127);
    }

    #[test]
    fn a_hash_depends_on_every_octet_and_on_the_order() {
        let hash =
            |labels: &[&[u8]]| labels.iter().rev().fold(ROOT_HASH, |hash, label| extend_hash(hash, label));
        let all = [
            hash(&[b"\x01a", b"\x01b"]),
            hash(&[b"\x01b", b"\x01a"]),
            hash(&[b"\x03a\x01b"]),
            hash(&[b"\x08abcdefgh"]),
            hash(&[b"\x09abcdefgh\0"]),
            hash(&[]),
        ];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    }

    #[test]
    fn names_go_to_the_wire_and_back() {
        let name = Name::from_ascii("App01.PHYS.athena.").unwrap();
        assert_eq!(to_wire(&name), b"\x05App01\x04PHYS\x06athena\0");
        assert_eq!(to_lower_wire(&name), b"\x05app01\x04phys\x06athena\0");
        assert!(from_wire(&to_wire(&name)).unwrap().eq_case(&name));
    }

    #[test]
    fn a_key_is_the_labels_text() {
        let mut buffer = [0; 255];
        assert_eq!(key(b"", &mut buffer), b"");
        assert_eq!(key(b"\x03abc", &mut buffer), b"abc");
        assert_eq!(key(b"\x03abc\x01d\x02ef", &mut buffer), b"abc.d.ef");
    }
}
