//! Stickiness: the same request, the same member, when a label, `t=` or a cookie says so.
//!
//! | what is said | what is given |
//! | --- | --- |
//! | `k` token | the backend TARGET as long as it is up (on or drain), else a fresh choice |
//! | `p` token | the backend TARGET, whatever its state |
//! | `f` token | what the farm TARGET gives |
//! | `s-KEY` | the member that KEY hashes to, among those available |
//! | anything else | a fresh choice |
//!
//! Whoever says it, DNS and text alike, has it read by [`Farm::read_label`] or [`Farm::read_token`], and hands the
//! [`Stick`] to the choice. `s-KEY` does not ask the farm's rule, and bounds no load: it keeps a user where he is.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::algorithm::hash::{LOOK_AT_ALL, draw, hash, maglev, place};
use super::algorithm::{MemberId, Select};
use super::choice::{Choice, Lack};
use super::farm::{Ask, Farm};
use super::moment::Moment;
use super::random::Random;
use super::token::{self, Mode, Token, TokenError};
use super::view::View;

/// What a request says about whom it wants.
#[derive(Debug, Clone, Copy, Default)]
pub enum Stick<'a> {
    /// Nothing.
    #[default]
    No,
    /// `s-KEY`: the KEY, in any letter case.
    Key(&'a [u8]),
    /// A token that was verified for the farm.
    Token(Token),
    /// It tried: a fresh choice, and one more that is counted.
    Failed(TokenError),
}

/// What stands in front of a KEY.
const KEY_PREFIX: &[u8] = b"s-";

/// A token that holds, but names nobody that the farm has.
struct Foreign;

