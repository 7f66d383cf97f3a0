//! `hash`: the same key, the same member.
//!
//! Idea: rendezvous hashing (Thaler and Ravishankar 1998) in its weighted form: each member draws a number from the key and its
//! own name, the best draw wins; when a member goes, only its keys move, each to its own second best. From
//! [`LOOK_AT_ALL`] members on, a Maglev table (Eisenbud et al., NSDI 2016) gives the same in one look-up, at the price of
//! a few per cent more moves. A bound on the load (Mirrokni, Thorup, Zadimoghaddam 2018) keeps a hot key from drowning
//! its member: who has had more than `hash_bound` times its fair share of the recent answers is passed over, and the next
//! in the key's own order is taken. The bound counts from some answers a member on, so few clients stay where they are.
//! Without a key the choice is random by weight. Cost: one hash and one draw a member, or one look-up. Not when: clients
//! need no memory; then `least-load` balances better.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::super::random::{hash_key, mix};
use super::sample::Alias;
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "hash",
    summary: "the same key, the same member, with bounded load",
    source: "Thaler 1998, Maglev 2016, Mirrokni 2018",
    sees_load: false,
    sees_key: true,
    build: |params| Box::new(Hash { bound: params.hash_bound }),
};

/// From here on a table is cheaper than asking everybody.
pub(in crate::balance) const LOOK_AT_ALL: usize = 9;
/// Places in the table a member has on average.
const PLACES: usize = 100;
/// Largest table.
const LARGEST: usize = 1 << 21;
/// Places of a key in the table that are tried before its excess goes anywhere.
const ATTEMPTS: u64 = 16;
/// Recent answers a member is allowed beyond its bound, and before which there is none.
const SLACK: f64 = 16.0;
/// Recent answers are halved when there are this many a member.
const RECENT: u32 = 64;

/// Hashes a key, for every farm and every machine alike.
pub(in crate::balance) fn hash(key: &[u8]) -> u64 {
    hash_key(0, key)
}

/// Weighted rendezvous: a member's draw for a key. The least one wins; it is an exponential draw over the weight.
pub(in crate::balance) fn draw(key: u64, seed: u64, inverse: f64) -> f64 {
    let uniform = ((mix(key ^ seed) >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64);
    -uniform.ln() * inverse
}

/// The entry that holds a key's `attempt`-th place in a table.
pub(in crate::balance) fn place(table: &[u32], key: u64, attempt: u64) -> u32 {
    let place = (u128::from(mix(key.wrapping_add(attempt))) * table.len() as u128) >> 64;
    table[place as usize]
}

struct Hash {
    bound: f64,
}

impl Algorithm for Hash {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let sum: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
        let seats = candidates
            .iter()
            .map(|candidate| Seat {
                bound: (self.bound * candidate.weight / sum) as f32,
                recent: AtomicU32::new(0),
            })
            .collect::<Box<[Seat]>>();
        let drawers = candidates
            .iter()
            .map(|candidate| Drawer { seed: candidate.seed, inverse: 1.0 / candidate.weight });
        let table = if candidates.len() >= LOOK_AT_ALL {
            let members: Vec<_> =
                candidates.iter().map(|candidate| (candidate.weight, candidate.seed)).collect();
            // The last candidate's place is the trace of the farm's size that is left here.
            maglev(&members, candidates.last().map_or(0, |last| last.id.0 as usize + 1))
        } else {
            Box::default()
        };
        Box::new(Prepared {
            alias: Alias::new(candidates.iter().map(|candidate| candidate.weight)),
            ids: Ids::of(candidates),
            drawers: drawers.collect(),
            seats,
            table,
            recent: AtomicU32::new(0),
        })
    }
}

/// Who draws for keys.
struct Drawer {
    seed: u64,
    inverse: f64,
}

impl Drawer {
    fn draw(&self, key: u64) -> f64 {
        draw(key, self.seed, self.inverse)
    }
}

/// What bounds a member's load.
struct Seat {
    /// Largest part of the recent answers.
    bound: f32,
    recent: AtomicU32,
}

struct Prepared {
    ids: Ids,
    drawers: Box<[Drawer]>,
    seats: Box<[Seat]>,
    table: Box<[u32]>,
    alias: Alias,
    recent: AtomicU32,
}

impl Prepared {
    /// Whether a seat has had its part of the recent answers.
    fn is_full(&self, seat: &Seat) -> bool {
        let recent = self.recent.load(Relaxed) as f32;
        seat.recent.load(Relaxed) as f32 > recent * seat.bound + SLACK as f32
    }

