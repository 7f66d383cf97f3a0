//! Sticky tokens, second tries and suspicion over real sockets, and tokens that others have signed.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use athena::balance::token::{self, Mode, TokenKey, TokenKeys};
use athena::balance::{Moment, Name};

use crate::harness::{Athena, PATIENCE, until};

/// A line of `examples/tokens/vectors.txt`.
struct Vector<'a> {
    key: &'a str,
    mode: &'a str,
    target: &'a str,
    farm: &'a str,
    expires: &'a str,
    token: &'a str,
}

const VECTORS: &str = include_str!("../../examples/tokens/vectors.txt");

fn vectors() -> Vec<Vector<'static>> {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(" | ").collect();
            let [key, mode, target, farm, expires, token] = fields[..] else { panic!("{line}") };
            Vector { key, mode, target, farm, expires, token }
        })
        .collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn the_vectors_are_what_we_sign_and_verify() {
    let vectors = vectors();
    assert!(vectors.len() >= 8);
    for vector in vectors {
        let key = TokenKey::new(vector.key.as_bytes()).unwrap();
        let mode = Mode::from_letter(vector.mode.as_bytes()[0]).unwrap();
        let expires: u64 = vector.expires.parse().unwrap();
        let at = |seconds| Moment::from_unix(Duration::from_secs(seconds));
        let (target, farm) = (name(vector.target), name(vector.farm));
        assert_eq!(token::sign(&key, mode, at(expires), &target, &farm), vector.token);
        let keys = TokenKeys::new(key, None);
        let read = token::verify(vector.token.as_bytes(), &farm, &keys, at(expires - 1)).unwrap();
        assert_eq!((read.mode(), read.target()), (mode, target.as_str()));
    }
}

/// Signs every vector with this program.
fn signs_as_we_do(program: &str, script: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tokens").join(script);
    for vector in vectors() {
        let output = Command::new(program)
            .arg(&script)
            .args([vector.mode, vector.target, vector.farm, vector.expires])
            .env("ATHENA_COOKIE__KEY", vector.key)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), vector.token, "{program}");
    }
}

#[test]
fn a_shell_signs_as_we_do() {
    signs_as_we_do("sh", "token.sh");
}

#[test]
fn python_signs_as_we_do() {
    signs_as_we_do("python3", "token.py");
}

#[test]
fn php_signs_as_we_do() {
    // `tests/run` installs it; where somebody runs the tests without, the other two languages must do.
    let has_hmac = Command::new("php").args(["-r", "exit(function_exists('hash_hmac') ? 0 : 1);"]).status();
    match has_hmac {
        Ok(status) if status.success() => signs_as_we_do("php", "token.php"),
        _ => eprintln!("there is no php here, token.php was not looked at"),
    }
}

#[test]
fn the_command_line_signs_as_we_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athena.toml");
    std::fs::write(&file, FARM).unwrap();
    let athena = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_athena"))
            .arg("token")
            .args(arguments)
            .env("ATHENA_CONFIG", &file)
            .output()
            .unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim_end().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, token, _) = athena(&["farm_one", "App01", "--ttl", "1h"]);
    assert_eq!(code, Some(0));
    let now = athena::clock::Clock::start().now();
    let keys = TokenKeys::new(TokenKey::new(KEY.as_bytes()).unwrap(), None);
    let read = token::verify(token.as_bytes(), &name("farm_one"), &keys, now).unwrap();
    assert_eq!((read.mode(), read.target()), (Mode::Keep, "app01"));
    let left = u64::from(read.expires()) - now.unix().as_secs();
    assert!((3_500..=3_600).contains(&left), "{left} s");
    let (code, token, _) = athena(&["farm_one", "farm_two", "--mode", "farm"]);
    assert!(code == Some(0) && token.starts_with('f'), "{token}");

    for (arguments, why) in [
        (&["farm_nine", "app01"][..], "no such farm: farm_nine"),
        (&["farm_one", "app09"], "app09 is no member of farm_one"),
        (&["farm_one", "app01", "--mode", "farm"], "no such farm: app01"),
        (&["farm_one", "app01", "--ttl", "soon"], "invalid value 'soon'"),
    ] {
        let (code, _, said) = athena(arguments);
        assert!(code == Some(2) && said.contains(why), "{arguments:?}: {said}");
    }
}