impl Farm {
    /// What the label next to the farm says. What is neither `s-KEY` nor a token is an ordinary label, and remains the
    /// caller's key, as does a token that fails. Allocates nothing and counts nothing: the choice does.
    #[inline]
    pub fn read_label<'a>(&self, label: &'a [u8], now: Moment) -> Stick<'a> {
        if let Some((prefix, key)) = label.split_at_checked(KEY_PREFIX.len())
            && prefix.eq_ignore_ascii_case(KEY_PREFIX)
            && !key.is_empty()
        {
            return Stick::Key(key);
        }
        if token::is_formed(label) { self.verify(label, now) } else { Stick::No }
    }

    /// What `t=` or a cookie says: the same as a label, but what has not the form of anything has failed.
    pub fn read_token<'a>(&self, text: &'a [u8], now: Moment) -> Stick<'a> {
        match self.read_label(text, now) {
            Stick::No => self.verify(text, now),
            stick => stick,
        }
    }

    #[cold]
    fn verify(&self, text: &[u8], now: Moment) -> Stick<'static> {
        let keys = self.hot.common.keys.load();
        match token::verify(text, self.name(), &keys, now) {
            // Without keys there are no tokens, whatever a label looks like.
            _ if keys.is_empty() => Stick::No,
            Ok(token) => Stick::Token(token),
            Err(error) => Stick::Failed(error),
        }
    }

    /// Chooses as a token says, or afresh where it says nothing that can be followed. A token is counted with the answer
    /// that it comes with, so that a query for a type that is not there counts nothing.
    #[cold]
    pub(super) fn choose_by_token(&self, ask: &Ask<'_>, most: usize, random: &mut dyn Random) -> Choice {
        let counts = &self.hot.common.tokens;
        let (followed, count) = match &ask.stick {
            Stick::Token(token) => match self.follow_token(token, ask, most, random) {
                Ok(followed) => (followed, &counts.held),
                Err(Foreign) => (None, &counts.foreign),
            },
            Stick::Failed(TokenError::Malformed) => (None, &counts.malformed),
            Stick::Failed(TokenError::Expired) => (None, &counts.expired),
            Stick::Failed(TokenError::Forged) => (None, &counts.forged),
            Stick::No | Stick::Key(_) => return self.choose_freely(self.view(), ask, most, random),
        };
        let choice = followed.unwrap_or_else(|| self.choose_freely(self.view(), ask, most, random));
        if matches!(choice, Choice::Member(_) | Choice::Elsewhere(_)) {
            count.fetch_add(1, Relaxed);
        }
        choice
    }

    /// The token's choice; `None` if here and now a fresh one is due.
    fn follow_token(
        &self,
        token: &Token,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Result<Option<Choice>, Foreign> {
        if token.mode() == Mode::Farm {
            return self.move_to_farm(token, ask, most, random);
        }
        let view = self.view();
        let target = view.find(token.target()).ok_or(Foreign)?;
        // A second try is due to somebody else, unless nobody else will do.
        if token.mode() == Mode::Keep && (ask.again || !view.holds(target)) {
            return Ok(None);
        }
        let machine = view.machine(target);
        if machine.address(ask.family).is_none() {
            let unresolved = machine.addresses.is_empty();
            return Ok(Some(if unresolved { Choice::Nobody } else { Choice::NoAddress }));
        }
        self.count_on(1);
        Ok(Some(self.give(view, target, ask, most, random)))
    }

    /// Chooses for a KEY, for a second try, or for a second try of a KEY; or says what there is instead of a member.
    #[cold]
    pub(super) fn choose_specially(
        &self,
        view: &View,
        select: &dyn Select,
        ask: &Ask<'_>,
        random: &mut dyn Random,
    ) -> Result<MemberId, Lack> {
        let first = if ask.again { self.first_choice(view, ask) } else { None };
        if let Stick::Key(key) = ask.stick {
            let member = view.stick_to(key, first).ok_or(Lack::Member)?;
            // The same member for A and AAAA, even if it has only one of them.
            view.machine(member).address(ask.family).ok_or(Lack::Address)?;
            select.gave(member, ask.now);
            return Ok(member);
        }
        let member = match first {
            Some(first) => self.second_choice(view, select, ask, first, random),
            None => select.select(&self.pick(ask), random),
        };
        member.ok_or(Lack::Member)
    }

    /// An `f` token: the other farm's choice, which both farms count.
    fn move_to_farm(
        &self,
        token: &Token,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Result<Option<Choice>, Foreign> {
        if token.target() == self.name().as_str() {
            return Ok(None);
        }
        let farm = self.hot.common.farm(token.target()).ok_or(Foreign)?;
        let choice = farm.choose_freely(farm.view(), &Ask { stick: Stick::No, ..*ask }, most, random);
        if matches!(choice, Choice::Member(_) | Choice::Elsewhere(_)) {
            self.count_on(1);
        }
        Ok(Some(choice))
    }
}

impl View {
    /// The member of this name, in lower case.
    fn find(&self, name: &str) -> Option<MemberId> {
        let name_at = |place: &u32| self.members[*place as usize].name.as_str();
        let found = self.by_name.binary_search_by(|place| name_at(place).cmp(name)).ok()?;
        Some(MemberId(self.by_name[found]))
    }

    /// Whom a label sticks to here and now, for those who only look.
    pub(super) fn preferred(&self, ask: &Ask<'_>) -> Option<MemberId> {
        let member = match ask.stick {
            Stick::Key(key) => self.stick_to(key, None)?,
            Stick::Token(token) if token.mode() != Mode::Farm => {
                let target = self.find(token.target())?;
                Some(target).filter(|&target| token.mode() == Mode::Pin || self.holds(target))?
            }
            _ => return None,
        };
        self.machine(member).address(ask.family).map(|_| member)
    }

    pub(super) fn holds(&self, member: MemberId) -> bool {
        self.standing[member.0 as usize] != Standing::Gone
    }

    pub(super) fn is_candidate(&self, member: MemberId) -> bool {
        self.standing[member.0 as usize] == Standing::Candidate
    }

    /// Whom a KEY hashes to, `but` for one member if there is any other.
    pub(super) fn stick_to(&self, key: &[u8], but: Option<MemberId>) -> Option<MemberId> {
        let key = hash(key);
        let other = |member| self.is_candidate(member) && Some(member) != but;
        self.rendezvous
            .choose(key, other)
            .or_else(|| self.rendezvous.choose(key, |member| self.is_candidate(member)))
    }
}

/// What a token or a KEY may expect of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be chosen.
    Candidate,
    /// It may not, but it is up, so that those who were there before may stay: drained, or of weight 0.
    Held,
    /// It is off, down, out or suspect.
    Gone,
}

/// Weighted rendezvous hashing over all members of a farm, whatever their state: who is not available is passed over.
/// So a member that goes moves its own keys only, and has the same ones back when it returns, with any number of members.
/// Beyond a few, a key's order of members comes from Maglev's table, which is made at the first KEY that needs it:
/// most farms never see one.
#[derive(Debug, Default)]
pub(super) struct Rendezvous {
    /// The seeds of members of any weight.
    seeds: Box<[u64]>,
    /// Their places; none where these are all members.
    places: Box<[u32]>,
    /// Their weights; none where all weigh the same.
    weights: Box<[f64]>,
    /// What they weigh then.
    weight: f64,
    in_all: usize,
    table: OnceLock<Box<[u32]>>,
}

/// Places of a key that are tried before everybody is asked: with a tenth of the members available, one key in a
/// thousand gets that far.
const ATTEMPTS: u64 = 64;

