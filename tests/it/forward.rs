//! Forwarding, with an upstream of the tests' own that answers, delays, cuts short, declines and talks nonsense.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use athena::app::Secure;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::dns_secure::Pair;
use crate::harness::{Athena, PATIENCE, until};

const FARM: &str =
    "[backends.app01]\naddress = [\"127.0.1.1\", \"::1\"]\n[farms.farm_one]\nmembers = [\"app01\"]\n";

/// A name server that resolves everything below `example.`, each name in its own way.
struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    socket: UdpSocket,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Everything it was asked, as `udp www.example. A`.
    asked: Mutex<Vec<String>>,
    /// What waits for [`Upstream::release`].
    held: Mutex<Vec<(Vec<u8>, SocketAddr)>>,
}

impl Upstream {
    fn start() -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
                break (socket, listener);
            }
        };
        let (address, state) = (socket.local_addr().unwrap(), Arc::<State>::default());
        let udp = {
            let (socket, state) = (socket.try_clone().unwrap(), Arc::clone(&state));
            std::thread::spawn(move || serve_udp(&socket, &state))
        };
        let tcp = {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve_tcp(&listener, &state))
        };
        Self { address, state, socket, threads: vec![udp, tcp] }
    }

    /// The configuration that forwards to it for everybody on this machine.
    fn toml(&self) -> String {
        self.toml_with("access = [\"127.0.0.0/8\"]")
    }

    fn toml_with(&self, more: &str) -> String {
        format!("{FARM}[forward]\nupstreams = [\"{}\"]\n{more}\n", self.address)
    }

    /// How often it was asked just that.
    fn asked(&self, what: &str) -> usize {
        self.state.asked.lock().unwrap().iter().filter(|asked| *asked == what).count()
    }

    fn asked_in_all(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    /// Waits until so many questions are held.
    fn await_held(&self, count: usize) {
        until("questions reach the upstream", || self.state.held.lock().unwrap().len() >= count);
    }

    /// Answers what is held.
    fn release(&self) {
        for (message, client) in self.state.held.lock().unwrap().drain(..) {
            let query = Message::from_vec(&message).unwrap();
            let reply = reply(&query, "www").unwrap().to_vec().unwrap();
            self.socket.send_to(&reply, client).unwrap();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.socket.send_to(b"stop", self.address).unwrap();
        drop(TcpStream::connect(self.address).and_then(|mut stream| stream.write_all(b"\xff\xff")));
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn serve_udp(socket: &UdpSocket, state: &State) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).unwrap();
        let Ok(query) = Message::from_vec(&buffer[..length]) else { return };
        note(state, "udp", &query);
        let answer = match own_label(&query).as_str() {
            "silent" => continue,
            "held" => {
                state.held.lock().unwrap().push((buffer[..length].to_vec(), client));
                continue;
            }
            "junk" => buffer[..2].iter().chain(b"\x81\x80 what is this, a packet?").copied().collect(),
            "big" => {
                let mut cut = Message::response(query.id, OpCode::Query);
                cut.metadata.truncation = true;
                cut.add_query(query.queries[0].clone());
                cut.to_vec().unwrap()
            }
            label => reply(&query, label).unwrap().to_vec().unwrap(),
        };
        socket.send_to(&answer, client).unwrap();
    }
}

fn serve_tcp(listener: &TcpListener, state: &State) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut message = vec![0; u16::from_be_bytes(length).into()];
            if length == [0xff, 0xff] {
                return;
            }
            stream.read_exact(&mut message).unwrap();
            let query = Message::from_vec(&message).unwrap();
            note(state, "tcp", &query);
            let answer = reply(&query, &own_label(&query)).unwrap().to_vec().unwrap();
            stream.write_all(&[&(answer.len() as u16).to_be_bytes(), answer.as_slice()].concat()).unwrap();
        }
    }
}

fn own_label(query: &Message) -> String {
    let name = query.queries[0].name().to_lowercase();
    name.iter().next().map_or_else(String::new, |label| String::from_utf8_lossy(label).into_owned())
}

fn note(state: &State, way: &str, query: &Message) {
    let question = &query.queries[0];
    let flags =
        match (query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok), query.checking_disabled) {
            (false, false) => "",
            (true, false) => " do",
            (false, true) => " cd",
            (true, true) => " do cd",
        };
    assert!(query.recursion_desired, "an upstream is to resolve");
    let asked = format!("{way} {} {}{flags}", question.name().to_lowercase(), question.query_type());
    state.asked.lock().unwrap().push(asked);
}

