//! The program itself: killed, stopped, started again, on a full disk, on a damaged file, on sockets of somebody else.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use crate::harness::{PATIENCE, get};

const CONFIGURATION: &str = r#"
state_dir = "state"
dns.listen = ["@DNS@"]
dns.threads = 1
http.listen = ["@HTTP@"]
[backends]
app01 = { address = "10.0.0.1", port = 8080 }
app02 = { address = "10.0.0.2", port = 8080 }
[farms.farm_one]
members = ["app01", "app02"]
algorithm = "round-robin"
expect_update = "1h"
"#;

/// A running program. Killed when it is dropped.
struct Service {
    process: Child,
    log: Receiver<String>,
    dns: SocketAddr,
    http: SocketAddr,
}

/// `athena -c athena.toml`, behind a few words of shell.
fn program(folder: &Path, shell: &str, dns: &str, http: &str) -> Command {
    let configuration = CONFIGURATION.replace("@DNS@", dns).replace("@HTTP@", http);
    std::fs::write(folder.join("athena.toml"), configuration).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$@\"")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_athena")).arg("-c").arg(folder.join("athena.toml"));
    command
}

impl Service {
    fn start(folder: &Path, shell: &str) -> Self {
        Self::over(program(folder, shell, "127.0.0.1:0", "127.0.0.1:0"))
    }

    /// Returns when it says that it answers.
    fn over(mut command: Command) -> Self {
        let (read, write) = std::io::pipe().unwrap();
        let process = command.stdout(write).spawn().unwrap();
        drop(command);
        let (send, log) = channel();
        std::thread::spawn(move || {
            BufReader::new(read).lines().map_while(Result::ok).all(|line| send.send(line).is_ok())
        });
        let answers = |what: &str| -> SocketAddr {
            loop {
                let line = log.recv_timeout(PATIENCE).unwrap();
                if let Some((_, address)) = line.split_once(&format!("{what} answers on ")) {
                    return address.trim().parse().unwrap();
                }
            }
        };
        let (dns, http) = (answers("dns"), answers("http"));
        Self { process, log, dns, http }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let response = get(self.http, path, "athena");
        (response.status, response.body)
    }

    fn tell(&self, path: &str) -> String {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM; gives the rest of what it said.
    fn terminate(mut self) -> Vec<String> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        self.log.iter().collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn query() -> Vec<u8> {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii("farm_one.athena.").unwrap(), RecordType::A));
    query.to_vec().unwrap()
}

fn asker() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The reply to a query that was sent from here.
fn reply(asker: &UdpSocket) -> Message {
    let mut buffer = [0; 1024];
    let length = asker.recv(&mut buffer).unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

/// Athena logs to stderr; the pipe that is read is its stdout.
const LOG: &str = "exec 2>&1;";

#[test]
fn what_was_answered_ok_survives_a_kill_right_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::start(folder.path(), LOG);
    assert_eq!(first.tell("/ath/update/phys/?h=app01,s=off,w=2.5"), "ok\n");
    assert_eq!(first.tell("/ath/update/phys/?h=app02,V=down"), "ok\n");
    assert_eq!(first.tell("/ath/update/farm/?n=farm_one,s=off"), "ok\n");
    first.kill();

    let second = Service::start(folder.path(), LOG);
    assert_eq!(second.tell("/ath/status/phys/?f=\"%h %s %v %w\""), "app01 off up 2.5\napp02 on down 1\n");
    assert_eq!(second.tell("/ath/status/farm/?f=\"%n %s\""), "farm_one off\n");
    assert_eq!(second.get("/readyz").0, 200);
    let third = program(folder.path(), LOG, "127.0.0.1:0", "127.0.0.1:0").output().unwrap();
    let said = String::from_utf8_lossy(&third.stdout);
    assert!(!third.status.success() && said.contains("in use by another process"), "{said}");
}

