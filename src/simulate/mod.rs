//! What would happen: the real engine under a virtual clock.
//!
//! Nothing of the balance is written twice here. A run builds an [`Engine`](crate::balance::Engine) from a plan, feeds
//! it reports through `apply` and asks it through `Farm::choose`, as the servers do; only the machines behind it, their
//! requests and the time are made up. In the experiment one service time is one second of virtual time. A run is one
//! thread and depends on its seed alone; many runs share the cores.
//!
//! What a simulator says is worth what it was checked against. `tests.rs` holds it to what is known without simulating:
//! random is 1 / (1 − ρ) and Pollaczek and Khinchin's formula, round robin is E_n/M/1, several workers are Erlang's queue,
//! the oracle is the Markov chain of the shorter of two queues, and two choices by a board that is renewed every T follow
//! the differential equations of Mitzenmacher's "How Useful Is Old Information?" (2000). `tests/bench/README.md` has the
//! figures, ours beside theirs.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`setting`] | what one run simulates |
//! | [`law`] | how long requests take |
//! | [`machine`] | a backend: workers, a queue, what it would report |
//! | [`world`] | the event loop |
//! | [`outcome`] | what came of it |
//! | [`batch`] | many runs on many cores |
//! | [`experiment`] | the built-in cases |
//! | [`farm`] | a farm out of a configuration |

pub mod batch;
pub mod experiment;
pub mod farm;
pub mod law;
pub mod machine;
pub mod outcome;
pub mod setting;
pub mod world;

#[cfg(test)]
mod tests;
