//! How long a program takes from its start to its first answer over DNS, and how much memory it has then.
//!
//! `first ADDRESS:PORT NAME [--reports HTTP:PORT FARMS] [--reloads HTTP:PORT N] COMMAND…` starts the command, asks for A of
//! `NAME.athena` every half millisecond until an answer comes, prints milliseconds, resident MiB and the most it ever had,
//! and ends the command. With `--reports` the members `b1-1` to `b1-10` of the first of so many farms, and so on, report ten
//! times before it ends; with `--reloads` it is then asked to reload N times by the command's own `reload`. Resident MiB
//! after the reports, after the first reload and after all, and the most it ever had, are printed too; `-` for what was not done.

use std::error::Error;
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread::park_timeout;
use std::time::Duration;

use athena::balance::random::{Random, SplitMix};
use athena::clock::Clock;

use crate::report::{LONGEST, read};
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

/// Members of a farm.
const MEMBERS: usize = 10;
/// Reports of each.
const REPORTS: usize = 10;

/// Lets every member of so many farms report; the ten of a farm in one request.
fn report(server: &str, farms: usize) -> Result<(), Box<dyn Error>> {
    let mut connection = TcpStream::connect(server)?;
    connection.set_nodelay(true)?;
    let (mut random, mut buffer) = (SplitMix::from_system(), [0; LONGEST]);
    for _ in 0..REPORTS {
        for farm in 1..=farms {
            let one = |member: usize| format!("h=b{farm}-{member},l={:.3}", random.unit());
            let all = (1..=MEMBERS).map(one).collect::<Vec<_>>().join(";");
            write!(connection, "GET /ath/update/phys/?{all} HTTP/1.1\r\nHost: a\r\n\r\n")?;
            if !read(&mut connection, &mut buffer)? {
                return Err("a report was not taken".into());
            }
        }
    }
    Ok(())
}

/// Has the server at this address reload so often; gives resident MiB after the first time and after the last.
fn reload(program: &str, server: &str, times: usize, process: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut first, mut last) = (0.0, 0.0);
    for turn in 0..times {
        let server = format!("http://{server}");
        let mut asker = Command::new(program);
        let done = asker.args(["reload", "--server", &server]).stdout(Stdio::null()).status()?;
        if !done.success() {
            return Err("a reload was refused".into());
        }
        last = mebibytes(process, "VmRSS:");
        first = if turn == 0 { last } else { first };
    }
    Ok((first, last))
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let usage = "usage: first ADDRESS:PORT NAME [--reports HTTP:PORT FARMS] [--reloads HTTP:PORT N] COMMAND…";
    let [server, name, rest @ ..] = arguments else { return Err(usage.into()) };
    let mut rest = rest;
    let (mut reports, mut reloads) = (None, None);
    while let [option, http, count, more @ ..] = rest {
        match option.as_str() {
            "--reports" => reports = Some((http, count.parse()?)),
            "--reloads" => reloads = Some((http, count.parse()?)),
            _ => break,
        }
        rest = more;
    }
    let [command, rest @ ..] = rest else { return Err(usage.into()) };
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
    let after = || -> Result<String, Box<dyn Error>> {
        let mut told = [const { String::new() }; 4];
        if let Some((http, farms)) = reports {
            report(http, farms)?;
            told[0] = format!("{:.1}", mebibytes(child.id(), "VmRSS:"));
        }
        if let Some((http, times)) = reloads {
            let (first, last) = reload(command, http, times, child.id())?;
            told[1..].clone_from_slice(
                &[first, last, mebibytes(child.id(), "VmHWM:")].map(|it| format!("{it:.1}")),
            );
        }
        Ok(told.map(|text| if text.is_empty() { "-".to_owned() } else { text }).join(" "))
    };
    let after = if took.is_some() { after() } else { Ok(String::new()) };
    let _ = child.kill();
    child.wait()?;
    let took = took.ok_or("no answer")?;
    println!("{:.1} {resident:.1} {most:.1} {}", took.as_secs_f64() * 1e3, after?);
    Ok(())
}
