//! What `adaptive` must do whatever comes: stories under virtual time, and any sequence of reports.

use super::super::super::gauge::{Gauge, Pool, Tally};
use super::super::super::random::SplitMix;
use super::super::super::statistics::{Amount, StatisticName, Statistics};
use super::*;
use proptest::prelude::*;

/// What is compared of a queue.
pub(super) fn measure(slab: &Slab, place: usize, terms: &Terms) -> f64 {
    let two = slab.two([(place / EIGHT, place % EIGHT); 2]);
    let [loads, ..] = loads_of_eight([two.x(terms); EIGHT / 2], terms.knee);
    two.measure(loads, terms).to_array()[0]
}

/// A farm with this rule, and members that do what a test says.
struct Stage {
    rule: Adaptive,
    candidates: Vec<Candidate>,
    tallies: Vec<Arc<Tally>>,
    select: Box<dyn Select>,
    random: SplitMix,
    ticket: u64,
    /// What every report says beside the load.
    statistics: Statistics,
    /// Seconds.
    now: f64,
}

fn moment(seconds: f64) -> Moment {
    Moment::from_unix(Duration::from_secs_f64(1e6 + seconds))
}

impl Stage {
    fn new(weights: &[f64], params: Params) -> Self {
        let pool = Arc::new(Pool::default());
        let tallies: Vec<Arc<Tally>> = weights.iter().map(|_| Arc::default()).collect();
        let candidates: Vec<Candidate> = weights
            .iter()
            .zip(&tallies)
            .enumerate()
            .map(|(place, (&weight, tally))| Candidate {
                id: MemberId(place as u32),
                weight,
                seed: 77 * (place as u64 + 1),
                gauge: Gauge::new(Arc::clone(tally), Arc::clone(&pool)),
            })
            .collect();
        let rule = Adaptive::new(&params);
        let select = rule.prepare(&candidates);
        let (random, statistics) = (SplitMix::new(5), Statistics::default());
        Self { rule, candidates, tallies, select, random, ticket: 0, statistics, now: 0.0 }
    }

    fn choose(&mut self) -> usize {
        let pick = Pick { now: moment(self.now), ticket: Ticket::Of(self.ticket), key: b"" };
        self.ticket += 1;
        let id = self.select.select(&pick, &mut self.random).expect("there are candidates");
        self.tallies[id.0 as usize].count();
        id.0 as usize
    }

    fn report_with(&mut self, place: usize, load: f64, counter: Option<f64>) {
        let one = &self.candidates[place];
        self.rule.observe(&Observation {
            id: one.id,
            seed: one.seed,
            weight: one.weight,
            load: Some(load),
            counter,
            answers: self.tallies[place].answers(),
            board: one.gauge.board(),
            statistics: &self.statistics,
            now: moment(self.now),
        });
    }

    /// Says `q` and `u` with every report from now on.
    fn tell(&mut self, rate: f64, busy: f64) {
        for (name, number) in [("q", rate), ("u", busy)] {
            let name = StatisticName::parse(name).expect("a name");
            self.statistics.change(&name, Amount::Set(number));
        }
    }

    fn report(&mut self, place: usize, load: f64) {
        self.report_with(place, load, None);
    }

    fn beliefs(&self) -> Vec<Belief> {
        self.select.beliefs(moment(self.now)).into_iter().map(|(_, belief)| belief).collect()
    }
}

/// Machines that work steadily off what answers bring, and report every second.
fn steady(stage: &mut Stage, speeds: &[f64], brings: f64, unit: f64, offset: f64, seconds: usize) {
    let mut work = vec![0.0f64; speeds.len()];
    let rate = 0.8 * speeds.iter().sum::<f64>() / brings;
    let mut due = 0.0;
    for _ in 0..seconds * 20 {
        stage.now += 0.05;
        due += rate * 0.05 * (0.5 + stage.random.unit());
        while due >= 1.0 {
            due -= 1.0;
            work[stage.choose()] += brings;
        }
        for (place, (work, speed)) in work.iter_mut().zip(speeds).enumerate() {
            *work = (*work - speed * 0.05).max(0.0);
            if ((stage.now * 20.0).round() as usize + place * 7).is_multiple_of(20) {
                stage.report(place, offset + unit * work.ceil());
            }
        }
    }
}

#[test]
fn without_reports_turns_follow_weights() {
    let mut stage = Stage::new(&[1.0, 2.0, 5.0], Params::default());
    let mut seen = [0; 3];
    (0..800).for_each(|_| seen[stage.choose()] += 1);
    assert_eq!(seen, [100, 200, 500]);
}

