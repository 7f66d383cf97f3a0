//! Who was given a moment ago, in eight octets: what memories of a fixed size are made of ([`again`](super::again),
//! [`repeat`](super::repeat)).
//!
//! A slot of such a memory is one atomic word, so that nobody waits for anybody; what is noted last stands there.

use std::time::Duration;

use super::algorithm::MemberId;
use super::moment::Moment;

/// Tag (23 bits), whether it was followed (1), time (20), member + 1 (20); 0 is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note(u64);

const MEMBER_BITS: u32 = 20;
const TIME_BITS: u32 = 20;
const FOLLOWED: u64 = 1 << (MEMBER_BITS + TIME_BITS);
const TAG: u64 = !(FOLLOWED | (FOLLOWED - 1));
/// Nanoseconds in a unit of time, as a power of two: 17 ms, so that the time comes round after five hours.
const UNIT: u32 = 24;
/// Threads read the clock before they come here, so a note may be a little younger than whoever reads it.
const AHEAD: u64 = 64;

impl Note {
    /// Of a member whose place fits; those beyond a million are not noted. The tag is made of the upper bits of `hash`.
    #[inline]
    pub(super) fn new(hash: u64, member: MemberId, now: Moment) -> Option<Self> {
        let member = u64::from(member.0) + 1;
        let time = now.nanos() >> UNIT & ((1 << TIME_BITS) - 1);
        (member < 1 << MEMBER_BITS).then_some(Self(hash & TAG | time << MEMBER_BITS | member))
    }

    /// What stands in a slot.
    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What a slot is to hold.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn member(self) -> MemberId {
        MemberId((self.0 & ((1 << MEMBER_BITS) - 1)) as u32 - 1)
    }

    pub(super) fn is_followed(self) -> bool {
        self.0 & FOLLOWED != 0
    }

    /// The same, followed.
    pub(super) fn followed(self) -> Self {
        Self(self.0 | FOLLOWED)
    }

    /// Whether it is about what hashes to `hash`, and no older than `span`.
    #[inline]
    pub(super) fn is_about(self, hash: u64, span: Duration, now: Moment) -> bool {
        let mask = (1 << TIME_BITS) - 1;
        let age = (now.nanos() >> UNIT).wrapping_sub(self.0 >> MEMBER_BITS).wrapping_add(AHEAD) & mask;
        self.0 != 0 && (self.0 ^ hash) & TAG == 0 && age <= AHEAD + (span.as_nanos() as u64 >> UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_beyond_a_million_are_not_noted_wrongly() {
        let now = Moment::from_unix(Duration::from_secs(1_795_000_000));
        assert!(Note::new(1 << 60, MemberId((1 << MEMBER_BITS) - 1), now).is_none());
        let note = Note::new(u64::MAX, MemberId((1 << MEMBER_BITS) - 2), now).unwrap();
        assert_eq!((note.member().0, note.is_followed()), ((1 << MEMBER_BITS) - 2, false));
        assert!(note.followed().is_followed());
    }
}
