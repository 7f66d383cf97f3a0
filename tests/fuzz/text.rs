//! Texts, mutated: query strings, configurations, zone files and sticky labels.
//!
//! Each round takes a text of the target's corpus, hits it a few times (octets, pieces of itself, pieces and words of
//! others), and lets the target look at what comes of it: nothing may panic, what is taken must hold what the target
//! promises, and what is refused must have changed nothing and say why.

use athena::balance::random::{Random, SplitMix};

use super::{configuration, label, query, zone};

/// What is fuzzed.
pub trait Target {
    /// What mutations start from.
    fn corpus(&self) -> Vec<Vec<u8>>;

    /// What is put between.
    fn words(&self) -> &'static [&'static str];

    /// Looks at one input; gives whether it was taken, or what is not as it should be.
    fn check(&mut self, input: &[u8], random: &mut SplitMix) -> Result<bool, String>;
}

/// What a run did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Inputs.
    pub inputs: u64,
    /// Of them, taken.
    pub taken: u64,
}

/// A run over one target.
pub struct Fuzz {
    target: Box<dyn Target>,
    corpus: Vec<Vec<u8>>,
    random: SplitMix,
    tally: Tally,
}

/// The names of the targets.
pub const TARGETS: [&str; 4] = ["query", "configuration", "zone", "label"];

impl Fuzz {
    /// A run over the target of this name that depends on `seed` alone.
    pub fn new(name: &str, seed: u64) -> Result<Self, String> {
        let target: Box<dyn Target> = match name {
            "query" => Box::new(query::Query::new()?),
            "configuration" => Box::new(configuration::Configuration::new()?),
            "zone" => Box::new(zone::Zone::new()?),
            "label" => Box::new(label::Label::new()?),
            _ => return Err(format!("no target is called {name}; there are packet, {}", TARGETS.join(", "))),
        };
        let corpus = target.corpus();
        Ok(Self { target, corpus, random: SplitMix::new(seed), tally: Tally::default() })
    }

    /// So many inputs; stops at the first that is not as it should be, and says why, with the input.
    pub fn run(&mut self, inputs: u64) -> Result<Tally, String> {
        for _ in 0..inputs {
            let input = self.input();
            let taken = self.target.check(&input, &mut self.random);
            let taken = taken.map_err(|why| format!("{why}\n{}", input.escape_ascii()))?;
            self.tally.inputs += 1;
            self.tally.taken += u64::from(taken);
        }
        Ok(self.tally)
    }

    fn input(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut input = self.corpus[random.below(self.corpus.len())].clone();
        for _ in 0..random.below(5) {
            let other = &self.corpus[random.below(self.corpus.len())];
            hit(&mut input, other, self.target.words(), random);
        }
        input
    }
}

/// Changes a text in one way.
fn hit(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut SplitMix) {
    const TELLING: &[u8] = b"\0\n\r\t \"'`#%&()*+,-./0:;<=>?@[\\]^_{}~\x7f\x80\xc3\xff";
    if input.is_empty() {
        input.extend_from_slice(other);
        return;
    }
    let at = random.below(input.len());
    match random.below(8) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = TELLING[random.below(TELLING.len())],
        2 => input.insert(at, TELLING[random.below(TELLING.len())]),
        3 => drop(input.remove(at)),
        4 => input.truncate(at),
        // The head of this one, the tail of another.
        5 if !other.is_empty() => {
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
        6 => {
            let end = input.len().min(at + 1 + random.below(64));
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        _ => {
            let word = words[random.below(words.len())];
            let end = input.len().min(at + random.below(word.len() + 1));
            input.splice(at..end, word.bytes());
        }
    }
}