#[test]
fn the_first_report_of_a_load_sends_choices_elsewhere_at_once() {
    let mut stage = Stage::new(&[1.0; 2], Params::default());
    (0..5).for_each(|_| _ = stage.choose());
    stage.report(0, 9.0);
    let chosen: Vec<usize> = (0..8).map(|_| stage.choose()).collect();
    assert_eq!(chosen, [1; 8]);
}

#[test]
fn a_clock_that_jumps_back_makes_nobody_busier_or_idler() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[2.0; 4], 1.0, 1.0, 0.0, 200);
    let before = stage.beliefs();
    stage.now -= 1e5;
    for (now, before) in stage.beliefs().iter().zip(&before) {
        assert!(now.load <= before.load + 8.0 && now.answers_a_second == before.answers_a_second, "{now:?}");
    }
    let mut seen = [0; 4];
    (0..400).for_each(|_| seen[stage.choose()] += 1);
    assert!(seen.iter().all(|count| (80..120).contains(count)), "a clock that stands still: {seen:?}");
    // Reports that come with the earlier time set where members stand, as ever.
    stage.report(0, 500.0);
    assert!((0..50).all(|_| stage.choose() != 0));
}

/// What was learned of a farm that has run for a while, after `change` was done to it and it has run on.
fn capacities_after(change: impl Fn(&mut Stage)) -> [Vec<f64>; 2] {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    let speeds = [2.0, 2.0, 6.0, 6.0];
    let capacities =
        |stage: &Stage| stage.beliefs().iter().map(|belief| belief.answers_a_second).collect::<Vec<f64>>();
    steady(&mut stage, &speeds, 1.0, 1.0, 0.0, 300);
    let before = capacities(&stage);
    change(&mut stage);
    let after = capacities(&stage);
    [before, after]
}

#[test]
fn the_same_report_twice_and_a_late_one_teach_little() {
    let [before, after] = capacities_after(|stage| {
        for _ in 0..20 {
            // Twice within a microsecond, and once what was true a second ago.
            stage.report(1, 3.0);
            stage.now += 1e-6;
            stage.report(1, 3.0);
            stage.report(1, 5.0);
            stage.now += 1.0;
        }
    });
    for (before, after) in before.iter().zip(&after) {
        assert!((0.4..2.5).contains(&(after / before)), "{before} {after}");
    }
}

#[test]
fn one_that_lies_moves_only_itself() {
    for lie in [0.0, 1e6] {
        let [before, after] = capacities_after(|stage| {
            for _ in 0..50 {
                stage.now += 1.0;
                (0..8).for_each(|_| _ = stage.choose());
                stage.report(0, lie);
                (1..4).for_each(|place| stage.report(place, 2.0));
            }
        });
        assert!(after.iter().all(|capacity| capacity.is_finite()), "{after:?}");
        for (before, after) in before[1..].iter().zip(&after[1..]) {
            assert!((0.25..4.0).contains(&(after / before)), "{lie}: {before:?} {after:?}");
        }
    }
}

#[test]
fn one_that_always_says_it_is_idle_does_not_get_everything() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[2.0; 4], 1.0, 1.0, 0.0, 200);
    let mut seen = [0; 4];
    for turn in 0..2000 {
        stage.now += 0.15;
        seen[stage.choose()] += 1;
        if turn % 20 == 0 {
            stage.report(0, 0.0);
            (1..4).for_each(|place| stage.report(place, 3.0));
        }
    }
    // It looks like one that is fast beyond all measure, which the bound on capacities ends.
    assert!(seen[1..].iter().all(|count| *count > 60), "{seen:?}");
}

#[test]
fn a_backend_that_restarts_counts_from_0_and_is_not_taken_for_a_fast_one() {
    let mut stage = Stage::new(&[1.0; 2], Params::default());
    let mut taken = [1e6, 1e6];
    for turn in 0..400 {
        stage.now += 1.0;
        let chosen = stage.choose();
        taken[chosen] += 1.0;
        if turn == 300 {
            taken[0] = 0.0;
        }
        for (place, taken) in taken.iter().enumerate() {
            stage.report_with(place, 2.0, Some(*taken));
        }
    }
    let beliefs = stage.beliefs();
    let ratio = beliefs[0].answers_a_second / beliefs[1].answers_a_second;
    assert!((0.8..1.25).contains(&ratio), "{beliefs:?}");
}

