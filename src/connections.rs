//! How many connections are open, in all and from each address: a limit that a greedy client meets alone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Open at once.
    pub in_all: usize,
    /// Open at once from one IPv4 address, or from one IPv6 network of 64 bits.
    pub from_client: usize,
}

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The right to keep one connection open; dropped when it closes.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Connections {
    /// Lets one more connection in; gives `None` where a limit is reached. Takes the lock for two additions.
    pub fn admit(self: &Arc<Self>, address: IpAddr, most: Most) -> Option<Permit> {
        let client = client(address);
        let mut open = self.lock();
        let from_client = open.by_client.get(&client).copied().unwrap_or(0);
        if open.all >= most.in_all || from_client >= most.from_client {
            return None;
        }
        open.all += 1;
        open.by_client.insert(client, from_client + 1);
        Some(Permit { connections: Arc::clone(self), client })
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all -= 1;
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which one host has to itself (RFC 7421).
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_meets_its_own_limit_and_all_meet_the_other() {
        let connections = Arc::new(Connections::default());
        let most = Most { in_all: 3, from_client: 2 };
        let admit = |address: &str| connections.admit(address.parse().unwrap(), most);
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_none(), "the same network of 64 bits");
        let _third = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.2").is_none(), "three are open");
        drop(first);
        let _fourth = admit("::ffff:192.0.2.1").unwrap();
        assert_eq!(connections.open(), 3);
        drop((_second, _third, _fourth));
        assert!(connections.lock().by_client.is_empty());
    }
}
