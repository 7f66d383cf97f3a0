//! JSON: the value at the end of a path. true is 1 and false 0; a string counts if it is a number.

use serde_json::Value;

use super::found::Found;
use super::selector::{Place, Selector, Step};
use super::{Nonsense, shown};

/// The numbers at the ends of these selectors' paths, in their order.
pub fn read<'s>(page: &str, selectors: impl Iterator<Item = &'s Selector>) -> Result<Vec<f64>, Nonsense> {
    // It goes 128 levels deep and no further.
    let root: Value =
        serde_json::from_str(page).map_err(|error| Nonsense::NotJson(shown(&error.to_string())))?;
    let value = |selector: &Selector| {
        let mut found = Found::default();
        if let Place::Steps(steps) = &selector.place {
            collect(&root, steps, selector, &mut found)?;
        }
        found.settle(selector)
    };
    selectors.map(value).collect()
}

fn collect(value: &Value, steps: &[Step], selector: &Selector, found: &mut Found) -> Result<(), Nonsense> {
    let Some((step, rest)) = steps.split_first() else {
        found.add(
            number(value)
                .ok_or_else(|| Nonsense::NotFinite(selector.to_string(), shown(&value.to_string())))?,
        );
        return Ok(());
    };
    match (step, value) {
        (Step::Into(name), Value::Object(members)) => {
            members.get(name).map_or(Ok(()), |value| collect(value, rest, selector, found))
        }
        (Step::Into(name), Value::Array(items)) => {
            let item = name.parse::<usize>().ok().and_then(|index| items.get(index));
            item.map_or(Ok(()), |value| collect(value, rest, selector, found))
        }
        (Step::Each, Value::Object(members)) => {
            members.values().try_for_each(|value| collect(value, rest, selector, found))
        }
        (Step::Each, Value::Array(items)) => {
            items.iter().try_for_each(|value| collect(value, rest, selector, found))
        }
        _ => Ok(()),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
