//! What systemd hands in is served, what it wants to hear is said, and the units of `examples/systemd` agree with the
//! configuration beside them.
//!
//! Environment and inherited sockets belong to a whole process, so each story is told by a child, as in `state`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use athena::systemd::{self, Inherited};

/// Set in children only.
const CHILD: &str = "ATHENA_TEST_SYSTEMD";
/// A reply that does not come within this is a failure of the test, not something it waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts one test of this binary as systemd would start a service: `first` and `second` become the descriptors 3 and 4.
fn child(test: &str, announcement: &str, first: impl Into<OwnedFd>, second: impl Into<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(r#"{announcement} exec "$@" 3<&0 4<&2 2>&1 </dev/null"#)).arg("sh");
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "yes").stdin(first.into()).stderr(second.into());
    command
}

fn must_pass(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

const ANNOUNCED: &str = "export LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=athena.socket:athena.socket;";

/// A restart in the eyes of clients: what they send while nobody is there is answered by the next process.
#[test]
fn what_was_sent_before_the_start_is_answered_after_it() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp_address, udp_address) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let mut caller = TcpStream::connect(tcp_address).unwrap();
    caller.write_all(b"a").unwrap();
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.send_to(b"b", udp_address).unwrap();

    let mut command = child("systemd::child_that_inherits_sockets", ANNOUNCED, tcp, udp);
    must_pass(
        &command.env("TCP", tcp_address.to_string()).env("UDP", udp_address.to_string()).output().unwrap(),
    );

    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut heard, mut received) = (Vec::new(), [0; 8]);
    caller.read_to_end(&mut heard).unwrap();
    let length = asker.recv(&mut received).unwrap();
    assert_eq!((&*heard, &received[..length]), (&b"a!"[..], &b"b!"[..]));
}

fn address(variable: &str) -> SocketAddr {
    std::env::var(variable).unwrap().parse().unwrap()
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_inherits_sockets() {
    if !is_child() {
        return;
    }
    let (tcp, udp) = (address("TCP"), address("UDP"));
    let mut inherited = Inherited::take().unwrap();
    assert_eq!(inherited.rest(), [format!("udp {udp}"), format!("tcp {tcp}")]);
    assert!(std::env::var_os("LISTEN_FDS").is_none(), "our own children are not to believe it");
    assert!(inherited.tcp(udp).unwrap().is_none() && inherited.udp(tcp).is_none());

    let listener = inherited.tcp(tcp).unwrap().unwrap();
    let socket = inherited.udp(udp).unwrap();
    assert_eq!(inherited.rest(), [""; 0]);
    // Non-blocking, and yet it does not say that it would block: the call came before us.
    let (mut call, _) = listener.accept().unwrap();
    call.set_nonblocking(false).unwrap();
    let mut octet = [0];
    call.read_exact(&mut octet).unwrap();
    call.write_all(&[octet[0], b'!']).unwrap();
    let (_, asker) = socket.recv_from(&mut octet).unwrap();
    socket.send_to(&[octet[0], b'!'], asker).unwrap();
}

#[test]
fn sockets_for_another_process_are_not_ours() {
    let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let announced = "export LISTEN_FDS=2 LISTEN_PID=1;";
    let mut command = child("systemd::child_that_inherits_nothing", announced, bind(), bind());
    must_pass(&command.output().unwrap());
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_inherits_nothing() {
    if is_child() {
        assert_eq!(Inherited::take().unwrap().rest(), [""; 0]);
    }
}

#[test]
fn what_is_no_socket_or_does_not_listen_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let call = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = |mut command: Command, why: &str| must_pass(&command.env("WHY", why).output().unwrap());
    let test = "systemd::child_that_inherits_nonsense";
    refused(
        child(test, ANNOUNCED, udp, file),
        "inherited socket 4 (athena.socket): neither a TCP nor a UDP socket",
    );
    refused(
        child(test, "export LISTEN_FDS=1 LISTEN_PID=$$;", call, listener),
        "inherited socket 3: a TCP socket that does not listen: its unit must say Accept=no",
    );
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_inherits_nonsense() {
    if is_child() {
        assert_eq!(Inherited::take().unwrap_err().to_string(), std::env::var("WHY").unwrap());
    }
}

#[test]
fn systemd_is_told_of_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let null = || std::fs::File::open("/dev/null").unwrap();
    let mut command = child("systemd::child_that_tells", "", null(), null());
    must_pass(&command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000").output().unwrap());
    let mut heard = || {
        let mut notice = [0; 256];
        let length = manager.recv(&mut notice).unwrap();
        String::from_utf8(notice[..length].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=dns on 127.0.0.1:53\n");
    let reloading = heard();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(heard(), "WATCHDOG=1\n");
    assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping\n");
}

#[test]
#[ignore = "a child of the test above"]
fn child_that_tells() {
    if !is_child() {
        return;
    }
    assert_eq!(systemd::watchdog(), Some(Duration::from_millis(1500)));
    systemd::ready("dns on 127.0.0.1:53");
    systemd::reloading();
    systemd::alive();
    systemd::stopping();
}

#[test]
fn without_systemd_nothing_is_inherited_and_nobody_is_told() {
    assert_eq!(Inherited::take().unwrap().rest(), [""; 0]);
    assert_eq!(systemd::watchdog(), None);
    systemd::ready("nobody listens");
}

/// The values of a key in a unit file, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_units_agree_with_the_configuration_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (service, socket) = (read("athena.service"), read("athena.socket"));
    let config = athena::config::load(Some(&folder.join("athena.toml")), &[]).unwrap();

    let addresses = |key| values(&socket, key).into_iter().map(|text| text.parse().unwrap()).collect();
    let (datagram, stream): (BTreeSet<SocketAddr>, BTreeSet<SocketAddr>) =
        (addresses("ListenDatagram"), addresses("ListenStream"));
    assert_eq!(datagram, config.dns.listen.iter().copied().collect());
    assert_eq!(stream, config.dns.listen.iter().chain(&config.http.listen).copied().collect());

    assert_eq!(values(&service, "Type"), ["notify-reload"]);
    let state_dir = format!("/var/lib/{}", values(&service, "StateDirectory")[0]);
    assert_eq!(config.state_dir.as_deref(), Some(Path::new(&state_dir)));
    for (key, command) in [("ExecStart", "serve"), ("ExecStartPre", "check")] {
        let expected = format!("/usr/local/bin/athena {command} -c /etc/athena/athena.toml");
        assert_eq!(values(&service, key), [expected]);
    }
}
