//! `[dns.tls]`, and the certificates of both shells: read and proven here, so that a bad one is refused with its place.

use std::net::SocketAddr;

use super::super::file::Origin;
use super::super::node::Node;
use super::super::{AgentCheck, Dns, DnsTls, Http};
use super::{Check, at};
use crate::tls::Certificate;

impl<'a> Check<'a> {
    /// `[dns.tls]`
    pub fn dns_tls(&mut self, root: Node<'a>) -> DnsTls {
        let certificate = self.certificate(root, ["dns", "tls", "cert"], ["dns", "tls", "key"]);
        let mut listen = |name: &'static str, port| {
            let path = ["dns", "tls", name];
            let addresses = self.listen(root, &path, port);
            let node = at(root, &path).filter(|_| !addresses.is_empty());
            if let (Some(node), None) = (node, at(root, &["dns", "tls", "cert"])) {
                self.wrong(node, "needs a certificate: give dns.tls.cert and dns.tls.key");
            }
            addresses
        };
        let (tls_listen, https_listen) = (listen("tls_listen", 853), listen("https_listen", 443));
        let quic_listen = listen("quic_listen", 853);
        DnsTls { certificate, tls_listen, https_listen, https_path: self.https_path(root), quic_listen }
    }

    /// A certificate and its key, if they are given: both files there, both PEM, of one pair.
    pub fn certificate<const N: usize>(
        &mut self,
        root: Node<'a>,
        cert: [&'static str; N],
        key: [&'static str; N],
    ) -> Option<Certificate> {
        let (cert_node, key_node) = match (at(root, &cert), at(root, &key)) {
            (Some(cert_node), Some(key_node)) => (cert_node, key_node),
            (Some(node), None) => {
                let text = format!("needs {}: the file of the certificate's private key", key.join("."));
                self.wrong(node, text);
                return None;
            }
            (None, Some(node)) => {
                self.wrong(node, format!("needs {}: the file of the certificate", cert.join(".")));
                return None;
            }
            (None, None) => return None,
        };
        let before = self.found.len();
        let (cert, key) = (self.file(cert_node), self.file(key_node));
        let (Some(cert), Some(key)) = (cert, key) else { return None };
        if self.found.len() > before {
            return None;
        }
        match Certificate::load(&cert, &key) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                let node = if error.is_about_key(&key) { key_node } else { cert_node };
                self.wrong(node, error.to_string());
                None
            }
        }
    }

    fn https_path(&mut self, root: Node<'a>) -> String {
        let Some(node) = at(root, &["dns", "tls", "https_path"]) else { return String::new() };
        let Some(text) = self.text(node) else { return String::new() };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        if !text.starts_with('/') {
            self.wrong(node, format!("a path begins with '/': {text:?}; did you mean \"/{text}\"?"));
        } else if !text.bytes().all(fits) {
            self.wrong(node, format!("a path holds letters, digits and /-_.~ only: {text:?}"));
        }
        text.to_owned()
    }

    /// DNS listens on TCP and UDP, HTTP, TLS and agent-checks on TCP, QUIC on UDP: no two may ask for the same.
    pub fn shared_ports(&mut self, root: Node<'a>, dns: &Dns, http: &Http, agent_check: &AgentCheck) {
        let plain: Listener<'_> = (&["dns", "listen"], &dns.listen);
        let tcp: [Listener<'_>; 5] = [
            plain,
            (&["http", "listen"], &http.listen),
            (&["agent_check", "listen"], &agent_check.listen),
            (&["dns", "tls", "tls_listen"], &dns.tls.tls_listen),
            (&["dns", "tls", "https_listen"], &dns.tls.https_listen),
        ];
        self.shared(root, "TCP", &tcp);
        self.shared(root, "UDP", &[plain, (&["dns", "tls", "quic_listen"], &dns.tls.quic_listen)]);
    }

    fn shared(&mut self, root: Node<'a>, protocol: &str, listeners: &[Listener<'_>]) {
        for (index, (path, addresses)) in listeners.iter().enumerate() {
            for (earlier, taken) in &listeners[..index] {
                let shared = |address: &&SocketAddr| address.port() != 0 && taken.contains(address);
                let Some(address) = addresses.iter().find(shared) else { continue };
                let places = [at(root, path), at(root, earlier)];
                // The one that the user wrote.
                let written = places.into_iter().flatten().find(|node| node.origin() != Origin::BuiltIn);
                if let Some(node) = written {
                    let (one, other) = (earlier.join("."), path.join("."));
                    let text =
                        format!("{address} is taken twice: {one} and {other} both need {protocol} on it");
                    self.wrong(node, text);
                }
            }
        }
    }
}

/// A key, and the addresses that it gives.
type Listener<'l> = (&'static [&'static str], &'l Vec<SocketAddr>);
