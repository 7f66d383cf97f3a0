//! Labels next to a farm, and what stands in `t=`: tokens, KEYs and whatever looks like them. A token that was signed is
//! read and followed; anything else, be it one octet away from one, is never taken for a token; and whatever the label
//! says, the farm gives a member.

use std::sync::Arc;
use std::time::Duration;

use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::{Random, SplitMix};
use athena::balance::token::{Mode, TokenKey, TokenKeys, sign};
use athena::balance::{Ask, Choice, Engine, Family, Farm, Moment, Name, Plan, Stick, algorithm};

use super::text::Target;

const CORPUS: &str = include_str!("corpus/labels.txt");

/// See the head of this file.
pub struct Label {
    farm: Arc<Farm>,
    /// Keeps the farm's machines.
    _engine: Engine,
    /// Tokens that hold, with whom they name.
    signed: Vec<(String, &'static str)>,
    /// Of the right form and signed for another farm, with another key, or too long ago.
    others: Vec<String>,
    now: Moment,
}

impl Label {
    /// A farm of three, and tokens for it.
    pub fn new() -> Result<Self, String> {
        let name = |text: &str| Name::parse(text).map_err(|error| error.to_string());
        let key = |text: &[u8]| TokenKey::new(text).map_err(|error| error.to_string());
        let mut plan = Plan::default();
        let members = ["app01", "app02", "app03"];
        for (backend, number) in members.into_iter().zip(1u8..) {
            plan.backends.push(BackendPlan::new(name(backend)?, vec![[10, 0, 0, number].into()]));
        }
        let rule = algorithm::find("hash").ok_or("no such rule")?;
        for farm in ["farm_one", "other"] {
            let members = members.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
            plan.farms.push(FarmPlan::new(name(farm)?, members, rule));
        }
        let now = Moment::from_unix(Duration::from_secs(1_000_000));
        let engine = Engine::new(plan, now).map_err(|problems| format!("{problems:?}"))?;
        engine.set_token_keys(TokenKeys::new(key(b"the key")?, Some(key(b"the key before it")?)));
        let (later, farm) = (now + Duration::from_secs(3600), name("farm_one")?);
        let (mut signed, mut others) = (Vec::new(), Vec::new());
        for target in members {
            for mode in [Mode::Keep, Mode::Pin] {
                for text in [&b"the key"[..], b"the key before it"] {
                    signed.push((sign(&key(text)?, mode, later, &name(target)?, &farm), target));
                }
                others.push(sign(&key(b"the key")?, mode, later, &name(target)?, &name("other")?));
                others.push(sign(&key(b"no key of ours")?, mode, later, &name(target)?, &farm));
                others.push(sign(&key(b"the key")?, mode, now, &name(target)?, &farm));
            }
        }
        let farm = engine.farm("farm_one").ok_or("no farm")?;
        Ok(Self { farm, _engine: engine, signed, others, now })
    }
}

impl Target for Label {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let plain = CORPUS.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
        let signed = self.signed.iter().map(|(token, _)| token.clone());
        plain.chain(signed).chain(self.others.iter().cloned()).map(String::into_bytes).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &["k", "p", "f", "s-", "-app01", "ffffffff", "00000000", "-", "S-", "again", "K"]
    }

    fn check(&mut self, input: &[u8], random: &mut SplitMix) -> Result<bool, String> {
        let label = &input[..input.len().min(63)];
        let stick = match random.below(2) {
            0 => self.farm.read_label(label, self.now),
            _ => self.farm.read_token(label, self.now),
        };
        let known = self.signed.iter().find(|(token, _)| token.as_bytes().eq_ignore_ascii_case(label));
        let named = match (&stick, known) {
            (Stick::Token(token), Some((_, target))) if token.target() == *target => Some(*target),
            (Stick::Token(token), _) => return Err(format!("taken for a token: {token:?}")),
            (_, Some(_)) => return Err("signed, and not taken for a token".to_owned()),
            _ => None,
        };
        let ask = Ask {
            family: Some(Family::V4),
            key: label,
            stick,
            again: random.below(4) == 0,
            packet: None,
            now: self.now,
        };
        let Choice::Member(chosen) = self.farm.choose(&ask, random) else {
            return Err("nobody is given".to_owned());
        };
        // A second try is due to somebody else, unless the token insists.
        match named {
            Some(target) if !ask.again && chosen.machine().name.as_str() != target => {
                Err(format!("a token for {target} gives {}", chosen.machine().name))
            }
            _ => Ok(named.is_some()),
        }
    }
}
