//! The one integration binary: stories of the product over real sockets, scenarios without any, and the house rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod config;
mod config_errors;
mod crash;
mod dns_packets;
mod dns_table;
mod dns_tcp;
mod harness;
mod house;
mod http;
mod http_edges;
mod http_protocol;
mod life;
mod nginx;
mod scenario;
mod state;
mod systemd;
