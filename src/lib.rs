//! Athena: an authoritative DNS server that balances load over what backends report about themselves.
//!
//! ```text
//! main.rs       flags, configuration, run, exit code
//! lib.rs        this map
//! app.rs        the only file that knows everybody: bind, wire, spawn, reload, drain, stop   (app/: its rooms)
//! cli/          one file a command
//! config/       keys.rs every key there is; file.rs what the user typed (figment); check/ all problems at once;
//!               mod.rs what the program uses
//! balance/      PURE: farms, backends, reports, rules, tokens, suspicion; knows no runtime, no DNS, no web, no clock
//!   engine.rs   what is true, behind one lock that no query takes: apply, expire, reload, status
//!   view.rs     what a query reads, behind one atomic pointer a farm; farm.rs choose(), what everything asks
//!   algorithm/  the table ALGORITHMS and one file a rule
//! dns/          the only place that imports hickory: zonefile, zone, query, responder; handler and message, by requests and
//!               responses of hickory-server; udp the batched loop, wire the plain farm query; server TCP; secure TLS, HTTPS, QUIC;
//!               forward names that are not ours, through hickory's resolver
//! http/         mod.rs the route table; text/ the original's protocol; access, metrics, readiness, the listener
//! agent_check/  shares and states for HAProxy's own servers
//! mirror/       to and from other Athenas
//! probe/        what we find out ourselves: active checks, statistics fetched; plan.rs what to, check/, scrape/, pace.rs when
//! fetch.rs      HTTP to others, for mirror and probe
//! simulate/     what would happen: the real engine under a virtual clock
//! state/        durable decisions and warm statistics in a crash-safe file
//! resolve.rs    backends by host name      systemd.rs  inherited sockets, notices      tls.rs  certificates
//! metrics.rs    what the shells count      clock.rs    the one place that reads clocks
//! connections.rs    how many there may be
//! ```
//!
//! # The data's ways
//!
//! - DNS query: socket, [`dns::wire`] (or [`dns::handler`] for what is not plain), [`balance::Farm::choose`], socket. A farm
//!   is bound to its owner name when the configuration is loaded; a query looks one name up and loads one pointer.
//! - DNS query for a name that is not ours, of a client that may ask: put aside by the handler with a place of its own, asked
//!   by a task of the runtime ([`dns::forward`]), answered on the socket that it came from. Nothing else waits for it.
//! - Report: route, parsed to an [`balance::Update`], [`balance::Engine::apply`]: lock, check all, change, new view if
//!   somebody came or went, `ok`. Decisions of people are on disk before that ([`state`]).
//! - What cannot report is looked at: a task for each check and scrape ([`probe`]); figures go the way of a report, the
//!   word of a check is an origin of health of its own.
//! - Time: one sweeper sleeps until the next backend would be out. Reload: load all, check all, carry over by name, swap.
//! - Text query and DNS call the same `choose`; they cannot disagree.
//!
//! Who may import whom, `tests/it/house.rs` holds: balance nobody; dns and http balance, metrics, clock and tls, never each
//! other; probe balance, metrics, clock, fetch and tls; config balance and the probes' plan; app everybody.
//!
//! # Glossary
//!
//! *Backend* (in the protocol "phys"): a machine; *registered*, if it reported itself and nobody configured it. *Farm*: a
//! name that balances. *Member*: a backend in a farm. *Candidate*: a member that may be chosen now. *Choice*: what a farm
//! answers. *Ticket*: its count of choices. *Feed*: whether a backend speaks to us. *Decision*: what people set, durable. DNS
//! words are those of RFC 9499.
//!
//! # Where do I add X?
//!
//! A rule: a file in `balance/algorithm` and a line in its table. A key of the configuration: `config/keys.rs`, its check, its
//! field. A route: `http/mod.rs`. A command: a file in `cli`. A kind of answer: `dns/responder`. A code of the text protocol:
//! `http/text/codes.rs`. A format of pages: a file in `probe/scrape`.

pub mod agent_check;
pub mod app;
pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod dns;
pub mod fetch;
pub mod http;
pub mod metrics;
pub mod mirror;
pub mod probe;
pub mod resolve;
pub mod simulate;
pub mod state;
pub mod systemd;
pub mod tls;
