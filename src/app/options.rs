//! What the configuration says, in each shell's own words. The shells do not know the configuration; this is where the two
//! vocabularies meet.

use std::path::Path;
use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::balance::registration::Registration;
use crate::balance::token::{TokenKey, TokenKeys};
use crate::balance::{Engine, Farm};
use crate::config::{Config, MirrorPeer, Records, Secret};
use crate::dns::{self, CookieOptions, TcpOptions, ZoneContent, ZoneError, Zones};
use crate::http::access::{Access, Gate, Key};
use crate::http::{self, Limits, Shown};
use crate::mirror;

/// Reads the zones and binds the farms into the first of them. Gives every problem of every zone file.
pub fn zones(config: &Config, engine: &Engine) -> Result<Zones, Vec<ZoneError>> {
    zones_with(config, &engine.farms())
}

/// The same with farms that no engine has yet.
pub(super) fn zones_with(config: &Config, farms: &[Arc<Farm>]) -> Result<Zones, Vec<ZoneError>> {
    let mut contents = Vec::new();
    let mut problems = Vec::new();
    for zone in &config.zones {
        let apex = Name::from_ascii(&zone.name).expect("the configuration's check takes names of zones only");
        let content = match &zone.records {
            Records::File(file) => ZoneContent::load(file, &apex),
            Records::Text(text) => ZoneContent::parse(Path::new("built in"), text, &apex),
        };
        match content {
            Ok(content) => {
                content.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                contents.push(content);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Zones::new(&contents, farms)
}

/// How DNS answers, forwarding aside.
pub fn dns_options(config: &Config) -> dns::Options {
    let dns = &config.dns;
    dns::Options {
        explain: dns.explain,
        ecs: dns.ecs,
        max_udp: dns.max_udp,
        max_udp_local: dns.max_udp_local,
        nsid: dns.nsid.as_ref().map(|nsid| nsid.as_bytes().to_vec()),
        version: dns.version.clone(),
        server_id: dns.id.clone(),
        cookies: CookieOptions {
            enabled: dns.cookies,
            secrets: dns.cookie_secrets.iter().map(|secret| *secret.expose()).collect(),
        },
        tcp: TcpOptions {
            connections: dns.tcp_connections,
            connections_per_client: dns.tcp_connections_per_client,
            idle: dns.tcp_idle,
            ..TcpOptions::default()
        },
        https_path: dns.tls.https_path.clone(),
        log_queries: dns.log_queries,
        forward: None,
    }
}

/// The keys of sticky tokens. The configuration's check refuses empty ones.
pub fn token_keys(config: &Config) -> TokenKeys {
    let key = |secret: &Option<Secret<String>>| TokenKey::new(secret.as_ref()?.expose().as_bytes()).ok();
    match key(&config.cookie.key) {
        Some(first) => TokenKeys::new(first, key(&config.cookie.former_key)),
        None => TokenKeys::default(),
    }
}

/// Whether and how backends may register.
pub fn registration(config: &Config) -> Option<Registration> {
    config.access.auto_register.as_ref().map(|it| it.rules)
}

/// How HTTP answers, without TLS.
pub fn http_options(config: &Config) -> http::Options {
    let (http, access) = (&config.http, &config.access);
    let source = Arc::clone(&config.source);
    let gate = |networks: &[ipnet::IpNet], key: &Option<Secret<String>>| Gate {
        networks: networks.to_vec(),
        key: key.as_ref().and_then(|key| Key::new(key.expose().as_bytes())),
    };
    http::Options {
        path: http.path.clone(),
        max_embed: http.max_embed,
        allow_diverse_multi: http.allow_diverse_multi,
        zones: config.zones.iter().map(|zone| zone.name.clone()).collect(),
        configuration: Shown::new(move || source.shown()),
        tls: None,
        cookie: config.cookie.name.clone(),
        access: Access {
            query: gate(&access.query, &access.query_key),
            update: gate(&access.update, &access.update_key),
            admin: gate(&access.admin, &access.admin_key),
            trusted_proxies: access.trusted_proxies.clone(),
        },
        register: access.auto_register.as_ref().map(|it| it.networks.clone()),
        limits: Limits {
            connections: http.connections,
            connections_per_address: http.connections_per_client,
            head: http.header_timeout,
            body: http.body_timeout,
            idle: http.idle_timeout,
            ..Limits::default()
        },
    }
}

/// How to mirror.
pub fn mirror_options(config: &Config) -> mirror::Options {
    let mirror = &config.mirror;
    let peer = |peer: &MirrorPeer| mirror::Peer {
        tls: peer.tls,
        host: peer.host.clone(),
        port: peer.port,
        base: peer.base.clone(),
    };
    mirror::Options {
        peers: mirror.peers.iter().map(peer).collect(),
        authorities: mirror.authorities.clone(),
        key: mirror.key.as_ref().map(|key| key.expose().clone()),
        name: mirror.name.clone(),
        queue: mirror.queue,
        wait: mirror.wait,
        register: config.access.auto_register.as_ref().map(|it| it.networks.clone()),
    }
}
