//! Stands between a proxy and Athena and notes what is asked.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::harness::PATIENCE;

/// A question that came by.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// In lower case.
    pub name: String,
    pub kind: RecordType,
    /// Octets of the answer.
    pub answer: usize,
}

impl Asked {
    /// Whether it is for the addresses of a farm.
    pub fn is_for_addresses(&self) -> bool {
        matches!(self.kind, RecordType::A | RecordType::AAAA) && !self.name.contains(".phys.")
    }
}

/// A relay of datagrams, until it is dropped.
pub struct Spy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many answers with a farm's address are still to be lost.
    to_lose: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spy {
    /// Listens on `address` and passes everything on to `server`, one query at a time.
    pub fn start(address: SocketAddr, server: SocketAddr) -> Self {
        let front = UdpSocket::bind(address).unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").unwrap();
        back.connect(server).unwrap();
        back.set_read_timeout(Some(PATIENCE)).unwrap();
        let (asked, stopping) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let to_lose = Arc::<AtomicUsize>::default();
        let (notes, end, losses) = (Arc::clone(&asked), Arc::clone(&stopping), Arc::clone(&to_lose));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65535];
            loop {
                let (length, client) = front.recv_from(&mut buffer).unwrap();
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let question = Message::from_vec(&buffer[..length]).unwrap().queries.remove(0);
                back.send(&buffer[..length]).unwrap();
                let Ok(answer) = back.recv(&mut buffer) else { continue };
                let name = question.name().to_ascii().to_lowercase();
                let asked = Asked { name, kind: question.query_type(), answer };
                let is_choice = asked.kind == RecordType::A && asked.is_for_addresses();
                notes.lock().unwrap().push(asked);
                let left = losses.load(Ordering::SeqCst);
                if is_choice && left > 0 {
                    losses.store(left - 1, Ordering::SeqCst);
                    continue;
                }
                let _ = front.send_to(&buffer[..answer], client);
            }
        });
        Self { address, asked, to_lose, stopping, thread: Some(thread) }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Throws the next answer with a farm's IPv4 address away, on its way to who asked.
    pub fn lose_one(&self) {
        self.to_lose.store(1, Ordering::SeqCst);
    }

    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0], self.address);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}
