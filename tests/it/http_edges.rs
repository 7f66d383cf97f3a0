//! The edges of HTTP: methods, sizes, slow and greedy clients, access, metrics, health, the stop.

use std::time::Duration;

use athena::http::access::{Access, Gate, Key};
use athena::http::{Limits, Options};

use crate::harness::until;
use crate::http::{Server, plan};

fn with_limits(limits: Limits) -> Server {
    Server::start(plan(), Options { limits, ..Options::default() })
}

fn with_access(access: Access) -> Server {
    Server::start(plan(), Options { access, ..Options::default() })
}

#[test]
fn head_answers_like_get_without_a_body() {
    let server = Server::example();
    for target in ["/ath/balance/?farm_two", "/ath/status/phys/", "/healthz", "/metrics", "/"] {
        let (get, head) = (server.request("GET", target, ""), server.request("HEAD", target, ""));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{target}");
        assert_eq!(head.field("content-type"), get.field("content-type"), "{target}");
        if target != "/metrics" {
            assert_eq!(head.field("content-length"), get.field("content-length"), "{target}");
        }
    }
}

#[test]
fn post_is_taken_where_a_get_changes_something_and_a_form_is_a_query_string() {
    let server = Server::example();
    let post = |target: &str, body: &str| {
        let header = format!(
            "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = server.connect();
        client.send(&format!("POST {target} HTTP/1.1\r\nHost: athena\r\n{header}"));
        let response = client.response(false);
        (response.status, response.body)
    };
    let load = || server.tell("/ath/status/phys/?h=app01,f=%l");
    assert_eq!(server.request("POST", "/ath/update/phys/?h=app01,l=1", "").body, "ok\n");
    assert_eq!(load(), "1\n");
    assert_eq!(post("/ath/update/phys/", "h=app01&l=2"), (200, "ok\n".to_owned()));
    assert_eq!(load(), "2\n");
    assert_eq!(post("/ath/update/phys/?h=app01,l=3", "l=4"), (200, "ok\n".to_owned()));
    assert_eq!(load(), "3\n", "a query string goes before a body");
    assert_eq!(post("/ath/update/phys/", "h=app01&l=x").1, "l: not a finite number: \"x\"\n");
    let long = (413, "the request body has more than 8192 octets\n".to_owned());
    assert_eq!(post("/ath/update/phys/", &"x".repeat(8193)), long);
    assert_eq!(load(), "3\n");
}

#[test]
fn other_methods_are_told_which_would_do() {
    let server = Server::example();
    for (method, target, allowed) in [
        ("POST", "/ath/balance/?farm_one", "GET, HEAD"),
        ("DELETE", "/ath/status/phys/", "GET, HEAD"),
        ("PUT", "/ath/update/phys/?h=app01,l=1", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
    ] {
        let response = server.request(method, target, "");
        assert_eq!((response.status, response.field("allow")), (405, Some(allowed)), "{method} {target}");
        assert_eq!(response.body, format!("this method is not allowed here, {allowed} are\n"));
    }
    assert_eq!(server.state.metrics.http.refused.get(), 5);
    assert_eq!(server.tell("/ath/status/phys/?h=app01,f=%l"), "-\n");
}

#[test]
fn a_long_request_line_is_414_however_long_and_a_long_header_is_431() {
    let server = Server::example();
    for length in [8193, 20_000, 100_000, 3_000_000] {
        let (status, body) = server.get(&format!("/ath/balance/?{}", "x".repeat(length)));
        assert_eq!(
            (status, body.as_str()),
            (414, "the request line has more than 8192 octets\n"),
            "{length}"
        );
    }
    let room = 8192 - "GET /ath/balance/? HTTP/1.1".len();
    assert_eq!(server.get(&format!("/ath/balance/?{}", "x".repeat(room))).0, 404);
    assert_eq!(server.get(&format!("/ath/balance/?{}", "x".repeat(room + 1))).0, 414);
    let header = format!("X-Long: {}\r\n", "y".repeat(17_000));
    let response = server.request("GET", "/ath/balance/?farm_one", &header);
    assert_eq!((response.status, response.body.as_str()), (431, "the header has more than 16384 octets\n"));
    let header = format!("X-Long: {}\r\n", "y".repeat(15_000));
    assert_eq!(server.request("GET", "/ath/balance/?farm_one", &header).status, 200);
    let mut client = server.connect();
    client.send(&format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(45_000)));
    assert_eq!(client.response(false).status, 431, "what never ends is cut off");
}

#[test]
fn a_head_that_trickles_is_cut_off_and_so_is_an_idle_connection() {
    let brief = Duration::from_millis(40);
    let server = with_limits(Limits { head: brief, idle: Duration::from_secs(3600), ..Limits::default() });
    let mut client = server.connect();
    client.send("GET /ath/balance/?farm_one HTTP/1.1\r\nHo");
    assert_eq!(client.rest(), b"", "it is closed without an answer");

    let server = with_limits(Limits { idle: brief, ..Limits::default() });
    let mut client = server.connect();
    client.send("GET /ath/balance/?farm_two HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).body, "10.0.0.12:8080\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(server.connect().rest(), b"", "one that says nothing at all, too");
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let server = with_limits(Limits { body: Duration::from_millis(40), ..Limits::default() });
    let mut client = server.connect();
    client.send(
        "POST /ath/update/phys/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nh=app01",
    );
    let response = client.response(false);
    assert_eq!((response.status, response.body.as_str()), (408, "the request body did not come in time\n"));
    client.rest();
    assert_eq!(server.state.engine.counts().refused, 1);
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let server = with_limits(Limits { write: Duration::from_millis(40), ..Limits::default() });
    let mut client = server.connect();
    let ask = "GET /ath/status/debug/?true HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
    // It asks until nobody listens any more.
    while client.try_send(&ask) {}
    assert_eq!(server.tell("/healthz"), "ok\n");
}

#[test]
fn connections_are_limited_in_all_and_per_address() {
    let server = with_limits(Limits { connections_per_address: 2, ..Limits::default() });
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response(false).status, 200);
    }
    let mut third = server.connect();
    let rest = String::from_utf8(third.rest()).unwrap();
    assert!(
        rest.starts_with("HTTP/1.1 503 ") && rest.ends_with("\r\n\r\ntoo many connections\n"),
        "{rest:?}"
    );
    assert_eq!(server.state.metrics.http.turned_away.get(), 1);
    first.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(first.response(false).status, 200);
    first.rest();
    // Its place is free as soon as the server has noticed, which is before it closes or a moment after.
    crate::http::until("a place is free", || server.state.open_connections() == 1);
    assert_eq!(server.tell("/healthz"), "ok\n");
}

