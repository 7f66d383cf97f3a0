//! The door to whoever answers after a while: hickory-server's request and response handlers.
//!
//! Behind it may stand whatever speaks these two traits; in this house that is [`Upstreams`]. The request is made anew from
//! what the client wants to know, so that no octet of a client's reaches the library's parser or an upstream; the response
//! comes back as octets, is read as any message of others is, and is written to the client by our own rules.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};

use super::upstreams::Upstreams;
use super::{Found, Wanted};

/// Puts a question to `handler` in the name of `client`, and waits for the answer.
pub async fn ask(handler: &impl RequestHandler, wanted: &Wanted, client: SocketAddr) -> Found {
    let Ok(request) = request(wanted, client) else { return Found::nothing() };
    let inbox = Inbox::default();
    handler.handle_request::<_, TokioTime>(&request, inbox.clone()).await;
    let answer = inbox.message.lock().unwrap_or_else(PoisonError::into_inner).take();
    match answer.map(|octets| Message::from_vec(&octets)) {
        Some(Ok(message)) => Found {
            code: message.metadata.response_code,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        },
        _ => Found::nothing(),
    }
}

fn request(wanted: &Wanted, client: SocketAddr) -> Result<Request, ProtoError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = wanted.checking_disabled;
    message.add_query(Query::query(wanted.name.clone(), wanted.kind));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(wanted.dnssec_ok);
    message.set_edns(edns);
    // The protocol is that of the answer's size, and that is ours to judge.
    Request::from_bytes(message.to_vec()?, client, Protocol::Tcp)
}

/// Takes one response.
#[derive(Clone, Default)]
struct Inbox {
    message: Arc<Mutex<Option<Vec<u8>>>>,
}

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
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_max_size(u16::MAX);
        let info = response.destructive_emit(&mut encoder)?;
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = Some(octets);
        Ok(info)
    }
}

#[async_trait]
impl RequestHandler for Upstreams {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let found = match request.queries.queries() {
            [query] => {
                let wanted = Wanted {
                    name: query.original().name().clone(),
                    kind: query.query_type(),
                    dnssec_ok: request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
                    checking_disabled: request.metadata.checking_disabled,
                };
                self.look_up(&wanted).await
            }
            _ => Found { code: ResponseCode::FormErr, ..Found::default() },
        };
        metadata.response_code = found.code;
        let Found { answers, authorities, additionals, .. } = &found;
        let builder = MessageResponseBuilder::from_message_request(request);
        let message = builder.build(metadata, answers, authorities, [], additionals);
        match response.send_response(message).await {
            Ok(info) => info,
            // It stays unanswered, and whoever waits for it makes SERVFAIL of that.
            Err(error) => {
                tracing::debug!(%error, "forward: an answer cannot be written");
                failed(request)
            }
        }
    }
}

/// What became of a request that got no response.
fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    hickory_proto::op::Header { metadata, counts: Default::default() }.into()
}