/// What it says of a name with this label in front.
fn reply(query: &Message, label: &str) -> Option<Message> {
    let question = query.queries.first()?;
    let mut reply = Message::response(query.id, OpCode::Query);
    reply.add_query(question.clone());
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    // Somebody who vouches for everything; nothing of that may reach a client.
    reply.metadata.authentic_data = true;
    reply.metadata.authoritative = true;
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let record = |owner: Name, data: RData| Record::from_rdata(owner, 300, data);
    let soa = || {
        let soa = SOA::new(name("ns.example."), name("root.example."), 1, 2, 3, 4, 60);
        record(name("example."), RData::SOA(soa))
    };
    let ns = || record(name("example."), RData::NS(NS(name("ns.example."))));
    let address = |owner: &Name| match question.query_type() {
        RecordType::A => Some(record(owner.clone(), RData::A(A::new(192, 0, 2, 1)))),
        RecordType::AAAA => Some(record(owner.clone(), RData::AAAA("2001:db8::1".parse::<AAAA>().unwrap()))),
        _ => None,
    };
    let owner = question.name().clone();
    let alias = |target: &str| record(owner.clone(), RData::CNAME(CNAME(name(target))));
    match label {
        "gone" => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_authorities([ns(), soa()]);
        }
        "empty" => {
            reply.add_authority(soa());
        }
        "alias" => {
            reply.add_answer(alias("Web.example."));
            match address(&name("Web.example.")) {
                Some(address) => reply.add_answer(address),
                None => reply.add_authority(soa()),
            };
        }
        "alias-gone" => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_answer(alias("gone.example."));
            reply.add_authority(soa());
        }
        "big" => {
            let text = TXT::new(vec!["x".repeat(200)]);
            reply.add_answers((0..10).map(|_| record(owner.clone(), RData::TXT(text.clone()))));
        }
        "servfail" => reply.metadata.response_code = ResponseCode::ServFail,
        "refused" => reply.metadata.response_code = ResponseCode::Refused,
        "stranger" => {
            reply.add_answer(record(name("bank.example."), RData::A(A::new(203, 0, 113, 66))));
        }
        "referral" => {
            reply.add_authority(ns());
        }
        "signed" => {
            reply.add_answer(address(&owner)?);
            if query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok) {
                let data =
                    RData::Unknown { code: RecordType::from(46), rdata: NULL::with(vec![0, 1, 8, 2, 0]) };
                reply.add_answer(record(owner.clone(), data));
            }
        }
        _ => {
            reply.add_answers(address(&owner));
            reply.add_authority(if reply.answers.is_empty() { soa() } else { ns() });
            // What an upstream adds that nobody asked for.
            reply.add_additional(record(name("bank.example."), RData::TXT(TXT::new(vec!["x".to_owned()]))));
        }
    }
    Some(reply)
}

/// A client with a socket, on 127.0.0.1 or another address of this machine.
struct Client(UdpSocket, SocketAddr);

impl Client {
    fn of(athena: &Athena) -> Self {
        Self::at("127.0.0.1", athena)
    }

    fn at(address: &str, athena: &Athena) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket, athena.dns)
    }

    fn send(&self, message: &[u8]) {
        self.0.send_to(message, self.1).unwrap();
    }

    fn receive(&self) -> Message {
        Message::from_vec(&self.receive_octets()).unwrap()
    }

    fn receive_octets(&self) -> Vec<u8> {
        let mut buffer = [0; 65_535];
        let (length, from) = self.0.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.1);
        buffer[..length].to_vec()
    }

    fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.send(&query(7, name, kind));
        let reply = self.receive();
        assert_eq!(reply.id, 7);
        reply
    }
}