#[test]
fn loads_that_never_change_leave_everybody_his_share() {
    for (every, members) in [(1, 2), (1, 4), (5, 2), (5, 4), (50, 2), (50, 4), (500, 4)] {
        let mut stage = Stage::new(&vec![1.0; members], Params::default());
        let mut seen = vec![0; members];
        for turn in 0..4000 {
            stage.now += 1.0;
            let chosen = stage.choose();
            seen[chosen] += usize::from(turn >= 2000);
            if turn % every == 0 {
                (0..members).for_each(|place| stage.report(place, 2.0));
            }
        }
        let fair = 2000 / members;
        let near = |count: &usize| (fair * 3 / 4..fair * 5 / 4).contains(count);
        assert!(seen.iter().all(near), "a report every {every}: {seen:?}");
    }
}

#[test]
fn unequal_machines_are_found_out() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[2.0, 2.0, 6.0, 6.0], 1.0, 1.0, 0.0, 400);
    let capacity: Vec<f64> = stage.beliefs().iter().map(|belief| belief.answers_a_second).collect();
    assert!(capacity[2] > 2.0 * capacity[0] && capacity[3] > 2.0 * capacity[1], "{capacity:?}");
    let shares = stage.select.shares();
    assert!(shares[2].1 > 0.33, "{shares:?}");
}

/// Machines with eight workers each that report as often as `every` seconds, at half of their capacity: the part of the
/// requests that the two fast ones of four get in the second half of the time.
fn given_to_the_fast(every: f64) -> f64 {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    let services: [f64; 4] = [12.0, 12.0, 6.0, 6.0];
    let rate = 0.5 * services.iter().map(|service| 8.0 / service).sum::<f64>();
    // When requests are done, and when each member reports next.
    let mut inside: Vec<Vec<f64>> = vec![Vec::new(); services.len()];
    let mut due: Vec<f64> = (0..services.len()).map(|place| every * place as f64 / 4.0).collect();
    let (mut fast, mut all) = (0.0, 0.0);
    let mut arrival = 0.0;
    while stage.now < 4000.0 {
        let (place, next) =
            due.iter().copied().enumerate().min_by(|one, other| one.1.total_cmp(&other.1)).unwrap();
        stage.now = f64::min(next, arrival);
        inside.iter_mut().for_each(|inside| inside.retain(|done| *done > stage.now));
        if next <= arrival {
            stage.report(place, inside[place].len() as f64);
            due[place] += every;
            continue;
        }
        let mut exponential = || -(1.0 - stage.random.unit()).ln();
        arrival += exponential() / rate;
        let work = exponential();
        let chosen = stage.choose();
        // Whoever is full serves the request when the first of the last eight is done.
        let mut free = inside[chosen].clone();
        free.sort_by(|one, other| other.total_cmp(one));
        let start = free.get(7).copied().unwrap_or(stage.now);
        inside[chosen].push(start + work * services[chosen]);
        if stage.now > 2000.0 {
            all += 1.0;
            fast += f64::from(u8::from(chosen >= 2));
        }
    }
    fast / all
}

#[test]
fn slow_machines_are_left_alone_as_long_as_fast_ones_have_free_workers() {
    let fresh = given_to_the_fast(0.2);
    assert!(fresh > 0.85, "{fresh}");
    // Who does not know how many requests are in a member cannot fill it up.
    let old = given_to_the_fast(50.0);
    assert!((0.55..0.75).contains(&old), "{old}");
}

/// Machines of one worker that average their queue over 60 and report every `every` seconds: the squares of how far what
/// is believed right after a report is from the queue, and of how far the mean since the report before is.
fn error_after_a_report(every: f64) -> [f64; 2] {
    let smoothing = Some(Duration::from_secs(60));
    let mut stage = Stage::new(&[1.0; 4], Params { load_smoothing: smoothing, ..Params::default() });
    let mut done: Vec<std::collections::VecDeque<f64>> = vec![Default::default(); 4];
    let (mut told, mut means) = ([0.0; 4], [0.0; 4]);
    let mut errors = [0.0; 2];
    let step = 0.02;
    let steps = (every / step) as usize;
    for turn in 0..200_000 {
        stage.now += step;
        if stage.random.unit() < 0.8 * 4.0 * step {
            let chosen = stage.choose();
            let work = -(1.0 - stage.random.unit()).ln();
            let start = done[chosen].back().copied().unwrap_or(0.0).max(stage.now);
            done[chosen].push_back(start + work);
        }
        for place in 0..4 {
            while done[place].front().is_some_and(|done| *done <= stage.now) {
                done[place].pop_front();
            }
            let queue = done[place].len() as f64;
            told[place] = queue + (told[place] - queue) * (-step / 60.0f64).exp();
            means[place] += queue / steps as f64;
            if (turn + place * steps / 4).is_multiple_of(steps) {
                stage.report(place, told[place]);
                if turn > 50_000 {
                    errors[0] += (stage.beliefs()[place].load - queue).powi(2);
                    errors[1] += (means[place] - queue).powi(2);
                }
                means[place] = 0.0;
            }
        }
    }
    errors
}

