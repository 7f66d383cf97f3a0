//! The bank of hypotheses: knee, load of one arrival, and whose capacity to believe.
//!
//! Each hypothesis predicts every report from the one before; its squared error, relative to the noise to be expected,
//! is averaged over the farm's last [`MEMORY`] predictions. How likely a hypothesis is follows from that average: with
//! Gaussian errors of unknown variance the likelihood is error^(−n/2). The gain and the capacities that drive are the
//! mean under these likelihoods, not those of the one best hypothesis: the mean moves smoothly, and where the gain
//! cannot be told it is some part of the usual load.
//!
//! The grid: [`KNEES`] and [`GAINS`] in units of the farm's usual load, [`DELAYS`] in seconds. The knee matters little,
//! so two of them do, a step of four apart. The gain matters, so the error is interpolated between the steps. A delay
//! tells answers that are cached (for a TTL, by a resolver or a proxy) and bring their requests over some time: what
//! they are still to bring counts as load. Which delays to expect is in [`delay`](super::delay).
//!
//! The fluid knows nothing of chance: where a member runs idle now and then, the next report shows less of what answers
//! brought than one answer brings. So the gain that predicts best is too small to choose by, the more so the longer
//! the interval, and a gain that is too small is worse than one too large: it sends everybody to the same member. So
//! it is raised ([`RAISE`], by simulations of queues alone and shared with other balancers).

use super::super::super::late::{Blank, Late};
use super::capacity::{MODES, USUAL_UTILIZATION, rate_in, shared_rate};
use super::delay::{DELAYS, Expected, STEADY};
use super::fluid;
use super::gain::{GAINS, likely_gain};
use super::member::{Interval, Member, Sums};

/// Knees, in units.
pub const KNEES: [f64; 2] = [0.25, 1.0];
/// Predictions over which errors are averaged.
const MEMORY: f64 = 2000.0;
/// Predictions are not independent of each other and their errors not Gaussian: so much of their number counts.
const CANDOUR: f64 = 0.2;
/// Largest error of one prediction that counts: one report says no more than many.
const MOST_ERROR: f64 = 100.0;
/// A knee is left when it is so much less likely than the best one.
const UNLIKELY: f64 = 0.2;

/// All members as fast as their weights say.
const ALIKE: [f64; MODES] = [1.0, 0.0, 0.0, 0.0, 0.0];
/// How likely each mode is before anything is known: members are alike, or at least stay as they are.
const MODE_PRIOR: [f64; MODES] = [1.0, 0.03, 0.2, 1.0, 0.1];
/// As [`CANDOUR`], for modes.
const MODE_CANDOUR: f64 = 0.5;
/// A member's own capacity is nonsense at first; only the last of so many parts of the predictions count.
const MODE_RECENT: f64 = 3.0;
/// By this factor the error of any other mode must be less than that of members that are alike: what explains less is not
/// worth following, for it may be what choices do by themselves (who is taken for fast is never idle for long).
const WORTHWHILE: f64 = 1.005;
/// A farm that is busy for a smaller part of its time is nearly idle. There capacities matter little to response times, but
/// decide among idle members, so that whoever looks fastest by chance would get most. So members are alike there,
/// unless it is so many times likelier that they are not.
const NEARLY_IDLE: (f64, f64) = (0.2, 100.0);
/// The gain is raised by 1.2 where intervals are short, by up to 1.7 where they hold 12 arrivals and more.
const RAISE: (f64, f64, f64) = (1.2, 0.5, 12.0);

/// By delay and gain.
type Errors = [[f64; GAINS.len()]; DELAYS.len()];

impl Blank for Errors {
    fn blank() -> &'static Self {
        static BLANK: Errors = [[0.0; GAINS.len()]; DELAYS.len()];
        &BLANK
    }
}

/// See the module's head. Loads are in units.
#[derive(Debug)]
pub struct Bank {
    /// The load of one arrival, if it was told.
    fixed: Option<f64>,
    /// What delays to expect before anything is known.
    expected: Expected,
    /// The part of its time that the farm is busy.
    busy: f64,
    /// Mean squared errors by delay and gain, for the knee that drives.
    errors: Late<Errors>,
    /// The same for the other knee and the delay that drives.
    other: [f64; GAINS.len()],
    mode_errors: [f64; MODES],
    /// The same for no hypothesis at all: that a load stays what it was, whatever comes.
    still: f64,
    judged: f64,
    /// Arrivals in an interval, averaged.
    arrivals: f64,
    /// What drives: the knee's place, the delay's, the gain, and how likely each mode is.
    knee: usize,
    delay: usize,
    gain: f64,
    modes: [f64; MODES],
    /// The likeliest mode, under which gains and knees are judged.
    mode: usize,
    /// Predictions until the likelihoods are worked out again.
    wait: u32,
}

