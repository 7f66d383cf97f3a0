//! Pull beside push: real nginx, Apache and an exporter scraped; checks of listeners that come and go; what a reload does to
//! both; pages that are hostile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Folder;
use crate::harness::{Athena, Program, get, until};
use crate::proxies::Place;

/// A server that answers every request with the same octets, which a test may change, and then closes.
struct Page {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    /// Requests that came, as they were.
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    fn start(answer: impl Into<Vec<u8>>) -> Self {
        Self::on("127.0.1.1:0".parse().unwrap(), answer)
    }

    fn on(address: SocketAddr, answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer.into()));
        let (requests, stopping) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (says, notes, stops) = (Arc::clone(&answer), Arc::clone(&requests), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let notes: &Mutex<Vec<String>> = &notes;
                notes.lock().unwrap().push(head.join("\n"));
                let answer = says.lock().unwrap().clone();
                let _ = stream.write_all(&answer);
            }
        });
        Self { address, answer, requests, stopping, thread: Some(thread) }
    }

    fn say(&self, answer: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = answer.into();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn backend(address: SocketAddr, more: &str) -> String {
    format!(
        "[backends.app01]\naddress = \"{}\"\nport = {}\n{more}\n[farms.one]\nmembers = [\"app01\"]\n",
        address.ip(),
        address.port()
    )
}

/// A fast pace.
const PACE: &str = "interval = \"50ms\"\ntimeout = \"20s\"\nrise = 2\nfall = 3\n";

/// What the text protocol says of app01 by these codes.
fn phys(athena: &Athena, codes: &str) -> String {
    athena.tell(&format!("/ath/status/phys/?h=app01,f=\"{codes}\"")).trim().to_owned()
}

/// What people see of app01.
fn line(athena: &Athena) -> String {
    athena.tell("/ath/status/phys/?h=app01")
}

fn ready(athena: &Athena) {
    until("ready", || athena.get("/readyz").0 == 200);
}

/// A sample of `/metrics`.
fn metric(athena: &Athena, sample: &str) -> f64 {
    let text = athena.tell("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

fn example(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scrape").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A server of the example with its configuration.
fn server(name: &'static str, conf: &str, address: SocketAddr, folder: &Path) -> Program {
    let dir = folder.join(conf);
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("server.conf");
    let text =
        example(conf).replace("@DIR@", dir.to_str().unwrap()).replace("@LISTEN@", &address.to_string());
    std::fs::write(&file, text).unwrap();
    let (dir, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    let mut program = match name {
        "nginx" => Program::start(name, &["-p", dir, "-c", file], folder, "QUIT"),
        // It signals its whole process group when it stops.
        _ => Program::start("setsid", &["-w", name, "-f", file, "-D", "FOREGROUND"], folder, "TERM"),
    };
    program.await_listener(address);
    program
}

#[test]
fn the_example_balances_on_the_pages_of_nginx_apache_an_exporter_and_json() {
    let place = Place::new();
    let (web01, web02, web03, web04) = (place.at(8001), place.at(8002), place.at(8003), place.at(8004));
    let exporter = place.at(9103);
    let folder = place.folder();
    let _nginx = server("nginx", "nginx.conf", web01, folder);
    let _apache = server("apache2", "apache.conf", web02, folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scrape/application.py");
    let script = script.to_str().unwrap();
    let application = |address: SocketAddr, connections: &str| {
        let dir = folder.join(connections).join(address.port().to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut program = Program::start("python3", &[script, &ip, &port, connections], &dir, "TERM");
        program.await_listener(address);
        program
    };
    let _web03 = application(web03, "7");
    let exporting = application(exporter, "7");
    let _web04 = application(web04, "9");

    let mut toml = example("athena.toml").replace("interval = \"2s\"", "interval = \"200ms\"");
    toml = toml.replace("timeout = \"2s\"", "timeout = \"20s\"").replace("expect_update = \"7s\"", "");
    for last in 1..=4 {
        toml = toml.replace(&format!("\"127.0.1.{last}\""), &format!("\"{}\"", exporter.ip()));
    }
    // The harness brings zone and listeners.
    let start = toml.find("[backend_defaults.check]").unwrap();
    let athena = Athena::start(&toml[start..]);
    until("all four were fetched", || !athena.tell("/ath/status/phys/?f=%c").contains('-'));
    until("all four were checked", || !athena.tell("/ath/status/phys/?f=%v").contains("down"));

    let told = athena.tell("/ath/status/phys/?f=\"%h %v %i c=%c l=%l busy=%{busy} queue=%{queue}\"");
    let lines: Vec<&str> = told.lines().collect();
    // Those of the check and of the scrape.
    let own = ["web01 up in c=1 l=- busy=- queue=-", "web01 up in c=2 l=- busy=- queue=-"];
    assert!(own.contains(&lines[0]), "nginx sees our own connections: {}", lines[0]);
    assert!(lines[1].starts_with("web02 up in c=") && !lines[1].contains("busy=-"), "{}", lines[1]);
    assert_eq!(lines[2], "web03 up in c=7 l=0.25 busy=- queue=-");
    assert_eq!(lines[3], "web04 up in c=9 l=- busy=- queue=5");
    until("nginx's and Apache's counters have grown", || {
        let rates = athena.tell("/ath/status/phys/?h=web01+web02,f=%q");
        rates.lines().all(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0))
    });
    assert_eq!(
        athena.tell("/ath/balance/?web,n=4,f=%h").lines().skip(2).collect::<Vec<_>>(),
        ["web03", "web04"]
    );

    drop(exporting);
    until("the status says why web03 has no figures", || {
        // A scrape that was under way just then was cut off; the next one is refused.
        let why = format!("scrape of http://{exporter}/metrics: connection refused");
        athena.tell("/ath/status/phys/?h=web03").contains(&why)
    });
    assert!(metric(&athena, "athena_scrapes_total{outcome=\"connect\"}") >= 1.0);
    assert_eq!(metric(&athena, "athena_backend_scrape_success{backend=\"web03\"}"), 0.0);
    assert_eq!(metric(&athena, "athena_backend_scrape_success{backend=\"web04\"}"), 1.0);
}

#[test]
fn the_example_runs_as_it_stands() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scrape/run.sh");
    let run = std::process::Command::new(script).env("ATHENA", env!("CARGO_BIN_EXE_athena")).output();
    let run = run.unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    for expected in
        ["web01:health=up,feed=in,", "web03:health=up,feed=in,connections=7", "metrics: connection refused"]
    {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_is_typed_is_what_is_looked_at_and_what_is_shown_means_the_same() {
    use athena::probe::plan::{Ask, Encryption, Format};

    let folder = Folder::with(
        r#"
[backend_defaults.check]
type = "tcp"
interval = "3s"
[backend_defaults.scrape]
timeout = "10s"
[backends.app01]
address = "app01.example.com"
port = 8080
[backends.app01.check]
type = "http"
status = ["2xx", "404"]
[backends.app02]
address = "10.0.0.12"
port = 8080
[backends.app02.scrape]
format = "prometheus"
port = 9100
tls = "unverified"
authorization = "Bearer s3cret"
statistics = { l = "node_load1", threads = 'sum(threads{pool="x"})' }
[backends.app03]
address = "10.0.0.13"
[backends.app03.check]
type = "none"
"#,
    );
    let config = folder.load(&[]).unwrap();
    let [app01, app02] = config.probes.as_slice() else { panic!("{:?}", config.probes) };
    let check = app01.check.as_ref().unwrap();
    assert_eq!((check.pace.interval, check.rise, check.fall), (Duration::from_secs(3), 2, 3));
    assert_eq!(check.target.host.as_deref(), Some("app01.example.com"));
    assert!(
        matches!(&check.ask, Ask::Http(call, expected) if call.path == "/" && *expected == [200..=299, 404..=404])
    );
    assert_eq!(app02.check.as_ref().unwrap().ask, Ask::Tcp);
    let scrape = app02.scrape.as_ref().unwrap();
    assert_eq!((scrape.format, scrape.target.port), (Format::Prometheus, 9100));
    assert_eq!((scrape.call.path.as_str(), scrape.target.encryption), ("/metrics", Encryption::Unverified));
    assert_eq!(scrape.pace.timeout, Duration::from_secs(10));
    assert_eq!(scrape.statistics.len(), 2);
    assert!(!format!("{config:?}").contains("s3cret") && !config.shown().contains("s3cret"));

    let mut again = Folder::with(&config.shown()).load(&[]).unwrap();
    let hidden = again.probes[1].scrape.as_mut().unwrap();
    hidden.call.authorization = scrape.call.authorization.clone();
    assert_eq!(again.probes, config.probes, "{}", config.shown());
}

#[test]
fn a_failed_scrape_is_silence_and_expect_update_makes_it_out() {
    let page = Page::start(ok("queue 3\n"));
    let scrape = "[backends.app01.scrape]\nformat = \"prometheus\"\nstatistics = { queue = \"queue\" }\ninterval = \"20ms\"\ntimeout = \"20s\"";
    let more = format!("{scrape}\n[farm_defaults]\nexpect_update = \"1s\"\n");
    let athena = Athena::start(&backend(page.address, &more));
    until("in", || phys(&athena, "%i %{queue}") == "in 3");
    page.say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    until("out", || phys(&athena, "%i") == "out");
    assert!(line(&athena).contains("/metrics: status 500, expected 200"), "{}", line(&athena));
    page.say(ok("queue 8\n"));
    until("in again", || phys(&athena, "%i %{queue}") == "in 8" && !line(&athena).contains("scrape"));
}

#[test]
fn hostile_pages_are_limited_counted_and_named() {
    let endless = "x".repeat(200_000);
    let flood = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let deep = ok(&"[".repeat(900));
    let cases: [(&str, String, &str, &str); 9] = [
        ("json", ok("{\"c\": \"<script>\"}"), "c is no finite number but", "nonsense"),
        ("json", ok("{}"), "c is not on the page", "nonsense"),
        ("json", deep, "the page is not JSON", "nonsense"),
        ("prometheus", ok(&endless), "its answer has more than 1000 octets", "size"),
        (
            "prometheus",
            format!("HTTP/1.1 200 OK\r\n\r\n{endless}"),
            "its answer has more than 1000 octets",
            "size",
        ),
        ("prometheus", flood, "its answer is not HTTP", "http"),
        ("prometheus", "SSH-2.0-x\r\n".to_owned(), "its answer is not HTTP", "http"),
        (
            "apache",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n".to_owned(),
            "status 302, expected 200",
            "status",
        ),
        ("prometheus", String::new(), "connection closed before", "http"),
    ];
    for (format, answer, told, reason) in cases {
        let page = Page::start(answer.clone());
        let scrape = format!(
            "[backends.app01.scrape]\nformat = \"{format}\"\nstatistics = {{ c = \"c\" }}\nmax_size = 1000\ninterval = \"20ms\"\ntimeout = \"20s\""
        );
        let athena = Athena::start(&backend(page.address, &scrape));
        until(told, || line(&athena).contains(told));
        assert_eq!(phys(&athena, "%c"), "-", "{answer}");
        assert!(metric(&athena, &format!("athena_scrapes_total{{outcome=\"{reason}\"}}")) >= 1.0);
        assert_eq!(athena.addresses("one.athena."), ["127.0.1.1".parse::<std::net::IpAddr>().unwrap()]);
    }
}

#[test]
fn a_page_that_never_ends_or_never_begins_takes_its_time_out_and_no_more() {
    let listener = TcpListener::bind("127.0.1.1:0").unwrap();
    let scrape =
        "[backends.app01.scrape]\nformat = \"json\"\nstatistics = { c = \"c\" }\ntimeout = \"100ms\"";
    let athena = Athena::start(&backend(listener.local_addr().unwrap(), scrape));
    ready(&athena);
    let told = line(&athena);
    assert!(told.contains("no answer within 100ms"), "{told}");
    // Whoever connects is given a head, and a body without end, drop by drop.
    let drips = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&drips);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _ = stream.set_read_timeout(Some(Duration::from_millis(10)));
            while stream.write_all(b"1\r\n \r\n").is_ok() {
                let mut octets = [0; 512];
                if matches!(stream.read(&mut octets), Ok(0)) {
                    break;
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    until("the connection was given up more than once", || drips.load(Ordering::SeqCst) > 0);
    assert!(metric(&athena, "athena_scrapes_total{outcome=\"timeout\"}") >= 1.0);
}

#[test]
fn a_check_follows_a_listener_that_comes_and_goes() {
    let place = Place::new();
    let address = place.at(8000);
    let check = format!("[backends.app01.check]\ntype = \"tcp\"\n{PACE}");
    let athena = Athena::start(&backend(address, &check));
    ready(&athena);
    until("the first result", || {
        line(&athena).contains(&format!("tcp check {address}: connection refused, "))
    });
    assert_eq!(phys(&athena, "%v %i"), "down in");
    assert_eq!(athena.get("/ath/balance/?one").0, 503);

    let page = Page::on(address, ok(""));
    until("up", || phys(&athena, "%v") == "up");
    assert_eq!(athena.tell("/ath/balance/?one"), format!("{address}\n"));
    drop(page);
    until("down", || phys(&athena, "%v") == "down");
    let told = line(&athena);
    assert!(told.contains(&format!("tcp check {address}: connection refused, 3 of 3 failed")), "{told}");
    assert!(metric(&athena, "athena_checks_total{outcome=\"connect\"}") >= 3.0);
    assert!(metric(&athena, "athena_checks_total{outcome=\"ok\"}") >= 2.0);
    assert_eq!(metric(&athena, "athena_backend_check_success{backend=\"app01\"}"), 0.0);

    // Whatever else is said of it: the worst counts.
    athena.tell("/ath/update/phys/?h=app01,v=up,V=up");
    assert_eq!(phys(&athena, "%v"), "down");
}

#[test]
fn an_http_check_asks_as_it_is_told_and_takes_the_statuses_that_it_is_told() {
    let page = Page::start("HTTP/1.1 204 No Content\r\n\r\n");
    let check = format!(
        "[backends.app01.check]\ntype = \"http\"\npath = \"/healthz?full=1\"\nmethod = \"HEAD\"\nhost = \"app.example.com\"\n\
         status = [\"2xx\", \"404\"]\nauthorization = \"Bearer s3cret\"\n{PACE}"
    );
    let athena = Athena::start(&backend(page.address, &check));
    until("up", || !page.requests.lock().unwrap().is_empty() && phys(&athena, "%v") == "up");
    let request = page.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.starts_with("head /healthz?full=1 http/1.1\n"), "{request}");
    for field in
        ["host: app.example.com", "authorization: bearer s3cret", "connection: close", "user-agent: athena/"]
    {
        assert!(request.contains(field), "{request}");
    }
    page.say("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    until("down", || phys(&athena, "%v") == "down");
    let told = line(&athena);
    let url = format!(
        "http check http://{}/healthz?full=1: status 503, expected 2xx, 404, 3 of 3 failed",
        page.address
    );
    assert!(told.contains(&url), "{told}");
    page.say("HTTP/1.1 404 Not Found\r\n\r\n");
    until("up", || phys(&athena, "%v") == "up");
    let debug = athena.tell("/ath/status/debug/?true");
    assert!(!debug.contains("s3cret"), "no secret is shown");
}

#[test]
fn a_reload_keeps_verdicts_and_what_is_checked_no_more_is_lifted() {
    let place = Place::new();
    let address = place.at(8000);
    let check =
        |more: &str| backend(address, &format!("[backends.app01.check]\ntype = \"tcp\"\n{PACE}{more}"));
    let mut athena = Athena::start(&check(""));
    ready(&athena);
    until("three failed", || line(&athena).contains("3 of 3 failed"));
    assert_eq!(athena.reload(&check("")).unwrap(), [""; 0]);
    let told = line(&athena);
    assert!(told.contains("3 of 3 failed"), "nothing begins anew: {told}");

    assert_eq!(athena.reload(&check("spread = 0.2\n")).unwrap(), ["backend app01: check changed"]);
    assert_eq!(phys(&athena, "%v"), "down", "the verdict goes on");
    until("looked again", || line(&athena).contains("3 of 3 failed"));

    assert_eq!(athena.reload(&backend(address, "")).unwrap(), ["backend app01: check removed"]);
    assert_eq!(phys(&athena, "%v"), "up", "nobody says down any more");
    assert!(!athena.tell("/metrics").contains("athena_backend_check_success{"));

    let page = Page::on(address, ok("c 4\n"));
    let scrape = "[backends.app01.scrape]\nformat = \"prometheus\"\nstatistics = { c = \"c\" }\ninterval = \"20ms\"\ntimeout = \"20s\"";
    assert_eq!(athena.reload(&backend(address, scrape)).unwrap(), ["backend app01: scrape added"]);
    until("scraped", || phys(&athena, "%c") == "4");
    page.say(ok(""));
    until("trouble", || line(&athena).contains("c is not on the page"));
    assert_eq!(athena.reload(&backend(address, "")).unwrap(), ["backend app01: scrape removed"]);
    assert!(!line(&athena).contains("not on the page"));
}

#[test]
fn readiness_waits_for_first_results_and_dns_does_not() {
    // Somebody who accepts and says nothing: the first result is the time-out.
    let listener = TcpListener::bind("127.0.1.1:0").unwrap();
    let check = "[backends.app01.check]\ntype = \"http\"\ntimeout = \"1s\"\n";
    let athena = Athena::start(&backend(listener.local_addr().unwrap(), check));
    let (status, waiting) = athena.get("/readyz");
    let addresses = athena.addresses("one.athena.");
    // Unless this machine was so slow that the second is over.
    if status == 503 {
        assert!(waiting.contains("waiting for first checks and scrapes"), "{waiting}");
    }
    assert_eq!(addresses, ["127.0.1.1".parse::<std::net::IpAddr>().unwrap()]);
    ready(&athena);
    assert_eq!(phys(&athena, "%v"), "down");
    assert!(line(&athena).contains("no answer within 1s"));
}

#[test]
fn a_backend_by_host_name_is_looked_at_where_it_was_resolved() {
    let page = Page::on("127.0.0.1:0".parse().unwrap(), ok("c 4\n"));
    let toml = format!(
        "[backends.app01]\naddress = \"localhost\"\nport = {}\n[backends.app01.scrape]\nformat = \"prometheus\"\n\
         statistics = {{ c = \"c\" }}\n[farms.one]\nmembers = [\"app01\"]\n",
        page.address.port()
    );
    let athena = Athena::start(&toml);
    until("scraped", || phys(&athena, "%c") == "4");
    let request = page.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.contains("host: localhost\n"), "{request}");
}

#[test]
fn over_tls_a_certificate_counts_or_does_not() {
    use crate::dns_secure::Pair;

    let folder = tempfile::tempdir().unwrap();
    Pair::new("app.example.com").write(folder.path(), "http");
    // Another Athena is the backend that speaks HTTPS.
    let server = Athena::start(&format!(
        "http.tls_cert = \"{0}/http.cert.pem\"\nhttp.tls_key = \"{0}/http.key.pem\"\n",
        folder.path().display()
    ));
    let check = |tls: &str| {
        let check = format!(
            "[backends.app01.check]\ntype = \"http\"\npath = \"/healthz\"\ntls = \"{tls}\"\nhost = \"app.example.com\"\n{PACE}"
        );
        backend(server.http, &check)
    };
    let mut athena = Athena::start(&check("unverified"));
    until("up", || phys(&athena, "%v") == "up");
    athena.reload(&check("verified")).unwrap();
    until("nobody here trusts it", || line(&athena).contains("tls: "));
    athena.reload(&check("off")).unwrap();
    until("it speaks no HTTP without TLS", || line(&athena).contains("http check http://"));
    assert_eq!(get(athena.http, "/healthz", "athena").status, 200);
}
