//! The addresses of a machine. Nearly all have one, so one takes no memory of its own.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;

/// Any number of addresses; fixed when it is made.
#[derive(Clone)]
pub enum Addresses {
    /// One.
    One(IpAddr),
    /// None, or several.
    Several(Box<[IpAddr]>),
}

impl From<&[IpAddr]> for Addresses {
    fn from(addresses: &[IpAddr]) -> Self {
        match addresses {
            [address] => Self::One(*address),
            _ => Self::Several(addresses.into()),
        }
    }
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_they_are_a_list() {
        let all: Vec<IpAddr> = (1..4).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        for many in 0..=all.len() {
            assert_eq!(*Addresses::from(&all[..many]), all[..many]);
        }
    }
}
