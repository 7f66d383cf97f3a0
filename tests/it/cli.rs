//! The command line as people and scripts meet it: the built program, its exit codes, and what it says to a server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use crate::config::Folder;

/// The built program, in an environment without variables of ours.
pub fn athena() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athena"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ATHENA_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(athena().args(arguments).output().unwrap())
}

pub fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A server that answers each request with the next of `answers`, and then gives the requests' heads.
struct Server {
    url: String,
    requests: JoinHandle<Vec<String>>,
}

impl Server {
    fn answering(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let requests =
            std::thread::spawn(move || answers.iter().map(|answer| serve_one(&listener, answer)).collect());
        Self { url, requests }
    }

    /// To be called when the client has ended: answers that nobody fetched are fetched by us and count as nothing.
    fn heard(self) -> Vec<String> {
        while !self.requests.is_finished() {
            let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        }
        self.requests.join().unwrap()
    }
}

fn serve_one(listener: &TcpListener, (status, body): &(u16, String)) -> String {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    if head.is_empty() {
        return head;
    }
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
    head
}

/// Runs a client command against a server that answers so; gives what was heard and what was told.
fn asked(arguments: &[&str], answers: &[(u16, &str)]) -> (Vec<String>, (i32, String, String)) {
    let server = Server::answering(answers);
    let told = told(athena().args(arguments).args(["--server", &server.url]).output().unwrap());
    (server.heard(), told)
}

/// The request line of a head.
fn line(head: &str) -> &str {
    head.lines().next().unwrap()
}