impl Rendezvous {
    /// Takes each member's weight and seed, in the farm's order.
    pub(super) fn new(members: impl ExactSizeIterator<Item = (f64, u64)>) -> Self {
        let in_all = members.len();
        let seats: Vec<(u32, f64, u64)> = seats(members).collect();
        let weight = seats.first().map_or(1.0, |first| first.1);
        let alike = seats.iter().all(|seat| seat.1 == weight);
        Self {
            seeds: seats.iter().map(|seat| seat.2).collect(),
            places: seats.iter().map(|seat| seat.0).filter(|_| seats.len() < in_all).collect(),
            weights: seats.iter().map(|seat| seat.1).filter(|_| !alike).collect(),
            weight,
            in_all,
            table: OnceLock::new(),
        }
    }

    /// Place, weight and seed of each one.
    fn seats(&self) -> impl Iterator<Item = (u32, f64, u64)> {
        (0..self.seeds.len()).map(|seat| {
            (self.place(seat), self.weights.get(seat).copied().unwrap_or(self.weight), self.seeds[seat])
        })
    }

    fn place(&self, seat: usize) -> u32 {
        self.places.get(seat).copied().unwrap_or(seat as u32)
    }

    /// Whether these members have the weights that it was made for.
    pub(super) fn is_for(&self, members: impl ExactSizeIterator<Item = (f64, u64)>) -> bool {
        members.len() == self.in_all && seats(members).eq(self.seats())
    }

    fn choose(&self, key: u64, fits: impl Fn(MemberId) -> bool) -> Option<MemberId> {
        if self.seeds.len() >= LOOK_AT_ALL {
            let table = self.table.get_or_init(|| {
                let members: Vec<_> = self.seats().map(|(_, weight, seed)| (weight, seed)).collect();
                maglev(&members, self.in_all)
            });
            let places = (0..ATTEMPTS).map(|attempt| place(table, key, attempt));
            let mut members = places.map(|seat| MemberId(self.place(seat as usize)));
            if let Some(member) = members.find(|&member| fits(member)) {
                return Some(member);
            }
        }
        let fit = self.seats().filter(|seat| fits(MemberId(seat.0)));
        let draws = fit.map(|(place, weight, seed)| (draw(key, seed, 1.0 / weight), place));
        draws.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| MemberId(place))
    }
}

/// Members of any weight by their places: place, weight, seed.
fn seats(members: impl Iterator<Item = (f64, u64)>) -> impl Iterator<Item = (u32, f64, u64)> {
    let seats = members.zip(0..).map(|((weight, seed), place)| (place, weight, seed));
    seats.filter(|seat| seat.1 > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u32) -> Rendezvous {
        let seed = |member: u32| super::super::random::mix(u64::from(member) + 99);
        Rendezvous::new((0..count).collect::<Vec<_>>().into_iter().map(|member| (1.0, seed(member))))
    }

    #[test]
    fn a_member_that_goes_moves_its_own_keys_only_and_they_come_back() {
        for count in [3, 40] {
            let rendezvous = members(count);
            let gone = MemberId(1);
            let mut moved = 0;
            for key in 0..4_000 {
                let key = super::super::random::mix(key);
                let before = rendezvous.choose(key, |_| true).unwrap();
                let after = rendezvous.choose(key, |member| member != gone).unwrap();
                assert_ne!(after, gone);
                assert!(after == before || before == gone, "a key of another member moved");
                moved += u32::from(after != before);
            }
            let fair = 4_000 / count;
            assert!(moved > fair / 2 && moved < fair * 2, "{moved} of 4000 keys with {count} members");
        }
    }

    #[test]
    fn weights_say_how_many_keys_and_weight_0_has_none() {
        for count in [4u32, 20] {
            let weight = |member: u32| [0.0, 3.0, 1.0][(member as usize).min(2)];
            let seed = |member: u32| super::super::random::mix(u64::from(member) + 7);
            let all: Vec<(f64, u64)> = (0..count).map(|member| (weight(member), seed(member))).collect();
            let rendezvous = Rendezvous::new(all.iter().copied());
            assert!(rendezvous.is_for(all.iter().copied()));
            assert!(!rendezvous.is_for(all.iter().map(|(weight, seed)| (weight * 2.0, *seed))));
            let mut seen = vec![0u32; count as usize];
            for key in 0..20_000 {
                let chosen = rendezvous.choose(super::super::random::mix(key), |_| true).unwrap();
                seen[chosen.0 as usize] += 1;
            }
            let heavy = f64::from(seen[1]) / (20_000.0 * 3.0 / f64::from(count + 1));
            assert!(seen[0] == 0 && (0.9..1.1).contains(&heavy), "{seen:?}");
        }
    }

    #[test]
    fn the_last_one_is_found_among_many() {
        let rendezvous = members(500);
        for key in 0..50 {
            assert_eq!(rendezvous.choose(key, |member| member.0 == 321), Some(MemberId(321)));
        }
        assert_eq!(rendezvous.choose(1, |_| false), None);
    }
}