impl Bank {
    /// Nothing is known; `fixed`: the load of one arrival in units, if it is.
    pub fn new(fixed: Option<f64>) -> Self {
        Self {
            fixed,
            expected: Expected::of_ttl(0.0),
            busy: USUAL_UTILIZATION,
            errors: Late::default(),
            other: [0.0; GAINS.len()],
            mode_errors: [0.0; MODES],
            still: 0.0,
            judged: 0.0,
            arrivals: 0.0,
            knee: 1,
            delay: 0,
            gain: fixed.unwrap_or(1.0),
            modes: ALIKE,
            mode: 0,
            wait: 8,
        }
    }

    /// The same for answers that are kept for `ttl` seconds and used again.
    pub fn caching(self, ttl: f64) -> Self {
        Self { expected: Expected::of_ttl(ttl), ..self }
    }

    /// The part of a reported load that the requests of an answer given now will meet.
    pub fn stays(&self) -> f64 {
        self.expected.stays(self.delay)
    }

    /// The knee that drives, in units, for a virtual queue that holds what is still to take effect too. Of a load that
    /// is all still to come 1/delay takes effect a second, so it falls as under a knee of capacity × delay.
    pub fn knee(&self, pool: &Sums, weight: f64) -> f64 {
        let rate = shared_rate(pool, self.delay, self.knee, self.gain) * weight;
        KNEES[self.knee] + rate * DELAYS[self.delay]
    }

    /// The load that a member's answers are still to bring, in units.
    pub fn to_come(&self, member: &Member) -> f64 {
        self.gain * member.pending[self.delay]
    }

    /// The load of one arrival that drives, in units.
    pub fn gain(&self) -> f64 {
        self.gain
    }

    /// The gain that predicts best.
    pub fn plain_gain(&self) -> f64 {
        if self.fixed.is_some() { self.gain } else { self.gain / self.raise() }
    }

    /// Whether requests are taken to come later than their answers, so that a virtual queue is not what is in a member.
    pub fn is_late(&self) -> bool {
        self.delay > 0
    }

    /// Arrivals that took effect, by the delay that drives.
    pub fn took_effect(&self, interval: &Interval) -> f64 {
        interval.arrivals[self.delay]
    }

    /// What a member's load becomes within `span` seconds, if so many arrivals come a second.
    pub fn goes_on(&self, member: &Member, pool: &Sums, load: f64, arrivals: f64, span: f64) -> f64 {
        let rate = self.rate(member, pool);
        if rate <= 0.0 {
            return load;
        }
        fluid::after(load, self.plain_gain() * arrivals.max(0.0), rate, KNEES[self.knee], span)
    }

    /// The time in which a member could do what lies below the knee, in seconds; infinite while that is not known.
    pub fn relaxation(&self, member: &Member, pool: &Sums) -> f64 {
        KNEES[self.knee] / self.rate(member, pool)
    }

    /// The capacity of a member that drives, in units a second; 0 while nothing is known.
    pub fn rate(&self, member: &Member, pool: &Sums) -> f64 {
        self.speed(member, pool).0
    }

    /// The same, and beside it the capacity with that of a member of weight 1 that is like the rest as 1. It is what members
    /// are compared by: of those that are alike it is the same to the last bit, whenever they reported.
    pub fn speed(&self, member: &Member, pool: &Sums) -> (f64, f64) {
        let one = shared_rate(pool, self.delay, self.knee, self.gain);
        let shared = one * member.weight;
        if shared <= 0.0 {
            return (0.0, member.weight);
        }
        if self.modes[0] >= 1.0 {
            return (shared, member.weight);
        }
        let part = |(mode, &likely): (usize, &f64)| {
            // Not worth the work.
            if likely < 1e-3 {
                return shared * likely;
            }
            likely * rate_in(mode, member, shared, self.delay, self.knee, self.gain)
        };
        let rate: f64 = self.modes.iter().enumerate().map(part).sum();
        (rate, rate / one)
    }

    /// Whether nothing was judged yet.
    pub fn is_new(&self) -> bool {
        self.judged == 0.0
    }

    /// Starts with a gain, in units, before anything is learned.
    pub fn begin_with(&mut self, gain: f64) {
        self.gain = self.fixed.unwrap_or(gain);
    }

