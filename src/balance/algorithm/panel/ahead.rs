//! What choices will read of a panel, asked for ahead.

use super::super::super::ahead::{want, want_all, want_at};
use super::*;

impl<O: Beside> Panel<O> {
    /// See [`Select::fetch`]. Nothing of a large farm, of which nobody knows at whom a choice will look. `own` asks for what the
    /// rule reads beside a board.
    #[inline]
    pub fn fetch(&self, step: u32, own: impl Fn(&O, usize)) {
        match step {
            1 => {
                want(&self.stretches);
                want(&self.uneven);
            }
            _ if self.draw.is_some() => {}
            2 => {
                if let Some(uneven) = &self.uneven {
                    want(&**uneven);
                }
                if self.stretches.spilled() {
                    want_all(&self.stretches);
                } else {
                    self.want_all_numbers(own);
                }
            }
            _ if self.stretches.spilled() => self.want_all_numbers(own),
            _ => {}
        }
    }

    #[inline]
    fn want_all_numbers(&self, own: impl Fn(&O, usize)) {
        self.stretches.iter().for_each(|stretch| self.want_numbers(stretch, &own));
    }

    /// See [`Select::foresee`]: of a large farm, whom a choice soon after the next one will look at, and what it will read of them.
    #[inline]
    pub fn foresee(&self, random: &dyn Random, own: impl Fn(&O, usize)) -> Option<[MemberId; 2]> {
        let alias = &self.draw.as_ref()?.alias;
        if let Some(later) = random.foresee(FAR) {
            alias.want_two(later);
            alias.two_at(later).iter().for_each(|&drawn| want_at(&self.stretches, drawn));
        }
        let drawn = alias.two_at(random.foresee(NEAR)?).map(|drawn| &self.stretches[drawn]);
        for stretch in drawn {
            self.want_numbers(stretch, &own);
            self.tallies[stretch.tally.chunk()].want(stretch.tally.place());
        }
        Some(drawn.map(|stretch| self.id(stretch.first as usize)))
    }

    /// Asks for what tells where a candidate's numbers are.
    #[inline]
    pub fn want_stretch(&self, index: usize) {
        want_at(&self.stretches, self.guess(index));
    }

    /// Asks for a candidate's numbers.
    #[inline]
    pub fn want(&self, index: usize) {
        let found = self.find(index);
        let (board, _) = &self.boards[found.at.chunk()];
        board.want(found.at.place());
        if self.is_shared() {
            board.want_baselines(found.at.place());
        }
        self.tallies[found.tally.chunk()].want(found.tally.place());
    }

    #[inline]
    fn want_numbers(&self, stretch: &Stretch, own: &impl Fn(&O, usize)) {
        let (board, beside) = &self.boards[stretch.at.chunk()];
        board.want(stretch.at.place());
        own(beside, stretch.at.place());
        if self.is_shared() {
            board.want_baselines(stretch.at.place());
            for tally in [stretch.tally, stretch.tally.plus(stretch.length as usize - 1)] {
                // Where tallies do not follow each other, the last one is elsewhere.
                if let Some(tallies) = self.tallies.get(tally.chunk()) {
                    tallies.want(tally.place());
                }
            }
        }
    }
}
