//! Answers on their way out: sorted by client, handed over with as few calls and packets through the kernel as possible.
//!
//! Half of what an answer costs is its way down through the kernel's layers. Answers of equal length to one client make
//! that way together: the kernel takes them as one (`UDP_SEGMENT`, Linux 4.18) and cuts it into datagrams as late as it
//! can, in the network card if that can. A proxy sends all its queries from one port or a few, so under load most of a
//! batch goes to the same few clients, and an answer costs less than a bare echo. Where a route cannot do it, the system
//! says so, and answers go singly from then on.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, sendmmsg};

use super::socket::Family;
use super::{BATCH, Listener, PLACE, Place};

/// Longest answer that shares its way: all of a batch are below the 64 KiB that the kernel takes at once, and one is below
/// every path's MTU (RFC 791 asks for 576 octets).
const LONGEST_SHARED: u16 = 512;
/// How long a full send queue may stay full before the rest of a batch is given up, in milliseconds.
const FULL_QUEUE: u8 = 100;
/// How often in one batch that is waited for.
const PATIENCE: u32 = 3;
/// Places in the table that finds answers to one client; a power of two.
const TABLE: usize = 128;
/// So many batches in a row in which sharing failed end it.
const STRIKES: u32 = 3;
/// A free place in the table.
const FREE: u8 = u8::MAX;

/// Whom an answer goes to, and from which of our addresses, where it has to be told.
pub type Ways<F> = (Option<<F as Family>::Peer>, Option<<F as Family>::Local>);

/// Buffers that all sockets of a thread use in turn. Each datagram has a place, which its answer may overwrite.
pub struct Buffers {
    /// Where datagrams arrive.
    pub places: Box<[Place]>,
    /// Their lengths.
    pub lengths: [usize; BATCH],
    /// Answers that were not written over their query.
    pub replies: [Vec<u8>; BATCH],
}

impl Default for Buffers {
    fn default() -> Self {
        let replies = std::array::from_fn(|_| Vec::new());
        Self { places: vec![[0; PLACE]; BATCH].into(), lengths: [0; BATCH], replies }
    }
}

/// Answers of one batch from one socket.
pub struct Outbox<F: Family> {
    letters: [Letter<F>; BATCH],
    count: usize,
    /// Letters in the order in which they leave; those to one client together.
    order: [u8; BATCH],
    shared: Vec<Parcel>,
    single: Vec<Parcel>,
    headers_to_share: MultiHeaders<F::Peer>,
    headers: MultiHeaders<F::Peer>,
    /// Batches in a row in which nothing could be shared that could be sent singly.
    strikes: u32,
}

/// One answer.
struct Letter<F: Family> {
    to: Option<F::Peer>,
    /// Our address, where it has to be told.
    from: Option<F::Local>,
    datagram: u8,
    /// Whether it stands in its query's place.
    in_place: bool,
    length: u16,
}

/// Letters `start..start + count` of the order, of one length, from one address to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parcel {
    start: u8,
    count: u8,
    length: u16,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// Answers that the system did not take.
    pub lost: usize,
    /// Why the last of them was not taken.
    pub error: Option<Errno>,
    /// Why answers go singly from now on, if that is new.
    pub shares_no_more: Option<Errno>,
}

impl<F: Family> Outbox<F> {
    /// For a socket; `told` if each answer must be told the address that it leaves from.
    pub fn new(told: bool) -> Self {
        let letter = || Letter { to: None, from: None, datagram: 0, in_place: false, length: 0 };
        let room = told.then(F::room_for_local);
        Self {
            letters: std::array::from_fn(|_| letter()),
            count: 0,
            order: [0; BATCH],
            shared: Vec::with_capacity(BATCH),
            single: Vec::with_capacity(BATCH),
            headers_to_share: MultiHeaders::preallocate(BATCH, Some(F::room_to_share(told))),
            headers: MultiHeaders::preallocate(BATCH, room),
            strikes: 0,
        }
    }

