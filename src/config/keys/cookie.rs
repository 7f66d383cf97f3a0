//! `[cookie]`: sticky tokens.

use super::Default::Nothing;
use super::Kind::{Secret, Text};
use super::{Section, key};

/// The section.
pub(super) const SECTION: Section = Section {
    path: &["cookie"],
    header: "[cookie]",
    about: "Sticky tokens, which an application signs with a key that it shares with us: as a label, as t=TOKEN, or \
            in a cookie of a text query. Better than here, keys come from the environment: ATHENA_COOKIE__KEY and \
            so on.",
    keys: &[
        key("name", Text, Nothing("\"athena\""), "The cookie's name. Left out: cookies are not read."),
        key(
            "key",
            Secret,
            Nothing("\"32 random characters or more, kept\""),
            "Signs and verifies. Left out: no token holds.",
        ),
        key(
            "former_key",
            Secret,
            Nothing("\"the key before it\""),
            "Still verifies, while applications change over to the new one.",
        ),
    ],
};