#[test]
fn of_averaged_loads_what_was_before_is_taken_out() {
    let [believed, mean] = error_after_a_report(0.1);
    assert!(believed < 1.1 * mean, "every report counts: {believed} {mean}");
    let [believed, mean] = error_after_a_report(2.0);
    assert!(believed < 0.95 * mean, "what came since the middle of the time counts: {believed} {mean}");
}

#[test]
fn the_unit_of_loads_makes_no_difference() {
    let believed = |unit: f64, offset: f64| {
        let mut stage = Stage::new(&[1.0; 4], Params::default());
        steady(&mut stage, &[2.0, 2.0, 6.0, 6.0], 1.0, unit, offset, 300);
        stage.beliefs()
    };
    let (plain, odd) = (believed(1.0, 0.0), believed(0.013, 3.0));
    for (plain, odd) in plain.iter().zip(&odd) {
        let ratio = odd.answers_a_second / plain.answers_a_second;
        assert!((0.5..2.0).contains(&ratio), "{plain:?} {odd:?}");
        assert!(odd.load >= 3.0 && odd.load < 4.0, "{odd:?}");
    }
}

#[test]
fn answers_given_elsewhere_count_as_well() {
    let mut stage = Stage::new(&[1.0; 2], Params::default());
    stage.report(0, 0.0);
    stage.report(1, 0.0);
    // Another farm gives the first one ten answers.
    (0..10).for_each(|_| stage.tallies[0].count());
    let chosen: Vec<usize> = (0..8).map(|_| stage.choose()).collect();
    assert_eq!(chosen, [1; 8]);
}

#[test]
fn an_answer_makes_a_member_less_attractive_until_it_has_worked() {
    let mut stage = Stage::new(&[1.0; 2], Params::default());
    steady(&mut stage, &[1.0, 1.0], 1.0, 1.0, 0.0, 200);
    let before = stage.beliefs();
    let chosen = stage.choose();
    let after = stage.beliefs();
    assert!(after[chosen].load > before[chosen].load);
    stage.now += 30.0;
    assert!(stage.beliefs()[chosen].load < before[chosen].load + 0.5);
}

#[test]
fn a_farm_that_loses_and_gains_members_keeps_what_it_knows() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[2.0, 2.0, 6.0, 6.0], 1.0, 1.0, 0.0, 300);
    let before = stage.beliefs();
    // A reload gives everybody another place; one is gone.
    let mut candidates: Vec<Candidate> = stage.candidates[1..].to_vec();
    candidates.reverse();
    for (place, candidate) in candidates.iter_mut().enumerate() {
        candidate.id = MemberId(place as u32);
    }
    let select = stage.rule.prepare(&candidates);
    let after: Vec<f64> =
        select.beliefs(moment(stage.now)).iter().map(|(_, belief)| belief.answers_a_second).collect();
    for (after, before) in after.iter().rev().zip(&before[1..]) {
        assert!((after / before.answers_a_second - 1.0).abs() < 0.1, "{after} {before:?}");
    }
}

#[test]
fn slow_start_holds_a_member_back() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[3.0; 4], 1.0, 1.0, 0.0, 200);
    let mut candidates = stage.candidates.clone();
    candidates[0].weight = 0.1;
    stage.select = stage.rule.prepare(&candidates);
    let mut seen = [0; 4];
    for _ in 0..300 {
        stage.now += 0.1;
        seen[stage.choose()] += 1;
    }
    assert!(seen[0] < 30, "{seen:?}");
}

#[test]
fn a_counter_tells_how_many_requests_an_answer_brings() {
    let mut stage = Stage::new(&[1.0; 2], Params { answer_load: Some(1.0), ..Params::default() });
    let mut taken = [0.0; 2];
    for _ in 0..200 {
        stage.now += 1.0;
        let chosen = stage.choose();
        taken[chosen] += 10.0;
        for (place, taken) in taken.iter().enumerate() {
            stage.report_with(place, 2.0, Some(*taken));
        }
    }
    let before = stage.beliefs();
    let chosen = stage.choose();
    let rise = stage.beliefs()[chosen].load - before[chosen].load;
    assert!((9.0..11.0).contains(&rise), "one request is told to bring 1, an answer brings ten: {rise}");
}

