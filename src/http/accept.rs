//! What a client wants to read.

use axum::http::header::{ACCEPT, HeaderMap};

/// How much a client wants exactly this media type, 0 to 1 (RFC 9110, 12.4.2 and 12.5.1). Wildcards want nothing in
/// particular: they get text.
pub fn accepts(headers: &HeaderMap, media: &str) -> f32 {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wanted = ranges.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0)))
    });
    wanted.fold(0.0, f32::max)
}
