//! HAProxy's agent-check, answered for every backend: a line in with a member's name, a line out with its share as a
//! weight and its state. For those who keep their servers in HAProxy's own configuration.
//!
//! ```text
//! server app01 10.0.0.11:8080 weight 100 check agent-check agent-addr 10.0.0.53 agent-port 8054 agent-inter 2s
//!     agent-send "farm_one/app01\n"
//! ```
//!
//! | how the farm uses the member | answer | what HAProxy does |
//! | --- | --- | --- |
//! | it may be chosen | `ready up 75%` | the weight is 75 % of the configured one |
//! | it may not, but its users may stay (weight 0, farm in fallback) | `ready up 0% #WHY` | only persistent clients |
//! | people drain it | `drain up`, or `drain down #WHY` | only persistent clients; none |
//! | people switched it or its farm off | `maint` | nobody |
//! | down, out or suspect | `ready down #WHY` | nobody; the reason stands in its log and statistics |
//! | we cannot say: no such member, no key, … | one word such as `unknown-backend:app09` | nothing changes; the word is shown |
//!
//! **Percent.** The farm's best member has 100 %, the others their part of it, so the ratios are the rule's own, and damped
//! as in SRV. HAProxy multiplies its configured weight, cuts what is left of a point off, and takes 0 for a drain: every
//! server of the backend is to say `weight 100`, no more (256 is its limit) and no less. Nobody who may be chosen gets less
//! than 1 %, so that HAProxy has somebody to go to when its own checks find the others gone.
//!
//! **All of it, each time.** HAProxy changes only what is named, and only an agent takes back what an agent has said.
//! So every answer names administrative state, health and, where there is one, weight. What HAProxy does not understand
//! changes nothing there, and so does silence: an Athena that is restarted, misconfigured or gone takes nobody down.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`answer`] | from a line to a line; no I/O, no clock |
//! | [`server`] | connections, limits, time-outs |

pub mod answer;
pub mod server;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::connections::Most;

pub use server::AgentServer;

/// Whether a client may ask: its address, and the key that it brought.
pub type Gate = Arc<dyn Fn(IpAddr, Option<&[u8]>) -> bool + Send + Sync>;

/// How agent-checks are answered; the configuration's section `agent_check` in this module's own words.
#[derive(Clone)]
pub struct Options {
    /// How many connections there may be.
    pub most: Most,
    /// How long a client may take to send its line, and to read the answer.
    pub patience: Duration,
    /// Who may ask.
    pub gate: Gate,
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, patience, gate: _ } = self;
        formatter
            .debug_struct("Options")
            .field("most", most)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}
