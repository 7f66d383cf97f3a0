//! Sticky tokens: what an application says about a user's next requests, signed, in one DNS label.
//!
//! `TOKEN = MODE EXPIRY MAC "-" TARGET`. MODE is one letter ([`Mode`]), EXPIRY 8 hex digits of Unix seconds, MAC the
//! first 20 hex digits of HMAC-SHA256(key, `MODE EXPIRY "-" TARGET "." FARM`), all lower case. A name has at most 32
//! octets, so a token has at most 62 and fits a label (RFC 1035, 2.3.4: 63). 80 bits of MAC cannot be guessed within a
//! token's life, and a guess costs its sender a query. DNS keeps no letter case (RFC 4343; some resolvers even mix it at
//! random), so a token is put in lower case before it is looked at.
//!
//! Signed text `k6f4a1c80-app01.farm_one` under the key `athena documentation key 0000001` gives the token
//! `k6f4a1c8067179462a28e9e6d1191-app01`. `examples/tokens/` signs the same in shell, Python and PHP.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::moment::Moment;
use super::name::{MAX_NAME, Name};

/// Hex digits of the expiry.
const EXPIRY: usize = 8;
/// Hex digits of the MAC.
const MAC: usize = 20;
/// Where the hyphen stands.
const HYPHEN: usize = 1 + EXPIRY + MAC;
/// Longest token, in octets.
pub const MAX_TOKEN: usize = HYPHEN + 1 + MAX_NAME;

/// What a token asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `k`: keep to the backend as long as it is up, else choose anew.
    Keep,
    /// `p`: this backend, whatever its state.
    Pin,
    /// `f`: that farm instead of the one asked for.
    Farm,
}

impl Mode {
    /// The letter that stands first in a token.
    pub fn letter(self) -> char {
        match self {
            Self::Keep => 'k',
            Self::Pin => 'p',
            Self::Farm => 'f',
        }
    }

    /// The mode of this letter, in either case.
    pub fn from_letter(letter: u8) -> Option<Self> {
        match letter.to_ascii_lowercase() {
            b'k' => Some(Self::Keep),
            b'p' => Some(Self::Pin),
            b'f' => Some(Self::Farm),
            _ => None,
        }
    }
}

/// A secret that signs tokens. It is never printed, not even by `{:?}`; what is kept is the state of an HMAC that was
/// begun with it (RFC 2104), so that a query need not begin it again.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

/// A key without a single octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key of sticky tokens is empty")]
pub struct EmptyKey;

impl TokenKey {
    /// Takes the key's octets; 32 random ones are right, fewer are taken, none are refused.
    pub fn new(key: &[u8]) -> Result<Self, EmptyKey> {
        match Hmac::new_from_slice(key) {
            Ok(begun) if !key.is_empty() => Ok(Self(begun)),
            _ => Err(EmptyKey),
        }
    }

    /// The HMAC of what is signed, all of it in lower case.
    fn mac(&self, head: &[u8], target: &[u8], farm: &Name) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [head, b"-", target, b".", farm.as_str().as_bytes()] {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(secret)")
    }
}

/// The keys in force: none, one, or two while one is rolled over to the next. The first signs, both verify.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys([Option<TokenKey>; 2]);

impl TokenKeys {
    /// This key, and the one before it if that still counts.
    pub fn new(key: TokenKey, before: Option<TokenKey>) -> Self {
        Self([Some(key), before])
    }

    /// Whether no token can hold.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The key that signs.
    pub fn first(&self) -> Option<&TokenKey> {
        self.0[0].as_ref()
    }
}

/// Why a text is no token that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has not the form of a token.
    #[error("not a sticky token")]
    Malformed,
    /// It was signed by one of our keys, but its time is over.
    #[error("the sticky token has expired")]
    Expired,
    /// None of our keys signed this for this farm.
    #[error("the sticky token is forged, or for another farm")]
    Forged,
}

/// A token whose signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    mode: Mode,
    expires: u32,
    target: [u8; MAX_NAME],
    length: u8,
}