    /// Forgets what was put in and not sent.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Puts in the answer to a datagram: in its place, if it has a length there, or apart.
    pub fn put(&mut self, datagram: usize, length: Option<usize>, buffers: &Buffers, (to, from): Ways<F>) {
        let in_place = length.is_some();
        // One that is longer than any datagram is refused by the system whatever its length.
        let length = length.unwrap_or(buffers.replies[datagram].len()).try_into().unwrap_or(u16::MAX);
        self.letters[self.count] = Letter { to, from, datagram: datagram as u8, in_place, length };
        self.count += 1;
    }

    /// Sends everything that was put in.
    pub fn send(&mut self, buffers: &Buffers, listener: &Listener) -> Sent {
        let mut sent = Sent::default();
        self.pack();
        let refusal = self.send_shared(buffers, listener);
        self.send_single(buffers, listener, &mut sent);
        match refusal {
            Some(error) if sent.lost == 0 => {
                self.strikes += 1;
                sent.shares_no_more = (self.strikes == STRIKES).then_some(error);
            }
            _ => {}
        }
        self.clear();
        sent
    }

    /// Sorts letters into parcels. A table finds the parcel to add to; where two clients want the same place in it, the
    /// later one has it.
    fn pack(&mut self) {
        self.shared.clear();
        self.single.clear();
        let may_share = self.strikes < STRIKES && self.count > 1;
        if !may_share {
            let single = |(number, letter): (usize, &Letter<F>)| {
                self.order[number] = number as u8;
                Parcel { start: number as u8, count: 1, length: letter.length }
            };
            self.single.extend(self.letters[..self.count].iter().enumerate().map(single));
            return;
        }
        let mut table = [FREE; TABLE];
        // Of each parcel the first and the last letter, and their number; of each letter the next one in its parcel.
        let mut parcels = [(0u8, 0u8, 0u8); BATCH];
        let mut next = [0u8; BATCH];
        let mut count = 0;
        for number in 0..self.count {
            let letter = &self.letters[number];
            let place = &mut table[letter.spread() & (TABLE - 1)];
            if let Some((first, last, letters)) = parcels.get_mut(usize::from(*place))
                && letter.shares_with(&self.letters[usize::from(*first)])
            {
                next[usize::from(*last)] = number as u8;
                (*last, *letters) = (number as u8, *letters + 1);
                continue;
            }
            *place = count as u8;
            parcels[count] = (number as u8, number as u8, 1);
            count += 1;
        }
        let mut start = 0;
        for &(first, _, letters) in &parcels[..count] {
            let length = self.letters[usize::from(first)].length;
            let parcel = Parcel { start: start as u8, count: letters, length };
            let mut number = first;
            for _ in 0..letters {
                self.order[start] = number;
                number = next[usize::from(number)];
                start += 1;
            }
            if letters > 1 { self.shared.push(parcel) } else { self.single.push(parcel) }
        }
        // One call sends parcels of one length; most often there is only one.
        if self.shared.iter().any(|parcel| parcel.length != self.shared[0].length) {
            self.shared.sort_unstable_by_key(|parcel| parcel.length);
        }
    }

    /// Sends the shared parcels. What cannot be sent so is left among the single ones; gives why, if nothing could.
    fn send_shared(&mut self, buffers: &Buffers, listener: &Listener) -> Option<Errno> {
        let mut refusal = None;
        let mut next = 0;
        while next < self.shared.len() {
            let (parcels, headers) = (&self.shared[next..], &mut self.headers_to_share);
            match hand_over(parcels, (&self.letters, &self.order), headers, true, buffers, listener) {
                Ok(taken) => {
                    self.strikes = 0;
                    next += taken.max(1);
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    refusal = Some(error);
                    let Parcel { start, count, length } = self.shared[next];
                    self.single.extend((start..start + count).map(|start| Parcel {
                        start,
                        count: 1,
                        length,
                    }));
                    next += 1;
                }
            }
        }
        refusal
    }

