//! Zone files. What is taken must make an index in which every owner is found, or be refused there with reasons; what is
//! refused must say where, on a line that the file has, and what.

use std::path::Path;
use std::sync::Arc;

use athena::balance::plan::{BackendPlan, FarmPlan};
use athena::balance::random::SplitMix;
use athena::balance::{Engine, Farm, Moment, Name, Plan, algorithm};
use athena::dns::zone::Found;
use athena::dns::{ZoneContent, Zones, name};

use super::text::Target;

/// See the head of this file.
pub struct Zone {
    apex: hickory_proto::rr::Name,
    farms: Vec<Arc<Farm>>,
}

impl Zone {
    /// With two farms.
    pub fn new() -> Result<Self, String> {
        let name = |text: &str| Name::parse(text).map_err(|error| error.to_string());
        let rule = algorithm::find("random").ok_or("no such rule")?;
        let address = "10.0.0.1".parse().map_err(|_| "no address".to_owned())?;
        let backends = vec![BackendPlan::new(name("a")?, vec![address])];
        let farm = |text: &str| Ok::<_, String>(FarmPlan::new(name(text)?, vec![name("a")?], rule));
        let plan = Plan { backends, farms: vec![farm("farm_one")?, farm("shop")?] };
        let engine = Engine::new(plan, Moment::ZERO).map_err(|problems| format!("{problems:?}"))?;
        Ok(Self { apex: "athena.".parse().map_err(|error| format!("{error}"))?, farms: engine.farms() })
    }
}

impl Target for Zone {
    fn corpus(&self) -> Vec<Vec<u8>> {
        let files = [include_str!("corpus/plain.zone"), include_str!("corpus/odd.zone")];
        files.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "$ORIGIN ",
            "$TTL ",
            "$INCLUDE nothing\n",
            "@",
            "*",
            " IN ",
            " CH ",
            " A ",
            "AAAA",
            "CNAME",
            "SOA",
            "NS",
            "(",
            ")",
            "\"",
            "\\000",
            "\\",
            ";",
            "1h30m",
            "4294967296",
            "TYPE65280 \\# 4 0a000001",
            "farm_one",
            "phys",
            "all",
            "spares",
            "again",
            "_http._tcp",
            "..",
            ".",
            "\n",
            "\t",
            "192.0.2.1",
            "CAA 0 issue \"x\"",
        ]
    }

    fn check(&mut self, input: &[u8], _: &mut SplitMix) -> Result<bool, String> {
        let text = String::from_utf8_lossy(input);
        // A file that is included is another fuzzer's: what it says of itself has lines of its own.
        let lines = text.split('\n').count();
        let content = match ZoneContent::parse(Path::new("a.zone"), &text, &self.apex) {
            Ok(content) => content,
            Err(errors) => {
                let beyond = |error: &&athena::dns::ZoneError| error.line > lines;
                if let Some(error) = errors.iter().find(beyond) {
                    return Err(format!("not in the file: {error}"));
                }
                return if errors.is_empty() {
                    Err("refused without a reason".to_owned())
                } else {
                    Ok(false)
                };
            }
        };
        let zones = match Zones::new(std::slice::from_ref(&content), &self.farms) {
            Ok(zones) => zones,
            Err(errors) if errors.is_empty() => return Err("no index, without a reason".to_owned()),
            Err(_) => return Ok(false),
        };
        for entry in &content.entries {
            let owner = name::to_lower_wire(&entry.record.name);
            if matches!(zones.find(&owner), Found::Outside | Found::Nothing(_)) {
                return Err(format!("the record on line {} is not found: {}", entry.line, entry.record));
            }
        }
        Ok(true)
    }
}
