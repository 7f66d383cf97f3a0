//! Pages as real servers write them, pages that are wrong, and any octets at all.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn statistics(format: Format, wanted: &[&str]) -> Vec<(StatisticName, Selector)> {
    let name = |index| StatisticName::parse(&format!("x{index}")).unwrap();
    let selector = |text: &&str| Selector::parse(format, text).unwrap_or_else(|why| panic!("{text}: {why}"));
    wanted.iter().map(selector).enumerate().map(|(index, selector)| (name(index), selector)).collect()
}

fn numbers(format: Format, page: &str, wanted: &[&str]) -> Vec<f64> {
    read(format, page.as_bytes(), &statistics(format, wanted)).unwrap()
}

fn wrong(format: Format, page: &str, wanted: &str) -> String {
    read(format, page.as_bytes(), &statistics(format, &[wanted])).unwrap_err().to_string()
}

const EXPORTER: &str = r#"# HELP node_load1 1m load average.
# TYPE node_load1 gauge
node_load1 0.73
# TYPE jvm_threads_current gauge
jvm_threads_current{pool="x",state="busy"} 12 1700000000000
jvm_threads_current{pool="x",state="idle",} 30
 jvm_threads_current { pool = "y" , state="busy" } 7
odd{path="C:\\temp\n\"a\"}"} 5
latency_bucket{le="+Inf"} 9
broken{a=b} 1
gone NaN
endless +Inf
hits_total 1.5e3 # {trace_id="a}b"} 0.5
nothing
node_load15 2
"#;

#[test]
fn an_exporter_s_page() {
    let wanted = [
        "node_load1",
        "jvm_threads_current{pool=\"y\"}",
        "sum(jvm_threads_current{state=\"busy\"})",
        "max(jvm_threads_current)",
        "min(jvm_threads_current{pool!=\"y\"})",
        "avg(jvm_threads_current{pool=\"x\"})",
        r#"odd{path="C:\\temp\n\"a\"}"}"#,
        "latency_bucket{le=\"+Inf\"}",
        "hits_total",
        "node_load15{absent=\"\"}",
    ];
    assert_eq!(
        numbers(Format::Prometheus, EXPORTER, &wanted),
        [0.73, 7.0, 19.0, 30.0, 12.0, 21.0, 5.0, 9.0, 1500.0, 2.0]
    );
    let wrong = |wanted| wrong(Format::Prometheus, EXPORTER, wanted);
    assert_eq!(wrong("node_load5"), "node_load5 is not on the page");
    assert_eq!(wrong("node_load1{a=\"b\"}"), "node_load1{a=\"b\"} is not on the page");
    assert!(wrong("jvm_threads_current").starts_with("jvm_threads_current is on the page 3 times; name one"));
    assert_eq!(wrong("broken"), "line 10: its labels cannot be read: broken{a=b} 1");
    assert_eq!(wrong("gone"), "gone is no finite number but NaN");
    assert_eq!(wrong("endless"), "endless is no finite number but inf");
    assert_eq!(wrong("nothing"), "line 14: no number: nothing");
}

const MOD_STATUS: &str = "127.0.0.1\nServerVersion: Apache/2.4.66 (Debian)\nTotal Accesses: 17\nTotal kBytes: 9\nCPULoad: \
                          .0123\nReqPerSec: 1.5e-05\nBusyWorkers: 1\nIdleWorkers: 49\nScoreboard: ____W__\n";

#[test]
fn apache_s_page() {
    let wanted = ["BusyWorkers", "IdleWorkers", "CPULoad", "ReqPerSec", "Total Accesses"];
    assert_eq!(numbers(Format::Apache, MOD_STATUS, &wanted), [1.0, 49.0, 0.0123, 1.5e-5, 17.0]);
    assert_eq!(wrong(Format::Apache, MOD_STATUS, "Busy"), "Busy is not on the page");
    assert_eq!(wrong(Format::Apache, MOD_STATUS, "Scoreboard"), "line 9: no number: ____W__");
    assert_eq!(wrong(Format::Apache, "X: inf\n", "X"), "X is no finite number but inf");
    assert_eq!(wrong(Format::Apache, "<html>", "X"), "X is not on the page");
}

const STUB_STATUS: &str = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \nReading: \
                           6 Writing: 179 Waiting: 106 \n";

#[test]
fn nginx_s_page() {
    let wanted = ["Active connections", "accepts", "handled", "requests", "reading", "Writing", "Waiting"];
    assert_eq!(
        numbers(Format::Nginx, STUB_STATUS, &wanted),
        [291.0, 16_630_948.0, 16_630_948.0, 31_070_465.0, 6.0, 179.0, 106.0]
    );
    assert_eq!(wrong(Format::Nginx, STUB_STATUS, "request_time"), "request_time is not on the page");
    let tengine =
        STUB_STATUS.replace("requests\n", "requests request_time\n").replace("31070465", "31070465 42");
    assert_eq!(numbers(Format::Nginx, &tengine, &["request_time", "requests"]), [42.0, 31_070_465.0]);
    assert_eq!(
        wrong(Format::Nginx, "<html>\n<h1>404 Not Found</h1>", "requests"),
        "the page is not nginx's stub_status, it begins with <html>"
    );
    let odd = STUB_STATUS.replace("291", "many");
    assert_eq!(
        wrong(Format::Nginx, &odd, "Active connections"),
        "Active connections is no finite number but many"
    );
}

