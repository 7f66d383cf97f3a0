//! The bank of hypotheses: knee, load of one arrival, and whose capacity to believe.
//!
//! Each hypothesis predicts every report from the one before; its squared error, relative to the noise to be expected,
//! is averaged over the farm's last [`MEMORY`] predictions. How likely a hypothesis is follows from that average: with
//! Gaussian errors of unknown variance the likelihood is error^(−n/2). What drives the choices is the mean under these
//! likelihoods and not the one best hypothesis: it moves smoothly, and where the gain cannot be told yet the mean is on
//! the large side, which costs little, while a gain that is too small sends everybody to the same member.
//!
//! The grid: [`KNEES`] in units of the usual load (the knee matters little, so steps of two do), gains in steps of √2
//! from a window of [`GAINS`] steps that moves to where the likely ones are.

use super::fluid;
use super::member::{Interval, Member, Sums, WINDOWS};

/// Knees, in units.
pub const KNEES: [f64; 3] = [0.25, 1.0, 4.0];
/// Loads of one arrival, in units, each twice the one before.
const GAINS: [f64; 10] = [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Predictions over which errors are averaged.
const MEMORY: f64 = 2000.0;
/// Whose capacity: the farm's by weight, or the member's own over one of the windows.
const MODES: usize = 1 + WINDOWS.len();
/// The window over which the farm's capacity is pooled.
pub const POOLED: usize = 1;
/// Predictions are not independent of each other and their errors not Gaussian: so much of their number counts.
const CANDOUR: f64 = 0.2;
/// The same for modes, whose errors differ less.
const MODE_CANDOUR: f64 = 0.5;
/// How likely each mode is before anything is known: all are alike.
const MODE_PRIOR: [f64; MODES] = [1.0, 0.1, 0.2, 0.3];
/// Arrivals' worth of belief that a member is as fast as the rest.
const PRIOR_ARRIVALS: f64 = 16.0;
/// Own capacities lie within this factor of the farm's.
const MOST_APART: f64 = 16.0;
/// Part of its time that a farm is busy, at the least and the most: bounds capacities while little is known.
const UTILIZATION: (f64, f64) = (0.02, 2.0);

/// See the module's head. Loads are in units.
#[derive(Debug)]
pub struct Bank {
    /// Fixed gain in units; then there is only one.
    fixed: Option<f64>,
    /// Mean squared errors by knee and gain.
    errors: [[f64; GAINS.len()]; KNEES.len()],
    judged: f64,
    arrivals: f64,
    mode_errors: [f64; MODES],
    /// What drives: the likeliest knee's place, the gain, and how likely each mode is.
    knee: usize,
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
            errors: [[0.0; GAINS.len()]; KNEES.len()],
            judged: 0.0,
            arrivals: 0.0,
            mode_errors: [0.0; MODES],
            knee: KNEES.len() / 2,
            gain: fixed.unwrap_or(1.0),
            modes: [1.0, 0.0, 0.0, 0.0],
            mode: 0,
            wait: 8,
        }
    }

    /// The knee that drives, in units.
    pub fn knee(&self) -> f64 {
        KNEES[self.knee]
    }

    /// The load of one arrival that drives, in units.
    pub fn gain(&self) -> f64 {
        self.gain
    }

    pub fn dump(&self, scale: &super::scale::Scale) { if (self.judged as u64) % 256 == 0 { eprintln!("{} unit {} idle {:.3} knee {} gain {:.3} (raw {:.3}) modes {:.3?} err {:.3?} modes {:.3?}", self.judged, scale.unit(), scale.idle(), self.knee()*scale.unit(), self.gain, self.gain*scale.unit(), self.modes, self.errors[self.knee], self.mode_errors) } } //DBG
    /// The capacity of a member that drives, in units a second; 0 while nothing is known.
    pub fn rate(&self, member: &Member, pool: &Sums) -> f64 {
        let shared = shared_rate(pool, self.knee, self.gain) * member.weight;
        if shared <= 0.0 {
            return 0.0;
        }
        let part = |(mode, likely): (usize, &f64)| {
            if *likely < 1e-3 {
                return shared * likely;
            }
            likely * rate_in(mode, member, shared, self.knee, self.gain)
        };
        self.modes.iter().enumerate().map(part).sum()
    }

    /// Judges every hypothesis by what a member's load became; gives whether what drives has changed.
    pub fn judge(&mut self, member: &Member, pool: &Sums, interval: &Interval, least_gain: f64) -> bool {
        let Interval { before, after, arrivals, span } = *interval;
        let noise = 1.0 / (self.gain + before + after);
        let predict = |rate: f64, knee: usize, gain: f64| {
            let told = fluid::after(before, gain * arrivals / span, rate, KNEES[knee], span);
            // One report counts for no more than many.
            ((told - after) * (told - after) * noise).min(MOST_ERROR)
        };
        self.judged += 1.0;
        self.arrivals += (arrivals - self.arrivals) * 0.01;
        let step = (1.0 / self.judged).max(1.0 / MEMORY);
        let (mode, fixed) = (self.mode, self.fixed);
        for (knee, errors) in self.errors.iter_mut().enumerate() {
            for (place, error) in errors.iter_mut().enumerate() {
                let gain = fixed.unwrap_or(GAINS[place]);
                let shared = shared_rate(pool, knee, gain) * member.weight;
                let rate = rate_in(mode, member, shared, knee, gain);
                *error += (predict(rate, knee, gain) - *error) * step;
                if fixed.is_some() {
                    break;
                }
            }
        }
        let shared = shared_rate(pool, self.knee, self.gain) * member.weight;
        for mode in 0..MODES {
            let rate = rate_in(mode, member, shared, self.knee, self.gain);
            let error = predict(rate, self.knee, self.gain);
            self.mode_errors[mode] += (error - self.mode_errors[mode]) * step;
        }
        self.wait -= 1;
        if self.wait > 0 {
            return false;
        }
        self.wait = if self.judged < 512.0 { 8 } else { 32 };
        self.weigh(least_gain);
        true
    }

    /// Works out how likely everything is, and what drives.
    fn weigh(&mut self, least_gain: f64) {
        let count = self.judged.min(MEMORY);
        let power = 0.5 * CANDOUR * count;
        let least: [f64; KNEES.len()] =
            std::array::from_fn(|knee| self.errors[knee].iter().copied().fold(f64::INFINITY, f64::min).max(1e-12));
        let best = least.iter().copied().fold(f64::INFINITY, f64::min);
        let likely = least.map(|error| (error / best).powf(-power));
        if likely[self.knee] < 0.2 {
            self.knee = (0..KNEES.len()).find(|&knee| likely[knee] == 1.0).unwrap_or(self.knee);
        }
        self.gain = match self.fixed {
            Some(gain) => gain,
            None => {
                let sum: f64 = likely.iter().sum();
                let mean = (0..KNEES.len()).map(|knee| likely[knee] * likely_gain(&self.errors[knee], power)).sum::<f64>() / sum;
                let b = bias() + bias2() * (self.arrivals / bias3()).min(1.0);
                (mean * b).max(least_gain)
            }
        };

        let least = self.mode_errors.iter().copied().fold(f64::INFINITY, f64::min).max(1e-12);
        let power = -0.5 * MODE_CANDOUR * count;
        for mode in 0..MODES {
            self.modes[mode] = MODE_PRIOR[mode] * (self.mode_errors[mode].max(1e-12) / least).powf(power);
        }
        let sum: f64 = self.modes.iter().sum();
        self.modes.iter_mut().for_each(|likely| *likely /= sum);
        let best = (0..MODES).max_by(|&one, &other| self.modes[one].total_cmp(&self.modes[other]));
        self.mode = best.unwrap_or(0);
    }

    /// Measures loads in a unit that is 2^`powers` of the old one.
    pub fn rescale(&mut self, powers: i32) {
        let factor = 2f64.powi(-powers);
        self.fixed = self.fixed.map(|gain| gain * factor);
        self.gain *= factor;
        let moved = |place: usize, places: usize, step: i64| {
            (place as i64 + i64::from(powers) / step).clamp(0, places as i64 - 1) as usize
        };
        let old = self.errors;
        for (knee, errors) in self.errors.iter_mut().enumerate() {
            for (gain, error) in errors.iter_mut().enumerate() {
                *error = old[moved(knee, KNEES.len(), 2)][moved(gain, GAINS.len(), 1)] * factor;
            }
        }
        self.mode_errors.iter_mut().for_each(|error| *error *= factor);
        self.knee = (self.knee as i64 - i64::from(powers) / 2).clamp(0, KNEES.len() as i64 - 1) as usize;
    }
}