fn message(id: u16, name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

fn query(id: u16, name: &str, kind: RecordType) -> Vec<u8> {
    message(id, name, kind).to_vec().unwrap()
}

/// Answers as `owner type data`.
fn shown(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{} {} {}", record.name, record.record_type(), record.data)).collect()
}

/// One number of `/metrics`.
fn metric(athena: &Athena, name: &str) -> u64 {
    let (_, body) = athena.get("/metrics");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{body}")).parse().unwrap()
}

fn outcome(athena: &Athena, outcome: &str) -> u64 {
    metric(athena, &format!("athena_forward_queries_total{{outcome=\"{outcome}\"}}"))
}

#[test]
fn a_proxy_with_no_other_name_server_gets_both_its_addresses_and_then_from_the_cache() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    for round in 0..3 {
        // As getaddrinfo does: both at once from one socket.
        client.send(&query(1, "wWw.Example.", RecordType::A));
        client.send(&query(2, "wWw.Example.", RecordType::AAAA));
        let mut replies = [client.receive(), client.receive()];
        replies.sort_by_key(|reply| reply.id);
        let answers = replies.each_ref().map(|reply| shown(&reply.answers).join(" "));
        assert_eq!(answers, ["wWw.Example. A 192.0.2.1", "wWw.Example. AAAA 2001:db8::1"], "round {round}");
        for reply in &replies {
            let flags = &reply.metadata;
            assert!(flags.recursion_available && flags.recursion_desired);
            assert!(!flags.authoritative && !flags.authentic_data && !flags.truncation);
            assert!(reply.authorities.is_empty() && reply.additionals.is_empty(), "{reply}");
            assert!(reply.answers[0].ttl <= 300);
        }
    }
    assert_eq!((upstream.asked("udp www.example. A"), upstream.asked("udp www.example. AAAA")), (1, 1));
    assert_eq!((outcome(&athena, "answered"), outcome(&athena, "cached")), (2, 4));
    assert_eq!(metric(&athena, "athena_forward_in_flight"), 0);

    // Another spelling of the name is the same name, answered in its own spelling.
    let shouted = client.ask("WWW.EXAMPLE.", RecordType::A);
    assert_eq!(shown(&shouted.answers), ["WWW.EXAMPLE. A 192.0.2.1"]);
    assert_eq!(upstream.asked("udp www.example. A"), 1);
}

#[test]
fn the_question_comes_back_byte_for_byte() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    let question = query(0x1234, "xYz.eXAMPLE.", RecordType::A);
    client.send(&question);
    let reply = client.receive_octets();
    assert_eq!(reply[12..question.len()], question[12..]);
    // The owner is a pointer to it.
    assert_eq!(reply[question.len()..question.len() + 2], [0xc0, 12]);
}

#[test]
fn everybody_else_is_refused_at_once_and_asks_nobody() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml_with("access = [\"127.0.0.2\"]"));
    let (friend, stranger) = (Client::at("127.0.0.2", &athena), Client::of(&athena));
    let refused = stranger.ask("www.example.", RecordType::A);
    assert_eq!(refused.response_code, ResponseCode::Refused);
    assert!(!refused.recursion_available);
    assert_eq!(stranger.ask("localhost.", RecordType::A).response_code, ResponseCode::Refused);
    assert_eq!(upstream.asked_in_all(), 0);
    assert_eq!(friend.ask("www.example.", RecordType::A).answers.len(), 1);
    // What is in the cache is not for strangers either.
    assert_eq!(stranger.ask("www.example.", RecordType::A).response_code, ResponseCode::Refused);

    // Who does not ask for recursion gets none, and pseudo types are nobody's.
    let mut iterative = message(7, "www.example.", RecordType::A);
    iterative.metadata.recursion_desired = false;
    friend.send(&iterative.to_vec().unwrap());
    let refused = friend.receive();
    assert_eq!((refused.response_code, refused.recursion_available), (ResponseCode::Refused, true));
    for kind in [41, 249, 252, 254] {
        let refused = friend.ask("www.example.", RecordType::from(kind)).response_code;
        assert_eq!(refused, ResponseCode::Refused, "{kind}");
    }
    assert_eq!(upstream.asked_in_all(), 1);
    assert!(outcome(&athena, "refused") >= 4);

    // In our own zones RA tells each whether it may rely on us, on the fast way as on the other.
    for (client, may) in [(&friend, true), (&stranger, false)] {
        for (name, kind) in [
            ("x.farm_one.athena.", RecordType::A),
            ("farm_one.athena.", RecordType::AAAA),
            ("farm_one.athena.", RecordType::MX),
            ("nothing.athena.", RecordType::A),
        ] {
            let reply = client.ask(name, kind);
            assert_eq!((reply.recursion_available, reply.authoritative), (may, true), "{name} {kind}");
        }
    }
}

