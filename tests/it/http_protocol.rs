//! The text protocol as `http.md` writes it down, over real connections.

use athena::balance::plan::{BackendPlan, Fallback, LastResort, Plan, UrlHost};
use athena::http::{Options, Shown};

use crate::http::{Server, backend, farm, name, plan};

fn diverse() -> Server {
    Server::start(plan(), Options { allow_diverse_multi: true, ..Options::default() })
}

#[test]
fn a_report_moves_the_choice_with_the_very_next_query() {
    let server = Server::example();
    assert_eq!(server.tell("/ath/update/phys/?h=app01,l=0.73,c=42,queue=17"), "ok\n");
    assert_eq!(server.tell("/ath/update/phys/?h=app02,l=9"), "ok\n");
    assert_eq!(server.tell("/ath/balance/?farm_one"), "10.0.0.11:8080\n");
    assert_eq!(server.tell("/ath/update/phys/?h=app01,l=99"), "ok\n");
    assert_eq!(server.tell("/ath/balance/?farm_one"), "10.0.0.12:8080\n");
}

#[test]
fn every_answer_is_text_that_ends_in_a_newline_and_is_not_stored() {
    let server = Server::example();
    for (target, status) in [
        ("/ath/balance/?farm_one", 200),
        ("/ath/balance/?farm_three", 404),
        ("/ath/balance/", 400),
        ("/ath/nowhere", 404),
        ("/healthz", 200),
        ("/", 200),
    ] {
        let response = server.request("GET", target, "");
        assert_eq!(response.status, status, "{target}");
        assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"), "{target}");
        assert!(
            response.body.ends_with('\n') && response.body.lines().count() == 1,
            "{target}: {response:?}"
        );
    }
    let response = server.request("GET", "/ath/balance/?farm_one", "");
    assert_eq!(response.field("cache-control"), Some("no-store"));
}

#[test]
fn a_farm_is_named_with_or_without_zone_dot_and_in_any_case() {
    let server = Server::example();
    for farm in
        ["farm_two", "FARM_Two", "farm_two.athena", "farm_two.athena.", "Farm_Two.Athena.", "farm_two."]
    {
        assert_eq!(server.tell(&format!("/ath/balance/?{farm}")), "10.0.0.12:8080\n", "{farm}");
        assert_eq!(server.tell(&format!("/ath/balance?{farm}")), "10.0.0.12:8080\n", "{farm}");
    }
    assert_eq!(
        server.get("/ath/balance/?farm_two.other"),
        (404, "unknown farm: farm_two.other\n".to_owned())
    );
}

#[test]
fn several_farms_answer_in_order_and_one_that_fails_keeps_its_place() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=1;h=app02,l=5");
    assert_eq!(server.tell("/ath/balance/?farm_two,farm_one"), "10.0.0.12:8080\n10.0.0.11:8080\n");
    let text = server.tell("/ath/balance/?farm_two,farm_three,farm_one");
    assert_eq!(text, "10.0.0.12:8080\n!unknown farm: farm_three\n10.0.0.11:8080\n");
    server.tell("/ath/update/phys/?h=app02,s=off");
    assert_eq!(server.get("/ath/balance/?farm_two"), (503, "no member available: farm_two\n".to_owned()));
    let failed = (503, "!no member available: farm_two\n!unknown farm: farm_three\n".to_owned());
    assert_eq!(server.get("/ath/balance/?farm_two,farm_three"), failed);
    assert_eq!(server.get("/ath/balance/?x,y").0, 404);
}

#[test]
fn a_line_takes_the_codes_of_the_backend_it_names() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=1,queue=3;h=app02,l=5");
    assert_eq!(server.tell("/ath/balance/?farm_one,f=\"%h%20%a%20%p\""), "app01 10.0.0.11 8080\n");
    assert_eq!(server.tell("/ath/balance/?farm_one,f=%h=%{queue}/%u%25%25"), "app01=3/-%\n");
    let (status, body) = server.get("/ath/balance/?farm_one,f=%z");
    assert_eq!(status, 400);
    assert!(body.starts_with("f: unknown code %z, there are %h %a"), "{body}");
}

#[test]
fn up_to_n_different_members_come_best_first() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=7;h=app02,l=2");
    assert_eq!(server.tell("/ath/balance/?farm_one,n=3"), "10.0.0.12:8080\n10.0.0.11:8080\n");
    for wrong in ["0", "-1", "x", "1025", ""] {
        let (status, body) = server.get(&format!("/ath/balance/?farm_one,n={wrong}"));
        assert_eq!((status, &body[..3]), (400, "n: "), "{wrong}");
    }
}

