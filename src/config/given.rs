//! What comes from the environment and from flags: a name, the path of a key, and text.
//!
//! `ATHENA_HTTP__PATH=/lb` is `http.path`: two underscores go one level down, and names are in lower case. A variable of
//! a list may hold TOML, `["127.0.0.1:53", "[::1]:53"]`, or one item as it is; one of a whole section holds an inline
//! table.

/// Begins the name of every variable.
const PREFIX: &str = "ATHENA_";

/// Variables of the command line's own.
const COMMAND_LINE: [&str; 6] =
    ["ATHENA_CONFIG", "ATHENA_SERVER", "ATHENA_PATH", "ATHENA_KEY", "ATHENA_LOG", "ATHENA_LOG_FORMAT"];

/// One value from outside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The variable or flag.
    pub name: String,
    /// Its key.
    pub path: Vec<String>,
    /// What it says; several texts are a list.
    pub texts: Vec<String>,
}

impl Given {
    /// What a flag says: `Given::flag("--dns-listen", "dns.listen", texts)`.
    pub fn flag(name: &str, path: &str, texts: Vec<String>) -> Self {
        Self { name: name.to_owned(), path: path.split('.').map(str::to_owned).collect(), texts }
    }

    /// What these environment variables say about the configuration, in an order that does not depend on theirs.
    pub fn variables(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Self> {
        let mut given: Vec<_> =
            variables.into_iter().filter_map(|(name, text)| variable(name, text)).collect();
        given.sort_by(|a, b| a.name.cmp(&b.name));
        given
    }

    /// What this process's environment says.
    pub fn environment() -> Vec<Self> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::variables(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }
}

fn variable(name: String, text: String) -> Option<Given> {
    let rest = name.strip_prefix(PREFIX)?;
    // Kubernetes describes a service named athena to every pod in such variables: ATHENA_PORT_5300_UDP=udp://…
    let kubernetes = rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
    if rest.is_empty() || kubernetes || COMMAND_LINE.contains(&name.as_str()) {
        return None;
    }
    let path = rest.split("__").map(str::to_ascii_lowercase).collect();
    Some(Given { name, path, texts: vec![text] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_underscores_go_one_level_down() {
        let variables = [
            ("ATHENA_HTTP__PATH", "/lb"),
            ("ATHENA_FARMS__FARM_ONE__TTL", "5"),
            ("ATHENA_ZONE_FILE", "z"),
            ("HOME", "/root"),
        ];
        let given = Given::variables(variables.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let paths: Vec<_> = given.iter().map(|given| given.path.join(".")).collect();
        assert_eq!(paths, ["farms.farm_one.ttl", "http.path", "zone_file"]);
    }

    #[test]
    fn variables_of_the_command_line_and_of_kubernetes_are_no_keys() {
        let names = ["ATHENA_SERVER", "ATHENA_KEY", "ATHENA_CONFIG", "ATHENA_LOG", "ATHENA_PORT", "ATHENA_"];
        let more = ["ATHENA_SERVICE_HOST", "ATHENA_PORT_5300_UDP_ADDR"];
        let variables = names.iter().chain(&more).map(|name| (String::from(*name), "x".to_owned()));
        assert_eq!(Given::variables(variables), []);
    }
}