#[test]
fn what_is_not_there_is_said_with_its_chain_and_kept() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    for _ in 0..2 {
        let gone = client.ask("gone.example.", RecordType::A);
        assert_eq!((gone.response_code, gone.answers.len()), (ResponseCode::NXDomain, 0));
        assert_eq!(gone.authorities.len(), 1, "the SOA, and no name servers");
        assert_eq!(gone.authorities[0].record_type(), RecordType::SOA);
        assert!(gone.authorities[0].ttl <= 60, "RFC 2308, 5");

        let empty = client.ask("empty.example.", RecordType::A);
        assert_eq!((empty.response_code, empty.answers.len()), (ResponseCode::NoError, 0));
        assert_eq!(empty.authorities[0].record_type(), RecordType::SOA);

        let alias = client.ask("alias.example.", RecordType::A);
        let there = ["alias.example. CNAME Web.example.", "Web.example. A 192.0.2.1"];
        assert_eq!(shown(&alias.answers), there);
        assert!(alias.authorities.is_empty());

        let without = client.ask("alias.example.", RecordType::MX);
        assert_eq!(
            (without.response_code, shown(&without.answers)),
            (ResponseCode::NoError, vec![there[0].to_owned()])
        );
        assert_eq!(without.authorities[0].record_type(), RecordType::SOA);

        let dead_end = client.ask("alias-gone.example.", RecordType::A);
        assert_eq!(dead_end.response_code, ResponseCode::NXDomain);
        assert_eq!(shown(&dead_end.answers), ["alias-gone.example. CNAME gone.example."]);
        assert!(dead_end.answers[0].ttl <= 60, "no longer than its end is known to be dead");
        assert_eq!(dead_end.authorities[0].record_type(), RecordType::SOA);

        let no_soa_here = client.ask("www.example.", RecordType::SOA);
        assert_eq!((no_soa_here.answers.len(), no_soa_here.authorities.len()), (0, 1));
    }
    assert_eq!(upstream.asked_in_all(), 6, "each once: {:?}", upstream.state.asked.lock().unwrap());
    assert_eq!(outcome(&athena, "cached"), 6);
}

#[test]
fn a_large_answer_is_fetched_over_tcp_and_cut_to_what_the_client_takes() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    let cut = client.ask("big.example.", RecordType::TXT);
    assert!(cut.truncation && cut.answers.len() == 2, "512 octets have room for two");
    assert_eq!(upstream.asked("tcp big.example. TXT"), 1);

    let mut roomy = message(7, "big.example.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    roomy.set_edns(edns);
    client.send(&roomy.to_vec().unwrap());
    let whole = client.receive();
    assert!(!whole.truncation && whole.answers.len() == 10 && whole.edns.is_some());

    let mut stream = TcpStream::connect(athena.dns).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&framed(&query(9, "big.example.", RecordType::TXT))).unwrap();
    let whole = read(&mut stream);
    assert_eq!((whole.id, whole.answers.len(), whole.truncation), (9, 10, false));
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn read(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).unwrap();
    Message::from_vec(&reply).unwrap()
}

#[test]
fn farms_are_answered_while_the_upstream_is_silent_and_who_asks_too_much_is_told_at_once() {
    let upstream = Upstream::start();
    let limits = "access = [\"127.0.0.0/8\"]\nqueries = 20\nqueries_per_client = 8\ntimeout = \"2s\"";
    let athena = Athena::start(&upstream.toml_with(limits));
    let clients = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|address| Client::at(address, &athena));
    for client in &clients {
        for id in 0..10 {
            client.send(&query(id, &format!("silent.x{id}.example."), RecordType::A));
        }
        // Two find no place of their client's, and are told so before anything else is answered.
        for _ in 0..2 {
            assert_eq!(client.receive().response_code, ResponseCode::ServFail);
        }
    }
    // Of the third client's only four found one in all.
    for _ in 0..4 {
        assert_eq!(clients[2].receive().response_code, ResponseCode::ServFail);
    }
    assert_eq!(outcome(&athena, "dropped"), 10);
    assert_eq!(metric(&athena, "athena_forward_in_flight"), 20);
    for id in 100..200 {
        clients[0].send(&query(id, "farm_one.athena.", RecordType::A));
        let reply = clients[0].receive();
        assert_eq!((reply.id, reply.answers.len(), reply.recursion_available), (id, 1, true));
    }
    assert_eq!(outcome(&athena, "timed_out"), 0, "none has given up so far");
    // Those who wait are told in the end.
    for (client, waiting) in clients.iter().zip([8, 8, 4]) {
        for _ in 0..waiting {
            assert_eq!(client.receive().response_code, ResponseCode::ServFail);
        }
    }
    assert_eq!((outcome(&athena, "timed_out"), metric(&athena, "athena_forward_in_flight")), (20, 0));
    assert_eq!(clients[0].ask("www.example.", RecordType::A).answers.len(), 1);
}

