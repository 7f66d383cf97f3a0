//! Squid: a label of its own for each request by a rewriting program, failing over within `spares`.

use std::net::SocketAddr;

use super::{Kind, Place, Proxy};
use crate::harness::Backends;

const SQUID: Kind = Kind { port: 53, start };

fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("squid", &["squid.conf", "rewrite.py"], dns, backends.port);
    place.open();
    Proxy::start(place, "squid", &["-N", "-f", &file], "TERM")
}

#[test]
fn who_serves_and_who_does_not() {
    SQUID.the_tale();
}

#[test]
fn requests_at_the_same_moment_are_as_many_choices() {
    SQUID.at_the_same_moment();
}

#[test]
fn a_backend_that_dies_costs_no_request() {
    SQUID.a_second_try();
}

#[test]
fn the_same_cookie_the_same_backend() {
    SQUID.the_same_cookie_the_same_backend();
}

#[test]
fn a_signed_token_leads_to_its_backend() {
    SQUID.a_signed_token_leads_to_its_backend();
}

#[test]
fn hostile_cookies_reach_nothing_but_a_hash() {
    SQUID.hostile_cookies_reach_nothing_but_a_hash();
}

#[test]
fn a_restart_costs_time_but_no_request() {
    SQUID.a_restart_costs_time_but_no_request();
}

#[test]
fn two_questions_for_a_request() {
    assert_eq!(SQUID.questions(9), (9, 9));
}
