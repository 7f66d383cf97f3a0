//! `athena reload` and SIGHUP on a server that runs: what changed is told, what is wrong changes nothing.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use crate::cli::{athena, told};
use crate::config::Folder;
use crate::harness::{Athena, PATIENCE, get};

const HEAD: &str = "zone_file = \"athena.zone\"\n[dns]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\n";
const HTTP: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
const FARM: &str = "[backends.a]\naddress = \"10.0.0.1\"\n[farms.f]\nmembers = [\"a\"]\n";
const ZONE: &str = "@ 1 SOA ns h 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n";

/// The built program as a server, with what it tells its service manager.
struct Served {
    folder: Folder,
    child: Child,
    http: SocketAddr,
    notices: UnixDatagram,
}

impl Served {
    fn start(toml: &str) -> Self {
        let folder = Folder::with(toml).and("athena.zone", ZONE);
        let socket = folder.folder.path().join("notify");
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = athena()
            .args(["serve", "-c"])
            .arg(&folder.file)
            .env("NOTIFY_SOCKET", &socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let http = loop {
            let line = log.next().unwrap_or_else(|| panic!("it did not start: {said:?}")).unwrap();
            if let Some((_, address)) = line.split_once("http answers on ") {
                break address.parse().unwrap();
            }
            said.push(line);
        };
        // Read on, so that it never waits for us.
        std::thread::spawn(move || log.for_each(drop));
        let served = Self { folder, child, http, notices };
        assert_eq!(served.notice(), "READY=1");
        served
    }

    fn write(&self, toml: &str) {
        std::fs::write(&self.folder.file, toml).unwrap();
    }

    /// `athena reload` and more arguments.
    fn reload(&self, more: &[&str]) -> (i32, String, String) {
        let server = self.http.to_string();
        told(athena().args(["reload", "--server", &server]).args(more).output().unwrap())
    }

    /// The first line of the next notice to the service manager.
    fn notice(&self) -> String {
        let mut notice = [0; 256];
        let length = self.notices.recv(&mut notice).unwrap();
        String::from_utf8_lossy(&notice[..length]).lines().next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reload_says_what_changed_or_everything_that_is_wrong() {
    let mut served = Served::start(&format!("{HEAD}{HTTP}{FARM}"));
    assert_eq!(served.reload(&[]), (0, "nothing changed\n".into(), String::new()));
    assert_eq!((served.notice().as_str(), served.notice().as_str()), ("RELOADING=1", "READY=1"));

    let more = "[backends.b]\naddress = \"10.0.0.2\"\n[farms.g]\nmembers = [\"b\"]\n";
    served.write(&format!("{HEAD}{HTTP}max_embed = 3\n{FARM}{more}"));
    std::fs::write(served.folder.folder.path().join("athena.zone"), format!("{ZONE}www A 127.0.0.2\n"))
        .unwrap();
    let expected = "backend b: added\nfarm g: added\nzone athena.: changed\n[http]: changed\n";
    assert_eq!(served.reload(&[]), (0, expected.into(), String::new()));
    assert_eq!((served.notice().as_str(), served.notice().as_str()), ("RELOADING=1", "READY=1"));
    assert_eq!(get(served.http, "/ath/balance/?g", "athena").body, "10.0.0.2\n");

    served.write(&format!(
        "{HEAD}{HTTP}max_embed = -3\n{FARM}members = 7\n[farms.h]\nalgorithm = \"rund-robin\"\n"
    ));
    let (code, out, err) = served.reload(&[]);
    assert_eq!((code, out.as_str()), (1, ""));
    let err = served.folder.hide(&err);
    assert!(err.starts_with("athena: not reloaded, the old configuration goes on\n"), "{err}");
    assert!(err.lines().count() > 1, "{err}");
    assert!(err.lines().skip(1).all(|line| line.starts_with("athena.toml:")), "{err}");
    assert_eq!((served.notice().as_str(), served.notice().as_str()), ("RELOADING=1", "READY=1"));
    assert_eq!(get(served.http, "/ath/balance/?g", "athena").body, "10.0.0.2\n", "the old one goes on");

    served.write(&format!("{HEAD}{HTTP}{FARM}"));
    served.signal("-HUP");
    assert_eq!((served.notice().as_str(), served.notice().as_str()), ("RELOADING=1", "READY=1"));
    assert_eq!(get(served.http, "/ath/balance/?g", "athena").status, 404);

    served.signal("-TERM");
    assert_eq!(served.notice(), "STOPPING=1");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    assert_eq!(served.reload(&[]).0, 3, "nobody is there");
}

/// The answer to the reload is one of the last answers of the listener that the reload closes.
#[test]
fn a_reload_may_close_the_listener_it_was_asked_through() {
    let served = Served::start(&format!("{HEAD}{HTTP}{FARM}"));
    served.write(&format!("{HEAD}{}{FARM}", HTTP.replace("127.0.0.1:0", "127.0.0.2:0")));
    let expected = "http on 127.0.0.2:0: added\nhttp on 127.0.0.1:0: removed\n";
    assert_eq!(served.reload(&[]), (0, expected.into(), String::new()));
    assert_eq!(served.reload(&[]).0, 3, "it is closed");
}

#[test]
fn a_reload_is_for_those_who_may_decide() {
    let key = "[access]\nadmin_key = \"for-admins\"\nupdate_key = \"for-backends\"\n";
    let served = Served::start(&format!("{HEAD}{HTTP}{key}{FARM}"));
    let (code, out, err) = served.reload(&[]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "athena: reload: admin access needs a key\n"));
    let (code, _, err) = served.reload(&["--key", "for-backends"]);
    assert_eq!((code, err.as_str()), (1, "athena: reload: admin access is not allowed with this key\n"));
    assert_eq!(served.reload(&["--key", "for-admins"]), (0, "nothing changed\n".into(), String::new()));
    let answer = get(served.http, "/ath/reload/?k=for-admins", "athena");
    assert_eq!((answer.status, answer.body.as_str()), (200, "nothing changed\n"));
}

/// An Athena that is embedded, or that starts or stops, has nobody who would read a configuration.
#[test]
fn where_nobody_reloads_the_request_is_refused() {
    let athena = Athena::start(&format!("http.allow_diverse_multi = true\n{FARM}"));
    let refused = (503, "not reloaded: the process starts or stops\n".to_owned());
    assert_eq!(athena.get("/ath/reload/"), refused);
    assert_eq!(athena.get("/ath/reload"), refused);
    let wrong = |path: &str, why: &str| assert_eq!(athena.get(path), (400, format!("{why}\n")), "{path}");
    wrong("/ath/reload/?c=1", "c: unknown argument");
    wrong("/ath/reload/?now", "now: unknown argument");
    wrong("/ath/reload/?k=a;k=b", "';' separates more than 1 requests");
    wrong("/ath/multi/?balance?f;reload?", "reload: stands alone");
}
