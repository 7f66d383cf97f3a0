//! What is known of queues without simulating them: the simulator must agree.

use super::experiment::Case;
use super::law::{Law, Pareto};
use super::outcome::Outcome;
use super::setting::{Rule, Setting};
use super::world;

fn mean(setting: &Setting, rule: &str, requests: u64) -> f64 {
    world::run(setting, Rule::find(rule).unwrap(), requests, 1).unwrap().mean
}

#[track_caller]
fn agree(what: &str, simulated: f64, known: f64, slack: f64) {
    println!("{what}: simulated {simulated:.4}, known {known:.4}");
    assert!((simulated / known - 1.0).abs() <= slack, "{what}: simulated {simulated}, known {known}");
}

#[test]
fn random_is_many_queues_of_one_each() {
    // M/M/1: 1 / (1 − ρ). M/G/1: 1 + ρ E[S²] / 2(1 − ρ) (Pollaczek 1930, Khinchin 1932).
    for (rho, slack) in [(0.5, 0.02), (0.7, 0.02), (0.8, 0.03)] {
        let simulated = mean(&Setting::equal(10, rho, 1e6), "random", 100_000);
        agree(&format!("M/M/1, ρ = {rho}"), simulated, 1.0 / (1.0 - rho), slack);
    }
    let second = |law: &Law| match law {
        Law::Constant => 1.0,
        Law::Exponential => 2.0,
        // The second moment of the bounded Pareto law, exponent a from k to r: a k^a (r^(2−a) − k^(2−a)) / (2−a)(1 − (k/r)^a).
        Law::Pareto(_) => {
            let (a, spread) = (1.5f64, 30.0f64);
            let tail = spread.powf(-a);
            let k = (a - 1.0) / a * (1.0 - tail) / (1.0 - spread.powf(1.0 - a));
            a / (2.0 - a) * k * k * (spread.powf(2.0 - a) - 1.0) / (1.0 - tail)
        }
    };
    for (law, slack) in [(Law::Constant, 0.02), (Law::Pareto(Pareto::new(1.5, 30.0)), 0.04)] {
        let simulated = mean(&Setting { law, ..Setting::equal(10, 0.7, 1e6) }, "random", 100_000);
        agree(&format!("M/G/1, {law:?}"), simulated, 1.0 + 0.7 * second(&law) / 0.6, slack);
    }
}

#[test]
fn round_robin_is_a_queue_with_erlang_arrivals() {
    // Each of n members sees every n-th arrival: E_n/M/1, whose mean is 1 / (1 − σ), σ = (nρ / (nρ + 1 − σ))^n the root
    // below 1 (Takács 1962).
    for (members, rho, slack) in [(10, 0.8, 0.03), (10, 0.5, 0.02), (3, 0.7, 0.03)] {
        let n = f64::from(members);
        let mut sigma = 0.5f64;
        for _ in 0..10_000 {
            sigma = (n * rho / (n * rho + 1.0 - sigma)).powf(n);
        }
        let simulated = mean(&Setting::equal(members as usize, rho, 1e6), "round-robin", 100_000);
        agree(&format!("E_{members}/M/1, ρ = {rho}"), simulated, 1.0 / (1.0 - sigma), slack);
    }
}

#[test]
fn several_workers_are_erlangs_queue() {
    // M/M/c: 1 + C(c, a) / (c − a), C by the recursion of Erlang's B.
    let (c, a) = (8.0, 6.4);
    let b = (1..=8).fold(1.0, |b, k| a * b / (f64::from(k) + a * b));
    let waits = c * b / (c - a * (1.0 - b));
    let mut setting = Setting { capacities: vec![c], workers: 8, ..Setting::equal(1, 0.8, 1e6) };
    setting.rate = a;
    agree("M/M/8, ρ = 0.8", mean(&setting, "failover", 150_000), 1.0 + waits / (c - a), 0.03);
}

