//! What the farms of one engine have in common, for those who ask without a lock: token keys, the memory of first
//! choices, each other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;

use super::again::Recent;
use super::farm::Farm;
use super::name::Name;
use super::token::TokenKeys;

/// See the module's head.
pub(super) struct Common {
    pub(super) keys: ArcSwap<TokenKeys>,
    pub(super) tokens: TokenCounters,
    pub(super) recent: Recent,
    /// Packets that came once more and were given the same member.
    pub(super) repeats: AtomicU64,
    farms: ArcSwap<HashMap<Name, Weak<Farm>>>,
    /// Whether a query left word for the engine.
    has_word: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What became of tokens.
#[derive(Debug, Default)]
pub(super) struct TokenCounters {
    pub held: AtomicU64,
    pub malformed: AtomicU64,
    pub expired: AtomicU64,
    pub forged: AtomicU64,
    pub foreign: AtomicU64,
}

/// What became of the sticky tokens that came with a question that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// They held, whether or not their target was there to be given.
    pub held: u64,
    /// They have not the form of a token (only where nothing else can stand: `t=` and the cookie).
    pub malformed: u64,
    /// Signed by us, but too old.
    pub expired: u64,
    /// Not signed by us for this farm.
    pub forged: u64,
    /// Signed by us for this farm, for a target that it does not have.
    pub foreign: u64,
}

impl TokenCounters {
    pub(super) fn read(&self) -> TokenCounts {
        TokenCounts {
            held: self.held.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
            expired: self.expired.load(Ordering::Relaxed),
            forged: self.forged.load(Ordering::Relaxed),
            foreign: self.foreign.load(Ordering::Relaxed),
        }
    }
}

impl Common {
    /// Without farms and keys; `secret` is what labels are remembered by.
    pub(super) fn new(secret: u64) -> Self {
        Self {
            keys: ArcSwap::default(),
            tokens: TokenCounters::default(),
            recent: Recent::new(secret),
            repeats: AtomicU64::new(0),
            farms: ArcSwap::default(),
            has_word: AtomicBool::new(false),
            wake: OnceLock::new(),
        }
    }

    /// The farm of this name in lower case.
    pub(super) fn farm(&self, name: &str) -> Option<Arc<Farm>> {
        self.farms.load().get(name)?.upgrade()
    }

    /// These are the farms from now on. They hold this struct, so it must not hold them.
    pub(super) fn enrol<'a>(&self, farms: impl Iterator<Item = &'a Arc<Farm>>) {
        let farms = farms.map(|farm| (farm.name().clone(), Arc::downgrade(farm))).collect();
        self.farms.store(Arc::new(farms));
    }

    /// Names who is called when the engine should look. Only the first call counts.
    pub(super) fn on_call(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.wake.set(wake);
    }

    /// Calls, if there is anybody to call.
    pub(super) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Says that a farm has word for the engine.
    pub(super) fn call(&self) {
        self.has_word.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether any farm has, since this was last asked.
    pub(super) fn take_word(&self) -> bool {
        self.has_word.load(Ordering::Relaxed) && self.has_word.swap(false, Ordering::Acquire)
    }
}
