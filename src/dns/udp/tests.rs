//! The loop with an answer that only echoes: sockets, addresses, the end, errors.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;

const GUARD: std::time::Duration = std::time::Duration::from_secs(20);

/// Sends back what it gets, except for the words that each test knows.
struct Echo;

impl Answer for Echo {
    fn answer(
        &mut self,
        _: usize,
        place: &mut Place,
        length: usize,
        _: SocketAddr,
        _: Moment,
        reply: &mut Vec<u8>,
    ) -> Reply {
        match &place[..length] {
            b"silence" => Reply::None,
            b"panic" => panic!("as asked"),
            b"too long" => {
                reply.clear();
                reply.resize(70_000, 0);
                Reply::Apart
            }
            query if query.starts_with(b"hello") => {
                reply.clear();
                reply.extend_from_slice(query);
                Reply::Apart
            }
            _ => Reply::InPlace(length),
        }
    }
}

struct Server {
    running: Running,
    address: SocketAddr,
    metrics: Arc<Metrics>,
}

fn start(udp: Udp) -> Server {
    let metrics = Arc::new(Metrics::default());
    let address = udp.local_addr();
    Server { running: udp.spawn(|| Echo, &metrics, Clock::start()).unwrap(), address, metrics }
}

fn loopback(address: &str) -> Udp {
    Udp::bind(address.parse().unwrap(), 2).unwrap()
}

/// A client that hears only who it talks to.
fn client(to: SocketAddr) -> UdpSocket {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket
}

fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut heard = [0; 9000];
    let length = client.recv(&mut heard).unwrap();
    heard[..length].to_vec()
}

#[test]
fn every_client_is_answered_over_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = start(Udp::bind(address.parse().unwrap(), 3).unwrap());
        let clients: Vec<UdpSocket> = (0..20).map(|_| client(server.address)).collect();
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("hello {number}").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(hear(client), format!("hello {number}").as_bytes());
        }
        server.running.stop();
    }
}

/// Counts what it is given.
struct Given(Arc<AtomicUsize>);

impl Answer for Given {
    fn answer(
        &mut self,
        _: usize,
        _: &mut Place,
        length: usize,
        _: SocketAddr,
        _: Moment,
        _: &mut Vec<u8>,
    ) -> Reply {
        self.0.fetch_add(1, Ordering::SeqCst);
        Reply::InPlace(length)
    }
}

#[test]
fn what_wakes_the_threads_at_the_end_is_nobodys_query() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let udp = loopback(address);
        let port = udp.local_addr().port();
        let to =
            if udp.local_addr().is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let client = client(SocketAddr::new(to, port));
        let given = Arc::default();
        let running = udp.spawn(|| Given(Arc::clone(&given)), &Arc::default(), Clock::start()).unwrap();
        // An empty datagram of somebody else's is one.
        client.send(b"").unwrap();
        assert_eq!(hear(&client), b"");
        running.stop();
        assert_eq!(given.load(Ordering::SeqCst), 1, "{address}");
    }
}

#[test]
fn on_a_wildcard_the_answer_leaves_from_where_the_query_came_to() {
    for (wildcard, addresses) in
        [("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.1.2.3"][..]), ("[::]:0", &["::1"])]
    {
        let server = start(loopback(wildcard));
        let port = server.address.port();
        let clients: Vec<_> =
            addresses.iter().map(|address| client(SocketAddr::new(address.parse().unwrap(), port))).collect();
        for round in 0..40 {
            clients.iter().for_each(|client| assert_eq!(client.send(&[round; 100]).unwrap(), 100));
        }
        for client in &clients {
            (0..40).for_each(|round| assert_eq!(hear(client), [round; 100]));
        }
        server.running.stop();
    }
}

#[test]
fn answers_that_leave_together_reach_each_client_whole() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let udp = Udp::bind(address.parse().unwrap(), 1).unwrap();
        let mut to = udp.local_addr();
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let clients: Vec<UdpSocket> = (0..5).map(|_| client(to)).collect();
        // Of each client: some of one length, some of others, some too long to share their way, some answered apart.
        let queries = |client: u8| -> Vec<Vec<u8>> {
            let lengths = [20, 20, 33, 20, 600, 600, 33, 512, 512, 513, 1, 20, 20];
            let plain = lengths.iter().zip(0u8..).map(|(&length, number)| vec![client * 16 + number; length]);
            plain.chain((0..4).map(|number| format!("hello {number} from {client}").into_bytes())).collect()
        };
        for number in 0..queries(0).len() {
            for (client, socket) in (0u8..).zip(&clients) {
                socket.send(&queries(client)[number]).unwrap();
            }
        }
        // All of them are in the queue, so they come in full batches.
        let server = start(udp);
        for (client, socket) in (0u8..).zip(&clients) {
            let mut expected = queries(client);
            let mut heard: Vec<Vec<u8>> = expected.iter().map(|_| hear(socket)).collect();
            expected.sort();
            heard.sort();
            assert_eq!(heard, expected, "{address}");
        }
        server.running.stop();
        assert_eq!(server.metrics.dns.send_failed.get(), 0, "{address}");
    }
}

