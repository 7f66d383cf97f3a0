//! How long single queries wait, to the microsecond, while something else goes on: a reload, for example.
//!
//! It asks for one farm at a steady, low rate, one query under way at a time or as many as a stall lets pile up. The time to
//! an answer ends when the kernel has put it into our queue (`SO_TIMESTAMPNS`), not when this program gets to run again:
//! where the client shares its core with the work that it watches, only the server's waiting counts.
//!
//! `wait ADDRESS:PORT SECONDS [RATE [NAME]]`, by default 1,000 a second for `farm_one`. Prints: answers, 50th, 99.9th
//! percentile and longest of the time to the answer in microseconds, answers above 5 ms, queries lost.

use std::error::Error;
use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use athena::balance::Moment;
use athena::clock::Clock;
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// What quality.md allows a reload to cost.
const STALL: Duration = Duration::from_millis(5);
/// After this long an answer counts as lost.
const LOST: Duration = Duration::from_secs(2);

/// A plain query for A of `name.athena`.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [name, "athena"] {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend(b"\0\0\x01\0\x01");
    query
}

/// Takes an answer, if one is there: its id, and when it came.
fn receive(socket: &UdpSocket) -> Option<(u16, Moment)> {
    let mut octets = [0; 512];
    let mut control = cmsg_space!(TimeSpec);
    let mut room = [IoSliceMut::new(&mut octets)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut room, Some(&mut control), MsgFlags::MSG_DONTWAIT).ok()?;
    let came = message.cmsgs().ok()?.find_map(|one| match one {
        ControlMessageOwned::ScmTimestampns(time) => Some(Moment::from_unix(Duration::from(time))),
        _ => None,
    })?;
    (message.bytes >= 12).then_some(())?;
    Some((u16::from_be_bytes([octets[0], octets[1]]), came))
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [server, seconds, rest @ ..] = arguments else {
        return Err("usage: wait ADDRESS:PORT SECONDS [RATE [NAME]]".into());
    };
    let span = Duration::from_secs_f64(seconds.parse()?);
    let rate: f64 = rest.first().map_or(Ok(1000.0), |rate| rate.parse())?;
    let name = rest.get(1).map_or("farm_one", String::as_str);
    let between = Duration::from_secs_f64(1.0 / rate);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;

    let clock = Clock::start();
    let (start, mut due) = (clock.now(), clock.now());
    let mut sent: Vec<Option<Moment>> = vec![None; 1 << 16];
    let mut times: Vec<Duration> = Vec::new();
    let (mut id, mut asked) = (0u16, 0usize);
    loop {
        let now = clock.now();
        let is_over = now.since(start) >= span;
        if is_over && (times.len() == asked || now.since(start) >= span + LOST) {
            break;
        }
        if !is_over && now >= due {
            // What we are late with ourselves is not asked in a burst.
            due = now + between;
            id = id.wrapping_add(1);
            let query = query(id, name);
            sent[usize::from(id)] = Some(clock.now());
            // A full queue of ours is a query that was not asked.
            match socket.send(&query) {
                Ok(_) => asked += 1,
                Err(_) => sent[usize::from(id)] = None,
            }
        }
        let left = due.since(clock.now()).as_micros().div_ceil(1000).clamp(1, 100);
        poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::try_from(left)?)?;
        while let Some((id, came)) = receive(&socket) {
            if let Some(sent) = sent[usize::from(id)].take() {
                times.push(came.since(sent));
            }
        }
    }
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        times.get(index).or(times.last()).map_or(0, Duration::as_micros)
    };
    let long = times.iter().filter(|&&time| time > STALL).count();
    println!("{} {} {} {} {long} {}", times.len(), at(0.5), at(0.999), at(1.0), asked - times.len());
    Ok(())
}