#[test]
fn nonsense_is_counted_and_comes_to_servfail() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    for (name, counted) in [
        ("junk.example.", "nonsense"),
        ("stranger.example.", "nonsense"),
        ("referral.example.", "nonsense"),
        ("servfail.example.", "declined"),
        ("refused.example.", "declined"),
    ] {
        let line = format!(
            "athena_forward_upstream_answers_total{{upstream=\"{}\",outcome=\"{counted}\"}}",
            upstream.address
        );
        let before = metric(&athena, &line);
        let reply = client.ask(name, RecordType::A);
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::ServFail, 0), "{name}");
        assert!(reply.recursion_available && !reply.authoritative);
        assert_eq!(metric(&athena, &line), before + 1, "{name}");
    }
    assert_eq!(outcome(&athena, "failed"), 5);
}

#[test]
fn an_upstream_that_fails_is_followed_by_the_next_and_rests() {
    let good = Upstream::start();
    // Nobody reads there.
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf_address = deaf.local_addr().unwrap();
    let athena = Athena::start(&format!(
        "{FARM}[forward]\nupstreams = [\"{deaf_address}\", \"{}\"]\naccess = [\"127.0.0.0/8\"]\ntimeout = \"1s\"\n",
        good.address
    ));
    let client = Client::of(&athena);
    for name in ["a.example.", "b.example.", "c.example."] {
        assert_eq!(client.ask(name, RecordType::A).answers.len(), 1, "{name}");
    }
    let line = |outcome| {
        format!("athena_forward_upstream_answers_total{{upstream=\"{deaf_address}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(metric(&athena, &line("timed_out")), 1, "it is asked once and then rests");

    // One that declines is passed over as well.
    let other = Upstream::start();
    let mut athena = athena;
    let both = format!(
        "{FARM}[forward]\nupstreams = [\"{}\", \"{}\"]\naccess = [\"127.0.0.0/8\"]\norder = \"rotate\"\n",
        good.address, other.address
    );
    assert_eq!(athena.reload(&both).unwrap(), ["[forward]: changed"]);
    let before = good.asked_in_all();
    for index in 0..10 {
        assert_eq!(client.ask(&format!("r{index}.example."), RecordType::A).answers.len(), 1);
    }
    assert_eq!((good.asked_in_all() - before, other.asked_in_all()), (5, 5), "each in turn");
    assert_eq!(client.ask("servfail.example.", RecordType::A).response_code, ResponseCode::ServFail);
    assert_eq!(
        (good.asked("udp servfail.example. A"), other.asked("udp servfail.example. A")),
        (1, 1),
        "the second is asked before the first one's word is taken"
    );
}

#[test]
fn answers_over_tcp_leave_as_they_are_ready() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let mut stream = TcpStream::connect(athena.dns).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let pipeline = [
        query(1, "held.example.", RecordType::A),
        query(2, "farm_one.athena.", RecordType::A),
        query(3, "www.example.", RecordType::A),
        query(4, "held.example.", RecordType::AAAA),
        query(5, "farm_one.athena.", RecordType::AAAA),
    ];
    stream.write_all(&pipeline.map(|message| framed(&message)).concat()).unwrap();
    let mut early = [read(&mut stream), read(&mut stream), read(&mut stream)].map(|reply| reply.id);
    early.sort_unstable();
    assert_eq!(early, [2, 3, 5]);
    // The client says that nothing follows, and still gets what it asked for.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    upstream.await_held(2);
    upstream.release();
    let mut late = [read(&mut stream), read(&mut stream)].map(|reply| (reply.id, reply.answers.len()));
    late.sort_unstable();
    assert_eq!(late, [(1, 1), (4, 1)]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn equal_questions_in_flight_are_one() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    (0..5).for_each(|id| client.send(&query(id, "held.example.", RecordType::A)));
    until("they wait", || metric(&athena, "athena_forward_in_flight") == 5);
    upstream.await_held(1);
    upstream.release();
    let mut ids: Vec<u16> = (0..5).map(|_| client.receive().id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[test]
fn dig_and_kdig_resolve_through_us_in_every_way() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    Pair::new("athena.test").write(folder.path(), "dns");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tls = format!(
        "[dns.tls]\ncert = {:?}\nkey = {:?}\ntls_listen = [\"127.0.0.1:0\"]\nhttps_listen = [\"127.0.0.1:0\"]\n\
         quic_listen = [\"127.0.0.1:0\"]\n",
        path("dns.cert.pem"),
        path("dns.key.pem")
    );
    let athena = Athena::start(&format!("{}{tls}", upstream.toml()));
    let run = |program: &str, port: SocketAddr, more: &[&str]| {
        let port = port.port().to_string();
        let output = Command::new(program).args(["@127.0.0.1", "-p", &port]).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let dug = run("dig", athena.dns, &["alias.example.", "A", "+cookie", "+dnssec"]);
    assert!(dug.contains("status: NOERROR") && dug.contains("flags: qr rd ra;"), "{dug}");
    assert!(dug.contains("192.0.2.1") && dug.contains("(good)"), "{dug}");
    assert!(!dug.contains("recursion requested but not available"), "{dug}");
    for (way, service) in [("+tls", Secure::Tls), ("+https", Secure::Https), ("+quic", Secure::Quic)] {
        let dug = run("kdig", athena.secure(service), &[way, "www.example.", "A"]);
        assert!(dug.contains("NOERROR") && dug.contains("192.0.2.1"), "{way}: {dug}");
    }
    let dug = run("kdig", athena.dns, &["+tcp", "gone.example.", "A"]);
    assert!(dug.contains("NXDOMAIN") && dug.contains("SOA"), "{dug}");
}

#[test]
fn signatures_pass_through_for_who_wants_them() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    let ask = |dnssec_ok: bool, checking_disabled: bool| {
        let mut query = message(7, "signed.example.", RecordType::A);
        query.metadata.checking_disabled = checking_disabled;
        let mut edns = Edns::new();
        edns.set_dnssec_ok(dnssec_ok);
        query.set_edns(edns);
        client.send(&query.to_vec().unwrap());
        let reply = client.receive();
        assert_eq!(reply.checking_disabled, checking_disabled);
        assert_eq!(reply.edns.as_ref().unwrap().flags().dnssec_ok, dnssec_ok);
        assert!(!reply.authentic_data);
        reply.answers.len()
    };
    for _ in 0..2 {
        assert_eq!([ask(false, false), ask(true, false), ask(true, true)], [1, 2, 2]);
    }
    let asked = |flags: &str| upstream.asked(&format!("udp signed.example. A{flags}"));
    assert_eq!([asked(""), asked(" do"), asked(" do cd")], [1, 1, 2], "unproven answers are not kept");
}

#[test]
fn a_chain_that_leaves_our_zone_is_followed_for_those_who_rely_on_us() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("other.zone");
    let text = "@ 60 IN SOA ns root 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\nout 60 IN CNAME www.example.\n\
                lost 60 IN CNAME gone.example.\nhome 60 IN CNAME localhost.\nback 60 IN CNAME farm_one.athena.\n";
    std::fs::write(&zone, text).unwrap();
    let fallback = "[farms.farm_two]\nmembers = [\"app01\"]\nfallback = [\"http://sorry.example/\"]\n";
    let athena = Athena::start(&format!(
        "{}{fallback}[[zones]]\nzone = \"other.\"\nzone_file = {zone:?}\n",
        upstream.toml_with("access = [\"127.0.0.2\"]")
    ));
    let (friend, stranger) = (Client::at("127.0.0.2", &athena), Client::of(&athena));
    let reply = friend.ask("out.other.", RecordType::A);
    assert_eq!(shown(&reply.answers), ["out.other. CNAME www.example.", "www.example. A 192.0.2.1"]);
    assert!(reply.authoritative && reply.recursion_available, "the first owner is ours (RFC 1035, 4.1.1)");
    let reply = friend.ask("lost.other.", RecordType::A);
    assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NXDomain, 1), "RFC 6604");
    assert_eq!(shown(&friend.ask("home.other.", RecordType::A).answers)[1], "localhost. A 127.0.0.1");
    assert_eq!(shown(&friend.ask("back.other.", RecordType::A).answers)[1], "farm_one.athena. A 127.0.1.1");
    assert_eq!(friend.ask("out.other.", RecordType::CNAME).answers.len(), 1);
    let reply = stranger.ask("out.other.", RecordType::A);
    assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NoError, 1));
    // A farm whose members are all gone sends its clients elsewhere, and they get there.
    athena.tell("/ath/update/farm/?n=farm_two,s=off");
    let reply = friend.ask("farm_two.athena.", RecordType::A);
    assert_eq!(
        shown(&reply.answers),
        ["farm_two.athena. CNAME sorry.example.", "sorry.example. A 192.0.2.1"]
    );
}