#[test]
fn what_a_request_does_decides_what_access_it_needs() {
    let nobody = Gate::default();
    let gate = |key: &str| Gate { key: Key::new(key), ..Access::default().update };
    let server = with_access(Access { update: gate("report"), admin: gate("order"), ..Access::default() });
    for (target, status) in [
        ("balance/?farm_one", 200),
        ("status/phys/", 200),
        ("update/phys/?h=app01,l=1", 403),
        ("update/phys/?h=app01,l=1,k=wrong", 403),
        ("update/phys/?h=app01,l=1,k=report", 200),
        ("update/phys/?h=app01,v=down,i=in,k=report", 200),
        ("update/phys/?h=app01,v=up,k=order", 200),
        ("update/phys/?h=app01,s=on,k=report", 403),
        ("update/phys/?h=app01,w=2,k=report", 403),
        ("update/phys/?h=app01,V=up,k=report", 403),
        ("update/phys/?h=app01,l=1,k=report;h=app02,s=on", 403),
        ("update/phys/?h=app01,s=on,k=order", 200),
        ("update/farm/?n=farm_one,s=on,k=report", 403),
        ("update/farm/?n=farm_one,s=on,k=order", 200),
        ("status/debug/?true,k=report", 403),
        ("status/debug/?true,k=order", 200),
    ] {
        assert_eq!(server.get(&format!("/ath/{target}")).0, status, "{target}");
    }
    assert_eq!(server.get("/ath/update/phys/?h=app01,s=on").1, "s: admin access needs a key\n");
    let bearer = server.request("GET", "/ath/update/phys/?h=app01,l=1", "Authorization: Bearer report\r\n");
    assert_eq!(bearer.status, 200);
    assert_eq!(server.state.metrics.http.forbidden.get(), 9);

    let server = with_access(Access { query: nobody.clone(), update: nobody.clone(), ..Access::default() });
    let refused = (403, "balance: query access is not allowed from 127.0.0.1\n".to_owned());
    assert_eq!(server.get("/ath/balance/?farm_one"), refused);
    assert_eq!(server.get("/metrics").0, 403);
    assert_eq!(server.get("/healthz").0, 200);
    let refused = (403, "h: update access is not allowed from 127.0.0.1\n".to_owned());
    assert_eq!(server.get("/ath/update/phys/?h=app01,l=1"), refused);
    assert_eq!(server.state.engine.counts().refused, 1);
}

#[test]
fn behind_a_trusted_proxy_the_forwarded_address_counts() {
    let forwarded = "X-Forwarded-For: 127.0.0.1, 198.51.100.7\r\n";
    let server = Server::example();
    assert_eq!(server.request("GET", "/ath/update/phys/?h=app01,l=1", forwarded).status, 200);
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let server = with_access(Access { trusted_proxies, ..Access::default() });
    let response = server.request("GET", "/ath/update/phys/?h=app01,l=1", forwarded);
    assert_eq!(response.body, "h: update access is not allowed from 198.51.100.7\n");
    assert_eq!(server.request("GET", "/ath/balance/?farm_one", forwarded).status, 200);
}