#[test]
fn nobody_gets_much_more_than_his_share_between_two_reports() {
    let mut stage = Stage::new(&[1.0; 4], Params::default());
    steady(&mut stage, &[2.0; 4], 1.0, 1.0, 0.0, 200);
    // One says it is idle, the others that they are busy; then silence, and a thousand questions.
    (0..4).for_each(|place| stage.report(place, if place == 0 { 0.0 } else { 8.0 }));
    let mut seen = [0; 4];
    for _ in 0..1000 {
        stage.now += 0.15;
        seen[stage.choose()] += 1;
    }
    assert!(seen.iter().all(|count| (200..330).contains(count)), "{seen:?}");
}

/// What may happen to a rule.
#[derive(Debug, Clone)]
enum Happening {
    /// What one report says; equal ones come as well, and from a clock that was set back.
    Report {
        place: usize,
        load: f64,
        counter: Option<f64>,
        told: Option<(f64, f64)>,
    },
    Choices(u8),
    Time(f64),
    /// Members 0 to n are candidates.
    Candidates(usize),
}

fn load() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..20.0f64,
        1 => Just(0.0),
        1 => -1e3..1e3f64,
        1 => prop_oneof![Just(1e308), Just(-1e308), Just(1e-308), Just(f64::MAX), Just(f64::MIN)],
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let counter = prop_oneof![3 => Just(None), 1 => load().prop_map(Some)];
    let told = prop_oneof![2 => Just(None), 1 => (load(), 0.0..1.0f64).prop_map(Some), 1 => (load(), load()).prop_map(Some)];
    prop_oneof![
        6 => (0..5usize, load(), counter, told)
            .prop_map(|(place, load, counter, told)| Happening::Report { place, load, counter, told }),
        6 => any::<u8>().prop_map(Happening::Choices),
        4 => (0.0..10.0f64).prop_map(Happening::Time),
        // The clock jumps: years ahead, or back.
        1 => prop_oneof![Just(1e9), Just(-1e5), Just(0.0)].prop_map(Happening::Time),
        1 => (1..6usize).prop_map(Happening::Candidates),
    ]
}

proptest! {
    /// Reports lost, late, twice, out of order, lies, counters that fall, clocks that jump: whatever comes, estimates
    /// are finite and a choice is made.
    #[test]
    fn whatever_comes_estimates_stay_finite(
        happenings in proptest::collection::vec(happening(), 1..400),
        answer_load in prop_oneof![Just(None), (1e-6..1e9f64).prop_map(Some)],
        smoothing in prop_oneof![3 => Just(None), 1 => Just(Some(Duration::from_secs(60)))],
        ttl in prop_oneof![Just(0), Just(50), 0..1_000_000_000u64],
    ) {
        let ttl = Duration::from_secs(ttl);
        let params = Params { answer_load, load_smoothing: smoothing, ttl, ..Params::default() };
        let mut stage = Stage::new(&[1.0, 2.0, 0.1, 1e6, 1e-6], params);
        let mut count = 5;
        for happening in happenings {
            match happening {
                Happening::Report { place, load, counter, told } => {
                    if let Some((rate, busy)) = told {
                        stage.tell(rate, busy);
                    }
                    stage.report_with(place, load, counter);
                }
                Happening::Choices(choices) => {
                    for _ in 0..choices {
                        let chosen = stage.choose();
                        prop_assert!(chosen < count);
                    }
                }
                Happening::Time(seconds) => stage.now = (stage.now + seconds).clamp(-9e5, 4e9),
                Happening::Candidates(new) => {
                    count = new;
                    let candidates = stage.candidates[..count].to_vec();
                    stage.select = stage.rule.prepare(&candidates);
                }
            }
            for belief in stage.beliefs() {
                prop_assert!(belief.load.is_finite() && belief.answers_a_second.is_finite(), "{belief:?}");
            }
            let sum: f64 = stage.select.shares().iter().map(|(_, share)| share).sum();
            prop_assert!((sum - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_choice_in_a_small_farm_reads_two_lines_of_what_is_prepared() {
    assert_eq!(std::mem::align_of::<Prepared>(), 64);
    assert!(std::mem::offset_of!(Prepared, weights) <= 128);
}
