//! The same query once more: a client that missed the answer sends the same packet again, from the same port, after one to
//! five seconds (nginx, libc, HAProxy), and networks double packets at once. It gets the same member, and that is counted
//! once: one request is on its way, not two.
//!
//! Who was given for which packet is noted in a small memory of fixed size, [`SLOTS`] words; what comes later overwrites
//! it. So a thread that gives r answers a second forgets a packet after about [`SLOTS`] / r seconds, and knows it again
//! less often the busier it is; what it has forgotten is simply a fresh choice. The bound has a reason: a client that sends
//! many queries from one port draws the same identifier for another query after some while. With the same name in it
//! nothing tells that query from a repetition, and of n packets in memory n / 65536 are so taken for one, at most one
//! in 16. Unique labels in front of the farm make every packet its own.
//!
//! Members may have changed their places by a reload; then the place noted is somebody else's, who may be chosen as well.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::algorithm::MemberId;
use super::choice::Choice;
use super::farm::{Ask, Farm};
use super::moment::Moment;
use super::note::Note;
use super::random::{Random, SplitMix, hash_octets, mix};
use super::sticky::Stick;
use super::token::Mode;
use super::view::ViewSource;

/// How long a packet is the same one: those that wait longest for an answer, nginx and libc, send it again after 5 s.
pub const MEMORY: Duration = Duration::from_secs(6);
/// Packets remembered at most; a power of two.
const SLOTS: usize = 1 << 12;

/// Who was given for which packet. For one thread, or for threads that take turns on their sockets.
pub struct Repeats {
    slots: Box<[AtomicU64]>,
    /// Drawn at the start, so that nobody can make packets that push out those of others.
    seed: u64,
}

impl Default for Repeats {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, seed: SplitMix::from_system().next() }
    }
}

/// One packet, and the memory that may know it.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    repeats: &'a Repeats,
    hash: u64,
}

impl std::fmt::Debug for Packet<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Packet({:016x})", self.hash)
    }
}

impl Repeats {
    /// The packet of these octets from this address and port.
    #[inline]
    pub fn packet(&self, client: SocketAddr, octets: &[u8]) -> Packet<'_> {
        let address = match client.ip() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                mix(bits as u64) ^ (bits >> 64) as u64
            }
        };
        let sender = self.seed ^ mix(address << 16 | u64::from(client.port()));
        Packet { repeats: self, hash: hash_octets(sender, octets) }
    }
}

impl Packet<'_> {
    #[inline]
    fn slot(&self) -> &AtomicU64 {
        // The tag is made of the upper bits, the place of the lower ones.
        &self.repeats.slots[self.hash as usize % SLOTS]
    }

    /// Notes who was given for it.
    #[inline]
    pub(super) fn note(&self, member: MemberId, now: Moment) {
        self.slot().store(Note::new(self.hash, member, now).map_or(0, Note::bits), Relaxed);
    }

    /// Who was given for it a moment ago.
    #[inline]
    pub(super) fn given(&self, now: Moment) -> Option<MemberId> {
        let note = Note::from_bits(self.slot().load(Relaxed));
        note.is_about(self.hash, MEMORY, now).then(|| note.member())
    }
}

impl Farm {
    /// The choice that was made for the same packet a moment ago, if that member may still be given. Counts only that
    /// there was a repetition.
    #[cold]
    pub(super) fn repeat(
        &self,
        member: MemberId,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Option<Choice> {
        let other;
        let mut farm = self;
        if let Stick::Token(token) = &ask.stick
            && token.mode() == Mode::Farm
        {
            other = self.hot.common.farm(token.target())?;
            farm = &other;
        }
        let mut view = farm.view();
        if let ViewSource::Farm(relay) = &view.source {
            view = relay.view();
        }
        let has_place = (member.0 as usize) < view.members.len();
        if !(has_place && matches!(view.source, ViewSource::Members)) {
            return None;
        }
        let may_be_given = match &ask.stick {
            Stick::Token(token) if token.mode() == Mode::Pin => true,
            Stick::Token(token) if token.mode() == Mode::Keep => view.holds(member),
            _ => view.is_candidate(member),
        };
        let is_there = may_be_given && view.machine(member).address(ask.family).is_some();
        if !is_there {
            return None;
        }
        self.hot.common.repeats.fetch_add(1, Relaxed);
        Some(farm.with_spares(view, member, ask, most, random))
    }
}
