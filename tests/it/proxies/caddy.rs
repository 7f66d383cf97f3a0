//! Caddy: a label of its own for each request, stickiness by a safe map, a second try by `again`.

use std::net::SocketAddr;

use super::{Kind, Place, Proxy};
use crate::harness::Backends;

const CADDY: Kind = Kind { port: 5300, start };

fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("caddy", &["Caddyfile"], dns, backends.port);
    // Caddy keeps a copy of its configuration at home.
    let home = format!("HOME={}", place.folder().display());
    Proxy::start(place, "env", &[&home, "caddy", "run", "--config", &file, "--adapter", "caddyfile"], "TERM")
}

#[test]
fn who_serves_and_who_does_not() {
    CADDY.the_tale();
}

#[test]
fn requests_at_the_same_moment_are_as_many_choices() {
    CADDY.at_the_same_moment();
}

#[test]
fn a_backend_that_dies_costs_no_request() {
    CADDY.a_second_try();
}

#[test]
fn the_same_cookie_the_same_backend() {
    CADDY.the_same_cookie_the_same_backend();
}

#[test]
fn a_signed_token_leads_to_its_backend() {
    CADDY.a_signed_token_leads_to_its_backend();
}

#[test]
fn hostile_cookies_reach_nothing_but_a_hash() {
    CADDY.hostile_cookies_reach_nothing_but_a_hash();
}

#[test]
fn a_restart_costs_time_but_no_request() {
    CADDY.a_restart_costs_time_but_no_request();
}

#[test]
fn two_questions_for_a_request() {
    assert_eq!(CADDY.questions(9), (9, 9));
}
