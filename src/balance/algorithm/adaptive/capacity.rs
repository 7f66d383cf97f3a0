//! How fast a member works: work over busy time, its own or the farm's.
//!
//! There are several ways to see it, the modes. The farm's capacity is that of all members together, by weight, and known well
//! and soon. A member's own is known after some time, and the longer the window the better, as long as it stays what it is. What
//! it says of itself is known at once. Which of them to believe is judged by the [`bank`](super::bank).

use super::member::{Member, Sums, WINDOWS};

/// Whose capacity: the farm's by weight, the member's own over one of the windows, or as it says itself.
pub const MODES: usize = 2 + WINDOWS.len();
/// The mode that takes members at their word.
const TOLD: usize = MODES - 1;
/// The window over which the farm's capacity is pooled.
pub const POOLED: usize = 1;
/// Belief that a member is as fast as the rest, in arrivals, in reports, and in reports that find it busy: capacity is
/// work over busy time, so how well it is known depends on how often the member was seen to be busy.
const PRIOR: (f64, f64, f64) = (16.0, 4.0, 2.0);
/// Own capacities lie within this factor of the farm's.
const MOST_APART: f64 = 16.0;
/// Part of its time that a farm is busy, at the least and the most: bounds capacities while little is known.
const UTILIZATION: (f64, f64) = (0.02, 2.0);
/// What utilization is taken to be before it is known.
pub const USUAL_UTILIZATION: f64 = 0.8;

/// The capacity of a member of weight 1, in units a second; 0 while nothing is known.
pub fn shared_rate(pool: &Sums, delay: usize, knee: usize, gain: f64) -> f64 {
    if pool.span <= 0.0 || pool.busy[knee] <= 0.0 {
        return 0.0;
    }
    let inflow = gain * pool.arrivals[delay].max(0.0) / pool.span;
    let prior = PRIOR.1 * pool.span / pool.intervals;
    let rate = (pool.departed(gain, delay) + prior * inflow) / (pool.busy[knee] + prior * USUAL_UTILIZATION);
    rate.clamp(inflow / UTILIZATION.1, inflow / UTILIZATION.0).max(1e-9)
}

/// A member's capacity as one mode sees it, given the farm's for its weight.
pub fn rate_in(mode: usize, member: &Member, shared: f64, delay: usize, knee: usize, gain: f64) -> f64 {
    let rate = match mode {
        0 => return shared,
        TOLD => shared * member.told_speed,
        _ => {
            let sums = &member.sums[mode - 1];
            let busy = PRIOR.2 * shared * sums.span / sums.intervals.max(1.0);
            let prior = (PRIOR.0.max(PRIOR.1 * member.arrivals_a_report()) * gain).max(busy);
            (sums.departed(gain, delay) + prior) / (sums.busy[knee] + prior / shared)
        }
    };
    rate.clamp(shared / MOST_APART, shared * MOST_APART)
}
