//! HAProxy: an address for each request by do-resolve, a second one through itself, and slots that follow SRV records.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use hickory_proto::rr::RecordType;

use super::spy::Asked;
use super::{Kind, Place, Proxy, Story, counts, spread};
use crate::harness::{Athena, Backends, until};

const HAPROXY: Kind = Kind { port: 5300, start };

fn start(place: Place, dns: SocketAddr, backends: &Backends) -> Proxy {
    let file = place.fill("haproxy", &["haproxy.cfg"], dns, backends.port);
    Proxy::start(place, "haproxy", &["-db", "-f", &file], "TERM")
}

#[test]
fn who_serves_and_who_does_not() {
    HAPROXY.the_tale();
}

#[test]
fn requests_at_the_same_moment_are_as_many_choices() {
    HAPROXY.at_the_same_moment();
}

#[test]
fn a_backend_that_dies_costs_no_request() {
    HAPROXY.a_second_try();
}

#[test]
fn the_same_cookie_the_same_backend() {
    HAPROXY.the_same_cookie_the_same_backend();
}

#[test]
fn a_signed_token_leads_to_its_backend() {
    HAPROXY.a_signed_token_leads_to_its_backend();
}

#[test]
fn hostile_cookies_reach_nothing_but_a_hash() {
    HAPROXY.hostile_cookies_reach_nothing_but_a_hash();
}

#[test]
fn a_lost_answer_is_one_choice() {
    HAPROXY.a_lost_answer_is_one_choice();
}

#[test]
fn one_question_for_a_request() {
    assert_eq!(HAPROXY.questions(9), (9, 0));
}

#[test]
fn the_second_try_asks_under_the_same_labels() {
    let Story { mut backends, athena: _athena, proxy, spy, .. } = HAPROXY.story_with_spy(2, "round-robin");
    let spy = spy.unwrap();
    assert_eq!(proxy.spread(2), counts(&[("app01", 1), ("app02", 1)]));
    backends.stop(1);
    spy.forget();
    assert_eq!(proxy.spread(2), counts(&[("app02", 2)]));
    let asked = spy.asked().into_iter().filter(Asked::is_for_addresses);
    let asked: Vec<String> = asked.map(|asked| asked.name).collect();
    let again = asked.iter().position(|name| name.starts_with("again.")).expect("one met app01");
    assert_eq!(asked[again], format!("again.{}", asked[again - 1]));
}

/// HAProxy asks for slots all the time, so the query that is lost may be one of those: requests come through either way.
#[test]
fn a_restart_costs_time_but_no_request() {
    HAPROXY.a_restart_costs_time_but_no_request();
}

/// Address and weight of each slot that is up, as HAProxy itself tells them; none before it does.
pub fn slots(proxy: &Proxy) -> Vec<(String, u32)> {
    let socket = UnixStream::connect(proxy.place.folder().join("haproxy.sock"));
    let Ok(mut socket) = socket else { return Vec::new() };
    socket.write_all(b"show stat\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let (status, weight, address) = (column("status"), column("weight"), column("addr"));
    let slots = lines
        .filter(|line| line[0] == "farm_one_slots" && line[1].starts_with("slot"))
        .filter(|line| line[status].starts_with("UP"));
    let ip = |address: &str| address.split(':').next().unwrap().to_owned();
    let mut slots: Vec<_> = slots.map(|line| (ip(line[address]), line[weight].parse().unwrap())).collect();
    slots.sort();
    slots
}

fn await_slots(proxy: &Proxy, expected: &[(&str, u32)]) {
    let expected: Vec<_> = expected.iter().map(|(ip, weight)| ((*ip).to_owned(), *weight)).collect();
    let mut seen = Vec::new();
    until(&format!("HAProxy has the slots {expected:?}"), || {
        seen = slots(proxy);
        seen == expected
    });
}

#[test]
fn slots_follow_weights_states_and_loads() {
    let Story { mut backends, mut athena, mut proxy, config, .. } = HAPROXY.story(3, "load-weighted", "");
    let slots = proxy.place.second();
    proxy.await_listener(slots);
    await_slots(&proxy, &[("127.0.1.1", 255), ("127.0.1.2", 255), ("127.0.1.3", 255)]);
    assert_eq!(spread(slots, 30, ""), counts(&[("app01", 10), ("app02", 10), ("app03", 10)]));

    athena.tell("/ath/update/phys/?h=app03,w=0.5");
    await_slots(&proxy, &[("127.0.1.1", 255), ("127.0.1.2", 255), ("127.0.1.3", 128)]);
    // Wherever in a round of 638 we came in.
    let by_weight = spread(slots, 50, "");
    let is_near = |(seen, expected): (&(String, usize), usize)| seen.1.abs_diff(expected) <= 1;
    assert!(by_weight.iter().zip([20, 20, 10]).all(is_near), "{by_weight:?}");

    // A load of 3 is a share of a quarter: the rule gives weight × 1/(1 + load).
    athena.tell("/ath/update/phys/?h=app03,w=1;h=app01,l=3;h=app02,l=0;h=app03,l=0");
    await_slots(&proxy, &[("127.0.1.1", 64), ("127.0.1.2", 255), ("127.0.1.3", 255)]);
    // A little more load is not worth a new weight: what comes next is seen with the old one.
    athena.tell("/ath/update/phys/?h=app01,l=3.2");
    athena.tell("/ath/update/phys/?h=app02,s=drain");
    await_slots(&proxy, &[("127.0.1.1", 64), ("127.0.1.3", 255)]);

    // Athena is gone for a moment: HAProxy goes on with what it has, and what is new afterwards reaches it.
    athena.stop();
    assert_eq!(spread(slots, 10, "").iter().map(|(_, count)| count).sum::<usize>(), 10);
    let athena = Athena::start(&config);
    await_slots(&proxy, &[("127.0.1.1", 255), ("127.0.1.2", 255), ("127.0.1.3", 255)]);

    // A backend dies: no request is lost, and when Athena is told it loses its slot.
    backends.stop(2);
    assert!(spread(slots, 12, "").iter().all(|(name, _)| name != "app02"));
    athena.tell("/ath/update/phys/?h=app02,v=down");
    await_slots(&proxy, &[("127.0.1.1", 255), ("127.0.1.3", 255)]);
}

/// 16 slots with their addresses fit one answer, which HAProxy takes since it offers 8192 octets.
#[test]
fn many_slots_come_with_one_question() {
    let Story { proxy, spy, .. } = &HAPROXY.story_with_spy(16, "round-robin");
    let mut expected: Vec<String> = (1..=16).map(|index| format!("127.0.1.{index}")).collect();
    expected.sort();
    let expected: Vec<_> = expected.iter().map(|ip| (ip.as_str(), 255)).collect();
    await_slots(proxy, &expected);
    let asked = spy.as_ref().unwrap().asked();
    assert!(asked.iter().all(|asked| asked.kind == RecordType::SRV && asked.answer > 512), "{asked:?}");
}
