//! What nginx's stub_status says:
//!
//! ```text
//! Active connections: 291
//! server accepts handled requests
//!  16630948 16630948 31070465
//! Reading: 6 Writing: 179 Waiting: 106
//! ```
//!
//! The second line names the columns of the third; Tengine has one more.

use super::selector::{NGINX, Place, Selector};
use super::{Nonsense, shown};

/// The numbers that these selectors name, in their order.
pub fn read<'s>(page: &str, selectors: impl Iterator<Item = &'s Selector>) -> Result<Vec<f64>, Nonsense> {
    let mut lines = page.lines();
    let mut line = || lines.next().unwrap_or("").trim();
    let active = line().strip_prefix("Active connections:").map(str::trim);
    let columns = line().strip_prefix("server ").map(str::split_whitespace);
    let (Some(active), Some(columns)) = (active, columns) else {
        return Err(Nonsense::NotStubStatus(shown(page.trim().lines().next().unwrap_or(""))));
    };
    let totals = columns.zip(line().split_whitespace());
    let mut words = line().split_whitespace();
    let states = std::iter::from_fn(|| Some((words.next()?.strip_suffix(':')?, words.next()?)));
    let all: Vec<(&str, &str)> =
        std::iter::once((NGINX[0], active)).chain(totals).chain(states).take(2 * NGINX.len()).collect();
    let value = |selector: &Selector| {
        let Place::Column(wanted) = selector.place else {
            return Err(Nonsense::Missing(selector.to_string()));
        };
        let text = all.iter().find(|(name, _)| *name == wanted).map(|(_, text)| *text);
        let text = text.ok_or_else(|| Nonsense::Missing(selector.to_string()))?;
        let whole: u64 = text.parse().map_err(|_| Nonsense::NotFinite(selector.to_string(), shown(text)))?;
        Ok(whole as f64)
    };
    selectors.map(value).collect()
}