#[test]
fn readiness_names_what_is_in_the_way() {
    let server = Server::example();
    assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
    server.state.readiness.expect("states");
    server.state.readiness.expect("dns listener 127.0.0.1:5300");
    let body = "waiting for states\nwaiting for dns listener 127.0.0.1:5300\n".to_owned();
    assert_eq!(server.get("/readyz"), (503, body));
    assert_eq!(server.get("/healthz").0, 200);
    server.state.readiness.done("states");
    server.state.readiness.done("dns listener 127.0.0.1:5300");
    assert_eq!(server.get("/readyz").0, 200);
    server.state.readiness.stop();
    assert_eq!(server.get("/readyz"), (503, "stopping\n".to_owned()));
}

#[test]
fn metrics_come_in_two_dialects_and_say_what_the_status_says() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=0.5,queue=3");
    server.tell("/ath/balance/?farm_one");
    server.get("/ath/balance/?nowhere");
    let response = server.request("GET", "/metrics", "");
    assert_eq!(response.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# TYPE athena_reports_total counter",
        "athena_reports_total 1",
        "athena_farm_answers_total{farm=\"farm_one\"} 1",
        "athena_farm_source{farm=\"farm_one\",source=\"members\"} 1",
        "athena_farm_members_available{farm=\"farm_one\"} 2",
        "athena_backend_state{backend=\"app01\",state=\"on\"} 1",
        "athena_backend_state{backend=\"app01\",state=\"drain\"} 0",
        "athena_backend_statistic{backend=\"app01\",statistic=\"queue\"} 3",
        "athena_member_load{farm=\"farm_one\",backend=\"app01\"} 0.5",
        "athena_member_load_unknown{farm=\"farm_one\",backend=\"app02\"} 1",
        "athena_http_requests_total{kind=\"balance\"} 2",
        "athena_http_balanced_total 1",
        "athena_http_refused_total{reason=\"not_found\"} 1",
        "athena_dns_replies_total{outcome=\"nxdomain\"} 0",
        "athena_ready 1",
    ] {
        assert!(response.body.lines().any(|have| have == line), "{line} in\n{}", response.body);
    }
    let accept =
        "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3\r\n";
    let response = server.request("GET", "/metrics", accept);
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.field("content-type"), Some(media));
    assert!(response.body.contains("# TYPE athena_reports counter\nathena_reports_total 1\n"));
    assert!(response.body.ends_with("\n# EOF\n"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::example();
    let mut client = server.connect();
    client.send(
        "GET /ath/update/phys/?h=app02,l=3 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /ath/status/phys/?h=app02,f=%l HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let bodies: Vec<_> = (0..3).map(|_| client.response(false).body).collect();
    assert_eq!(bodies, ["ok\n", "3\n", "ok\n"]);
}

#[test]
fn what_is_no_http_is_refused_and_the_next_client_served() {
    let server = Server::example();
    for junk in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n"] {
        let mut client = server.connect();
        client.send(junk);
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4"), "{junk:?}: {rest}");
    }
    assert_eq!(server.tell("/healthz"), "ok\n");
}

#[test]
fn a_stop_finishes_open_answers_and_closes_idle_connections() {
    let mut server = Server::example();
    let mut idle = server.connect();
    idle.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.response(false).status, 200);
    let mut busy = server.connect();
    busy.send(
        "POST /ath/update/phys/ HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
    );
    // hyper asks for the body: from here on the request is in work.
    assert_eq!(busy.response(false).status, 100);
    server.begin_stop();
    assert_eq!(idle.rest(), b"");
    busy.send("h=app01,l=1");
    let response = busy.response(false);
    assert_eq!((response.status, response.body.as_str()), (200, "ok\n"));
    server.await_stop();
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

/// A client whose connection was taken, and whose question is under way when the server stops.
#[test]
fn a_stop_answers_the_first_question_of_a_new_connection() {
    let mut server = Server::example();
    let mut new = server.connect();
    // Once another client was served, this one's connection is open too.
    assert_eq!(server.tell("/healthz"), "ok\n");
    server.begin_stop();
    until("nobody listens", || std::net::TcpStream::connect(server.address).is_err());
    new.send("GET /ath/balance/?farm_two HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(new.response(false).status, 200);
    assert_eq!(new.rest(), b"");
    server.await_stop();
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let limits = Limits { stop: Duration::from_millis(40), ..Limits::default() };
    let mut server = with_limits(limits);
    let mut busy = server.connect();
    busy.send("GET /ath/balance/?farm_one HTTP/1.1\r\n");
    // Once another client was served, this one's connection is open too.
    assert_eq!(server.tell("/healthz"), "ok\n");
    server.begin_stop();
    server.await_stop();
    assert_eq!(busy.rest(), b"");
}
