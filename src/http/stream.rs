//! A connection as the HTTP library sees it, with two things done on the way that the library does not do.
//!
//! **Quotes.** mod_athena's clients write `f="%h,%c"` into the URL as it stands. The `http` crate refuses a raw `"` in a
//! query (RFC 3986 does not allow it), so in request lines it becomes a backquote, which that crate takes and
//! [`query`](super::text::query) reads as a quote; it is no character of a URL either. To know request lines from
//! everything else, [`Scanner`] follows the messages: lines, header fields, `Content-Length`. A message whose end it
//! cannot know (chunked) is the last one it looks at. A request line that is too long is cut off behind its limit, so
//! that however long it is, it costs no memory and is refused with 414.
//!
//! **Patience.** One timer a connection ticks a few times per time-out. A request that arrives in time costs no timer
//! operation at all; the library's own time-out would arm a timer for each request. The head of a request must be
//! complete within its limit however its octets trickle; between requests, and while an answer is written, something
//! must move.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::options::Limits;

/// Ticks per time-out: a limit is kept to within a quarter of the shortest.
const TICKS: u32 = 4;

/// A connection with quotes and patience.
pub struct Stream<I> {
    io: I,
    scanner: Scanner,
    patience: Patience,
}

impl<I> Stream<I> {
    /// Wraps a connection. Needs a runtime with a timer.
    pub fn new(io: I, limits: &Limits) -> Self {
        Self { io, scanner: Scanner::new(limits.request_line), patience: Patience::new(limits) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Stream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let before = buffer.filled().len();
            let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(context, buffer) else {
                let waits = if this.scanner.is_in_head() { Wait::Head } else { Wait::Idle };
                return this.patience.poll(waits, context).map(Err);
            };
            read?;
            let fresh = &mut buffer.filled_mut()[before..];
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let was_in_head = this.scanner.is_in_head();
            let kept = this.scanner.scan(fresh);
            buffer.set_filled(before + kept);
            // The head's time runs from its first octet to its last, whatever comes in between.
            if !(was_in_head && this.scanner.is_in_head()) {
                this.patience.moved();
            }
            // No octets would mean the end of the connection.
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> Stream<I> {
    fn written(&mut self, written: io::Result<usize>) -> Poll<io::Result<usize>> {
        self.patience.moved();
        Poll::Ready(written)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(context, octets) {
            Poll::Ready(written) => self.written(written),
            Poll::Pending => self.patience.poll(Wait::Write, context).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write_vectored(context, octets) {
            Poll::Ready(written) => self.written(written),
            Poll::Pending => self.patience.poll(Wait::Write, context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A request, or the rest of a body.
    Idle,
    /// The rest of a head.
    Head,
    /// The client to read.
    Write,
}

/// How long a connection has waited, in ticks of one timer.
struct Patience {
    /// Most ticks for each [`Wait`].
    most: [u32; 3],
    timer: Interval,
    /// Ticks since something moved.
    waited: u32,
}

impl Patience {
    fn new(limits: &Limits) -> Self {
        let shortest = limits.idle.min(limits.head).min(limits.write);
        let tick = (shortest / TICKS).max(Duration::from_millis(1));
        let ticks =
            |limit: Duration| u32::try_from(limit.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u32::MAX);
        let most = [ticks(limits.idle), ticks(limits.head), ticks(limits.write)];
        let mut timer = interval(tick);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.reset();
        Self { most, timer, waited: 0 }
    }

    fn moved(&mut self) {
        self.waited = 0;
    }

    /// Ready when it has waited for too long.
    fn poll(&mut self, wait: Wait, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.timer.poll_tick(context));
            self.waited += 1;
            // The first tick came at any time in its span.
            if self.waited > self.most[wait as usize] {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Follows the messages of a connection: see the module's head.
#[derive(Debug)]
struct Scanner {
    place: Place,
    /// Most octets of a request line.
    limit: usize,
}

#[derive(Debug, PartialEq)]
enum Place {
    /// Before or in a request line, with its octets and spaces so far.
    RequestLine { length: usize, spaces: usize },
    /// In the header, with the body that it has announced.
    Header { line: HeaderLine, body: u64 },
    /// In a body, with the octets left of it.
    Body(u64),
    /// Nobody knows.
    Lost,
}

impl Place {
    const START: Self = Self::RequestLine { length: 0, spaces: 0 };
}

/// A header field as far as it was read: enough of it to know the two that announce a body.
#[derive(Debug, PartialEq)]
struct HeaderLine {
    start: [u8; HeaderLine::KEPT],
    length: usize,
}

impl HeaderLine {
    /// `transfer-encoding:`, or `content-length:`, white space and the digits of 2^64.
    const KEPT: usize = 48;
    const EMPTY: Self = Self { start: [0; Self::KEPT], length: 0 };

    fn push(&mut self, octet: u8) {
        if let Some(place) = self.start.get_mut(self.length) {
            *place = octet.to_ascii_lowercase();
        }
        self.length += 1;
    }

    fn text(&self) -> &[u8] {
        let kept = &self.start[..self.length.min(Self::KEPT)];
        kept.strip_suffix(b"\r").unwrap_or(kept)
    }

    /// The length of the body that this field announces; `None`: there is no knowing it.
    fn body(&self) -> Option<Option<u64>> {
        let text = self.text();
        if text.starts_with(b"transfer-encoding:") {
            return Some(None);
        }
        let length = text.strip_prefix(b"content-length:")?.trim_ascii();
        Some(std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()))
    }
}

impl Scanner {
    fn new(limit: usize) -> Self {
        Self { place: Place::START, limit }
    }

    /// Whether a head has begun and not ended.
    fn is_in_head(&self) -> bool {
        matches!(self.place, Place::RequestLine { length: 1.., .. } | Place::Header { .. })
    }

    /// Looks at fresh octets, replaces quotes in request lines, takes out what is too long; gives how many are left.
    fn scan(&mut self, octets: &mut [u8]) -> usize {
        let (mut at, mut kept) = (0, 0);
        while at < octets.len() {
            match &mut self.place {
                Place::Lost => {
                    octets.copy_within(at.., kept);
                    return kept + octets.len() - at;
                }
                Place::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(octets.len() - at);
                    octets.copy_within(at..at + here, kept);
                    (at, kept) = (at + here, kept + here);
                    *left -= here as u64;
                    if *left == 0 {
                        self.place = Place::START;
                    }
                }
                Place::RequestLine { length, spaces } => {
                    let octet = octets[at];
                    at += 1;
                    // What is cut off lies in the target, between the spaces.
                    if *length > self.limit && *spaces == 1 && !matches!(octet, b' ' | b'\r' | b'\n') {
                        continue;
                    }
                    octets[kept] = if octet == b'"' { b'`' } else { octet };
                    kept += 1;
                    *spaces += usize::from(octet == b' ');
                    // Empty lines before a request are nothing (RFC 9112, 2.2).
                    *length += usize::from(*length > 0 || !matches!(octet, b'\r' | b'\n'));
                    if octet == b'\n' && *length > 0 {
                        self.place = Place::Header { line: HeaderLine::EMPTY, body: 0 };
                    }
                }
                Place::Header { line, body } => {
                    let octet = octets[at];
                    octets[kept] = octet;
                    (at, kept) = (at + 1, kept + 1);
                    if octet != b'\n' {
                        line.push(octet);
                        continue;
                    }
                    self.place = match (line.text(), line.body()) {
                        ([], _) if *body == 0 => Place::START,
                        ([], _) => Place::Body(*body),
                        (_, None) => Place::Header { line: HeaderLine::EMPTY, body: *body },
                        (_, Some(Some(length))) => Place::Header { line: HeaderLine::EMPTY, body: length },
                        (_, Some(None)) => Place::Lost,
                    };
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out when the octets come in pieces of this length.
    fn scanned(text: &str, piece: usize, limit: usize) -> String {
        let mut scanner = Scanner::new(limit);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            let mut octets = piece.to_vec();
            let kept = scanner.scan(&mut octets);
            out.extend_from_slice(&octets[..kept]);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_change_in_request_lines_alone() {
        let text = "GET /?f=\"a\" HTTP/1.1\r\nHost: \"x\"\r\n\r\n\
                    POST /?f=\"b\" HTTP/1.1\r\nCONTENT-LENGTH: 12\r\nX: y\r\n\r\n{\"a\":\"\n\n\"}\n\r\n\
                    GET /?f=\"c\" HTTP/1.1\n\nGET /\"d HTTP/1.1\r\n";
        let expected = text
            .replace("f=\"a\"", "f=`a`")
            .replace("f=\"b\"", "f=`b`")
            .replace("f=\"c\"", "f=`c`")
            .replace("/\"d", "/`d");
        for piece in 1..text.len() {
            assert_eq!(scanned(text, piece, 100), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn after_a_body_without_known_end_nothing_changes_any_more() {
        for field in ["Transfer-Encoding: chunked", "Content-Length: 5, 5"] {
            let text =
                format!("POST / HTTP/1.1\r\n{field}\r\n\r\n5\r\nGET \"\r\n0\r\n\r\nGET /\" HTTP/1.1\r\n");
            assert_eq!(scanned(&text, 7, 100), text);
        }
    }

    #[test]
    fn a_request_line_is_cut_off_behind_its_limit_but_keeps_its_version() {
        let text = format!("GET /{} HTTP/1.1\r\nA: b\r\n\r\n", "x".repeat(1000));
        for piece in [1, 3, 1000] {
            let out = scanned(&text, piece, 50);
            let line = out.lines().next().unwrap();
            assert!(line.len() == 51 + " HTTP/1.1".len(), "{line}");
            assert!(line.ends_with("x HTTP/1.1") && out.ends_with("\r\nA: b\r\n\r\n"), "{out}");
        }
        let text = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(36));
        assert_eq!(scanned(&text, 5, 50), text);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in r#"([GETx:" \r\n]|content-length:[0-9]{1,2}\r\n){0,80}"#, piece in 1usize..20) {
            prop_assert_eq!(scanned(&text, piece, 30), scanned(&text, text.len().max(1), 30));
        }
    }
}
