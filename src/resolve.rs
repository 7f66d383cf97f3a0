//! Backends that are configured by host name: looked up at the start and again and again, through the system's resolver.
//!
//! The system's resolver (and not one of our own) because the operator's hosts file, search list and caches are what
//! he expects to count. A look-up that fails, or gives nothing, changes nothing: addresses that worked go on being used,
//! and the log says so once. Each host has a task of its own, so one slow name server holds up nobody else.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::balance::{Engine, Name};
use crate::clock::Clock;

/// A look-up that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most addresses taken of one host.
const MOST: usize = 16;

/// A backend whose addresses come from a host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The backend.
    pub backend: Name,
    /// Its host name.
    pub host: String,
    /// Between two look-ups, greater than 0.
    pub refresh: Duration,
}

/// Starts to look after these hosts. Dropping the set stops it.
pub fn watch(hosts: Vec<Host>, engine: &Arc<Engine>, clock: Clock) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for host in hosts {
        tasks.spawn(watch_one(host, Arc::clone(engine), clock));
    }
    tasks
}

async fn watch_one(host: Host, engine: Arc<Engine>, clock: Clock) {
    let mut ticks = interval(host.refresh);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        match look_up(&host.host).await {
            Ok(addresses) => {
                failing = false;
                for change in engine.set_addresses(host.backend.as_str(), &addresses, clock.now()) {
                    info!("{change}");
                }
            }
            Err(error) if !failing => {
                failing = true;
                warn!(
                    "backend {}: cannot resolve {}: {error}; it keeps the addresses it has",
                    host.backend, host.host
                );
            }
            Err(_) => {}
        }
    }
}

/// The addresses of a host, each once, in the resolver's order of families but sorted within each: resolvers rotate their
/// answers, and that is no change.
async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = timeout(PATIENCE, tokio::net::lookup_host((host, 0))).await??;
    let addresses = order(found.map(|address| address.ip()));
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}

fn order(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = found.collect();
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    addresses.sort_by_key(|address| (address.is_ipv6() != first_is_v6, *address));
    addresses.dedup();
    addresses.truncate(MOST);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_answer_is_the_same_answer() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let one = order(parse(&["::1", "10.0.0.2", "10.0.0.1", "::2", "::1"]).into_iter());
        let other = order(parse(&["::2", "::1", "10.0.0.1", "10.0.0.2"]).into_iter());
        assert_eq!(one, other);
        assert_eq!(one, parse(&["::1", "::2", "10.0.0.1", "10.0.0.2"]));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error_and_localhost_has_an_address() {
        assert!(look_up("no-such-host.invalid").await.is_err());
        assert!(look_up("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    }
}
