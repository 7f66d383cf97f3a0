//! What the benchmarks run beside Athena and beside its peers, in one program: `bench NAME ARGUMENTS…`.
//!
//! | name | what it is |
//! | --- | --- |
//! | `echo` | the limit: a bare echo with the same system calls |
//! | `idle` | Athena's UDP loop around nothing |
//! | `farm` | Athena's DNS without configuration and HTTP, for any number of farms and members |
//! | `hickory` | hickory-server's own UDP loop over its in-memory zone |
//! | `flood` | a client that saturates a server from one core |
//! | `wait` | a client that measures how long single queries wait |
//! | `report` | backends that report so many times a second |
//! | `hostile` | clients that mean no good |
//! | `first` | starts a program and waits for its first answer |

#[path = "bench/echo.rs"]
mod echo;
#[path = "bench/farm.rs"]
mod farm;
#[path = "bench/first.rs"]
mod first;
#[path = "bench/flood.rs"]
mod flood;
#[path = "bench/hickory.rs"]
mod hickory;
#[path = "bench/hostile.rs"]
mod hostile;
#[path = "bench/idle.rs"]
mod idle;
#[path = "bench/report.rs"]
mod report;
#[path = "bench/wait.rs"]
mod wait;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: bench echo|idle|farm|hickory|flood|wait|report|hostile|first ARGUMENTS…";
    let (name, rest) = arguments.split_first().ok_or(usage)?;
    match name.as_str() {
        "echo" => echo::main(rest),
        "idle" => idle::main(rest),
        "farm" => farm::main(rest),
        "hickory" => hickory::main(rest),
        "flood" => flood::main(rest),
        "wait" => wait::main(rest),
        "report" => report::main(rest),
        "hostile" => hostile::main(rest),
        "first" => first::main(rest),
        _ => Err(format!("no part is called {name}").into()),
    }
}
