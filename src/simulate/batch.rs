//! Many runs on many cores. Each run depends on its job alone, so the outcome does not depend on how many cores there are.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use super::outcome::Outcome;
use super::setting::{Rule, Setting};
use super::world::{self, Impossible};

/// One run.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is simulated.
    pub setting: Setting,
    /// Who chooses.
    pub rule: Rule,
    /// Requests that count.
    pub requests: u64,
    /// The seed of all its randomness.
    pub seed: u64,
}

/// As many threads as there are cores for us.
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs all jobs on so many threads and tells `done` of each, on the calling thread and in the order of the jobs, as soon
/// as it and all before it are done; beside it, how many are done in all. Stops early, with an error, when `done` gives
/// one or a job cannot be run.
pub fn run<E: From<Impossible>>(
    jobs: &[Job],
    threads: NonZeroUsize,
    mut done: impl FnMut(Progress) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.get().min(jobs.len()) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    let place = next.fetch_add(1, Relaxed);
                    let Some(job) = jobs.get(place) else { return };
                    let outcome = world::run(&job.setting, job.rule, job.requests, job.seed);
                    if sender.send((place, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting: Vec<Option<Outcome>> = vec![None; jobs.len()];
        let (mut finished, mut told) = (0, 0);
        let mut take = |place: usize, outcome: Result<Outcome, Impossible>| {
            waiting[place] = Some(outcome?);
            finished += 1;
            done(Progress::Ran { finished })?;
            while let Some(outcome) = waiting.get_mut(told).and_then(Option::take) {
                done(Progress::Next { place: told, outcome })?;
                told += 1;
            }
            Ok(())
        };
        let all = receiver.iter().try_for_each(|(place, outcome)| take(place, outcome));
        stop.store(true, Relaxed);
        all
    })
}

/// What [`run`] tells.
#[derive(Debug)]
pub enum Progress {
    /// So many jobs have been run, in whatever order.
    Ran {
        /// How many.
        finished: usize,
    },
    /// The outcome of the next job, in the order of the jobs.
    Next {
        /// Its place among them.
        place: usize,
        /// What came of it.
        outcome: Outcome,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Vec<Job> {
        let rule = Rule::find("random").expect("it is in the table");
        (1..=6).map(|seed| Job { setting: Setting::equal(3, 0.5, 1.0), rule, requests: 200, seed }).collect()
    }

    fn outcomes(threads: usize) -> Vec<(usize, Outcome)> {
        let mut outcomes = Vec::new();
        let threads = NonZeroUsize::new(threads).unwrap();
        run::<Impossible>(&jobs(), threads, |progress| {
            if let Progress::Next { place, outcome } = progress {
                outcomes.push((place, outcome));
            }
            Ok(())
        })
        .unwrap();
        outcomes
    }

    #[test]
    fn outcomes_come_in_order_and_do_not_depend_on_the_threads() {
        let one = outcomes(1);
        assert_eq!(one.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(one, outcomes(4));
        assert_ne!(one[0].1, one[1].1, "another seed, another outcome");
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut jobs = jobs();
        jobs[2].setting.rate = -1.0;
        let failed = run::<Impossible>(&jobs, NonZeroUsize::MIN, |_| Ok(()));
        assert!(matches!(failed, Err(Impossible::Number(_))), "{failed:?}");
    }
}
