//! One message, from its octets to those of its reply: hickory-server's request handler and response handler.
//!
//! What is a query and makes sense becomes hickory-server's request, is handled as such, and comes back as its response; the
//! sockets, their limits and their order are ours (`dns.md`, "Protocol"). A reply that need not wait is there when the
//! handler has been polled once, on whatever thread that is. One that waits for others goes on where the runtime is.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::Record;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;

use super::super::authority::Authority;
use super::super::forward::Forwarder;
use super::super::message::{self, Size};
use super::super::query::Query;
use super::super::transport::Transport;
use super::{Call, Handler, Outcome};
use crate::balance::Moment;
use crate::balance::random::SplitMix;

/// How far a reply has come.
pub enum Begun {
    /// There is none.
    Nothing,
    /// It is written.
    Written,
    /// It waits for others.
    Later(Later),
}

/// A reply that waits for others. Dropping it gives it up.
pub struct Later {
    reply: Handling,
    forwarder: Arc<Forwarder>,
}

/// A request being handled: what it comes to are the octets of the reply.
type Handling = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

impl Later {
    /// Who will answer: it knows the runtime on which that goes on.
    pub fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }

    /// Waits for others and gives the reply, with the zones and options of when the question came. Counts one outcome.
    pub async fn complete(self) -> Vec<u8> {
        self.reply.await
    }
}

/// A request, how it came, and what its reply is made with.
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) handler: Arc<Handler>,
    pub(super) authority: Arc<Authority>,
    pub(super) transport: Transport,
    pub(super) now: Moment,
    /// Whether it may wait for others.
    pub(super) may_wait: bool,
    pub(super) random: Mutex<SplitMix>,
    pub(super) desk: Mutex<Desk>,
}

/// Where the reply is written.
pub(super) struct Desk {
    /// How long it may be.
    pub(super) size: Size,
    /// Its octets; none if it failed.
    pub(super) reply: Vec<u8>,
}

/// The request that a message is; `None` if the library cannot read it: records that mean nothing to us, but are broken.
pub(super) fn request(message: &[u8], client: SocketAddr, transport: Transport) -> Option<Request> {
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        // Whatever encrypts it: hickory-server names only what it was built to serve.
        _ => Protocol::Tcp,
    };
    Request::from_bytes(message.to_vec(), client, protocol).ok()
}

impl Exchange {
    /// Begins to handle it, with what `random` draws; the reply takes the room of `out`.
    pub(super) fn begin(self, random: &mut SplitMix, out: &mut Vec<u8>) -> Begun {
        let exchange = Arc::new(self);
        let handled = Arc::clone(&exchange);
        let mut reply: Handling = Box::pin(async move {
            let inbox = Inbox(Arc::clone(&handled));
            handled.handle_request::<_, TokioTime>(&handled.request, inbox).await;
            std::mem::take(&mut locked(&handled.desk).reply)
        });
        let polled = reply.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        random.clone_from(&locked(&exchange.random));
        match (polled, &exchange.authority.options.forward) {
            (Poll::Pending, Some(forwarder)) => {
                Begun::Later(Later { reply, forwarder: Arc::clone(forwarder) })
            }
            (Poll::Ready(reply), _) if !reply.is_empty() => {
                *out = reply;
                Begun::Written
            }
            // Only forwarders are waited for, and a reply that fails is SERVFAIL.
            _ => Begun::Nothing,
        }
    }
}

#[async_trait]
impl RequestHandler for Exchange {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let (handler, authority) = (&*self.handler, &*self.authority);
        let Some(query) = Query::read(request.as_slice()) else { return failed(request.metadata) };
        let client = request.src();
        let mut call =
            Call::new(handler, authority, &query, client.ip(), self.transport, self.now, self.may_wait);
        if self.transport == Transport::Udp {
            call.packet = Some(handler.repeats.packet(client, request.as_slice()));
        }
        let question = request.queries.queries().first().map(|question| question.original());
        let mut outcome = call.outcome(question, &mut *locked(&self.random));
        // A place is kept until the reply is written.
        let mut _place = None;
        if let (Some(wanted), Some(forwarder)) = (outcome.wanted.take(), call.forwarder) {
            _place = forwarder.place(call.client);
            if _place.is_some() {
                elsewhere().await;
                outcome.take(forwarder.look_up(&wanted).await);
            } else {
                outcome = Outcome::of(ResponseCode::ServFail);
            }
        }
        let mut sheet = call.finish(outcome, &request.queries);
        locked(&self.desk).size = sheet.size;
        let mut sent = response.send_response(sheet.response()).await;
        if let Err(error) = &sent {
            tracing::error!(%error, "dns: a reply cannot be written");
            sheet.fail();
            sent = response.send_response(sheet.response()).await;
        }
        sent.unwrap_or_else(|_| failed(request.metadata))
    }
}