#[test]
fn one_key_leads_to_one_member_in_any_case_and_an_unknown_token_is_a_key() {
    let names: Vec<String> = (1..=9).map(|index| format!("app{index:02}")).collect();
    let backends = names.iter().map(|name| backend(name, "10.0.0.1", None)).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let server =
        Server::start(Plan { backends, farms: vec![farm("sticky", &members, "hash")] }, Options::default());
    let mut seen = std::collections::HashSet::new();
    for user in ["ann", "bob", "cid", "dan", "eve", "fay", "gus"] {
        let first = server.tell(&format!("/ath/balance/?sticky,key={user},f=%h"));
        assert_eq!(server.tell(&format!("/ath/balance/?sticky,key={},f=%h", user.to_uppercase())), first);
        assert_eq!(server.tell(&format!("/ath/balance/?sticky,t={user},f=%h")), first);
        seen.insert(first);
    }
    assert!(seen.len() > 1, "all keys lead to {seen:?}");
}

#[test]
fn an_address_is_written_as_a_url_wants_it() {
    let backends = vec![backend("six", "2001:db8::11", Some(8080)), backend("bare", "2001:db8::12", None)];
    let farms = vec![farm("with_port", &["six"], "random"), farm("without", &["bare"], "random")];
    let server = Server::start(Plan { backends, farms }, Options::default());
    let text = server.tell("/ath/balance/?with_port,without");
    assert_eq!(text, "[2001:db8::11]:8080\n[2001:db8::12]\n");
    assert_eq!(server.tell("/ath/status/phys/?f=%a/%p"), "2001:db8::11/8080\n2001:db8::12/-\n");
}

#[test]
fn a_farm_in_fallback_answers_with_the_fallbacks_text() {
    let url = "http://sorry.example.com/busy".to_owned();
    let fallbacks = [
        ("to_farm", Fallback::Farm(name("spare"))),
        ("to_address", Fallback::Address("192.0.2.10".parse().unwrap(), Some(81))),
        ("to_six", Fallback::Address("2001:db8::9".parse().unwrap(), None)),
        ("to_host", Fallback::Host("sorry.example.com".to_owned(), None)),
        ("to_url", Fallback::Url { text: url, host: UrlHost::Name("sorry.example.com".to_owned()) }),
    ];
    let mut farms = vec![farm("spare", &["app02"], "random")];
    for (name, fallback) in fallbacks {
        let mut farm = farm(name, &["app01"], "random");
        (farm.fallback, farm.last_resort) = (vec![fallback], LastResort::None);
        farms.push(farm);
    }
    let server = Server::start(Plan { backends: plan().backends, farms }, Options::default());
    server.tell("/ath/update/phys/?h=app01,v=down");
    let text = server.tell("/ath/balance/?to_farm,to_address,to_six,to_host,to_url");
    let expected =
        "10.0.0.12:8080\n192.0.2.10:81\n[2001:db8::9]\nsorry.example.com\nhttp://sorry.example.com/busy\n";
    assert_eq!(text, expected);
    let text = server.tell("/ath/balance/?to_farm,to_address,to_url,f=%h|%a|%p|%l|%{x}");
    let expected = "app02|10.0.0.12|8080|-|-\n192.0.2.10:81|192.0.2.10|81|-|-\n\
                    http://sorry.example.com/busy|sorry.example.com|-|-|-\n";
    assert_eq!(text, expected);
    assert_eq!(server.tell("/ath/status/farm/?n=to_farm,f=%n:%x:%j/%k"), "to_farm:fallback spare:0/1\n");
}

#[test]
fn the_originals_example_works_with_raw_quotes_and_encoded_ones() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,c=42");
    assert_eq!(server.tell("/ath/status/phys/?Eh=app01,f=\"%h,%c\""), "app01,42\n");
    assert_eq!(server.tell("/ath/status/phys/?Eh=app01,f=%22%h,%c%22"), "app01,42\n");
    assert_eq!(server.tell("/ath/status/phys/?h=app01,f=\"%h,%c\""), "app01,42\n");
    assert_eq!(server.tell("/ath/status/phys/?h=app01&f=%22%25h%2C%25c%22"), "app01,42\n");
    let mut client = server.connect();
    for _ in 0..3 {
        // The quotes of every request on a connection, behind a body too.
        client.send(
            "POST /ath/update/phys/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\
                     Content-Type: application/x-www-form-urlencoded\r\n\r\nh=app01,c\
                     GET /ath/status/phys/?h=\"app01\",f=\"%h,%c\" HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        assert_eq!(client.response(false).body, "c: unknown argument\n");
        assert_eq!(client.response(false).body, "app01,42\n");
    }
}

