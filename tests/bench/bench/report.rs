//! Backends that report: so many reports a second, each a GET on one of some connections that stay open.
//!
//! `report ADDRESS:PORT SECONDS RATE [CONNECTIONS [MEMBERS [QUERY]]]`: members `b1` … report a load in turn; QUERY stands
//! behind the report, `,k=KEY` for example. Prints: reports a second, those not answered 200.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::park_timeout;
use std::time::Duration;

use athena::balance::random::{Random, SplitMix};
use athena::clock::Clock;

/// Octets of an answer, at most.
pub const LONGEST: usize = 4096;

/// Reads one answer; whether it is a 200. Answers are small and have a Content-Length.
pub fn read(connection: &mut TcpStream, buffer: &mut [u8; LONGEST]) -> Result<bool, Box<dyn Error>> {
    let mut length = 0;
    loop {
        let more = connection.read(&mut buffer[length..])?;
        if more == 0 {
            return Err("the server closed a connection".into());
        }
        length += more;
        let text = std::str::from_utf8(&buffer[..length])?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let announced = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let announced: usize = head.lines().find_map(announced).ok_or("an answer without a length")?;
        if body.len() >= announced {
            return Ok(head.starts_with("HTTP/1.1 200"));
        }
    }
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [server, seconds, rate, rest @ ..] = arguments else {
        return Err("usage: report ADDRESS:PORT SECONDS RATE [CONNECTIONS [MEMBERS [QUERY]]]".into());
    };
    let (span, rate) = (Duration::from_secs_f64(seconds.parse()?), rate.parse::<f64>()?);
    let number = |index: usize, default: usize| rest.get(index).map_or(Ok(default), |number| number.parse());
    let (connections, members) = (number(0, 20)?, number(1, 3)?);
    let more = rest.get(2).map_or("", String::as_str);
    let connect = |_| {
        let connection = TcpStream::connect(server)?;
        connection.set_nodelay(true)?;
        Ok::<_, std::io::Error>(connection)
    };
    let mut connections = (0..connections).map(connect).collect::<Result<Vec<_>, _>>()?;
    let (clock, mut random, mut buffer) = (Clock::start(), SplitMix::from_system(), [0; LONGEST]);
    let (start, mut done, mut bad) = (clock.now(), 0u64, 0u64);
    while clock.now().since(start) < span {
        let due = (clock.now().seconds_since(start) * rate) as u64;
        if due <= done {
            park_timeout(Duration::from_micros(500));
            continue;
        }
        // A round: everybody who is due asks, then everybody reads.
        let round = (due - done).min(connections.len() as u64);
        let round = &mut connections[..round as usize];
        for connection in round.iter_mut() {
            let (member, load) = (done as usize % members + 1, random.unit());
            done += 1;
            let line =
                format!("GET /ath/update/phys/?h=b{member},l={load:.3}{more} HTTP/1.1\r\nHost: a\r\n\r\n");
            connection.write_all(line.as_bytes())?;
        }
        for connection in round.iter_mut() {
            bad += u64::from(!read(connection, &mut buffer)?);
        }
        // Each has its turn, or the server would close those that are never used.
        let used = round.len();
        connections.rotate_left(used);
    }
    println!("{:.0} {bad}", done as f64 / clock.now().seconds_since(start));
    Ok(())
}