    /// Counts an answer. Two threads may count as one: a bound is no finer than that.
    fn count(&self, index: usize) {
        let recent = &self.seats[index].recent;
        recent.store(recent.load(Relaxed).saturating_add(1), Relaxed);
        let all = self.recent.load(Relaxed).saturating_add(1);
        self.recent.store(all, Relaxed);
        if all >= RECENT.saturating_mul(self.seats.len() as u32) {
            // One thread halves; answers counted meanwhile by others may be lost, which only forgets a little faster.
            if self.recent.compare_exchange(all, all / 2, Relaxed, Relaxed).is_ok() {
                self.seats.iter().for_each(|seat| seat.recent.store(seat.recent.load(Relaxed) / 2, Relaxed));
            }
        }
    }

    /// The first in the key's own order that is not full. The order behind a table is cut short: what a key has in
    /// excess of so many members' bounds goes anywhere.
    fn best(&self, key: u64, random: &mut dyn Random) -> Option<usize> {
        let has_room = |index: usize| !self.is_full(&self.seats[index]);
        if self.table.is_empty() {
            return self.least(key, has_room).or_else(|| self.least(key, |_| true));
        }
        let mut places = (0..ATTEMPTS).map(|attempt| place(&self.table, key, attempt) as usize);
        places.find(|&index| has_room(index)).or_else(|| Some(self.alias.draw(random)))
    }

    fn least(&self, key: u64, take: impl Fn(usize) -> bool) -> Option<usize> {
        let drawers = self.drawers.iter().enumerate().filter(|(index, _)| take(*index));
        let draws = drawers.map(|(index, drawer)| (drawer.draw(key), index));
        draws.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, index)| index)
    }
}

/// Maglev's table: members take turns, by weight, to claim the next free place of their own permutation. Whose turn it
/// is, the earliest deadline says, so that a heavy member among many light ones costs no empty rounds.
///
/// Takes the members' weights and seeds, and how many the farm has in all: the size of the table follows these in steps
/// of two, for if it followed who is available, a member that goes would move every key.
pub(in crate::balance) fn maglev(members: &[(f64, u64)], in_all: usize) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let in_all = in_all.max(members.len()).next_power_of_two();
    let size = prime_at_least((in_all * PLACES).min(LARGEST).max(in_all * 2)) as u64;
    let sum: f64 = members.iter().map(|(weight, _)| weight).sum();
    // Between two turns of a member, in a time in which the whole table takes 2^40.
    let pace = |weight: f64| ((sum / weight) * (1u64 << 40) as f64 / size as f64) as u64;
    let mut turns: BinaryHeap<Reverse<(u64, u32)>> =
        members.iter().zip(0..).map(|(&(weight, _), index)| Reverse((pace(weight) / 2, index))).collect();
    let mut next: Vec<u64> = members.iter().map(|&(_, seed)| mix(seed) % size).collect();
    let mut table = vec![FREE; size as usize];
    for _ in 0..size {
        let Some(mut turn) = turns.peek_mut() else { break };
        let Reverse((due, index)) = *turn;
        let (weight, seed) = members[index as usize];
        let step = mix(seed ^ 0x5bd1_e995) % (size - 1) + 1;
        let place = &mut next[index as usize];
        while table[*place as usize] != FREE {
            *place = (*place + step) % size;
        }
        table[*place as usize] = index;
        *turn = Reverse((due.saturating_add(pace(weight).max(1)), index));
    }
    table.into()
}

/// The first prime from `least` on; at least 11.
fn prime_at_least(least: usize) -> usize {
    let is_prime = |number: &usize| {
        (2..)
            .take_while(|divisor| divisor * divisor <= *number)
            .all(|divisor| !number.is_multiple_of(divisor))
    };
    (least.max(11)..).find(is_prime).expect("there are primes without end")
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        if self.seats.is_empty() {
            return None;
        }
        if pick.key.is_empty() {
            return Some(self.ids.get(self.alias.draw(random)));
        }
        let index = self.best(hash(pick.key), random)?;
        self.count(index);
        Some(self.ids.get(index))
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let key = if pick.key.is_empty() { random.next() } else { hash(pick.key) };
        let mut drawn: Vec<(f64, MemberId)> = self
            .drawers
            .iter()
            .enumerate()
            .map(|(index, one)| (one.draw(key), self.ids.get(index)))
            .collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.extend(drawn.into_iter().map(|(_, id)| id));
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let sum: f64 = self.drawers.iter().map(|one| 1.0 / one.inverse).sum();
        let share = |(index, one): (usize, &Drawer)| (self.ids.get(index), 1.0 / one.inverse / sum);
        self.drawers.iter().enumerate().map(share).collect()
    }
}
