//! DNS over QUIC (RFC 9250): each query on a stream of its own, so that none waits for another.
//!
//! Early data is not taken: a query that is replayed would move a rotation.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::balance::random::SplitMix;

use super::super::handler::Begun;
use super::super::query::Query;
use super::super::server::{Seat, Shared, stopped};
use super::super::transport::Transport;
use super::HANDSHAKE;

/// RFC 9250, 4.3: nothing went wrong.
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);
/// RFC 9250, 4.3: the peer did what the protocol forbids.
const DOQ_PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
/// Octets of the length in front of a message (RFC 9250, 4.2), and of both.
const PREFIX: usize = 2;
const MAX_MESSAGE: usize = PREFIX + u16::MAX as usize;
/// Queries of one connection that are answered at the same time.
const STREAMS: u32 = 100;
/// Octets of one connection that wait on either side.
const WINDOW: u32 = 1 << 18;

/// Serves a socket until `stop` turns true or its sender is gone; then answers what is open, says good-bye and returns.
pub async fn serve(
    socket: UdpSocket,
    tls: Arc<rustls::ServerConfig>,
    shared: Shared,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let config = config(tls, shared.handler.authority().options.tcp.idle)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)?;
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "dns: a quic connection ended in a panic");
                }
                continue;
            }
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // Who may have forged its address must show that it reads there before it takes one of the last seats.
        if shared.is_crowded() && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let client = incoming.remote_address();
        match shared.seat(client) {
            Some(seat) => {
                shared.handler.metrics().quic_accepted.count();
                connections.spawn(converse(incoming, client, shared.clone(), seat, stop.clone()));
            }
            None => {
                shared.handler.metrics().quic_refused.count();
                incoming.refuse();
            }
        }
    }
    while connections.join_next().await.is_some() {}
    endpoint.close(DOQ_NO_ERROR, b"");
    let patience = shared.handler.authority().options.tcp.write;
    let _ = timeout(patience, endpoint.wait_idle()).await;
    Ok(())
}

fn config(tls: Arc<rustls::ServerConfig>, idle: Duration) -> io::Result<ServerConfig> {
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(MAX_MESSAGE as u32))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle.try_into().unwrap_or_else(|_| VarInt::MAX.into())));
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// One connection to its end.
async fn converse(
    incoming: Incoming,
    client: SocketAddr,
    shared: Shared,
    _seat: Seat,
    mut stop: watch::Receiver<bool>,
) {
    let shaken = async { incoming.accept()?.await };
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE, shaken) => shaken,
        () = stopped(&mut stop) => return,
    };
    let Ok(Ok(connection)) = shaken else {
        shared.handler.metrics().handshake_failed.count();
        return;
    };
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, receive)) => {
                    streams.spawn(answer(connection.clone(), send, receive, client, shared.clone()));
                }
                // How a connection ends is the client's affair; quinn ends it when it is idle.
                Err(_) => return,
            },
            Some(_) = streams.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    // What came before the stop is answered.
    for _ in 0..STREAMS {
        let Ok(Ok((send, receive))) = timeout(Duration::ZERO, connection.accept_bi()).await else { break };
        streams.spawn(answer(connection.clone(), send, receive, client, shared.clone()));
    }
    while streams.join_next().await.is_some() {}
    connection.close(DOQ_NO_ERROR, b"");
}

/// One query and its reply.
async fn answer(
    connection: Connection,
    mut send: SendStream,
    mut receive: RecvStream,
    client: SocketAddr,
    shared: Shared,
) {
    let limits = shared.handler.authority().options.tcp.clone();
    // RFC 9250, 4.2: the client says that there is no more, and nothing but one message was there.
    let octets = match timeout(limits.idle, receive.read_to_end(MAX_MESSAGE)).await {
        Ok(Ok(octets)) => octets,
        Ok(Err(quinn::ReadToEndError::TooLong)) => {
            return connection.close(DOQ_PROTOCOL_ERROR, b"more than one message on a stream");
        }
        // The stream was given up by the client, or is by us.
        Ok(Err(quinn::ReadToEndError::Read(_))) | Err(_) => return,
    };
    let Some(message) = whole_message(&octets) else {
        return connection.close(DOQ_PROTOCOL_ERROR, b"a stream holds one message with its length");
    };
    if let Some(why) = fatal(message) {
        let metrics = shared.handler.metrics();
        Transport::Quic.counter(metrics).count();
        metrics.dropped.count();
        return connection.close(DOQ_PROTOCOL_ERROR, why);
    }
    let (mut reply, mut random) = (Vec::new(), SplitMix::from_system());
    let now = shared.clock.now();
    match shared.handler.begin(message, client, Transport::Quic, now, &mut random, &mut reply) {
        Begun::Nothing => return connection.close(DOQ_PROTOCOL_ERROR, b"no query"),
        Begun::Written => {}
        Begun::Later(later) => reply = later.complete().await,
    }
    // A reply is never longer than its length can tell.
    let Ok(length) = u16::try_from(reply.len()) else { return };
    let sent = async {
        send.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()).await?;
        // RFC 9250, 4.2: the FIN says that the answer is whole. It has arrived when the client has acknowledged it.
        let _ = send.finish();
        let _ = send.stopped().await;
        Ok::<_, quinn::WriteError>(())
    };
    if !matches!(timeout(limits.write, sent).await, Ok(Ok(()))) {
        shared.handler.metrics().send_failed.count();
    }
}

/// The one message with its length that a stream holds.
fn whole_message(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk::<PREFIX>()?;
    (message.len() == usize::from(u16::from_be_bytes(*length))).then_some(message)
}

/// What ends the connection.
fn fatal(message: &[u8]) -> Option<&'static [u8]> {
    let query = Query::read(message)?;
    if query.id != 0 {
        // RFC 9250, 4.2.1
        return Some(b"a message id other than 0");
    }
    // RFC 9250, 5.5.2
    query.edns.is_some_and(|edns| edns.keepalive).then_some(b"edns-tcp-keepalive")
}
