//! Asks faster than any server here answers, from one core.
//!
//! dnsperf needs two cores or more to keep one server busy. This needs one: it hands the kernel up to 64 queries of equal
//! length at once (`UDP_SEGMENT`), which loopback takes apart again before the server sees them, and takes answers in
//! batches. Otherwise it behaves as dnsperf does: 16 sockets, so many queries outstanding in all, an answer makes room for
//! the next query, one that has not come after a second counts as lost.
//!
//! `flood ADDRESS:PORT SECONDS STYLE [OUTSTANDING [RATE]]`, STYLE one of plain, edns, cookie, labels, farms-N
//! (farms 2 to N of `bench farm` at random); RATE in queries a second, else as many as go; times at a rate that leaves it
//! idle are good to a tenth of a millisecond. Prints: answers a second, 50th, 99th and 99.9th percentile of the time to the answer in
//! microseconds, queries lost, answers that were not NOERROR with an answer.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread::park_timeout;
use std::time::Duration;

use athena::balance::Moment;
use athena::balance::random::{Random, SplitMix};
use athena::clock::Clock;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg, setsockopt, sockopt,
};

const SOCKETS: usize = 16;
/// Queries in one call, and answers in one.
const BATCH: usize = 64;
const LONGEST: usize = 1232;
/// After this long an answer counts as lost.
const LOST: Duration = Duration::from_secs(1);
/// Between two looks when nothing is due and nothing comes.
const NAP: Duration = Duration::from_micros(50);
/// Times to the answer are counted in steps of a microsecond up to here.
const SLOWEST: usize = 1_000_000;

/// One socket, and when its queries went out, by their ids.
struct Client {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrIn>,
    sent: Box<[Option<Moment>]>,
    order: VecDeque<(u16, Moment)>,
    next: u16,
    outstanding: usize,
}

struct Results {
    times: Box<[u64]>,
    answers: u64,
    lost: u64,
    bad: u64,
}

fn query(style: &str, id: u16, random: &mut SplitMix, out: &mut Vec<u8>) {
    out.extend(id.to_be_bytes());
    let additional = u8::from(matches!(style, "edns" | "cookie"));
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, additional]);
    if style == "labels" {
        out.push(32);
        out.extend(format!("{:016x}{:016x}", random.next(), random.next()).bytes());
    }
    match style.strip_prefix("farms-").and_then(|farms| farms.parse::<usize>().ok()) {
        Some(farms) => out.extend(format!("\x0afarm_{:05}", 2 + random.below(farms - 1)).bytes()),
        None => out.extend(b"\x08farm_one"),
    }
    out.extend(b"\x06athena\0\0\x01\0\x01");
    match style {
        "edns" => out.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        "cookie" => out.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08\x01\x23\x45\x67\x89\xab\xcd\xef"),
        _ => {}
    }
}

impl Client {
    fn new(server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        let headers = MultiHeaders::preallocate(BATCH, None);
        let sent = vec![None; 1 << 16].into();
        Ok(Self { socket, headers, sent, order: VecDeque::new(), next: 0, outstanding: 0 })
    }

