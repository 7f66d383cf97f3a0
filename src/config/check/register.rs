//! `access.auto_register` and the keys beside it.

use super::super::node::Node;
use super::super::{Access, AutoRegister};
use super::{Check, at};
use crate::balance::registration::Registration;

/// Most backends that may be registered at once.
const LIMITS: std::ops::RangeInclusive<u64> = 1..=10_000;

impl<'a> Check<'a> {
    /// Whether and how backends may register, beside the rest of `access`.
    pub fn auto_register(&mut self, root: Node<'a>, access: &Access) -> Option<AutoRegister> {
        let limit = self.count_in(root, &["access", "auto_register_limit"], LIMITS);
        let silence = self.span_in(root, &["access", "auto_register_leave"]);
        let own = at(root, &["access", "auto_register_networks"]).is_some();
        let own = own.then(|| self.networks(root, &["access", "auto_register_networks"]));
        let wanted = at(root, &["access", "auto_register"]).filter(|node| self.truth(*node))?;
        if access.update_key.is_none() {
            self.wrong(wanted, "anybody could join a farm; access.update_key says who may");
        }
        let networks = own.unwrap_or_else(|| access.update.clone());
        Some(AutoRegister { rules: Registration { limit, silence }, networks })
    }
}