#[test]
fn an_ipv6_wildcard_leaves_ipv4_to_others() {
    let six = loopback("[::]:0");
    let port = six.local_addr().port();
    assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
}

#[test]
fn an_address_that_another_server_has_is_refused() {
    let first = loopback("127.0.0.1:0");
    let address = first.local_addr();
    let refused = Udp::bind(address, 2).unwrap_err();
    assert!(refused.to_string().starts_with(&format!("udp {address}: cannot listen: ")), "{refused}");
    drop(first);
    assert!(Udp::bind(address, 2).is_ok());
}

#[test]
fn what_is_in_the_queue_at_the_end_is_answered() {
    let udp = loopback("127.0.0.1:0");
    let clients: Vec<UdpSocket> = (0..10).map(|_| client(udp.local_addr())).collect();
    for client in &clients {
        (0..=99).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
    }
    start(udp).running.stop();
    for client in &clients {
        (0..=99).for_each(|number| assert_eq!(hear(client), [number]));
    }
}

#[test]
fn a_door_that_is_shut_keeps_what_is_inside_and_lets_nothing_in() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let socket = socket::bind_first(address.parse().unwrap()).unwrap();
        let mut to = socket.local_addr().unwrap();
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        let client = client(to);
        client.send(b"before").unwrap();
        socket::shut(&socket).unwrap();
        // The system may tell the client that nobody is there.
        let _ = client.send(b"after");
        socket.set_nonblocking(true).unwrap();
        let mut heard = [0; 16];
        assert_eq!(socket.recv(&mut heard).unwrap(), 6, "{address}");
        assert_eq!(socket.recv(&mut heard).unwrap_err().kind(), io::ErrorKind::WouldBlock, "{address}");
        assert!(socket.send_to(b"answer", client.local_addr().unwrap()).is_ok(), "{address}");
    }
}

#[test]
fn sockets_handed_in_are_served_and_left_open() {
    let given = UdpSocket::bind("127.0.0.1:0").unwrap();
    given.set_nonblocking(true).unwrap();
    let kept = given.try_clone().unwrap();
    let server = start(Udp::adopt(given, 3).unwrap());
    let clients: Vec<UdpSocket> = (0..9).map(|_| client(server.address)).collect();
    clients.iter().for_each(|client| assert_eq!(client.send(b"hello").unwrap(), 5));
    clients.iter().for_each(|client| assert_eq!(hear(client), b"hello"));
    server.running.stop();
    let client = client(server.address);
    client.send(b"next").unwrap();
    kept.set_nonblocking(false).unwrap();
    kept.set_read_timeout(Some(GUARD)).unwrap();
    assert_eq!(hear(&kept), b"next");
}

#[test]
fn an_answer_that_cannot_be_sent_is_counted_and_holds_nobody_up() {
    let udp = loopback("127.0.0.1:0");
    let client = client(udp.local_addr());
    for word in ["first", "too long", "silence", "second", "too long", "third"] {
        client.send(word.as_bytes()).unwrap();
    }
    let server = start(udp);
    let mut heard: Vec<_> = (0..3).map(|_| hear(&client)).collect();
    heard.sort();
    assert_eq!(heard, [&b"first"[..], b"second", b"third"]);
    server.running.stop();
    assert_eq!(server.metrics.dns.send_failed.get(), 2);
}

/// Tells when it is about to panic.
struct Fragile(std::sync::mpsc::Sender<()>);

impl Answer for Fragile {
    fn answer(
        &mut self,
        number: usize,
        place: &mut Place,
        length: usize,
        client: SocketAddr,
        now: Moment,
        reply: &mut Vec<u8>,
    ) -> Reply {
        if place.starts_with(b"panic") {
            self.0.send(()).unwrap();
        }
        Echo.answer(number, place, length, client, now, reply)
    }
}

#[test]
fn a_panic_costs_its_batch_and_no_thread() {
    let udp = Udp::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let client = client(udp.local_addr());
    let (teller, told) = std::sync::mpsc::channel();
    let running = udp.spawn(|| Fragile(teller.clone()), &Arc::default(), Clock::start()).unwrap();
    for _ in 0..3 {
        client.send(b"panic").unwrap();
        // Its batch is closed by now.
        told.recv_timeout(GUARD).unwrap();
    }
    client.send(b"alive").unwrap();
    assert_eq!(hear(&client), b"alive");
    running.stop();
}

#[test]
fn a_query_beyond_the_longest_is_cut() {
    let server = start(loopback("127.0.0.1:0"));
    let client = client(server.address);
    client.send(&[7; LONGEST_QUERY + 1000]).unwrap();
    assert_eq!(hear(&client), [7; LONGEST_QUERY]);
    server.running.stop();
}