impl Token {
    /// What it asks for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// From when on it no longer holds, in Unix seconds.
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// The name of the backend or farm it asks for, in lower case.
    pub fn target(&self) -> &str {
        std::str::from_utf8(&self.target[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Signs a token for `farm`. It holds until the Unix second of `expires`; a time beyond the year 2106 is taken as that
/// year's end.
pub fn sign(key: &TokenKey, mode: Mode, expires: Moment, target: &Name, farm: &Name) -> String {
    let expires = u32::try_from(expires.unix().as_secs()).unwrap_or(u32::MAX);
    let head = format!("{}{expires:08x}", mode.letter());
    let mac = key.mac(head.as_bytes(), target.as_str().as_bytes(), farm).finalize().into_bytes();
    let mac: String = mac[..MAC / 2].iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{head}{mac}-{target}")
}

/// Whether a text has the form of a token: what else stands in front of a farm is no failed token, but a label.
#[inline]
pub fn is_formed(text: &[u8]) -> bool {
    // The hyphen first: it alone tells nearly every other label.
    text.get(HYPHEN) == Some(&b'-')
        && text.len() <= MAX_TOKEN
        && Mode::from_letter(text[0]).is_some()
        && text[1..HYPHEN].iter().all(u8::is_ascii_hexdigit)
        && is_name(&text[HYPHEN + 1..])
}

/// Takes a text in any letter case and gives the token, if one of `keys` signed it for `farm` and its time is not over
/// at `now`. Whether it is forged is decided first and in constant time. Allocates nothing.
pub fn verify(text: &[u8], farm: &Name, keys: &TokenKeys, now: Moment) -> Result<Token, TokenError> {
    if !is_formed(text) {
        return Err(TokenError::Malformed);
    }
    let mut lower = [0; MAX_TOKEN];
    let lower = &mut lower[..text.len()];
    lower.copy_from_slice(text);
    lower.make_ascii_lowercase();
    let (head, rest) = lower.split_at(1 + EXPIRY);
    let (mac, target) = (&rest[..MAC], &rest[MAC + 1..]);

    let mode = Mode::from_letter(head[0]).ok_or(TokenError::Malformed)?;
    let expires = head[1..].iter().fold(0, |number, &digit| number << 4 | u32::from(nibble(digit)));
    let mut given = [0; MAC / 2];
    for (octet, digits) in given.iter_mut().zip(mac.chunks_exact(2)) {
        *octet = nibble(digits[0]) << 4 | nibble(digits[1]);
    }
    // The comparison is hmac's own: it takes the same time wherever the octets differ.
    let holds = |key: &TokenKey| key.mac(head, target, farm).verify_truncated_left(&given).is_ok();
    if !keys.0.iter().flatten().any(holds) {
        return Err(TokenError::Forged);
    }
    if now.unix().as_secs() >= u64::from(expires) {
        return Err(TokenError::Expired);
    }
    let mut token = Token { mode, expires, target: [0; MAX_NAME], length: target.len() as u8 };
    token.target[..target.len()].copy_from_slice(target);
    Ok(token)
}

/// The grammar of [`Name`], without making one.
fn is_name(text: &[u8]) -> bool {
    let inner = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let end = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= MAX_NAME && end(text.first()) && end(text.last()) && text.iter().all(inner)
}

/// The value of a hex digit in lower case; the caller has seen that it is one.
fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit.wrapping_sub(b'a' - 10) & 0xf }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_unix(Duration::from_secs(seconds))
    }

    fn key(text: &str) -> TokenKey {
        TokenKey::new(text.as_bytes()).unwrap()
    }

    const KEY: &str = "athena documentation key 0000001";
    const OTHER: &str = "athena documentation key 0000002";

    fn keys() -> TokenKeys {
        TokenKeys::new(key(KEY), None)
    }

    #[test]
    fn the_token_of_the_documentation() {
        let token = sign(&key(KEY), Mode::Keep, at(0x6f4a_1c80), &name("app01"), &name("farm_one"));
        assert_eq!(token, "k6f4a1c8067179462a28e9e6d1191-app01");
        let read = verify(token.as_bytes(), &name("farm_one"), &keys(), at(0)).unwrap();
        assert_eq!((read.mode(), read.expires(), read.target()), (Mode::Keep, 0x6f4a_1c80, "app01"));
    }

    #[test]
    fn letter_case_says_nothing() {
        let token = sign(&key(KEY), Mode::Pin, at(2_000_000_000), &name("App01"), &name("Farm_One"));
        let loud = token.to_ascii_uppercase();
        let read = verify(loud.as_bytes(), &name("farm_one"), &keys(), at(1)).unwrap();
        assert_eq!((read.mode(), read.target()), (Mode::Pin, "app01"));
    }

    #[test]
    fn a_token_holds_until_its_second_comes() {
        let farm = name("farm_one");
        let token = sign(&key(KEY), Mode::Keep, at(1000), &name("app01"), &farm);
        assert!(verify(token.as_bytes(), &farm, &keys(), at(999)).is_ok());
        assert_eq!(verify(token.as_bytes(), &farm, &keys(), at(1000)), Err(TokenError::Expired));
        let forever = sign(&key(KEY), Mode::Keep, at(u64::from(u32::MAX) + 5), &name("app01"), &farm);
        assert_eq!(verify(forever.as_bytes(), &farm, &keys(), at(1)).unwrap().expires(), u32::MAX);
    }

    #[test]
    fn a_token_is_for_one_farm_and_one_key() {
        let (farm, token) =
            (name("one"), sign(&key(KEY), Mode::Keep, at(1000), &name("app01"), &name("one")));
        let verdict = |farm: &Name, keys: &TokenKeys| verify(token.as_bytes(), farm, keys, at(1)).err();
        assert_eq!(verdict(&name("two"), &keys()), Some(TokenError::Forged));
        assert_eq!(verdict(&farm, &TokenKeys::new(key(OTHER), None)), Some(TokenError::Forged));
        assert_eq!(verdict(&farm, &TokenKeys::default()), Some(TokenError::Forged));
        // Rollover: the new key signs, the old one still verifies.
        assert_eq!(verdict(&farm, &TokenKeys::new(key(OTHER), Some(key(KEY)))), None);
        // A forged token that is also too old is forged: nothing is said about times that we did not sign.
        assert_eq!(verify(token.as_bytes(), &name("two"), &keys(), at(5000)).err(), Some(TokenError::Forged));
    }

    #[test]
    fn labels_that_are_no_tokens_are_told_at_sight() {
        for label in [
            "",
            "a",
            "k",
            "s-42",
            "0123456789abcdef0123456789abcdef",
            "6f4a1c80-92c0-4f0a-9f5d-0123456789ab",
            "k6f4a1c8067179462a28e9e6d1191",
            "k6f4a1c8067179462a28e9e6d1191-",
            "k6f4a1c8067179462a28e9e6d1191--a",
            "k6f4a1c8067179462a28e9e6d119g-app01",
            "x6f4a1c8067179462a28e9e6d119d-app01",
            "k6f4a1c8067179462a28e9e6d1191-app.01",
            "k6f4a1c8067179462a28e9e6d1191-abcdefghijklmnopqrstuvwxyz0123456",
        ] {
            assert!(!is_formed(label.as_bytes()), "{label}");
            assert_eq!(
                verify(label.as_bytes(), &name("one"), &keys(), at(1)),
                Err(TokenError::Malformed),
                "{label}"
            );
        }
    }

    #[test]
    fn the_key_is_never_shown() {
        assert_eq!(format!("{:?}", keys()), "TokenKeys([Some(TokenKey(secret)), None])");
        assert_eq!(TokenKey::new(b"").unwrap_err().to_string(), "the key of sticky tokens is empty");
    }

    fn a_name() -> impl Strategy<Value = Name> {
        "[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?".prop_map(|text| Name::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_fits_a_label(
            letter in prop::sample::select(vec![b'k', b'p', b'f']),
            expires in 1u64..=u64::from(u32::MAX), target in a_name(), farm in a_name(),
        ) {
            let mode = Mode::from_letter(letter).unwrap();
            let token = sign(&key(KEY), mode, at(expires), &target, &farm);
            prop_assert!(token.len() <= 63);
            let read = verify(token.as_bytes(), &farm, &keys(), at(expires - 1)).unwrap();
            prop_assert_eq!((read.mode(), read.target(), u64::from(read.expires())), (mode, target.as_str(), expires));
        }

        #[test]
        fn one_octet_changed_never_verifies(place in 0usize..36, to in any::<u8>()) {
            let farm = name("farm_one");
            let token = sign(&key(KEY), Mode::Keep, at(0x6f4a_1c80), &name("app-01"), &farm).into_bytes();
            let mut forged = token.clone();
            forged[place] = to;
            prop_assume!(!forged.eq_ignore_ascii_case(&token));
            prop_assert!(verify(&forged, &farm, &keys(), at(1)).is_err());
        }

        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = verify(&octets, &name("farm_one"), &keys(), at(1));
        }

        #[test]
        fn nothing_of_the_right_form_verifies_unsigned(text in "[kpf][0-9a-f]{28}-[a-z0-9]{1,32}") {
            prop_assert_eq!(verify(text.as_bytes(), &name("one"), &keys(), at(1)), Err(TokenError::Forged));
        }
    }
}
