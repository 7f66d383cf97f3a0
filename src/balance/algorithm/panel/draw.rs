//! Which stretches a choice in a large farm looks at.

use super::super::super::random::SplitMix;
use super::super::sample::Alias;
use super::*;

/// Stretches that a choice draws at most.
const MOST: usize = 4;

/// How stretches are drawn, of a farm that is too large to be looked at as a whole.
pub struct Draw {
    /// Draws one by weight.
    pub alias: Alias,
    /// Members of a full stretch.
    pub run: usize,
}

/// What one choice looks at: all of a small farm, some stretches of a large one.
pub struct Sample {
    /// Stretches, if some.
    pub drawn: [u32; MOST],
    /// How many they are.
    pub count: usize,
    /// What a choice among some draws beside them: so each takes one number, and what the next one will draw can be foreseen.
    pub rest: SplitMix,
}

impl<O: Beside> Panel<O> {
    /// What one choice will look at.
    #[inline]
    pub fn sample(&self, random: &mut dyn Random) -> Sample {
        match &self.draw {
            None => Sample { drawn: [0; MOST], count: 0, rest: SplitMix::new(0) },
            Some(draw) => self.sample_at(draw, random.next()),
        }
    }

    /// What one choice that draws these bits will look at.
    #[inline]
    fn sample_at(&self, draw: &Draw, bits: u64) -> Sample {
        let mut sample = Sample { drawn: [0; MOST], count: 0, rest: SplitMix::new(bits) };
        let (mut pair, mut seen) = (draw.alias.two_at(bits), 0);
        while let Some(place) = sample.drawn.get_mut(sample.count) {
            let drawn = pair[sample.count % 2];
            *place = drawn as u32;
            sample.count += 1;
            seen += self.stretches[drawn].length as usize;
            // Runs at the ends of boards may be a little short.
            if seen + 2 >= 2 * draw.run {
                break;
            }
            if sample.count == 2 {
                pair = draw.alias.two_at(sample.rest.next());
            }
        }
        sample
    }
}
