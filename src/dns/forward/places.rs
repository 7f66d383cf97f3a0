//! Questions in flight: so many in all, so many of one client. Who finds no place is told at once, and holds up nobody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// How many.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of one client.
    pub client: usize,
}

/// Places that are taken.
#[derive(Default)]
pub struct Places {
    taken: Mutex<Taken>,
    left: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// One question's place, given back when this is dropped.
pub struct Place {
    places: Arc<Places>,
    client: IpAddr,
    metrics: Arc<Metrics>,
}

impl Places {
    /// Takes a place if there is one. Takes the lock of the places, as giving back does; only questions for others do.
    pub fn take(places: &Arc<Self>, client: IpAddr, limits: Limits, metrics: &Arc<Metrics>) -> Option<Place> {
        let client = household(client);
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.by_client.get(&client).copied().unwrap_or(0);
        if taken.all >= limits.all || of_client >= limits.client {
            return None;
        }
        taken.all += 1;
        taken.by_client.insert(client, of_client + 1);
        metrics.forward.in_flight.fetch_add(1, Relaxed);
        Some(Place { places: Arc::clone(places), client, metrics: Arc::clone(metrics) })
    }

    /// Waits until no place is taken.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.taken.lock().unwrap_or_else(PoisonError::into_inner).all == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.forward.in_flight.fetch_sub(1, Relaxed);
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        match taken.by_client.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_client.remove(&self.client)),
        }
        if taken.all == 0 {
            self.places.left.notify_waiters();
        }
    }
}

/// Whom addresses count for: an IPv6 host has a network of 64 bits to choose them from (RFC 4291, 2.5.4).
fn household(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(client) => Ipv6Addr::from_bits(client.to_bits() >> 64 << 64).into(),
        client => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_counted_in_all_and_by_client_and_given_back() {
        let (places, metrics) = (Arc::<Places>::default(), Arc::<Metrics>::default());
        let limits = Limits { all: 3, client: 2 };
        let take = |client: &str| Places::take(&places, client.parse().unwrap(), limits, &metrics);
        let one = [take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert!(take("10.0.0.1").is_none(), "the client has its two");
        let other = take("2001:db8::1").unwrap();
        assert!(take("10.0.0.2").is_none(), "there are three in all");
        assert_eq!(metrics.forward.in_flight.load(Relaxed), 3);
        drop(one);
        let further = take("2001:db8::2").unwrap();
        assert!(take("2001:db8:0:0:ffff::").is_none(), "one network of 64 bits is one client");
        assert!(take("2001:db8:0:1::").is_some());
        let empty = places.empty();
        let mut empty = std::pin::pin!(empty);
        assert!(futures_now(empty.as_mut()).await.is_none());
        drop((other, further));
        empty.await;
        assert_eq!(metrics.forward.in_flight.load(Relaxed), 0);
    }

    /// What a future gives without waiting.
    async fn futures_now<F: Future>(future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