#[test]
fn the_oracle_is_the_shortest_of_two_queues() {
    // Two queues, everybody joins the shorter one: the Markov chain itself, cut off where nobody comes, run until it rests.
    const MOST: usize = 40;
    let rho = 0.8;
    let (arrive, step) = (2.0 * rho, 1.0 / (2.0 * rho + 2.0));
    let mut at = vec![[0.0f64; MOST + 1]; MOST + 1];
    at[0][0] = 1.0;
    for _ in 0..3000 {
        let mut next = vec![[0.0f64; MOST + 1]; MOST + 1];
        for i in 0..=MOST {
            for j in 0..=MOST {
                let flow = at[i][j] * step;
                let (up, over) = ((i + 1).min(MOST), (j + 1).min(MOST));
                match i.cmp(&j) {
                    std::cmp::Ordering::Less => next[up][j] += flow * arrive,
                    std::cmp::Ordering::Greater => next[i][over] += flow * arrive,
                    std::cmp::Ordering::Equal => {
                        next[up][j] += flow * arrive / 2.0;
                        next[i][over] += flow * arrive / 2.0;
                    }
                }
                next[i.saturating_sub(1)][j] += flow;
                next[i][j.saturating_sub(1)] += flow;
            }
        }
        at = next;
    }
    let inside: f64 = (0..=MOST)
        .flat_map(|i| (0..=MOST).map(move |j| (i, j)))
        .map(|(i, j)| (i + j) as f64 * at[i][j])
        .sum();
    // Little's law: the mean time is the mean number over the arrivals.
    let known = inside / arrive;
    agree(
        "the shorter of 2 queues, ρ = 0.8",
        mean(&Setting::equal(2, rho, 1e6), "shortest-queue", 150_000),
        known,
        0.03,
    );
}

/// Mitzenmacher's limiting system for periodic updates (How Useful Is Old Information?, 2000): a board shows the queues as
/// they were at the last multiple of T; each arrival goes to the one of `d` that the board shows as shortest. P\[i\]\[j\] is
/// the part of the queues that the board shows at i and that are at j. Gives the mean time of a request.
fn limiting(lambda: f64, every: f64, d: i32) -> f64 {
    const MOST: usize = 40;
    let steps = (every / 0.02).ceil().max(1.0);
    let dt = every / steps;
    let mut now = [0.0f64; MOST + 1];
    now[0] = 1.0;
    let (mut inside, rounds) = (0.0, (60.0 / every).ceil() as usize);
    for round in 0..rounds {
        // The part of the queues that the board shows at i or more.
        let mut tail = [0.0f64; MOST + 2];
        for i in (0..=MOST).rev() {
            tail[i] = tail[i + 1] + now[i];
        }
        let mut at: Vec<[f64; MOST + 1]> = (0..=MOST)
            .map(|i| {
                let mut row = [0.0; MOST + 1];
                row[i] = now[i];
                row
            })
            .collect();
        for _ in 0..steps as usize {
            for (i, row) in at.iter_mut().enumerate().filter(|(i, _)| now[*i] > 1e-12) {
                let rate = lambda * (tail[i].powi(d) - tail[i + 1].powi(d)) / now[i];
                let old = *row;
                for j in 0..=MOST {
                    let comes = if j < MOST { rate * old[j] } else { 0.0 };
                    let goes = if j > 0 { old[j] } else { 0.0 };
                    row[j] -= dt * (comes + goes);
                    if j < MOST {
                        row[j + 1] += dt * comes;
                    }
                    if j > 0 {
                        row[j - 1] += dt * goes;
                    }
                }
            }
            if round >= rounds / 2 {
                inside += dt
                    * at.iter()
                        .flat_map(|row| row.iter().enumerate())
                        .map(|(j, part)| j as f64 * part)
                        .sum::<f64>();
            }
        }
        now = std::array::from_fn(|j| at.iter().map(|row| row[j]).sum());
    }
    inside / (every * (rounds - rounds / 2) as f64) / lambda
}

#[test]
fn periodic_updates_follow_mitzenmachers_equations() {
    // Without delay his supermarket model: the sum of λ^((2^i − 2)/1) over i, 1.6145 at λ = 0.7.
    let fresh: f64 = (1..8).map(|i| 0.7f64.powi(2i32.pow(i) - 2)).sum();
    agree("the equations with a board that is always new", limiting(0.7, 0.02, 2), fresh, 0.02);
    for (lambda, every, slack) in [(0.5, 2.0, 0.03), (0.7, 5.0, 0.04)] {
        let mut setting = Setting::equal(100, lambda, every);
        setting.reports.staggered = false;
        let simulated = mean(&setting, "two-reported", 100_000);
        agree(
            &format!("two choices, a board every {every}, λ = {lambda}"),
            simulated,
            limiting(lambda, every, 2),
            slack,
        );
    }
}

