//! The balancing core: farms, backends, reports, rules. PURE: it knows no runtime, no DNS, no web, no clock.
//!
//! What is true sits in [`engine`] behind one lock that no query takes. What a query reads is a [`farm::View`], immutable
//! and behind one atomic pointer a farm. Choosing is a function of (view, ticket, key, random).
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`engine`] | farms and backends by name: apply, expire, reload, status |
//! | [`plan`] | what the engine is told to be |
//! | [`update`] | what may change, and why a change is refused |
//! | [`durable`] | what outlives the process, as data |
//! | [`status`] | what the engine knows, copied out |
//! | [`farm`] | members as queries see them; `choose()` is what everything asks |
//! | [`gauge`] | the few numbers that reports write while choices read |
//! | [`load`] | a farm's formula over statistics |
//! | [`algorithm`] | the rules, one file each |
//! | [`name`], [`statistics`], [`moment`], [`random`] | the words the others are written in |

pub mod algorithm;
mod backend;
pub mod durable;
pub mod engine;
pub mod farm;
pub mod gauge;
pub mod load;
pub mod moment;
pub mod name;
pub mod plan;
pub mod random;
pub mod statistics;
pub mod status;
pub mod update;

pub use engine::Engine;
pub use farm::{Ask, Choice, Family, Farm};
pub use moment::Moment;
pub use name::Name;
pub use plan::Plan;
pub use update::{Refusal, Update};