    fn send(
        &mut self,
        count: usize,
        style: &str,
        random: &mut SplitMix,
        now: Moment,
    ) -> Result<(), Box<dyn Error>> {
        let mut bytes = Vec::with_capacity(count * 96);
        for _ in 0..count {
            query(style, self.next, random, &mut bytes);
            self.sent[usize::from(self.next)] = Some(now);
            self.order.push_back((self.next, now));
            self.next = self.next.wrapping_add(1);
        }
        let length = u16::try_from(bytes.len() / count)?;
        let segments = [ControlMessage::UdpGsoSegments(&length)];
        let segments = if count > 1 { &segments[..] } else { &[] };
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], segments, MsgFlags::empty(), None)?;
        self.outstanding += count;
        Ok(())
    }

    fn receive(
        &mut self,
        buffers: &mut [[u8; LONGEST]],
        clock: Clock,
        results: &mut Results,
    ) -> Result<(), Box<dyn Error>> {
        let mut room: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
        room.iter_mut().zip(buffers).for_each(|(room, buffer)| room[0] = IoSliceMut::new(buffer));
        let received =
            recvmmsg(self.socket.as_raw_fd(), &mut self.headers, &mut room, MsgFlags::MSG_DONTWAIT, None);
        let received = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = clock.now();
        for message in received {
            let Some(answer) = message.iovs().next().filter(|answer| answer.len() >= 12) else { continue };
            let id = u16::from_be_bytes([answer[0], answer[1]]);
            let Some(sent) = self.sent[usize::from(id)].take() else { continue };
            self.outstanding -= 1;
            results.answers += 1;
            results.times[(now.since(sent).as_micros() as usize).min(SLOWEST)] += 1;
            // RCODE, ANCOUNT (RFC 1035, section 4.1.1); an echo has no answer and is told apart by its caller.
            results.bad += u64::from(answer[3] & 0x0f != 0 || answer[6..8] == [0, 0]);
        }
        Ok(())
    }

    fn forget(&mut self, now: Moment, results: &mut Results) {
        while let Some(&(id, sent)) = self.order.front() {
            let place = &mut self.sent[usize::from(id)];
            if *place == Some(sent) {
                if now.since(sent) < LOST {
                    return;
                }
                *place = None;
                self.outstanding -= 1;
                results.lost += 1;
            }
            self.order.pop_front();
        }
    }
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let usage = "usage: flood ADDRESS:PORT SECONDS STYLE [OUTSTANDING [RATE]]";
    let [server, seconds, style, rest @ ..] = arguments else { return Err(usage.into()) };
    let (server, span) = (server.parse()?, Duration::from_secs_f64(seconds.parse()?));
    let outstanding: usize = rest.first().map_or(Ok(400), |count| count.parse())?;
    let rate: Option<f64> = rest.get(1).map(|rate| rate.parse()).transpose()?;
    let clock = Clock::start();
    let mut random = SplitMix::from_system();
    let mut clients = (0..SOCKETS).map(|_| Client::new(server)).collect::<Result<Vec<_>, _>>()?;
    let mut buffers = vec![[0; LONGEST]; BATCH];
    let mut results = Results { times: vec![0; SLOWEST + 1].into(), answers: 0, lost: 0, bad: 0 };
    let share = (outstanding / SOCKETS).max(1);
    let start = clock.now();
    let mut sent = 0u64;
    let mut now = start;
    while now.since(start) < span {
        let before = (sent, results.answers);
        for client in &mut clients {
            client.receive(&mut buffers, clock, &mut results)?;
            now = clock.now();
            client.forget(now, &mut results);
            let mut count = (share.saturating_sub(client.outstanding)).min(BATCH);
            if let Some(rate) = rate {
                let due = (now.seconds_since(start) * rate) as u64;
                // One at a time, as independent clients ask.
                count = count.min(1).min(due.saturating_sub(sent) as usize);
            }
            if count > 0 {
                client.send(count, style, &mut random, now)?;
                sent += count as u64;
            }
        }
        // A slow rate leaves the core to others.
        if before == (sent, results.answers) && rate.is_some() {
            park_timeout(NAP);
        }
    }
    let percentile = |part: f64| {
        let mut left = (results.answers as f64 * part) as u64;
        let reached = |&&count: &&u64| {
            let below = count <= left;
            left = left.saturating_sub(count);
            below
        };
        results.times.iter().take_while(reached).count()
    };
    println!(
        "{:.0} {} {} {} {} {}",
        results.answers as f64 / now.seconds_since(start),
        percentile(0.5),
        percentile(0.99),
        percentile(0.999),
        results.lost,
        results.bad
    );
    Ok(())
}