#[test]
fn help_names_every_command_and_its_exit_codes() {
    let (code, out, _) = run(&["help"]);
    assert_eq!(code, 0);
    for command in
        ["serve", "check", "config", "balance", "status", "monitor", "set", "report", "reload", "completions"]
    {
        assert!(out.lines().any(|line| line.trim_start().starts_with(command)), "{command} in {out}");
        let (code, help, _) = run(&[command, "--help"]);
        assert!(code == 0 && help.contains("Usage:"), "{help}");
    }
    assert!(out.contains("Exit codes: 0 done, 1 the server said no"), "{out}");
    assert_eq!(run(&["--version"]).1, format!("athena {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_use_is_two_and_says_what_was_meant() {
    let (code, out, err) = run(&["set", "backend", "app01", "drian"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("'drain'") && err.contains("[possible values: on, drain, off, up, down]"), "{err}");
    for wrong in [
        &["staus"][..],
        &["set", "weight", "app01", "-1"],
        &["set", "weight", "app01", "inf"],
        &["set", "farm", "farm_one", "drain"],
        &["report", "app01"],
        &["report", "app01", "l"],
        &["status", "engine", "app01"],
        &["status", "debug", "app01"],
        &["status", "debug", "-f", "%h"],
        &["status", "--watch=0"],
        &["monitor", "--warn-available", "50"],
        &["balance"],
        &["balance", "farm_one", "--server", "ftp://127.0.0.1"],
        &["balance", "farm_one", "--server", "http://a b"],
        &["--log-level", "loud"],
    ] {
        let (code, out, err) = run(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[test]
fn check_prints_what_is_in_force() {
    let folder =
        Folder::with("[backends.a]\naddress = \"10.0.0.1\"\n[farms.f]\nmembers = [\"a\"]\nttl = 5\n");
    let file = folder.file.to_str().unwrap();
    let (code, out, err) = run(&["check", "-c", file]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("[farms.f]\nmembers = [\"a\"]  # file\n") && out.contains("ttl = 5  # file\n"),
        "{out}"
    );
    assert!(out.contains("listen = [\"127.0.0.1:5300\"]\n"), "defaults as well: {out}");

    let output = athena().args(["check"]).env("ATHENA_CONFIG", file).env("ATHENA_HTTP__PATH", "/lb").output();
    let (code, out, _) = told(output.unwrap());
    assert!(code == 0 && out.contains("path = \"/lb\"  # ATHENA_HTTP__PATH\n"), "{out}");

    let saved = Folder::with(&out);
    let (code, again, _) = run(&["check", "-c", saved.file.to_str().unwrap()]);
    let plain = |text: &str| {
        let lines = text.lines().map(|line| line.split("  #").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        (code, plain(&again)),
        (0, plain(&out)),
        "what it prints is a configuration that says the same"
    );
}

#[test]
fn check_and_serve_name_every_problem_and_exit_with_two() {
    let folder = Folder::with("[dns]\nlissten = []\nthreads = \"many\"\n");
    let file = folder.file.to_str().unwrap();
    let expected = "athena: 2 problems in the configuration\n\
        athena.toml:2: dns.lissten: unknown key; did you mean \"listen\"?\n\
        athena.toml:3: dns.threads: expected a whole number from 0 to 1024, found the string \"many\"\n";
    for arguments in [&["check", "-c", file][..], &["serve", "-c", file], &["-c", file]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str(), folder.hide(&err).as_str()), (2, "", expected), "{arguments:?}");
    }
}

#[test]
fn a_wrong_flag_of_serve_is_named() {
    let (code, _, err) =
        run(&["--dns-listen", "localhost", "--log-queries", "5", "--http-listen", "127.0.0.1"]);
    assert_eq!(code, 2);
    assert_eq!(
        err,
        "athena: 2 problems in the configuration\n\
         --dns-listen: dns.listen: expected an address with a port such as \"127.0.0.1:53\" or \"[::1]:53\", found \
         the string \"localhost\"\n\
         --http-listen: http.listen: expected an address with a port such as \"127.0.0.1:8053\" or \"[::1]:8053\", \
         found the string \"127.0.0.1\"; did you mean \"127.0.0.1:8053\"?\n"
    );
}

#[test]
fn a_missing_file_is_wrong_use() {
    let (code, _, err) = run(&["check", "-c", "/nonexistent/athena.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("/nonexistent/athena.toml: cannot be read: No such file"), "{err}");
}

#[test]
fn the_template_is_printed_and_can_be_checked() {
    let (code, out, err) = run(&["config"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let folder = Folder::with(&out);
    assert_eq!(run(&["check", "-c", folder.file.to_str().unwrap()]).0, 0);
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert!(code == 0 && out.contains("athena") && out.contains("balance"), "{shell}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    for command in [&["config"][..], &["completions", "bash"]] {
        let mut child = athena().args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn nobody_there_is_three() {
    // A port that was free a moment ago and that nobody listens on: the listener is dropped first.
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for command in
        [&["balance", "farm_one"][..], &["status"], &["set", "farm", "f", "off"], &["report", "a", "l=1"]]
    {
        let (code, out, err) = told(athena().args(command).args(["--server", &url]).output().unwrap());
        assert_eq!((code, out.as_str()), (3, ""), "{command:?}");
        assert!(err.starts_with(&format!("athena: cannot reach {url}: ")), "{err}");
    }
}

#[test]
fn balance_prints_what_the_server_says() {
    let (heard, told) = asked(&["balance", "Farm_One"], &[(200, "10.0.0.11:8080\n")]);
    assert_eq!(line(&heard[0]), "GET /ath/balance/?farm_one HTTP/1.1");
    assert_eq!(told, (0, "10.0.0.11:8080\n".into(), String::new()));

    let arguments = [
        "balance", "farm_one", "farm_two", "-n", "3", "--for", "a,b;c", "-f", "%h %p", "--path", "/lb/",
        "--key", "s3",
    ];
    let (heard, told) = asked(&arguments, &[(200, "app01 8080\n! no member available: farm_two\n")]);
    assert_eq!(
        line(&heard[0]),
        "GET /lb/balance/?farm_one,farm_two,f=%25h%20%25p,n=3,key=a%2Cb%3Bc HTTP/1.1"
    );
    assert!(heard[0].contains("authorization: Bearer s3\r\n"), "{}", heard[0]);
    assert_eq!(told.0, 1, "one farm of two has nobody");
    assert_eq!(told.1, "app01 8080\n! no member available: farm_two\n");
    assert_eq!(told.2, "athena: no member available: farm_two\n");
}

#[test]
fn what_the_server_refuses_is_one() {
    let (_, told) = asked(&["balance", "nowhere"], &[(404, "unknown farm: nowhere\n")]);
    assert_eq!(told, (1, String::new(), "athena: unknown farm: nowhere\n".into()));
    let (_, told) = asked(&["set", "backend", "app01", "off"], &[(403, "")]);
    assert_eq!((told.0, told.2.as_str()), (1, "athena: the server answered 403 Forbidden\n"));
    let (_, told) = asked(&["status", "phys"], &[(302, "elsewhere\n")]);
    assert_eq!(told.0, 1, "a redirect is not followed");
}

#[test]
fn states_weights_and_reports_are_updates_of_the_text_protocol() {
    for (arguments, expected) in [
        (&["set", "backend", "app01", "drain"][..], "update/phys/?h=app01,s=drain"),
        (&["set", "backend", "app01", "down"], "update/phys/?h=app01,V=down"),
        (&["set", "farm", "farm_one", "off"], "update/farm/?n=farm_one,s=off"),
        (&["set", "weight", "app01", "2.5"], "update/phys/?h=app01,w=2.5"),
        (&["set", "weight", "app01", "default"], "update/phys/?h=app01,w=default"),
        (&["report", "app01", "l=0.7", "c=+1", "v=up"], "update/phys/?h=app01,l=0.7,c=%2B1,v=up"),
    ] {
        let (heard, told) = asked(arguments, &[(200, "ok\n")]);
        assert_eq!(line(&heard[0]), format!("POST /ath/{expected} HTTP/1.1"));
        assert_eq!(told, (0, "ok\n".into(), String::new()));
    }
}

#[test]
fn status_shows_the_table_of_the_server() {
    let (heard, told) = asked(&["status", "phys", "app01", "web*"], &[(200, "name state\napp01 on\n")]);
    assert_eq!(line(&heard[0]), "GET /ath/status/phys/?h=app01%2Bweb* HTTP/1.1");
    assert_eq!(told, (0, "name state\napp01 on\n".into(), String::new()));

    let (heard, told) = asked(&["status"], &[(200, "version\n1\n"), (200, "name\nf\n"), (200, "name\na\n")]);
    let lines: Vec<_> = heard.iter().map(|head| line(head)).collect();
    assert_eq!(
        lines,
        [
            "GET /ath/status/engine/? HTTP/1.1",
            "GET /ath/status/farm/? HTTP/1.1",
            "GET /ath/status/phys/? HTTP/1.1"
        ]
    );
    assert_eq!(told.1, "ENGINE\nversion\n1\n\nFARMS\nname\nf\n\nBACKENDS\nname\na\n");

    let (heard, told) = asked(&["status", "debug"], &[(200, "# configuration\n")]);
    assert_eq!(line(&heard[0]), "GET /ath/status/debug/?true HTTP/1.1");
    assert_eq!(told.1, "# configuration\n");

    let (heard, _) = asked(&["status", "farm", "-f", "%n %x"], &[(200, "farm_one members\n")]);
    assert_eq!(line(&heard[0]), "GET /ath/status/farm/?f=%25n%20%25x HTTP/1.1");
}

#[test]
fn status_as_json_is_one_document() {
    let (heard, told) = asked(&["status", "phys", "--json"], &[(200, "[{\"name\":\"a\"}]\n")]);
    assert!(heard[0].contains("accept: application/json\r\n"), "{}", heard[0]);
    assert_eq!(told.1, "[{\"name\":\"a\"}]\n");
    let (_, told) = asked(&["status", "--json"], &[(200, "{}\n"), (200, "[]\n"), (200, "[1]\n")]);
    assert_eq!(told.1, "{\"engine\":{},\"farm\":[],\"phys\":[1]}\n");
}

#[test]
fn watching_ends_when_nobody_reads_or_the_server_says_no() {
    let (_, told) = asked(&["status", "phys", "--watch=1"], &[(200, "one\n"), (403, "query: refused\n")]);
    assert_eq!(told, (1, "one\n".into(), "athena: query: refused\n".into()));

    let server = Server::answering(&[(200, "one\n"), (200, "two\n"), (200, "three\n")]);
    let mut watch = athena();
    watch.args(["status", "debug", "--watch=1", "--server", &server.url]).stdout(Stdio::piped());
    let mut child = watch.stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The reader has left.
    assert_eq!((&first, child.wait().unwrap().code()), (b"one\n", Some(0)));
    server.heard();
}

#[test]
fn the_environment_names_server_and_key() {
    let server = Server::answering(&[(200, "10.0.0.1\n")]);
    let mut command = athena();
    command.args(["balance", "farm_one"]).env("ATHENA_SERVER", &server.url).env("ATHENA_KEY", "from-outside");
    assert_eq!(told(command.output().unwrap()).0, 0);
    assert!(server.heard()[0].contains("authorization: Bearer from-outside\r\n"));
    let help = athena().args(["status", "--help"]).env("ATHENA_KEY", "from-outside").output().unwrap();
    assert!(!told(help).1.contains("from-outside"), "help does not show the key");
}