#[test]
fn a_sign_adds_to_the_last_value_and_stops_at_nothing() {
    let server = Server::example();
    let connections = || server.tell("/ath/status/phys/?h=app01,f=%c");
    for (change, sum) in
        [("c=5", "5"), ("c=+1", "6"), ("c=%2B1", "7"), ("c=-1", "6"), ("c=-10", "0"), ("c=+0.5", "0.5")]
    {
        server.tell(&format!("/ath/update/phys/?h=app01,{change}"));
        assert_eq!(connections(), format!("{sum}\n"), "{change}");
    }
}

#[test]
fn states_weights_and_marks_are_set_and_taken_back() {
    let server = Server::example();
    let state = || server.tell("/ath/status/phys/?h=app01,f=%s|%v|%V|%i|%w");
    assert_eq!(state(), "on|up|-|in|1\n");
    server.tell("/ath/update/phys/?h=app01,s=drain,w=2.5,v=down");
    assert_eq!(state(), "drain|down|-|in|2.5\n");
    server.tell("/ath/update/phys/?h=app01,s=on,w=default,v=up,V=down");
    assert_eq!(state(), "on|down|down|in|1\n");
    server.tell("/ath/update/phys/?h=app01,V=up,i=out");
    assert_eq!(state(), "on|up|up|out|1\n");
    server.tell("/ath/update/farm/?n=farm_one,s=off");
    assert_eq!(server.tell("/ath/status/farm/?n=farm_one,f=%s|%x"), "off|none\n");
    assert_eq!(server.get("/ath/balance/?farm_one").0, 503);
    let changes = server.changes.lock().unwrap().clone();
    assert!(
        changes.contains(&"backend app01: admin on -> drain (set by an operator)".to_owned()),
        "{changes:?}"
    );
    assert!(
        changes.contains(&"farm farm_one: switch on -> off (set by an operator)".to_owned()),
        "{changes:?}"
    );
}

#[test]
fn of_several_requests_in_one_get_all_are_applied_or_none() {
    let server = Server::example();
    let loads = || server.tell("/ath/status/phys/?f=%l");
    server.tell("/ath/update/phys/?h=app01,l=0.7;h=app02,l=0.2");
    assert_eq!(loads(), "0.7\n0.2\n");
    for (rest, status, body) in [
        ("h=app02,l=x", 400, "l: not a finite number: \"x\"\n"),
        ("h=app99,l=1", 404, "unknown backend: app99\n"),
        ("h=app02,l=1,l=2", 400, "l: given twice\n"),
        ("h=app02,w=-1", 400, "w: a weight is 0, or from 0.000001 to 1000000, not -1 (app02)\n"),
        ("h=app02,X=1", 400, "X: unknown argument\n"),
        ("", 400, "h: names the backend, it is missing\n"),
    ] {
        let refused = server.state.engine.counts().refused;
        let answer = server.get(&format!("/ath/update/phys/?h=app01,l=50;{rest}"));
        assert_eq!(answer, (status, body.to_owned()), "{rest}");
        assert_eq!(server.state.engine.counts().refused, refused + 1, "counted once: {rest}");
        assert_eq!(loads(), "0.7\n0.2\n", "{rest}");
    }
    let many = |count: usize| vec!["h=app01,l=1"; count].join(";");
    assert_eq!(server.get(&format!("/ath/update/phys/?{}", many(16))).0, 200);
    let answer = server.get(&format!("/ath/update/phys/?{}", many(17)));
    assert_eq!(answer, (400, "';' separates more than 16 requests\n".to_owned()));
    assert_eq!(server.state.engine.counts().reports, 18);
}

