//! How long a program takes from its start to its first answer over DNS, and how much memory it has then.
//!
//! `first ADDRESS:PORT NAME COMMAND…` starts the command, asks for A of `NAME.athena` every half millisecond until an answer
//! comes, prints milliseconds, resident MiB and the most it ever had, and ends the command.

use std::error::Error;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread::park_timeout;
use std::time::Duration;

use athena::clock::Clock;

use crate::wait::query;

/// Between two questions.
const BETWEEN: Duration = Duration::from_micros(500);
/// When to give up.
const PATIENCE: Duration = Duration::from_secs(60);

fn mebibytes(process: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [server, name, command, rest @ ..] = arguments else {
        return Err("usage: first ADDRESS:PORT NAME COMMAND…".into());
    };
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    let clock = Clock::start();
    let start = clock.now();
    let mut child = Command::new(command).args(rest).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let (mut id, mut octets) = (0u16, [0; 512]);
    let took = loop {
        id = id.wrapping_add(1);
        // Refused as long as nobody listens.
        let _ = socket.send(&query(id, name));
        park_timeout(BETWEEN);
        let received = socket.recv(&mut octets);
        if received.is_ok_and(|length| length >= 12 && octets[3] & 15 == 0 && octets[6..8] != [0, 0]) {
            break Some(clock.now().since(start));
        }
        if child.try_wait()?.is_some() || clock.now().since(start) > PATIENCE {
            break None;
        }
    };
    let (resident, most) = (mebibytes(child.id(), "VmRSS:"), mebibytes(child.id(), "VmHWM:"));
    let _ = child.kill();
    child.wait()?;
    let took = took.ok_or("no answer")?;
    println!("{:.1} {resident:.1} {most:.1}", took.as_secs_f64() * 1e3);
    Ok(())
}
