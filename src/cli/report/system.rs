//! What this machine says of itself, out of Linux's `/proc` (proc(5)).
//!
//! | statistic | what it is | from |
//! | --- | --- | --- |
//! | `l` | load average of the last minute: processes that run or wait for a CPU or a disk | `/proc/loadavg` |
//! | `u` | utilisation of all CPUs since the report before, 0 to 1 | `/proc/stat` |
//! | `c` | established TCP connections, IPv4 and IPv6 | `/proc/net/snmp` |
//! | `mem` | memory in use, 0 to 1: what is not available without swapping | `/proc/meminfo` |
//! | `run` | processes that run or wait for a CPU at this moment, this one not counted | `/proc/stat` |
//! | `cores` | CPUs, so that a farm of unequal machines can say `load = "l / cores"` | `/proc/stat` |
//!
//! In a container most of this is the host's; the connections are the container's own. Five short files are read, so no
//! library is needed for it.

use std::fs;

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The file could not be read.
    #[error("{file}: {why}")]
    File {
        /// Which one.
        file: &'static str,
        /// What the system said.
        why: String,
    },
    /// It does not hold what it should.
    #[error("{file}: no {what} in it")]
    Content {
        /// Which one.
        file: &'static str,
        /// What was looked for.
        what: &'static str,
    },
}

const LOADAVG: &str = "/proc/loadavg";
const STAT: &str = "/proc/stat";
const MEMINFO: &str = "/proc/meminfo";
const SNMP: &str = "/proc/net/snmp";

/// The time that all CPUs have spent so far, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    busy: u64,
    idle: u64,
}

impl Spent {
    /// The part of the time since `before` that CPUs were busy, 0 to 1; 0 if no tick has passed.
    fn utilisation_since(self, before: Self) -> f64 {
        // A count of idle ticks may go back a little (proc(5), iowait).
        let (busy, idle) = (self.busy.saturating_sub(before.busy), self.idle.saturating_sub(before.idle));
        if busy + idle == 0 { 0.0 } else { busy as f64 / (busy + idle) as f64 }
    }
}

/// Reads the machine again and again.
#[derive(Debug)]
pub struct System {
    before: Spent,
}

impl System {
    /// Takes the first look, from which the next one's utilisation counts.
    pub fn new() -> Result<Self, Unreadable> {
        Ok(Self { before: spent(&read(STAT)?)? })
    }

    /// The statistics now, by name.
    pub fn look(&mut self) -> Result<Vec<(&'static str, String)>, Unreadable> {
        let stat = read(STAT)?;
        let now = spent(&stat)?;
        let utilisation = now.utilisation_since(self.before);
        self.before = now;
        Ok(vec![
            ("l", load(&read(LOADAVG)?)?.to_string()),
            ("u", format!("{utilisation:.4}")),
            ("c", connections(&read(SNMP)?)?.to_string()),
            ("mem", format!("{:.4}", memory(&read(MEMINFO)?)?)),
            ("run", running(&stat)?.to_string()),
            ("cores", cores(&stat).to_string()),
        ])
    }
}

fn read(file: &'static str) -> Result<String, Unreadable> {
    fs::read_to_string(file).map_err(|error| Unreadable::File { file, why: error.to_string() })
}

/// `0.73 0.61 0.55 2/247 4711`: the first.
fn load(text: &str) -> Result<f64, Unreadable> {
    let load = text.split_ascii_whitespace().next().and_then(|load| load.parse::<f64>().ok());
    let load = load.filter(|load| load.is_finite() && *load >= 0.0);
    load.ok_or(Unreadable::Content { file: LOADAVG, what: "load average" })
}

/// `cpu user nice system idle iowait irq softirq steal …`: waiting for a disk is idle; what a hypervisor has taken for
/// others is not ours to use, and so busy. The time of guests is in user and nice already.
fn spent(text: &str) -> Result<Spent, Unreadable> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks: Option<Vec<u64>> =
        line.map(|line| line.split_ascii_whitespace().map_while(|ticks| ticks.parse().ok()).collect());
    match ticks.as_deref() {
        Some([user, nice, system, idle, rest @ ..]) => {
            let waiting = rest.first().copied().unwrap_or(0);
            let taken: u64 = rest.iter().skip(1).take(3).sum();
            Ok(Spent { busy: user + nice + system + taken, idle: idle + waiting })
        }
        _ => Err(Unreadable::Content { file: STAT, what: "line of CPU times" }),
    }
}

