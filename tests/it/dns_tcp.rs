//! DNS over TCP with real sockets: pipelines, limits, clients that misbehave, and the stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use athena::clock::Clock;
use athena::dns::{Handler, Options, TcpOptions, TcpServer, Zones};
use athena::metrics::Metrics;
use hickory_proto::op::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dns_table::{plan, query};

/// How long a test waits for what is bound to happen.
const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    runtime: Runtime,
}

fn serve(tcp: TcpOptions) -> Served {
    let clock = Clock::start();
    let engine = Arc::new(athena::balance::Engine::new(plan(), clock.now()).unwrap());
    let apex = hickory_proto::rr::Name::from_ascii("athena.").unwrap();
    let zone = include_str!("../../zones/athena.zone");
    let content = athena::dns::ZoneContent::parse(std::path::Path::new("athena.zone"), zone, &apex).unwrap();
    let zones = Zones::new(&[content], &engine.farms()).unwrap();
    let metrics = Arc::new(Metrics::default());
    let options = Options { tcp, ..Options::default() };
    let handler = Handler::new(engine, zones, options, Arc::clone(&metrics)).unwrap();
    let server = TcpServer::new(Arc::new(handler), clock);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = runtime.spawn(async move { server.serve(listener, stopped).await });
    Served { address, metrics, stop, task, runtime }
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Stops the server and waits for its end.
    fn end(self) {
        self.stop.send(true).unwrap();
        self.runtime.block_on(self.task).unwrap();
    }
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

/// Whether the other side has closed, cleanly or not.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(octets) => octets == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_pipeline_is_answered_whole_however_it_is_cut() {
    let served = serve(TcpOptions::default());
    let mut pipeline = Vec::new();
    for id in 0..300_u16 {
        let mut message = query("farm_one.athena. A");
        message[..2].copy_from_slice(&id.to_be_bytes());
        pipeline.extend(framed(&message));
    }
    let mut whole = served.connect();
    whole.write_all(&pipeline).unwrap();
    let mut bits = served.connect();
    for chunk in pipeline.chunks(7) {
        bits.write_all(chunk).unwrap();
    }
    for stream in [&mut whole, &mut bits] {
        let mut ids: Vec<u16> = (0..300).map(|_| read(stream).metadata.id).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..300));
    }
    assert_eq!((served.metrics.dns.tcp.get(), served.metrics.dns.answered.get()), (600, 600));
    served.end();
}

#[test]
fn a_client_that_closes_its_side_gets_its_answers_first() {
    let served = serve(TcpOptions::default());
    let mut stream = served.connect();
    stream.write_all(&framed(&query("www.athena. A")).repeat(3)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut stream).answers.len(), 2);
    }
    assert!(is_closed(&mut stream));
    served.end();
}

#[test]
fn seats_are_counted_and_given_back() {
    let served = serve(TcpOptions { connections: 2, ..TcpOptions::default() });
    let question = framed(&query("farm_one.athena. A"));
    let mut seated = [served.connect(), served.connect()];
    for stream in &mut seated {
        stream.write_all(&question).unwrap();
        read(stream);
    }
    assert!(is_closed(&mut served.connect()));
    assert_eq!((served.metrics.dns.tcp_accepted.get(), served.metrics.dns.tcp_refused.get()), (2, 1));
    // A closed connection's seat is free again as soon as the server has seen the end.
    let [first, mut second] = seated;
    drop(first);
    let mut third = loop {
        let mut stream = served.connect();
        let _ = stream.write_all(&question);
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_ok() {
            break stream;
        }
    };
    second.write_all(&question).unwrap();
    read(&mut second);
    let mut rest = [0; 1];
    third.read_exact(&mut rest).unwrap();
    served.end();
}

#[test]
fn one_client_cannot_take_every_seat() {
    let served = serve(TcpOptions { connections_per_client: 1, ..TcpOptions::default() });
    let mut first = served.connect();
    first.write_all(&framed(&query("farm_one.athena. A"))).unwrap();
    read(&mut first);
    assert!(is_closed(&mut served.connect()));
    served.end();
}

#[test]
fn silence_and_trickles_end_the_connection() {
    let served = serve(TcpOptions { idle: Duration::from_millis(50), ..TcpOptions::default() });
    assert!(is_closed(&mut served.connect()));
    // One octet at a time is no query either: the server closes although something comes all the time.
    let mut stream = served.connect();
    stream.set_nodelay(true).unwrap();
    while stream.write_all(&[0]).is_ok() {
        std::thread::yield_now();
    }
    served.end();
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    let served = serve(TcpOptions { write: Duration::from_millis(50), ..TcpOptions::default() });
    let mut stream = served.connect();
    let question = framed(&query("athena. NS +edns=4096")).repeat(100);
    // The server stops reading once its answers are not taken; then it closes, and writing fails.
    while stream.write_all(&question).is_ok() {}
    assert_eq!(served.metrics.dns.send_failed.get(), 1);
    served.end();
}

#[test]
fn who_sends_responses_or_less_than_a_header_is_sent_away() {
    let served = serve(TcpOptions::default());
    let mut response = query("farm_one.athena. A");
    response[2] |= 0x80;
    for junk in [framed(&response), framed(b"short"), framed(b"")] {
        let mut stream = served.connect();
        stream.write_all(&junk).unwrap();
        assert!(is_closed(&mut stream));
    }
    assert_eq!((served.metrics.dns.dropped.get(), served.metrics.dns.replies()), (3, 0));
    served.end();
}

#[test]
fn the_largest_message_is_read_and_answered() {
    let served = serve(TcpOptions::default());
    let mut message = query("farm_one.athena. A +unknown");
    let padding = usize::from(u16::MAX) - message.len();
    let length_at = message.len() - 5 - 2;
    let content = 5 + padding as u16;
    message[length_at..length_at + 2].copy_from_slice(&content.to_be_bytes());
    let option_at = message.len() - 3;
    message[option_at..option_at + 2].copy_from_slice(&(1 + padding as u16).to_be_bytes());
    message.extend(vec![0; padding]);
    let mut stream = served.connect();
    stream.write_all(&framed(&message)).unwrap();
    assert_eq!(read(&mut stream).answers.len(), 1);
    served.end();
}

#[test]
fn the_stop_answers_what_has_come_and_takes_nothing_more() {
    let served = serve(TcpOptions::default());
    let mut idle = served.connect();
    let mut busy = served.connect();
    for stream in [&mut idle, &mut busy] {
        stream.write_all(&framed(&query("farm_one.athena. A"))).unwrap();
        read(stream);
    }
    let address = served.address;
    served.end();
    assert!(is_closed(&mut idle) && is_closed(&mut busy));
    assert!(TcpStream::connect(address).is_err());
}