    /// Judges every hypothesis by what a member's load became; gives whether what drives may have changed. `least_gain`
    /// and `usual` are the least gain to choose by and the farm's usual load, in units.
    pub fn judge(
        &mut self,
        member: &Member,
        pool: &Sums,
        interval: &Interval,
        least_gain: f64,
        usual: f64,
    ) -> bool {
        let Interval { before, after, ref arrivals, span } = *interval;
        let noise = 1.0 / (self.gain + before + after);
        let error = |rate: f64, delay: usize, knee: usize, gain: f64| {
            let told = fluid::after(before, gain * arrivals[delay] / span, rate, KNEES[knee], span);
            ((told - after) * (told - after) * noise).min(MOST_ERROR)
        };
        self.judged += 1.0;
        self.busy = pool.busy[self.knee] / pool.span.max(1e-9);
        self.arrivals += (arrivals[0] - self.arrivals) / self.judged.min(256.0);
        let step = 1.0 / self.judged.min(MEMORY);
        let (mode, gains) = (self.mode, self.fixed.as_ref().map_or(&GAINS[..], std::slice::from_ref));
        let judge = |means: &mut [f64], delay: usize, knee: usize| {
            for (mean, &gain) in means.iter_mut().zip(gains) {
                let shared = shared_rate(pool, delay, knee, gain) * member.weight;
                let rate = rate_in(mode, member, shared, delay, knee, gain);
                *mean += (error(rate, delay, knee, gain) - *mean) * step;
            }
        };
        for (delay, means) in self.errors.iter_mut().enumerate() {
            judge(means, delay, self.knee);
        }
        judge(&mut self.other, self.delay, 1 - self.knee);
        let step = (MODE_RECENT / self.judged).clamp(1.0 / MEMORY, 1.0);
        let shared = shared_rate(pool, self.delay, self.knee, self.gain) * member.weight;
        for (mode, mean) in self.mode_errors.iter_mut().enumerate() {
            let rate = rate_in(mode, member, shared, self.delay, self.knee, self.gain);
            *mean += (error(rate, self.delay, self.knee, self.gain) - *mean) * step;
        }
        let still = ((before - after) * (before - after) * noise).min(MOST_ERROR);
        self.still += (still - self.still) * step;
        self.wait -= 1;
        if self.wait > 0 {
            return false;
        }
        self.wait = if self.judged < 512.0 { 8 } else { 32 };
        self.weigh(least_gain, usual);
        true
    }

    /// Works out how likely everything is, and what drives.
    fn weigh(&mut self, least_gain: f64, usual: f64) {
        let power = 0.5 * CANDOUR * self.judged.min(MEMORY);
        let gains = self.fixed.map_or(GAINS.len(), |_| 1);
        let least = self.errors.map(|errors| least_of(&errors[..gains]));
        let best = least_of(&least);
        let likely = |delay: usize| self.expected.prior[delay] * (least[delay] / best).powf(-power);
        let delay =
            (0..DELAYS.len()).max_by(|&one, &other| likely(one).total_cmp(&likely(other))).unwrap_or(0);
        if likely(self.delay) < UNLIKELY * likely(delay) {
            let told = if delay == STEADY { 0 } else { delay };
            if told != self.delay {
                // What the other knee is worth with this delay is not known yet: no more than this one.
                self.delay = told;
                self.other = self.errors[told];
            }
        }
        let (this, other) = (least_of(&self.errors[self.delay][..gains]), least_of(&self.other[..gains]));
        let mut other_likely = (other / this).powf(-power);
        if other_likely * UNLIKELY > 1.0 {
            std::mem::swap(&mut self.errors[self.delay], &mut self.other);
            self.knee = 1 - self.knee;
            other_likely = other_likely.recip();
        }
        if self.fixed.is_none() {
            let this = likely_gain(&self.errors[self.delay], power, usual);
            let other = likely_gain(&self.other, power, usual);
            let mean = if other_likely.is_finite() {
                (this + other * other_likely) / (1.0 + other_likely)
            } else {
                this
            };
            let gain = mean * self.raise();
            self.gain = gain.max(least_gain);
            if gain < least_gain {
                return self.take_for_alike();
            }
        }

        let best = least_of(&self.mode_errors);
        if self.still <= best {
            return self.take_for_alike();
        }
        let power = 0.5 * MODE_CANDOUR * (self.judged / MODE_RECENT).min(MEMORY);
        let likely = |mode: usize| {
            let price = if mode == 0 { 1.0 } else { WORTHWHILE };
            MODE_PRIOR[mode] * (price * self.mode_errors[mode].max(TINY) / best).powf(-power)
        };
        let likely: [f64; MODES] = std::array::from_fn(likely);
        let sum: f64 = likely.iter().sum();
        // Alike to the last bit, if that is likelier than not: the least difference would send everybody to the same one of
        // those that are idle.
        let times = if self.busy < NEARLY_IDLE.0 { NEARLY_IDLE.1 } else { 1.0 };
        if sum - likely[0] <= times * likely[0] {
            return self.take_for_alike();
        }
        self.modes = likely.map(|likely| likely / sum);
        let best = (0..MODES).max_by(|&one, &other| likely[one].total_cmp(&likely[other]));
        self.mode = best.unwrap_or(0);
    }

