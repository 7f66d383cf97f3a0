//! DNS cookies (RFC 7873) as servers of all makes agree on them (RFC 9018): 16 octets that prove, without any memory here,
//! that a client has received an answer of ours at its address.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::balance::Moment;

/// Octets of a client's cookie.
pub const CLIENT: usize = 8;
/// Octets of a server cookie of RFC 9018.
pub const SERVER: usize = 16;
/// The version of RFC 9018.
const VERSION: u8 = 1;
/// A server cookie holds for an hour (RFC 9018, 4.3).
const LIFETIME: u32 = 3600;
/// One half as old is replaced (same place).
const RENEWAL: u32 = 1800;
/// Clocks of servers that share a secret may differ by so much (same place).
const AHEAD: u32 = 300;

/// Makes and checks cookies.
#[derive(Debug, Clone)]
pub struct Cookies {
    secrets: Vec<[u8; 16]>,
}

/// A cookie option answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether the server cookie in it was ours, fresh, and this client's.
    pub valid: bool,
    /// The option's content for the reply: the client's cookie, then ours.
    pub reply: [u8; CLIENT + SERVER],
}

impl Cookies {
    /// With these secrets: the first one makes cookies, all of them are honoured. Without any there are no cookies.
    pub fn new(secrets: Vec<[u8; 16]>) -> Option<Self> {
        (!secrets.is_empty()).then_some(Self { secrets })
    }

    /// Checks the content of a cookie option, which has 8 octets or 16 to 40. A good server cookie is sent back as it is
    /// until it is half an hour old.
    pub fn check(&self, option: &[u8], client: IpAddr, now: Moment) -> Option<Checked> {
        let (client_cookie, server_cookie) = option.split_first_chunk::<CLIENT>()?;
        let client = client.to_canonical();
        let now = now.unix().as_secs() as u32;
        let age = self.age(client_cookie, server_cookie, client, now);
        let mut reply = [0; CLIENT + SERVER];
        reply[..CLIENT].copy_from_slice(client_cookie);
        match (age, <&[u8; SERVER]>::try_from(server_cookie)) {
            (Some(age), Ok(fresh)) if age < RENEWAL as i32 => reply[CLIENT..].copy_from_slice(fresh),
            _ => reply[CLIENT..].copy_from_slice(&make(&self.secrets[0], client_cookie, client, now)),
        }
        Some(Checked { valid: age.is_some(), reply })
    }

    /// How many seconds old a server cookie is, if it holds.
    fn age(&self, client_cookie: &[u8; CLIENT], cookie: &[u8], client: IpAddr, now: u32) -> Option<i32> {
        let cookie: &[u8; SERVER] = cookie.try_into().ok()?;
        let made = u32::from_be_bytes([cookie[4], cookie[5], cookie[6], cookie[7]]);
        // RFC 9018, 4.3: serial number arithmetic (RFC 1982), for the clock of 32 bits goes round in 2106.
        let age = now.wrapping_sub(made) as i32;
        if age > LIFETIME as i32 || age < -(AHEAD as i32) {
            return None;
        }
        let (head, hash) = cookie.split_first_chunk::<8>()?;
        if head[0] != VERSION {
            return None;
        }
        let ours = |secret| {
            // The reserved octets are hashed as they came (RFC 9018, 4.2).
            let expected = siphash(secret, client_cookie, head, client);
            // A guess is told from the cookie in constant time, so that no octet can be found alone.
            expected.iter().zip(hash).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
        };
        self.secrets.iter().any(ours).then_some(age)
    }
}

/// RFC 9018, 4: version, three reserved octets, a time stamp, a hash.
fn make(secret: &[u8; 16], client_cookie: &[u8; CLIENT], client: IpAddr, time: u32) -> [u8; SERVER] {
    let mut cookie = [0; SERVER];
    cookie[0] = VERSION;
    cookie[4..8].copy_from_slice(&time.to_be_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&cookie[..8]);
    cookie[8..].copy_from_slice(&siphash(secret, client_cookie, &head, client));
    cookie
}

/// RFC 9018, 4.4: over the client's cookie, what stands before the hash, and the client's address.
fn siphash(secret: &[u8; 16], client_cookie: &[u8; CLIENT], head: &[u8; 8], client: IpAddr) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client_cookie);
    hasher.write(head);
    match client {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    hasher.finish().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    fn secret(text: &str) -> [u8; 16] {
        hex(text).try_into().unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(seconds))
    }

    #[test]
    fn the_examples_of_rfc_9018_come_out() {
        let cookies = Cookies::new(vec![secret("e5e973e5a6b2a43f48e7dc849e37bfcf")]).unwrap();
        let client = "198.51.100.100".parse().unwrap();
        // A.1: a new client.
        let first = cookies.check(&hex("2464c4abcf10c957"), client, at(1_559_731_985)).unwrap();
        assert!(!first.valid);
        assert_eq!(first.reply[..], hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
        // A.2: the same one forty minutes later, within the hour and past its half.
        let later = cookies.check(&first.reply, client, at(1_559_734_385)).unwrap();
        assert!(later.valid);
        assert_eq!(later.reply[..], hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
        // A.3: another client with a cookie whose reserved octets are set.
        let option = hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let other = cookies.check(&option, "203.0.113.203".parse().unwrap(), at(1_559_727_985)).unwrap();
        assert!(other.valid);
    }

    #[test]
    fn version_six_and_a_rollover_of_rfc_9018_come_out() {
        // A.4: the new secret makes, the old one is still honoured.
        let old = secret("dd3bdf9344b678b185a6f5cb60fca715");
        let new = secret("445536bcd2513298075a5d379663c962");
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let option = hex("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let cookies = Cookies::new(vec![new, old]).unwrap();
        let checked = cookies.check(&option, client, at(1_559_741_961)).unwrap();
        assert!(checked.valid);
        assert_eq!(
            cookies.check(&option, client, at(1_559_741_817)).map(|checked| checked.valid),
            Some(true)
        );
        assert!(!Cookies::new(vec![new]).unwrap().check(&option, client, at(1_559_741_961)).unwrap().valid);
    }

    #[test]
    fn a_cookie_is_kept_until_half_its_life_and_dies_after_an_hour() {
        let cookies = Cookies::new(vec![[7; 16]]).unwrap();
        let client = "192.0.2.1".parse().unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        let first = cookies.check(b"12345678", client, at(1_000_000)).unwrap();
        let valid = |option: &[u8], client, seconds| cookies.check(option, client, at(seconds)).unwrap();
        assert_eq!(valid(&first.reply, mapped, 1_001_799), Checked { valid: true, ..first });
        assert_ne!(valid(&first.reply, client, 1_001_800).reply, first.reply);
        assert!(valid(&first.reply, client, 1_003_600).valid);
        assert!(!valid(&first.reply, client, 1_003_601).valid);
        assert!(valid(&first.reply, client, 999_700).valid);
        assert!(!valid(&first.reply, client, 999_699).valid);
        assert!(!valid(&first.reply, "192.0.2.2".parse().unwrap(), 1_000_000).valid);
        assert!(!valid(&[&first.reply[..], b"more"].concat(), client, 1_000_000).valid);
    }

    #[test]
    fn no_secret_no_cookies() {
        assert!(Cookies::new(Vec::new()).is_none());
    }
}