#[test]
fn a_page_of_json() {
    let page = r#"{"queue": {"length": 17, "a/b": 2, "": 3}, "pools": [{"active": 1}, {"active": 4}, {}],
                   "up": true, "text": " 2.5 ", "none": null, "word": "many"}"#;
    let wanted = [
        "queue.length",
        "/queue/length",
        "/queue/a~1b",
        "/queue/",
        "pools.1.active",
        "sum(pools.*.active)",
        "max(pools.*.active)",
        "up",
        "text",
    ];
    assert_eq!(numbers(Format::Json, page, &wanted), [17.0, 17.0, 2.0, 3.0, 4.0, 5.0, 4.0, 1.0, 2.5]);
    let wrong = |wanted| wrong(Format::Json, page, wanted);
    assert_eq!(wrong("queue.size"), "queue.size is not on the page");
    assert_eq!(wrong("queue"), r#"queue is no finite number but {"":3,"a/b":2,"length":17}"#);
    assert_eq!(wrong("none"), "none is no finite number but null");
    assert_eq!(wrong("word"), r#"word is no finite number but "many""#);
    assert!(wrong("pools.*.active").contains("2 times"));
    assert_eq!(wrong("pools.9.active"), "pools.9.active is not on the page");
    let broken = super::tests::wrong(Format::Json, "{", "a");
    assert!(broken.starts_with("the page is not JSON: EOF while parsing"), "{broken}");
    let deep = super::tests::wrong(Format::Json, &"[".repeat(10_000), "a");
    assert!(deep.starts_with("the page is not JSON: recursion limit"), "{deep}");
}

#[test]
fn what_is_shown_of_a_page_is_short_and_in_one_line() {
    let page = format!("<!DOCTYPE html>\u{7}\u{1b}[2J{}", "x".repeat(1000));
    let told = wrong(Format::Nginx, &page, "requests");
    assert!(told.len() < 200 && told.chars().all(|character| !character.is_control()), "{told}");
    assert_eq!(read(Format::Json, b"\xff", &[]).unwrap_err(), Nonsense::NotText);
}

#[test]
fn a_rate_is_growth_a_second_and_a_counter_that_falls_began_anew() {
    let wanted = statistics(Format::Nginx, &["rate(requests)", "Waiting"]);
    let mut rates = Rates::default();
    let mut after = |seconds: u64, requests| {
        let now = Moment::from_unix(Duration::from_secs(1000 + seconds));
        let statistics = rates.statistics(&wanted, &[requests, 3.0], now);
        statistics.into_iter().map(|(name, amount)| (name.to_string(), amount.number())).collect::<Vec<_>>()
    };
    let waiting = ("x1".to_owned(), 3.0);
    assert_eq!(after(0, 100.0), *std::slice::from_ref(&waiting), "nothing to compare with");
    assert_eq!(after(10, 150.0), [("x0".to_owned(), 5.0), waiting.clone()]);
    assert_eq!(after(20, 20.0), *std::slice::from_ref(&waiting), "the server was started again");
    assert_eq!(after(30, 40.0), [("x0".to_owned(), 2.0), waiting.clone()]);
    assert_eq!(after(30, 50.0), [waiting], "no time went by");
}

fn selectors(format: Format) -> Vec<(StatisticName, Selector)> {
    match format {
        Format::Prometheus => statistics(format, &["a", "sum(a{b=\"c\"})", "max(a{b!=\"\"})"]),
        Format::Apache => statistics(format, &["a", "rate(b)"]),
        Format::Nginx => statistics(format, &["requests", "Waiting", "Active connections"]),
        Format::Json => statistics(format, &["a", "a.b", "sum(*.*)", "/a/0"]),
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(
        page in prop::collection::vec(any::<u8>(), 0..300),
        format in prop::sample::select(Format::ALL.to_vec()),
    ) {
        let _ = read(format, &page, &selectors(format));
    }

    #[test]
    fn whatever_looks_like_a_page_is_read_or_refused(
        page in r#"((a|b|requests|Active connections|server accepts|[é{}\[\]])[:{=]?( ?[-+.0-9eNaInf"\\{},]{0,9}){0,4}\n?){0,6}"#,
        format in prop::sample::select(Format::ALL.to_vec()),
    ) {
        if let Ok(numbers) = read(format, page.as_bytes(), &selectors(format)) {
            prop_assert!(numbers.iter().all(|number| number.is_finite()));
        }
    }

    #[test]
    fn a_label_s_value_is_read_as_it_was_written(value in ".*", number in -1e9..1e9) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // What ends a line elsewhere than here cannot stand in one.
        prop_assume!(!value.contains('\r'));
        let text = format!("a{{b=\"{escaped}\"}}");
        let page = format!("a{{b=\"another one\"}} 1\n{text} {number}\n");
        prop_assert_eq!(numbers(Format::Prometheus, &page, &[&text]), [number]);
    }
}
