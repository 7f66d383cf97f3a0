//! What Apache's mod_status says to `?auto`: one `Key: value` a line.

use super::found::Found;
use super::selector::{Place, Selector};
use super::{Nonsense, shown};

/// The numbers of the lines that these selectors name, in their order.
pub fn read<'s>(page: &str, selectors: impl Iterator<Item = &'s Selector>) -> Result<Vec<f64>, Nonsense> {
    let value = |selector: &Selector| {
        let Place::Line(key) = &selector.place else { return Err(Nonsense::Missing(selector.to_string())) };
        let lines = page.lines().enumerate();
        let mut values =
            lines.filter_map(|(number, line)| Some((number, line.strip_prefix(key)?.strip_prefix(':')?)));
        let (number, text) = values.next().ok_or_else(|| Nonsense::Missing(selector.to_string()))?;
        let text = text.trim();
        let wrong = || Nonsense::Line(number + 1, format!("no number: {}", shown(text)));
        let mut found = Found::default();
        found.add(text.parse().map_err(|_| wrong())?);
        found.settle(selector)
    };
    selectors.map(value).collect()
}
