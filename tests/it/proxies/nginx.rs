//! nginx: a label of its own for each request, stickiness by a safe map, a second try by `again`, TCP by `spares`; and
//! newer ones with an upstream that follows SRV records.

use std::net::SocketAddr;
use std::process::Command;

use super::{Kind, Place, Proxy, Story, counts, spread};
use crate::harness::Backends;

const NGINX: Kind = Kind { port: 5300, start };

fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("nginx", &["nginx.conf"], dns, backends.port);
    let folder = place.folder().to_str().unwrap().to_owned();
    Proxy::start(place, "nginx", &["-p", &folder, "-c", &file], "QUIT")
}

#[test]
fn who_serves_and_who_does_not() {
    NGINX.the_tale();
}

#[test]
fn a_backend_that_dies_costs_no_request() {
    NGINX.a_second_try();
}

#[test]
fn a_backend_that_fails_again_and_again_is_left_alone() {
    let mut story = NGINX.story(3, "round-robin", "");
    story.backends.stop(2);
    story.proxy.spread(30);
    let available = story.athena.tell("/ath/status/farm/?n=farm_one,f=%j");
    assert_eq!(available.trim(), "2", "app02 is suspect");
}

#[test]
fn the_same_cookie_the_same_backend() {
    NGINX.the_same_cookie_the_same_backend();
}

#[test]
fn a_signed_token_leads_to_its_backend() {
    NGINX.a_signed_token_leads_to_its_backend();
}

#[test]
fn hostile_cookies_reach_nothing_but_a_hash() {
    NGINX.hostile_cookies_reach_nothing_but_a_hash();
}

#[test]
fn a_restart_costs_time_but_no_request() {
    NGINX.a_restart_costs_time_but_no_request();
}

#[test]
fn one_question_for_a_request() {
    assert_eq!(NGINX.questions(9), (9, 0));
}

#[test]
fn tcp_connections_are_spread_and_go_on_to_the_next() {
    let Story { mut backends, athena: _athena, mut proxy, .. } = NGINX.story(3, "round-robin", "");
    let tcp = proxy.place.second();
    // The connection that only looks whether somebody listens is a choice too.
    proxy.await_listener(tcp);
    let three = spread(tcp, 30, "");
    assert_eq!(three, counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));
    backends.stop(2);
    let two = spread(tcp, 30, "");
    assert!(two.len() == 2 && two.iter().all(|(name, count)| name != "app02" && *count >= 10), "{two:?}");
}

/// Debian's nginx knows no `resolve`, so all but this word of the example is checked; a newer nginx runs the example itself.
#[test]
fn an_upstream_that_resolves() {
    let place = Place::new();
    let file = place.fill("nginx-resolve", &["nginx.conf"], place.at(5300), 8000);
    let said = Command::new("nginx").arg("-v").output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    let version: Vec<u32> =
        said.trim().rsplit('/').next().unwrap().split('.').map_while(|part| part.parse().ok()).collect();
    if version >= vec![1, 27, 3] {
        let told = super::scripts::run("nginx-resolve");
        assert!(told.ends_with("both are back:\n  app01 10  app02 10  app03 10\n"), "{told}");
        return;
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let known = text.replace("server farm_one.athena service=http resolve;", "server 127.0.1.1:8000;");
    assert_ne!(known, text);
    std::fs::write(&file, known).unwrap();
    let folder = place.folder().to_str().unwrap();
    let output = Command::new("nginx").args(["-t", "-p", folder, "-c", &file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