/// Lets whoever polls go on with something else, once: what follows belongs on the runtime.
async fn elsewhere() {
    let mut left = false;
    poll_fn(|context| {
        if std::mem::replace(&mut left, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What became of a request that got no response.
fn failed(asked: Metadata) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&asked);
    metadata.response_code = ResponseCode::ServFail;
    Header { metadata, counts: HeaderCounts::default() }.into()
}

/// Takes the one response to a request as octets.
#[derive(Clone)]
struct Inbox(Arc<Exchange>);

#[async_trait]
impl ResponseHandler for Inbox {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let Exchange { request, handler, desk, .. } = &*self.0;
        let Desk { size, reply } = &mut *locked(desk);
        let info = message::write(response, request.queries.as_bytes().len(), *size, reply)?;
        if info.truncation {
            handler.metrics.dns.truncated.count();
        }
        Ok(info)
    }
}

/// Nobody else has it: it is a mutex only because a request handler may be shared.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use hickory_proto::op::Message;

    use super::super::super::{Options, ZoneContent, Zones};
    use super::*;
    use crate::balance::{Engine, Plan};
    use crate::metrics::Metrics;

    const QUERY: &[u8] = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x02ns\x06athena\0\0\x01\0\x01";
    const ZONE: &str = "$TTL 0\n@ SOA ns root 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

    fn exchange() -> Exchange {
        let now = Moment::from_unix(Duration::from_secs(1000));
        let engine = Arc::new(Engine::new(Plan::default(), now).unwrap());
        let content = ZoneContent::parse(Path::new("zone"), ZONE, &"athena.".parse().unwrap()).unwrap();
        let zones = Zones::new(&[content], &[]).unwrap();
        let handler = Handler::new(engine, zones, Options::default(), Arc::new(Metrics::default())).unwrap();
        Exchange {
            request: request(QUERY, "127.0.0.1:53".parse().unwrap(), Transport::Tcp).unwrap(),
            authority: handler.authority.load_full(),
            handler: Arc::new(handler),
            transport: Transport::Tcp,
            now,
            may_wait: true,
            random: Mutex::new(SplitMix::new(1)),
            desk: Mutex::new(Desk { size: Size::default(), reply: Vec::new() }),
        }
    }

    #[test]
    fn a_request_goes_in_and_a_response_comes_out() {
        let mut out = b"left over".to_vec();
        assert!(matches!(exchange().begin(&mut SplitMix::new(1), &mut out), Begun::Written));
        let message = Message::from_vec(&out).unwrap();
        assert_eq!((message.metadata.id, message.answers.len()), (0xabcd, 1));
    }

    /// Cannot write records.
    #[derive(Clone)]
    struct Bare(Inbox);

    #[async_trait]
    impl ResponseHandler for Bare {
        async fn send_response<'a>(
            &mut self,
            response: MessageResponse<
                '_,
                'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
                impl Iterator<Item = &'a Record> + Send + 'a,
            >,
        ) -> Result<ResponseInfo, NetError> {
            if response.metadata().response_code == ResponseCode::NoError {
                return Err(NetError::from("no records, please"));
            }
            self.0.send_response(response).await
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_servfail() {
        let exchange = Arc::new(exchange());
        let bare = Bare(Inbox(Arc::clone(&exchange)));
        let info = exchange.handle_request::<_, TokioTime>(&exchange.request, bare).await;
        assert_eq!(info.response_code, ResponseCode::ServFail);
        let message = Message::from_vec(&locked(&exchange.desk).reply).unwrap();
        assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::ServFail, 0));
        assert_eq!((message.metadata.id, message.queries.len()), (0xabcd, 1));
    }
}
