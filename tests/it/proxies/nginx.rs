//! nginx: a label of its own for each request, stickiness by a safe map, a second try by `again`, TCP by `spares`; and
//! newer ones with an upstream that follows SRV records.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::{Kind, Place, Proxy, Story, counts, spread};
use crate::harness::{Athena, Backends, get, until};

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
fn requests_at_the_same_moment_are_as_many_choices() {
    NGINX.at_the_same_moment();
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

/// An nginx that knows `resolve`: the one that `NGINX` names (tests/run gets one), or the system's if it is new enough.
fn newer() -> Option<PathBuf> {
    let program = std::env::var_os("NGINX").map_or_else(|| PathBuf::from("nginx"), PathBuf::from);
    let said = Command::new(&program).arg("-v").output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    let version = said.trim().rsplit('/').next().unwrap();
    let version: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    (version >= vec![1, 27, 3]).then_some(program)
}

fn start_newer(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("nginx-resolve", &["nginx.conf"], dns, backends.port);
    let (folder, program) = (place.folder().to_str().unwrap().to_owned(), newer().unwrap());
    Proxy::start(place, "env", &[program.to_str().unwrap(), "-p", &folder, "-c", &file], "QUIT")
}

/// Waits until so many requests are answered like this; before nginx has asked for the first time it answers 502.
fn becomes(proxy: &Proxy, expected: &[(&str, usize)]) {
    let requests = expected.iter().map(|(_, count)| count).sum();
    until(&format!("nginx spreads its requests like {expected:?}"), || {
        get(proxy.place.web(), "/", "www.example.com").status == 200
            && proxy.spread(requests) == counts(expected)
    });
}

/// Weights of a list that nginx asks for once a second. Debian's nginx cannot do that; with no other one at hand all but this
/// word of the example is checked.
#[test]
fn an_upstream_follows_weights_states_and_loads() {
    if newer().is_none() {
        return all_but_resolve_is_understood();
    }
    let kind = Kind { port: 5300, start: start_newer };
    let Story { mut backends, mut athena, proxy, config, .. } = kind.story(3, "load-weighted", "");
    becomes(&proxy, &[("app01", 10), ("app02", 10), ("app03", 10)]);
    athena.tell("/ath/update/phys/?h=app03,w=0.5");
    becomes(&proxy, &[("app01", 12), ("app02", 12), ("app03", 6)]);
    // A load of 3 is a share of a quarter: the rule gives weight × 1/(1 + load).
    athena.tell("/ath/update/phys/?h=app03,w=1;h=app01,l=3;h=app02,l=0;h=app03,l=0");
    becomes(&proxy, &[("app01", 2), ("app02", 8), ("app03", 8)]);
    athena.tell("/ath/update/phys/?h=app02,s=drain");
    becomes(&proxy, &[("app01", 2), ("app03", 8)]);

    // Athena is gone for a moment: nginx goes on with what it has, and what is new afterwards reaches it.
    athena.stop();
    // What it had from the last answer may have come amid the count before: from then on nothing changes.
    becomes(&proxy, &[("app01", 2), ("app03", 8)]);
    assert_eq!(proxy.spread(10), counts(&[("app01", 2), ("app03", 8)]));
    let _athena = Athena::start(&config);
    becomes(&proxy, &[("app01", 10), ("app02", 10), ("app03", 10)]);

    backends.stop(2);
    let spread = proxy.spread(12);
    assert!(spread.iter().all(|(name, _)| name != "app02"), "each goes on to the next: {spread:?}");
}

fn all_but_resolve_is_understood() {
    let place = Place::new();
    let file = place.fill("nginx-resolve", &["nginx.conf"], place.at(5300), 8000);
    let text = std::fs::read_to_string(&file).unwrap();
    let known = text.replace("server farm_one.athena service=http resolve;", "server 127.0.1.1:8000;");
    assert_ne!(known, text);
    std::fs::write(&file, known).unwrap();
    let folder = place.folder().to_str().unwrap();
    let output = Command::new("nginx").args(["-t", "-p", folder, "-c", &file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_script_of_an_upstream_runs_or_says_why_not() {
    if newer().is_some() {
        let told = super::scripts::run("nginx-resolve");
        assert!(told.ends_with("both are back:\n  app01 10  app02 10  app03 10\n"), "{told}");
    } else {
        let told = super::scripts::refuse("nginx-resolve");
        assert!(told.ends_with("`resolve` needs 1.27.3: set NGINX\n"), "{told}");
    }
}