#[test]
fn multi_mixes_requests_if_it_may() {
    let server = Server::example();
    let target = "/ath/multi/?update/phys?h=app01,l=0.7;update/phys?h=app02,l=3;balance?farm_one";
    assert_eq!(server.get(target), (403, "multi: http.allow_diverse_multi is off\n".to_owned()));
    let server = diverse();
    assert_eq!(server.tell(target), "ok\nok\n10.0.0.11:8080\n");
    let target = "/ath/multi/?status/phys/?h=app01,f=\"%h;%l\";balance?farm_two;status/farm?n=farm_one,f=%j";
    assert_eq!(server.tell(target), "app01;0.7\n10.0.0.12:8080\n2\n");
    for (target, status, body) in [
        ("update/phys?h=app01,l=99;balance", 400, "balance: no farm is named\n"),
        ("update/phys?h=app01,l=99;nowhere?x", 400, "nowhere: unknown path in multi\n"),
        ("update/phys?h=app01,l=99;multi?x", 400, "multi: a request in multi cannot be multi\n"),
        ("update/phys?h=app01,l=99;update/phys?h=app99,l=1", 404, "unknown backend: app99\n"),
    ] {
        assert_eq!(server.get(&format!("/ath/multi/?{target}")), (status, body.to_owned()), "{target}");
    }
    assert_eq!(server.tell("/ath/status/phys/?h=app01,f=%l"), "0.7\n", "nothing was changed");
    let target = "/ath/multi/?update/phys?h=app01,l=8;balance?farm_three";
    assert_eq!(server.tell(target), "ok\n!unknown farm: farm_three\n");
}