/// The capacity of a member of weight 1, in units a second; 0 while nothing is known.
fn shared_rate(pool: &Sums, knee: usize, gain: f64) -> f64 {
    if pool.span <= 0.0 {
        return 0.0;
    }
    let inflow = gain * pool.arrivals / pool.span;
    let rate = pool.departed(gain) / pool.busy[knee];
    rate.clamp(inflow / UTILIZATION.1, inflow / UTILIZATION.0).max(1e-9)
}

/// A member's capacity as one mode sees it, given the farm's for its weight.
fn rate_in(mode: usize, member: &Member, shared: f64, knee: usize, gain: f64) -> f64 {
    let Some(window) = mode.checked_sub(1) else { return shared };
    let sums = &member.sums[window];
    let prior = PRIOR_ARRIVALS * gain;
    let rate = (sums.departed(gain) + prior) / (sums.busy[knee] + prior / shared);
    rate.clamp(shared / MOST_APART, shared * MOST_APART)
}

/// The mean gain, if each is likely as its error to the power of -`power`. Between the gains of the grid the logarithm
/// of the error is taken to be smooth.
fn likely_gain(errors: &[f64; GAINS.len()], power: f64) -> f64 {
    let logs = errors.map(|error| error.max(1e-12).ln());
    let last = logs.len() - 1;
    let fine = |step: usize| {
        let (place, part) = (step / FINE, (step % FINE) as f64 / FINE as f64);
        // Catmull and Rom's cubic through the points around.
        let at = |place: usize| logs[place.min(last)];
        let (before, one, two, after) = (at(place.saturating_sub(1)), at(place), at(place + 1), at(place + 2));
        let slope = (two - before) * 0.5;
        let end = (after - one) * 0.5;
        let square = part * part;
        let value = one
            + slope * part
            + (3.0 * (two - one) - 2.0 * slope - end) * square
            + (2.0 * (one - two) + slope + end) * square * part;
        (GAINS[0] * 2f64.powf(step as f64 / FINE as f64), value)
    };
    let steps = last * FINE + 1;
    let least = (0..steps).map(|step| fine(step).1).fold(f64::INFINITY, f64::min);
    let (sum, weights) = (0..steps).map(fine).fold((0.0, 0.0), |(sum, weights), (gain, log)| {
        let likely = (-power * (log - least)).exp();
        (sum + likely * gain, weights + likely)
    });
    sum / weights
}

/// Steps between two gains of the grid.
const FINE: usize = 4;
fn bias2() -> f64 { static V: std::sync::OnceLock<f64> = std::sync::OnceLock::new(); *V.get_or_init(|| std::env::var("BIAS2").ok().and_then(|v| v.parse().ok()).unwrap_or(0.5)) }
fn bias3() -> f64 { static V: std::sync::OnceLock<f64> = std::sync::OnceLock::new(); *V.get_or_init(|| std::env::var("BIAS3").ok().and_then(|v| v.parse().ok()).unwrap_or(12.0)) }
fn bias() -> f64 { static V: std::sync::OnceLock<f64> = std::sync::OnceLock::new(); *V.get_or_init(|| std::env::var("BIAS").ok().and_then(|v| v.parse().ok()).unwrap_or(1.2)) }
/// Largest error of one prediction that counts.
const MOST_ERROR: f64 = 100.0;