#[test]
fn names_of_special_use_never_leave_the_machine() {
    let upstream = Upstream::start();
    let athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    let localhost = client.ask("LocalHost.", RecordType::A);
    assert_eq!(shown(&localhost.answers), ["LocalHost. A 127.0.0.1"]);
    assert!(localhost.recursion_available);
    assert_eq!(shown(&client.ask("localhost.", RecordType::AAAA).answers), ["localhost. AAAA ::1"]);
    assert_eq!(client.ask("x.invalid.", RecordType::A).response_code, ResponseCode::NXDomain);
    let loopback = client.ask("1.0.0.127.in-addr.arpa.", RecordType::PTR);
    assert_eq!(shown(&loopback.answers), ["1.0.0.127.in-addr.arpa. PTR localhost."]);
    assert_eq!((upstream.asked_in_all(), outcome(&athena, "special")), (0, 4));
    // The upstream is the site's own: it may know the site's addresses.
    client.ask("1.2.3.10.in-addr.arpa.", RecordType::PTR);
    assert_eq!(upstream.asked("udp 1.2.3.10.in-addr.arpa. PTR"), 1);
}

#[test]
fn a_reload_turns_it_on_and_off_and_keeps_what_is_known() {
    let upstream = Upstream::start();
    let mut athena = Athena::start(FARM);
    let client = Client::of(&athena);
    assert_eq!(client.ask("www.example.", RecordType::A).response_code, ResponseCode::Refused);
    assert_eq!(athena.reload(&upstream.toml()).unwrap(), ["[forward]: changed"]);
    assert_eq!(client.ask("www.example.", RecordType::A).answers.len(), 1);

    // A question that is under way when forwarding ends is still answered, and the cache outlives another access list.
    client.send(&query(9, "held.example.", RecordType::A));
    upstream.await_held(1);
    athena.reload(&upstream.toml_with("access = [\"127.0.0.1\"]\nqueries = 5")).unwrap();
    assert_eq!(client.ask("www.example.", RecordType::A).answers.len(), 1);
    assert_eq!(upstream.asked("udp www.example. A"), 1);
    athena.reload(FARM).unwrap();
    assert_eq!(client.ask("www.example.", RecordType::A).response_code, ResponseCode::Refused);
    upstream.release();
    let late = client.receive();
    assert_eq!((late.id, late.answers.len()), (9, 1));
    assert!(athena.reload(FARM).unwrap().is_empty());
}