#[test]
fn status_lists_by_names_globs_formats_and_tables() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=0.73");
    assert_eq!(server.tell("/ath/status/phys/?f=%h\\t%l"), "app01\t0.73\napp02\t-\n");
    assert_eq!(server.tell("/ath/status/phys/?h=app02+app01,f=%h\\n"), "app02\napp01\n");
    assert_eq!(server.tell("/ath/status/phys/?h=APP*,f=%h"), "app01\napp02\n");
    assert_eq!(server.get("/ath/status/phys/?h=web*"), (404, "unknown backend: web*\n".to_owned()));
    assert_eq!(server.tell("/ath/status/phys/?h=app01+app99,f=%h"), "!unknown backend: app99\napp01\n");
    assert_eq!(server.get("/ath/status/farm/?n=farm_x+farm_y").0, 404);
    assert_eq!(
        server.tell("/ath/status/farm/?n=farm_two.athena.,f=%n%20%s%20%g%20%k%20%j%20%x%20%N"),
        "farm_two on least-load 1 1 members 0\n"
    );
    let table = server.tell("/ath/status/phys/?");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let headings =
        ["name", "address", "port", "state", "health", "feed", "load", "weight", "age", "answers", "why"];
    assert_eq!(rows[0], headings);
    assert_eq!(rows[1][..8], ["app01", "10.0.0.11", "8080", "on", "up", "in", "0.73", "1"]);
    assert_eq!(rows[2][6..], ["-", "1", "-", "0", "-"]);
    server.tell("/ath/balance/?farm_one");
    assert_eq!(
        server.tell("/ath/status/engine/?f=%V%20%Q%20%B%20%R%20%E%20%M"),
        format!("{} 0 1 1 0 0/0\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(server.tell("/ath/status/engine/").starts_with("version"));
}

#[test]
fn the_state_shown_names_its_reason_and_since_when() {
    let mut plan = plan();
    plan.backends.push(BackendPlan {
        host: Some("app03.example".to_owned()),
        ..BackendPlan::new(name("app03"), vec![])
    });
    let server = Server::start(plan, Options::default());
    server.tell("/ath/update/phys/?h=app01,s=off,v=down,i=out");
    let table = server.tell("/ath/status/phys/?h=app01+app03");
    let lines: Vec<&str> = table.lines().collect();
    for part in
        ["  off since 20", "; down since 20", "Z: said its report; out since 20", "Z: it said that it leaves"]
    {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
    assert!(lines[2].ends_with("  app03.example has no address yet"), "{}", lines[2]);
    let farm = server.tell("/ath/status/farm/?n=farm_one");
    assert!(farm.contains("load unknown: app01 (no l reported), app02 (no l reported)"), "{farm}");
}

#[test]
fn json_says_the_same_with_dates() {
    let server = Server::example();
    server.tell("/ath/update/phys/?h=app01,l=0.5,queue=3,s=drain");
    let json = |target: &str| {
        let response = server.request("GET", target, "Accept: text/html, application/json;q=0.9\r\n");
        assert_eq!(response.field("content-type"), Some("application/json"));
        serde_json::from_str::<serde_json::Value>(&response.body).unwrap()
    };
    let backends = json("/ath/status/phys/?");
    assert_eq!(backends.as_array().unwrap().len(), 2);
    let app01 = &backends[0];
    assert_eq!(app01["name"], "app01");
    assert_eq!(app01["addresses"][0], "10.0.0.11");
    assert_eq!(app01["state"]["value"], "drain");
    assert_eq!(app01["statistics"]["queue"], 3.0);
    assert_eq!(app01["available"], false);
    let (since, unix) = (&app01["state"]["since"], app01["state"]["since_unix"].as_f64().unwrap());
    let moment =
        athena::balance::Moment::from_unix(std::time::Duration::from_millis((unix * 1000.0).round() as u64));
    assert_eq!(since, &athena::http::date::rfc3339(moment));
    let farm = &json("/ath/status/farm/?n=farm_one")[0];
    assert_eq!(farm["members"][0]["reason"], "drain");
    assert_eq!(farm["members"][0]["load"], 0.5);
    assert_eq!(farm["members"][0]["estimate"], serde_json::Value::Null, "it is not available");
    assert_eq!(farm["members"][1]["load_reason"], "no l reported, the farm's average counts");
    assert_eq!(farm["source"]["value"], "members");
    assert_eq!(json("/ath/status/engine/")["reports"], 1);
    let debug = json("/ath/status/debug/?true");
    assert_eq!(debug["backends"].as_array().unwrap().len(), 2);
    assert_eq!(debug["farms"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_rule_that_learns_believes_is_visible() {
    let farms = vec![farm("farm_one", &["app01", "app02"], "adaptive")];
    let server = Server::start(Plan { backends: plan().backends, farms }, Options::default());
    let member = || {
        let response = server.request("GET", "/ath/status/farm/?n=farm_one", "Accept: application/json\r\n");
        serde_json::from_str::<serde_json::Value>(&response.body).unwrap()[0]["members"][1].clone()
    };
    assert!(member()["estimate"].as_f64().is_some_and(|load| load.abs() < 1e-6), "{}", member());
    assert_eq!(member()["capacity"], serde_json::Value::Null, "not known yet");
    assert_eq!(member()["share"], 0.5);
    let reports: Vec<_> = (0..40).map(|load| format!("h=app02,l={}", load % 5)).collect();
    for report in reports {
        server.tell("/ath/balance/?farm_one");
        server.tell(&format!("/ath/update/phys/?{report}"));
    }
    let capacity = member()["capacity"].as_f64().expect("reports tell what it can serve");
    assert!(capacity > 0.0 && member()["estimate"].as_f64().is_some_and(|load| load <= 4.5), "{}", member());
    let metrics = server.request("GET", "/metrics", "").body;
    for family in ["athena_member_load_estimate", "athena_member_capacity", "athena_member_share_ratio"] {
        let sample = format!("{family}{{farm=\"farm_one\",backend=\"app02\"}} ");
        assert!(metrics.contains(&sample), "{sample} in\n{metrics}");
    }
}

#[test]
fn debug_says_everything_in_one_answer() {
    let options =
        Options { configuration: Shown::new(|| "zone = \"athena.\"\n".to_owned()), ..Options::default() };
    let server = Server::start(plan(), options);
    let text = server.tell("/ath/status/debug/?true");
    for part in [
        "# configuration\nzone = \"athena.\"\n",
        "\n# farms\nname",
        "\n# backends\nname",
        "\n# engine\nversion",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(server.get("/ath/status/debug/?false").0, 400);
}

#[test]
fn an_empty_path_and_a_longer_one_are_bases_too() {
    for (path, target) in [("", "/balance/?farm_two"), ("/lb/v1", "/lb/v1/balance?farm_two")] {
        let server = Server::start(plan(), Options { path: path.to_owned(), ..Options::default() });
        assert_eq!(server.tell(target), "10.0.0.12:8080\n");
        assert_eq!(server.tell("/healthz"), "ok\n");
    }
}

#[test]
fn a_reload_swaps_the_options_under_open_connections() {
    let server = Server::example();
    let mut client = server.connect();
    client.send("GET /ath/balance?farm_two HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).status, 200);
    server.state.replace_options(Options { path: "/lb".to_owned(), ..Options::default() });
    client.send("GET /ath/balance?farm_two HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).body, "unknown path: /ath/balance\n");
    client.send("GET /lb/balance?farm_two HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).body, "10.0.0.12:8080\n");
}
