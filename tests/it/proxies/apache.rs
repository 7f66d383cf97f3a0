//! Apache httpd: the system's resolver, asked for each request; a standby member that asks `again`; stickiness by rewriting.

use std::net::SocketAddr;

use super::{Kind, Place, Proxy, Story, counts, spread};
use crate::harness::Backends;

const APACHE: Kind = Kind { port: 53, start };

fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("apache", &["apache.conf"], dns, backends.port);
    let [mount, etc] = place.own_resolver(dns);
    // It ends its whole process group with itself, so it gets one of its own.
    let arguments = ["unshare", "--mount", "sh", "-c", &mount, &etc, "apache2", "-DFOREGROUND", "-f", &file];
    Proxy::start(place, "setsid", &arguments, "TERM")
}

#[test]
fn who_serves_and_who_does_not() {
    APACHE.the_tale();
}

#[test]
fn requests_at_the_same_moment_are_as_many_choices() {
    APACHE.at_the_same_moment();
}

#[test]
fn a_backend_that_dies_costs_no_request() {
    APACHE.a_second_try();
}

#[test]
fn the_same_cookie_the_same_backend() {
    APACHE.the_same_cookie_the_same_backend();
}

#[test]
fn a_signed_token_leads_to_its_backend() {
    APACHE.a_signed_token_leads_to_its_backend();
}

#[test]
fn hostile_cookies_reach_nothing_but_a_hash() {
    APACHE.hostile_cookies_reach_nothing_but_a_hash();
}

#[test]
fn a_restart_costs_time_but_no_request() {
    APACHE.a_restart_costs_time_but_no_request();
}

#[test]
fn a_lost_answer_is_one_choice() {
    APACHE.a_lost_answer_is_one_choice();
}

#[test]
fn one_question_for_a_request() {
    assert_eq!(APACHE.questions(9), (9, 0), "options no-aaaa");
}

/// With `addressttl` a dead backend costs no request either: httpd asks once more by itself.
#[test]
fn a_look_up_a_second_goes_on_to_the_next() {
    let Story { mut backends, athena, mut proxy, .. } = APACHE.story(2, "failover", "");
    let kept = proxy.place.second();
    proxy.await_listener(kept);
    assert_eq!(spread(kept, 3, ""), counts(&[("app01", 3)]));
    backends.stop(1);
    athena.tell("/ath/update/phys/?h=app01,v=down");
    assert_eq!(spread(kept, 6, ""), counts(&[("app02", 6)]));
}