    fn send_single(&mut self, buffers: &Buffers, listener: &Listener, sent: &mut Sent) {
        let mut patience = PATIENCE;
        let mut next = 0;
        while next < self.single.len() {
            let (parcels, headers) = (&self.single[next..], &mut self.headers);
            match hand_over(parcels, (&self.letters, &self.order), headers, false, buffers, listener) {
                // sendmmsg(2): an error behind the first message is told by the next call, which begins with that one.
                Ok(taken) => next += taken.max(1),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) if patience > 0 => {
                    patience = if has_room(listener) { patience - 1 } else { 0 };
                }
                Err(error) => {
                    // With the queue full the others would fail as well; else one bad answer must not hold them up.
                    let full = matches!(error, Errno::EAGAIN | Errno::ENOBUFS);
                    let lost = if full { self.single.len() - next } else { 1 };
                    next += lost;
                    sent.lost += lost;
                    sent.error = Some(error);
                }
            }
        }
    }
}

impl<F: Family> Letter<F> {
    /// Whether the two may be one parcel.
    fn shares_with(&self, other: &Self) -> bool {
        self.length == other.length
            && self.length <= LONGEST_SHARED
            && self.to == other.to
            && self.from == other.from
    }

    fn spread(&self) -> usize {
        self.to.as_ref().map_or(0, F::spread) + usize::from(self.length)
    }

    fn octets<'a>(&self, buffers: &'a Buffers) -> &'a [u8] {
        let datagram = usize::from(self.datagram);
        if self.in_place {
            &buffers.places[datagram][..usize::from(self.length)]
        } else {
            &buffers.replies[datagram]
        }
    }
}

/// Gives the system as many of the parcels, from the first on, as one call can take, which are those that leave from one
/// address and, if they are shared ones, have one length; gives how many it took, at least one.
fn hand_over<F: Family>(
    parcels: &[Parcel],
    (letters, order): (&[Letter<F>; BATCH], &[u8; BATCH]),
    headers: &mut MultiHeaders<F::Peer>,
    shared: bool,
    buffers: &Buffers,
    listener: &Listener,
) -> Result<usize, Errno> {
    let letter = |place: u8| &letters[usize::from(order[usize::from(place)])];
    let (first, from) = (&parcels[0], &letter(parcels[0].start).from);
    let alike =
        |parcel: &&Parcel| letter(parcel.start).from == *from && (!shared || parcel.length == first.length);
    let octets: [_; BATCH] = std::array::from_fn(|place| IoSlice::new(letter(place as u8).octets(buffers)));
    let mut messages: [&[IoSlice<'_>]; BATCH] = [&[]; BATCH];
    let mut to = [None; BATCH];
    let mut count = 0;
    for parcel in parcels.iter().take_while(alike) {
        let start = usize::from(parcel.start);
        messages[count] = &octets[start..start + usize::from(parcel.count)];
        to[count] = letter(parcel.start).to;
        count += 1;
    }
    let from = from.as_ref().map(F::leave_from);
    let cut = ControlMessage::UdpGsoSegments(&first.length);
    let told: &[ControlMessage<'_>] = match (from, shared) {
        (None, false) => &[],
        (Some(from), false) => &[from],
        (None, true) => &[cut],
        (Some(from), true) => &[from, cut],
    };
    let (messages, to, descriptor) = (&messages[..count], &to[..count], listener.socket.as_raw_fd());
    sendmmsg(descriptor, headers, messages, to, told, MsgFlags::MSG_DONTWAIT).map(Iterator::count)
}

/// Waits until the send queue has room; gives whether it has.
fn has_room(listener: &Listener) -> bool {
    let mut socket = [PollFd::new(listener.socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut socket, PollTimeout::from(FULL_QUEUE)).is_ok_and(|count| count > 0)
}
