//! The balancing core: farms, backends, reports, rules. PURE: it knows no runtime, no DNS, no web, no clock.
//!
//! What is true sits in [`engine`] behind one lock that no query takes. What a query reads is a [`view::View`], immutable
//! and behind one atomic pointer a farm. Choosing is a function of (view, ticket, key, random).
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`engine`] | farms and backends by name: apply, expire, reload, status |
//! | [`plan`] | what the engine is told to be |
//! | [`update`] | what may change, and why a change is refused |
//! | [`durable`] | what outlives the process, as data |
//! | [`status`] | what the engine knows, copied out |
//! | [`farm`], [`view`], [`crew`] | members as queries see them; `choose()` is what everything asks |
//! | [`choice`] | what it answers |
//! | [`sight`] | a thread's own hold on views |
//! | [`gauge`], [`board`], [`slot`] | the few numbers that reports write while choices read, and how they lie in memory |
//! | [`load`] | a farm's formula over statistics |
//! | [`algorithm`] | the rules, one file each |
//! | [`token`], [`sticky`] | sticky tokens and KEYs, and who is given for them |
//! | [`again`], [`suspicion`] | second tries, and what they say of a member |
//! | [`repeat`] | the same packet once more |
//! | [`note`] | what both remember |
//! | [`registration`] | backends that nobody configured, and the patterns that let them in |
//! | [`common`] | what the farms of an engine share |
//! | [`ahead`] | memory asked for before it is read |
//! | [`late`], [`rare`], [`places`], [`addresses`] | what takes memory only where there is something |
//! | [`damper`] | shares as weights that do not twitch |
//! | [`name`], [`statistics`], [`moment`], [`random`] | the words the others are written in |

pub mod addresses;
pub mod again;
pub mod ahead;
pub mod algorithm;
mod backend;
pub mod board;
pub mod choice;
pub mod common;
mod crew;
pub mod damper;
pub mod durable;
pub mod engine;
pub mod farm;
pub mod gauge;
mod late;
pub mod load;
pub mod moment;
pub mod name;
mod note;
mod places;
pub mod plan;
pub mod random;
mod rare;
pub mod registration;
pub mod repeat;
pub mod sight;
pub mod slot;
pub mod statistics;
pub mod status;
pub mod sticky;
pub mod suspicion;
pub mod token;
pub mod update;
pub mod view;

pub use choice::Choice;
pub use engine::Engine;
pub use farm::{Ask, Farm};
pub use moment::Moment;
pub use name::Name;
pub use plan::Plan;
pub use sticky::Stick;
pub use update::{Refusal, Update};
pub use view::Family;