#[test]
fn a_stop_finishes_what_is_open() {
    let upstream = Upstream::start();
    let mut athena = Athena::start(&upstream.toml());
    let client = Client::of(&athena);
    let mut stream = TcpStream::connect(athena.dns).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(&query(1, "held.example.", RecordType::A));
    stream.write_all(&framed(&query(2, "held.example.", RecordType::AAAA))).unwrap();
    upstream.await_held(2);
    std::thread::scope(|scope| {
        scope.spawn(|| athena.stop());
        // The door is shut: nobody listens any more.
        until("the listener is closed", || TcpStream::connect(client.1).is_err());
        upstream.release();
        assert_eq!(client.receive().answers.len(), 1);
        assert_eq!(read(&mut stream).answers.len(), 1);
    });
}

#[test]
fn on_a_wildcard_the_late_answer_leaves_from_the_address_that_was_asked() {
    let upstream = Upstream::start();
    let athena = Athena::start(&format!("dns.listen = [\"0.0.0.0:0\"]\n{}", upstream.toml()));
    for server in ["127.0.0.1", "127.0.0.7"] {
        let address = SocketAddr::new(server.parse().unwrap(), athena.dns.port());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let reply = Client(socket, address).ask(&format!("from-{server}.example."), RecordType::A);
        assert_eq!(reply.answers.len(), 1);
    }
}
