//! Athena's UDP loop around nothing: it sets the QR bit, as `echo.rs` does. The difference between the two is what the
//! loop itself costs: waiting for several sockets, the clock, the check for the end.
//!
//! `idle ADDRESS:PORT [THREADS] [shared]`; with `shared` all threads wait on one socket. Stops when it is killed.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use athena::balance::Moment;
use athena::clock::Clock;
use athena::dns::udp::{Answer, Place, Reply, Udp};
use athena::metrics::Metrics;

struct Echo;

impl Answer for Echo {
    fn answer(
        &mut self,
        _: usize,
        place: &mut Place,
        length: usize,
        _: SocketAddr,
        _: Moment,
        _: &mut Vec<u8>,
    ) -> Reply {
        place[2] |= 0x80;
        Reply::InPlace(length)
    }
}

/// See the head of this file.
pub fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut arguments = arguments.iter();
    let address = arguments.next().ok_or("usage: idle ADDRESS:PORT [THREADS] [shared]")?.parse()?;
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let udp = match arguments.next().map(String::as_str) {
        Some("shared") => Udp::adopt(UdpSocket::bind(address)?, threads)?,
        _ => Udp::bind(address, threads)?,
    };
    let _running = udp.spawn(|| Echo, &Arc::new(Metrics::default()), Clock::start())?;
    loop {
        std::thread::park();
    }
}
