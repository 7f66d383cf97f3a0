//! Clients that mean no good, for `hostile.sh`.
//!
//! `hostile KIND ADDRESS:PORT SECONDS AMOUNT`, KIND one of
//!
//! | kind | what it does |
//! | --- | --- |
//! | `slow` | AMOUNT connections over HTTP, each of which sends its request one octet a second |
//! | `idle` | AMOUNT connections over TCP that ask nothing, opened again when they are closed |
//! | `unread` | AMOUNT connections over TCP that ask all the time and never read |
//! | `junk` | AMOUNT datagrams a second: random octets, cut off queries, responses |
//! | `forged` | AMOUNT queries a second with a label that has the form of a sticky token and is none |
//!
//! Prints: what was sent (octets, connections, datagrams) in all, and how often a connection was refused or closed.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread::park_timeout;
use std::time::Duration;

use athena::balance::Moment;
use athena::balance::random::{Random, SplitMix};
use athena::clock::Clock;

use crate::wait::query;

/// Between two rounds over all connections.
const ROUND: Duration = Duration::from_millis(10);

/// What was done, and how often a connection ended.
#[derive(Default)]
struct Done {
    sent: u64,
    ended: u64,
}

/// Connections that are opened again when they end: so many, a round at a time.
struct Connections<'a> {
    server: &'a str,
    open: Vec<Option<TcpStream>>,
}

impl<'a> Connections<'a> {
    fn new(server: &'a str, count: usize) -> Self {
        Self { server, open: (0..count).map(|_| None).collect() }
    }

    /// Opens what is not open, some at a time, and lets `act` do something with each; an error ends a connection.
    fn round(&mut self, done: &mut Done, mut act: impl FnMut(&mut TcpStream) -> std::io::Result<usize>) {
        let mut fresh = 200;
        for place in &mut self.open {
            if place.is_none() && fresh > 0 {
                fresh -= 1;
                let opened = TcpStream::connect(self.server).and_then(|stream| {
                    stream.set_nonblocking(true)?;
                    Ok(stream)
                });
                *place = opened.ok();
                done.ended += u64::from(place.is_none());
            }
            let Some(stream) = place else { continue };
            match act(stream) {
                Ok(sent) => done.sent += sent as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    *place = None;
                    done.ended += 1;
                }
            }
        }
    }
}

/// Whether the other end has closed; what came is thrown away.
fn check_open(stream: &mut TcpStream) -> std::io::Result<()> {
    match stream.read(&mut [0; 64]) {
        Ok(0) => Err(ErrorKind::ConnectionReset.into()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

fn junk(random: &mut SplitMix) -> Vec<u8> {
    match random.below(3) {
        0 => (0..random.below(200)).map(|_| random.next() as u8).collect(),
        1 => {
            let mut cut = query(random.next() as u16, "farm_one");
            cut.truncate(random.below(cut.len()));
            cut
        }
        _ => {
            let mut response = query(random.next() as u16, "farm_one");
            response[2] |= 0x80;
            response
        }
    }
}

/// `k`, eight digits of time, twenty of signature, a name: see `src/balance/token.rs`.
fn forged(random: &mut SplitMix) -> Vec<u8> {
    let label = format!("kffffffff{:020x}-b1", random.next());
    let mut asked = query(random.next() as u16, &label);
    // The farm stands between the label and the zone.
    let at = 12 + 1 + label.len();
    asked.splice(at..at, b"\x08farm_one".iter().copied());
    asked
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [kind, server, seconds, amount] = arguments else {
        return Err("usage: hostile slow|idle|unread|junk|forged ADDRESS:PORT SECONDS AMOUNT".into());
    };
    let (span, amount) = (Duration::from_secs_f64(seconds.parse()?), amount.parse::<usize>()?);
    let clock = Clock::start();
    let start = clock.now();
    let (mut done, mut random) = (Done::default(), SplitMix::from_system());
    let goes_on = |now: Moment| now.since(start) < span;
    match kind.as_str() {
        "slow" => {
            let request = format!("GET /ath/balance/?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1000));
            let mut connections = Connections::new(server, amount);
            let (mut second, mut sending) = (u64::MAX, false);
            while goes_on(clock.now()) {
                let now = clock.now().since(start).as_secs();
                sending = sending || std::mem::replace(&mut second, now) != now;
                let octet = &request.as_bytes()[now as usize % request.len()..][..1];
                connections.round(&mut done, |stream| {
                    check_open(stream)?;
                    if sending { stream.write(octet) } else { Ok(0) }
                });
                sending = false;
                park_timeout(ROUND);
            }
        }
        "idle" => {
            let mut connections = Connections::new(server, amount);
            while goes_on(clock.now()) {
                connections.round(&mut done, |stream| check_open(stream).map(|()| 0));
                park_timeout(ROUND);
            }
            done.sent = connections.open.iter().flatten().count() as u64;
        }
        "unread" => {
            let one = query(7, "farm_one");
            let framed = [&(one.len() as u16).to_be_bytes()[..], &one].concat().repeat(50);
            let mut connections = Connections::new(server, amount);
            while goes_on(clock.now()) {
                // A piece of a message that did not fit breaks the framing, which is bad input too.
                connections.round(&mut done, |stream| stream.write(&framed));
                park_timeout(ROUND);
            }
        }
        "junk" | "forged" => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            let mut answer = [0; 512];
            while goes_on(clock.now()) {
                let due = (clock.now().seconds_since(start) * amount as f64) as u64;
                if due <= done.sent {
                    park_timeout(Duration::from_micros(500));
                }
                for _ in done.sent..due {
                    let datagram = if kind == "junk" { junk(&mut random) } else { forged(&mut random) };
                    // Errors are what an attacker does not look at.
                    let _ = socket.send(&datagram);
                    while socket.recv(&mut answer).is_ok() {}
                    done.sent += 1;
                }
            }
        }
        _ => return Err(format!("no hostile client is called {kind}").into()),
    }
    println!("{} {}", done.sent, done.ended);
    Ok(())
}