#[test]
fn a_restart_remembers_what_was_reported_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::start(folder.path(), LOG);
    first.tell("/ath/update/phys/?h=app01,l=0.25,queue=17");
    (0..4).for_each(|_| drop(first.tell("/ath/balance/?farm_one")));
    let said = first.terminate();
    assert!(said.iter().any(|line| line.contains("stopped")), "{said:?}");

    let second = Service::start(folder.path(), LOG);
    let now = second.tell("/ath/status/phys/?h=app01,f=\"%i %l %{queue} %N\"");
    assert_eq!(now, "in 0.25 17 2\n");
    assert_eq!(second.tell("/ath/status/farm/?f=\"%N\""), "4\n");
}

#[test]
fn on_a_full_disk_questions_and_reports_are_answered_and_changes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::start(folder.path(), LOG);
    first.tell("/ath/update/phys/?h=app01,s=drain");
    first.kill();

    // No file may be written any more; a signal about it would be a death that no full disk brings.
    let full = Service::start(folder.path(), &format!("trap '' XFSZ; ulimit -f 0; {LOG}"));
    assert_eq!(full.tell("/ath/status/phys/?h=app01,f=\"%s\""), "drain\n");
    let (status, body) = full.get("/ath/update/phys/?h=app01,s=on");
    assert_eq!(status, 503);
    assert!(
        body.starts_with("the change could not be stored: ") && body.ends_with(", nothing was changed\n"),
        "{body}"
    );
    assert_eq!(full.tell("/ath/status/phys/?h=app01,f=\"%s\""), "drain\n");
    assert_eq!(full.tell("/ath/update/phys/?h=app02,l=0.5"), "ok\n");
    let body = full.get("/readyz").1;
    assert!(body.contains("states cannot be saved: "), "{body}");
    let asker = asker();
    asker.send_to(&query(), full.dns).unwrap();
    assert_eq!(reply(&asker).answers.len(), 1);
}

#[test]
fn a_damaged_file_stops_the_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::start(folder.path(), LOG);
    first.tell("/ath/update/phys/?h=app01,s=off");
    first.kill();
    let file = folder.path().join("state/athena.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(10_000);
    std::fs::write(&file, &bytes).unwrap();
    let output = program(folder.path(), LOG, "127.0.0.1:0", "127.0.0.1:0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(said.contains("state/athena.redb: damaged, or no state file of athena: "), "{said}");
    assert!(said.contains("move it away to start without saved states"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "left as it was");
}

/// What systemd does at a restart with `athena.socket`: the sockets stay, and what comes meanwhile waits in them.
#[test]
fn a_restart_on_inherited_sockets_loses_no_query() {
    let folder = tempfile::tempdir().unwrap();
    // An address of its own: the program takes the same port for TCP, where another test could have it.
    let dns = UdpSocket::bind("127.77.0.1:0").unwrap();
    let address = dns.local_addr().unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let http_address = http.local_addr().unwrap();
    let shell = format!("export LISTEN_FDS=2 LISTEN_PID=$$; exec 3<&0 4<&2 </dev/null; {LOG}");
    let start = || {
        let mut command = program(folder.path(), &shell, &address.to_string(), &http_address.to_string());
        command.stdin(Stdio::from(OwnedFd::from(dns.try_clone().unwrap())));
        command.stderr(Stdio::from(OwnedFd::from(http.try_clone().unwrap())));
        Service::over(command)
    };
    let first = start();
    assert_eq!((first.dns, first.http), (address, http_address));
    first.tell("/ath/update/phys/?h=app01,s=off");
    first.terminate();

    let askers: Vec<UdpSocket> = (0..20).map(|_| asker()).collect();
    for asker in &askers {
        asker.send_to(&query(), address).unwrap();
    }
    let _second = start();
    for asker in &askers {
        let reply = reply(asker);
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NoError, 1));
        assert_eq!(
            reply.answers[0].data.to_string(),
            "10.0.0.2",
            "and the state is known from the first query on"
        );
    }
}