    /// Loads don't follow answers, or stay what they are whatever comes. So answers say nothing of capacities: whoever got
    /// more would look faster, and in the end get all.
    fn take_for_alike(&mut self) {
        self.modes = ALIKE;
        self.mode = 0;
    }

    /// What the gain that predicts best is multiplied by, to choose by it.
    fn raise(&self) -> f64 {
        let (short, more, arrivals) = RAISE;
        short + more * (self.arrivals / arrivals).min(1.0)
    }

    /// Measures loads in a unit that is 2^`powers` of the old one; `powers` is even. Hypotheses that are new to the grid
    /// start with the error of the nearest one that was on it.
    pub fn rescale(&mut self, powers: i32) {
        let factor = 2f64.powi(-powers);
        self.fixed = self.fixed.map(|gain| gain * factor);
        self.gain *= factor;
        let free = self.fixed.is_none();
        let rescale = |errors: &mut [f64; GAINS.len()]| {
            let old = *errors;
            for (gain, error) in errors.iter_mut().enumerate() {
                *error = old[if free { moved(gain, GAINS.len(), powers) } else { gain }] * factor;
            }
        };
        if !self.errors.is_blank() {
            self.errors.iter_mut().for_each(rescale);
        }
        rescale(&mut self.other);
        self.mode_errors = self.mode_errors.map(|error| error * factor);
        self.still *= factor;
        // The knee that drives stays what it is, if it is still on the grid; else the other one, which is, takes over.
        let knee = moved(self.knee, KNEES.len(), -powers / 2);
        if knee == self.knee {
            self.errors[self.delay] = self.other;
        } else {
            self.other = self.errors[self.delay];
        }
        self.knee = knee;
    }
}

/// A place on a grid, so many steps further, or the nearest end.
pub fn moved(place: usize, places: usize, steps: i32) -> usize {
    (place as i64 + i64::from(steps)).clamp(0, places as i64 - 1) as usize
}

/// Errors are not smaller than this.
pub const TINY: f64 = 1e-12;

fn least_of(errors: &[f64]) -> f64 {
    errors.iter().copied().fold(f64::INFINITY, f64::min).max(TINY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_unit_moves_the_grid_and_nothing_else() {
        let mut bank = Bank::new(None);
        let fill = |(place, error): (usize, &mut f64)| *error = 1.0 + place as f64;
        bank.errors[0].iter_mut().enumerate().for_each(fill);
        let pool = Sums::default();
        bank.rescale(2);
        assert_eq!((bank.errors[0][2], bank.knee(&pool, 1.0), bank.gain()), (5.0 / 4.0, 0.25, 0.25));
        bank.rescale(-2);
        assert_eq!((bank.errors[0][4], bank.knee(&pool, 1.0), bank.gain()), (5.0, 1.0, 1.0));
    }

    #[test]
    fn members_are_alike_to_the_last_bit_unless_it_is_likelier_that_they_are_not() {
        let alike = |errors: [f64; MODES]| {
            let mut bank = Bank::new(Some(1.0));
            bank.judged = 2.0 * MEMORY;
            (bank.busy, bank.mode_errors, bank.still) = (0.7, errors, 2.0);
            *bank.errors = [[1.0; GAINS.len()]; DELAYS.len()];
            bank.other = [1.0; GAINS.len()];
            bank.weigh(0.1, 1.0);
            bank.modes == ALIKE
        };
        assert!(alike([1.0, 1.0, 1.0, 1.0, 1.0]), "nothing speaks for it");
        assert!(alike([1.0, 1.0, 1.0, 0.997, 0.997]), "it explains hardly more");
        assert!(!alike([1.0, 1.0, 1.0, 0.97, 1.0]), "it explains more");
    }

    #[test]
    fn requests_from_elsewhere_are_not_taken_for_late_ones() {
        let driving = |errors: [f64; DELAYS.len()]| {
            let mut bank = Bank::new(None);
            bank.judged = MEMORY;
            bank.mode_errors = [1.0; MODES];
            bank.still = 2.0;
            *bank.errors = errors.map(|error| [error; GAINS.len()]);
            bank.other = bank.errors[0];
            bank.weigh(0.1, 1.0);
            DELAYS[bank.delay]
        };
        assert_eq!(driving([1.0, 0.9, 0.8, 0.7, 0.75]), 32.0, "answers that are cached for a minute");
        assert_eq!(driving([1.0, 0.9, 0.8, 0.75, 0.7]), 0.0, "the steadier, the better: not ours");
    }
}
