//! The one integration binary: stories of the product over real sockets, scenarios without any, and the house rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent_check;
mod cli;
mod config;
mod config_errors;
mod crash;
mod dns_packets;
mod dns_secure;
mod dns_table;
mod dns_tcp;
mod forward;
mod fuzz;
mod harness;
mod house;
mod http;
mod http_edges;
mod http_protocol;
mod life;
mod mirror;
mod mirror_tls;
mod monitor;
mod probe;
mod proxies;
mod readme;
mod registration;
mod reload;
mod report;
mod scenario;
mod simulate;
mod state;
mod state_service;
mod systemd;
mod tokens;
