//! When to look: at once, and from then on each at its own pace, so that a thousand backends are not asked at once.
//!
//! The first look is at the start, for the sake of readiness. The second comes at a time drawn over the whole first interval,
//! which spreads all that began together; after that each interval is longer or shorter by a part drawn anew. And no more than
//! a number of looks are under way at once, whatever comes due.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::plan::Pace;
use crate::balance::random::Random;

/// Most looks under way at once: as many sockets as a process may open where nobody raised the limit, less a quarter.
pub const MOST_AT_ONCE: usize = 768;

/// Whoever looks.
pub trait Look: Send {
    /// When.
    fn pace(&self) -> Pace;
    /// Looks once; ends within the pace's time-out. Gives whether there was anybody to look at; if not, it is asked again
    /// soon.
    fn look(&mut self) -> impl Future<Output = bool> + Send;
}

/// Until the next look at a backend whose host name is not resolved yet.
const SOON: Duration = Duration::from_millis(100);

/// Lets somebody look again and again, for as long as it is polled. `first` is dropped when there was a first result.
pub async fn keep_looking(
    mut looker: impl Look,
    seats: Arc<Semaphore>,
    mut random: impl Random,
    first: mpsc::Sender<Infallible>,
) {
    let mut first = Some(first);
    loop {
        let wait = match first {
            Some(_) => looker.pace().interval.mul_f64(random.unit()),
            None => wait(looker.pace(), random.unit()),
        };
        let look = async {
            let Ok(_seat) = seats.acquire().await else { return true };
            // On the heap, and only while it is under way: most of the time most tasks wait.
            Box::pin(looker.look()).await
        };
        let next = timeout(wait, std::future::pending::<()>());
        tokio::pin!(look, next);
        let (is_there, is_due) = tokio::select! {
            is_there = &mut look => (is_there, false),
            _ = &mut next => (look.await, true),
        };
        match is_there {
            true => drop(first.take()),
            false => pause(SOON).await,
        }
        if is_there && !is_due {
            let _ = next.await;
        }
    }
}

/// From the beginning of one look to that of the next, with `unit` drawn from 0 to 1.
fn wait(pace: Pace, unit: f64) -> Duration {
    pace.interval.mul_f64(1.0 + pace.spread * (2.0 * unit - 1.0))
}

async fn pause(wait: Duration) {
    let _ = timeout(wait, std::future::pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::balance::random::SplitMix;

    /// Notes when it looks; each look takes a while.
    struct Watch {
        pace: Pace,
        takes: Duration,
        absent: u32,
        seen: Arc<Mutex<Vec<Duration>>>,
        since: Instant,
    }

    impl Look for Watch {
        fn pace(&self) -> Pace {
            self.pace
        }

        async fn look(&mut self) -> bool {
            if self.absent > 0 {
                self.absent -= 1;
                return false;
            }
            self.seen.lock().unwrap().push(self.since.elapsed());
            pause(self.takes).await;
            true
        }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Lets `lookers` look for `span` of virtual time; gives when each of them did.
    async fn looks(lookers: u64, seats: usize, takes: f64, absent: u32, span: f64) -> Vec<Vec<Duration>> {
        let pace = Pace { interval: seconds(5.0), timeout: seconds(2.0), spread: 0.1 };
        let seats = Arc::new(Semaphore::new(seats));
        let (first, mut over) = mpsc::channel(1);
        let since = Instant::now();
        let mut all = Vec::new();
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..lookers {
            let seen = Arc::new(Mutex::new(Vec::new()));
            all.push(Arc::clone(&seen));
            let watch = Watch { pace, takes: seconds(takes), absent, seen, since };
            tasks.spawn(keep_looking(watch, Arc::clone(&seats), SplitMix::new(seed), first.clone()));
        }
        drop(first);
        let _ = over.recv().await;
        assert!(
            all.iter().all(|seen| !seen.lock().unwrap().is_empty()),
            "nobody is ready before all have looked"
        );
        pause(seconds(span).saturating_sub(since.elapsed())).await;
        all.iter().map(|seen| seen.lock().unwrap().clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_look_is_at_once_and_the_others_are_spread() {
        let all = looks(1000, MOST_AT_ONCE, 0.0, 0, 61.0).await;
        assert!(all.iter().all(|seen| seen[0] < seconds(0.1)), "all begin with the server");
        for seen in &all {
            assert!(seen[1] <= seconds(5.01), "{seen:?}");
            for pair in seen[1..].windows(2) {
                let interval = (pair[1] - pair[0]).as_secs_f64();
                assert!((4.49..5.52).contains(&interval), "{interval}");
            }
        }
        // After the first look no tenth of a second sees many more than its share, which is 20 of 1,000.
        let mut tenths = vec![0; 700];
        for at in all.iter().flat_map(|seen| &seen[1..]) {
            tenths[(at.as_secs_f64() * 10.0) as usize] += 1;
        }
        let most = tenths.iter().max().unwrap();
        assert!(*most < 50, "{most} at once");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_under_way_than_there_are_seats_and_the_rest_has_its_turn() {
        let all = looks(10, 2, 1.0, 0, 5.0).await;
        let mut starts: Vec<_> = all.iter().flatten().map(|at| at.as_secs_f64().round() as u64).collect();
        starts.sort_unstable();
        assert_eq!(starts[..10], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "in turn: two a second");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_there_yet_is_asked_again_soon() {
        let all = looks(3, 8, 0.0, 4, 1.0).await;
        assert!(all.iter().all(|seen| seen[0] >= 4 * SOON && seen[0] < 5 * SOON), "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_long_is_not_overtaken_by_itself() {
        let all = looks(1, 8, 7.0, 0, 40.0).await;
        assert!(all[0].windows(2).all(|pair| pair[1] - pair[0] >= seconds(7.0)), "{all:?}");
    }
}