const KEY: &str = "athena documentation key 0000001";

/// `failover` gives app01 to whoever says nothing.
const FARM: &str = r#"
[cookie]
name = "farm"
key = "athena documentation key 0000001"
[backends]
app01 = { address = "10.0.0.1", port = 8080 }
app02 = { address = "10.0.0.2", port = 8080 }
app03 = { address = "10.0.0.3", port = 8080 }
[farms.farm_one]
members = ["app01", "app02", "app03"]
algorithm = "failover"
[farms.farm_two]
members = ["app03"]
"#;

fn sign(mode: Mode, expires: u64, target: &str, farm: &str) -> String {
    let key = TokenKey::new(KEY.as_bytes()).unwrap();
    token::sign(&key, mode, Moment::from_unix(Duration::from_secs(expires)), &name(target), &name(farm))
}

/// Far from now, and within 32 bits.
const FUTURE: u64 = 4_000_000_000;

fn address(last: u8) -> Vec<IpAddr> {
    vec![IpAddr::from([10, 0, 0, last])]
}

fn counted(athena: &Athena, outcome: &str) -> u64 {
    let line = format!("athena_tokens_total{{outcome=\"{outcome}\"}} ");
    let metrics = athena.tell("/metrics");
    metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
}

/// A balance query with these cookies.
fn with_cookies(athena: &Athena, cookies: &str) -> String {
    let mut stream = TcpStream::connect(athena.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "Host: athena\r\nConnection: close\r\n";
    write!(stream, "GET /ath/balance/?farm_one HTTP/1.1\r\n{head}{cookies}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_token_sticks_as_a_label_as_an_argument_and_as_a_cookie() {
    let athena = Athena::start(FARM);
    let keep = sign(Mode::Keep, FUTURE, "app02", "farm_one");
    let labels = [keep.clone(), keep.to_ascii_uppercase(), format!("x.y.{keep}")];
    for label in &labels {
        assert_eq!(athena.addresses(&format!("{label}.farm_one.athena.")), address(2), "{label}");
    }
    assert_eq!(athena.tell(&format!("/ath/balance/?farm_one,t={keep}")), "10.0.0.2:8080\n");
    let other = sign(Mode::Farm, FUTURE, "farm_two", "farm_one");
    assert_eq!(athena.addresses(&format!("{other}.farm_one.athena.")), address(3));
    assert_eq!(with_cookies(&athena, &format!("Cookie: a=1; farm={other}; b=2\r\n")), "10.0.0.3:8080\n");
    assert_eq!(
        with_cookies(&athena, &format!("Cookie: a=1\r\nCookie: farm=\"{keep}\"\r\n")),
        "10.0.0.2:8080\n"
    );
    assert_eq!(with_cookies(&athena, &format!("Cookie: xfarm={keep}; Farm={keep}\r\n")), "10.0.0.1:8080\n");
    assert_eq!(counted(&athena, "held"), 7);

    // Drained, it keeps those it has; off, it does not, but whoever is pinned still gets there.
    let pin = sign(Mode::Pin, FUTURE, "app02", "farm_one");
    athena.tell("/ath/update/phys/?h=app02,s=drain");
    assert_eq!(athena.addresses(&format!("{keep}.farm_one.athena.")), address(2));
    athena.tell("/ath/update/phys/?h=app02,s=off");
    assert_eq!(athena.addresses(&format!("{keep}.farm_one.athena.")), address(1));
    assert_eq!(athena.addresses(&format!("{pin}.farm_one.athena.")), address(2));
}

#[test]
fn tokens_that_do_not_hold_are_counted_by_their_reason() {
    let mut athena = Athena::start(FARM);
    let mut forged = sign(Mode::Keep, FUTURE, "app02", "farm_one").into_bytes();
    forged[12] = if forged[12] == b'0' { b'1' } else { b'0' };
    let bad = [
        (String::from_utf8(forged).unwrap(), "forged"),
        (sign(Mode::Keep, FUTURE, "app03", "farm_two"), "forged"),
        (sign(Mode::Keep, 1_000_000, "app02", "farm_one"), "expired"),
        (sign(Mode::Pin, FUTURE, "app09", "farm_one"), "foreign"),
        (sign(Mode::Farm, FUTURE, "farm_nine", "farm_one"), "foreign"),
    ];
    for (token, outcome) in &bad {
        let before = counted(&athena, outcome);
        assert_eq!(athena.addresses(&format!("{token}.farm_one.athena.")), address(1), "{token}");
        assert_eq!(athena.tell(&format!("/ath/balance/?farm_one,t={token}")), "10.0.0.1:8080\n");
        assert_eq!(counted(&athena, outcome) - before, 2, "{token}");
    }
    athena.tell("/ath/balance/?farm_one,t=whatever");
    assert_eq!((counted(&athena, "malformed"), counted(&athena, "held")), (1, 0));
    // A label that has not the form of a token has not failed at anything.
    athena.addresses("6f4a1c80-92c0-4f0a-9f5d-0123456789ab.farm_one.athena.");
    assert_eq!(counted(&athena, "malformed"), 1);

    // Another key comes into force with a reload; the former one still holds while it is named.
    let keep = format!("{}.farm_one.athena.", sign(Mode::Keep, FUTURE, "app02", "farm_one"));
    let next = "key = \"the next one\"\nformer_";
    athena.reload(&FARM.replace("key = ", &format!("{next}key = "))).unwrap();
    assert_eq!(athena.addresses(&keep), address(2));
    athena.reload(&FARM.replace(KEY, "the next one")).unwrap();
    assert_eq!(athena.addresses(&keep), address(1));
}

#[test]
fn second_tries_go_elsewhere_and_make_a_member_suspect() {
    let athena = Athena::start(FARM);
    for request in 1..=3 {
        assert_eq!(athena.addresses(&format!("r{request}.farm_one.athena.")), address(1));
        assert_eq!(athena.addresses(&format!("again.r{request}.farm_one.athena.")), address(2));
    }
    let members = || athena.tell("/ath/status/farm/?n=farm_one,f=\"%j of %k\"");
    until("app01 is suspect", || members() == "2 of 3\n");
    assert_eq!(athena.addresses("farm_one.athena."), address(2));
    assert_eq!(athena.tell("/ath/balance/?farm_one"), "10.0.0.2:8080\n");
}

#[test]
fn a_cookie_section_that_cannot_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("athena.toml");
    for (section, why) in [
        ("name = \"a b\"", "cookie.name: expected the name of a cookie, found \"a b\""),
        ("key = \"\"", "cookie.key: a key is empty; leave it out to have none"),
        ("former_key = \"x\"", "cookie.former_key: there is no cookie.key that could have followed it"),
        ("naem = \"x\"", "cookie.naem: unknown key; did you mean \"name\"?"),
    ] {
        std::fs::write(
            &file,
            FARM.replace("name = \"farm\"\nkey = \"athena documentation key 0000001\"", section),
        )
        .unwrap();
        let problems = athena::config::load(Some(&file), &[]).unwrap_err().to_string();
        assert!(problems.contains(why), "{problems}");
    }
    // What is in force is shown without the key.
    std::fs::write(&file, FARM).unwrap();
    let shown = athena::config::load(Some(&file), &[]).unwrap().shown();
    assert!(shown.contains("[cookie]") && !shown.contains(KEY), "{shown}");
}