/// `procs_running 3`; one of them is this process, or it could not read it.
fn running(text: &str) -> Result<u64, Unreadable> {
    let running = text.lines().find_map(|line| line.strip_prefix("procs_running "));
    let running = running.and_then(|number| number.trim().parse::<u64>().ok());
    let running = running.ok_or(Unreadable::Content { file: STAT, what: "number of running processes" })?;
    Ok(running.saturating_sub(1))
}

/// Lines `cpu0`, `cpu1` and so on; at least 1, since somebody reads this.
fn cores(text: &str) -> usize {
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    text.lines().filter(is_core).count().max(1)
}

/// 1 - MemAvailable / MemTotal.
fn memory(text: &str) -> Result<f64, Unreadable> {
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    match (kibibytes("MemTotal"), kibibytes("MemAvailable")) {
        (Some(total), Some(available)) if total > 0.0 => Ok((1.0 - available / total).clamp(0.0, 1.0)),
        _ => Err(Unreadable::Content { file: MEMINFO, what: "MemTotal and MemAvailable" }),
    }
}

/// A line of names that begins with `Tcp:`, and a line of numbers below it.
fn connections(text: &str) -> Result<u64, Unreadable> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let established = || {
        let (names, numbers) = (lines.next()?, lines.next()?);
        let place = names.split_ascii_whitespace().position(|name| name == "CurrEstab")?;
        numbers.split_ascii_whitespace().nth(place)?.parse::<u64>().ok()
    };
    let mut established = established;
    established().ok_or(Unreadable::Content { file: SNMP, what: "CurrEstab of TCP" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT_TEXT: &str = "cpu  200 10 50 1000 40 3 5 12 77 8\ncpu0 100 5 25 500 20 1 2 6 0 0\n\
        cpu1 100 5 25 500 20 2 3 6 0 0\nintr 1 2 3\nctxt 4711\nprocs_running 4\nprocs_blocked 0\n";

    #[test]
    fn utilisation_is_what_was_not_idle_between_two_looks() {
        let before = spent(STAT_TEXT).unwrap();
        assert_eq!(before, Spent { busy: 200 + 10 + 50 + 3 + 5 + 12, idle: 1000 + 40 });
        let after = Spent { busy: before.busy + 30, idle: before.idle + 10 };
        assert_eq!(after.utilisation_since(before), 0.75);
        assert_eq!(before.utilisation_since(before), 0.0);
        let back = Spent { busy: before.busy + 30, idle: before.idle - 10 };
        assert_eq!(back.utilisation_since(before), 1.0);
        // Kernels of old have fewer columns.
        assert_eq!(spent("cpu 1 2 3 4\n").unwrap(), Spent { busy: 6, idle: 4 });
    }

    #[test]
    fn each_file_gives_its_number() {
        assert_eq!(load("0.73 0.61 0.55 2/247 4711\n"), Ok(0.73));
        assert_eq!((running(STAT_TEXT), cores(STAT_TEXT)), (Ok(3), 2));
        let text = "MemTotal:       24684084 kB\nMemFree:   214408 kB\nMemAvailable:   18513063 kB\n";
        assert_eq!(memory(text), Ok(0.25));
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: MaxConn CurrEstab InSegs\nTcp: -1 42 7\nUdp: X\nUdp: 1\n";
        assert_eq!(connections(text), Ok(42));
    }

    #[test]
    fn nonsense_is_refused_by_the_name_of_its_file() {
        assert_eq!(load("").unwrap_err().to_string(), "/proc/loadavg: no load average in it");
        assert!(load("nan").is_err() && load("-1").is_err());
        assert!(spent("cpu0 1 2 3 4").is_err() && spent("cpu 1 2 x 4").is_err());
        assert!(running("procs_running x").is_err() && cores("") == 1);
        assert!(memory("MemTotal: 0 kB\nMemAvailable: 0 kB").is_err() && memory("MemTotal: 1 kB").is_err());
        assert!(connections("Tcp: CurrEstab\n").is_err() && connections("Tcp: X\nTcp: 1\n").is_err());
    }

    #[test]
    fn this_machine_answers() {
        let mut system = System::new().unwrap();
        let seen = system.look().unwrap();
        let names: Vec<_> = seen.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["l", "u", "c", "mem", "run", "cores"]);
        for (name, value) in seen {
            assert!(
                value.parse::<f64>().is_ok_and(|value| value.is_finite() && value >= 0.0),
                "{name}={value}"
            );
        }
    }
}