#[test]
fn old_information_does_what_the_papers_say() {
    // Mitzenmacher 2000: everybody to the apparently shortest queue is worse than chance when the board is old.
    let mut old = Setting::equal(10, 0.9, 20.0);
    old.reports.staggered = false;
    let random = mean(&old, "random", 20_000);
    let herd = mean(&old, "lowest-reported", 20_000);
    assert!(herd > 3.0 * random, "{herd} {random}");
    // Dahlin 2000: interpreted loads are as good as the apparently shortest queue when they are fresh, better than what
    // there was when they are middling, better than chance when they are old.
    let interpreted = mean(&old, "interpreted", 20_000);
    assert!(interpreted < 0.9 * random, "{interpreted} {random}");
    let mut fresh = Setting::equal(10, 0.9, 0.5);
    fresh.reports.staggered = false;
    let (interpreted, lowest) =
        (mean(&fresh, "interpreted", 10_000), mean(&fresh, "lowest-reported", 10_000));
    assert!(interpreted < 1.1 * lowest, "{interpreted} {lowest}");
    let mut middling = Setting::equal(10, 0.9, 4.0);
    middling.reports.staggered = false;
    let best = ["random", "lowest-reported", "two-reported"].map(|rule| mean(&middling, rule, 20_000));
    let interpreted = mean(&middling, "interpreted", 20_000);
    assert!(best.iter().all(|other| interpreted < *other), "{interpreted} {best:?}");
}

fn outcome(case: &str, rho: f64, every: f64, rule: &str, requests: u64) -> Outcome {
    let (case, rule) = (Case::find(case).unwrap(), Rule::find(rule).unwrap());
    world::run(&case.setting(rule, rho, every), rule, requests, 1).unwrap()
}

#[test]
fn adaptive_believes_members_that_tell_how_fast_they_are() {
    // Speeds change, reports are rare and members seldom busy: loads alone tell too little.
    let run = |rule| outcome("drift", 0.5, 50.0, rule, 40_000).mean;
    let (adaptive, utilization) = (run("adaptive"), run("utilization"));
    assert!(adaptive < 1.03 * utilization, "{adaptive} {utilization}");
}

#[test]
fn adaptive_rotates_where_answers_are_kept_for_longer_than_a_load_lasts() {
    for (rho, most) in [(0.5, 1.025), (0.7, 1.045)] {
        let run = |rule| outcome("ttl50", rho, 50.0, rule, 40_000).mean;
        let (adaptive, turns) = (run("adaptive"), run("round-robin"));
        assert!(adaptive < most * turns, "ρ = {rho}: {adaptive} {turns}");
    }
}

#[test]
fn adaptive_finds_out_what_answers_bring_without_leaving_its_turns() {
    // Before anything is learned an answer is taken to bring 1, which is 77 requests here.
    let run = |rule| outcome("unit", 0.5, 50.0, rule, 20_000).mean;
    let (adaptive, turns) = (run("adaptive"), run("round-robin"));
    assert!(adaptive < 1.06 * turns, "{adaptive} {turns}");
}

#[test]
fn adaptive_leaves_everybody_his_share_in_a_farm_that_is_nearly_idle() {
    for every in [5.0, 50.0] {
        let worst = outcome("equal", 0.02, every, "adaptive", 20_000).worst;
        assert!(worst < 2.0, "a report every {every}: {worst}");
    }
}

#[test]
fn many_small_requests_are_no_overload() {
    // By chance this run has little of the heavy tail: a member takes more requests than is usual, and has time left.
    let (case, rule) = (Case::find("heavy").unwrap(), Rule::find("adaptive").unwrap());
    let outcome = world::run(&case.setting(rule, 0.95, 1.0), rule, 100_000, 3).unwrap();
    assert!(outcome.mean < 10.0 && !outcome.overloaded, "{outcome:?}");
    let unequal =
        world::run(&Setting::equal(10, 0.9, 5.0).unequal(), Rule::find("round-robin").unwrap(), 20_000, 1);
    assert!(unequal.unwrap().overloaded, "the slow ones get more than they can do");
}
