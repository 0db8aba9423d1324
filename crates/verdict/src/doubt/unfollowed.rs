//! Servers whose requests the bracket cannot follow at all, and why.

use std::fmt;

use runlog::trial::CountsCheck;

use super::TrialDoubt;

/// Why nothing is known of any request.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfollowed {
    /// The bracket saw none of so many connections.
    NothingAccepted(u64),
    /// The bracket saw connections accepted, and no request read.
    NothingRead,
    /// Each of so many connections had one request, which belongs to no arm.
    NothingDrawn(u64),
    /// The hook stands in front of none of the functions by which servers read.
    NeverCalled {
        /// By these they read,
        called: Vec<String>,
        /// and these are hooked.
        hooked: Vec<String>,
    },
}

/// What both sides' counts of requests say, and why where that is plain.
pub fn of_requests(counts: &CountsCheck) -> Option<TrialDoubt> {
    let CountsCheck {
        differing,
        requests,
        connections_opened,
        connections_accepted,
        ..
    } = counts;
    let is_blind = *requests == 0 && differing.iter().all(|count| count.drawn == 0);
    if differing.is_empty() {
        let is_without_arms = *requests == 0 && *connections_opened > 0;
        is_without_arms.then_some(TrialDoubt::Unfollowed(Unfollowed::NothingDrawn(
            *connections_opened,
        )))
    } else if is_blind && *connections_accepted == 0 {
        Some(TrialDoubt::Unfollowed(Unfollowed::NothingAccepted(
            *connections_opened,
        )))
    } else if is_blind {
        Some(TrialDoubt::Unfollowed(Unfollowed::NothingRead))
    } else {
        Some(TrialDoubt::CountsDiffer(differing.clone()))
    }
}

impl fmt::Display for Unfollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAccepted(connections) => write!(
                f,
                "no call of accept was seen for {connections} connections: does the server accept by system calls of its own \
                 (io_uring, Go), or in a process that has not loaded the bracket? No preloaded hook sees such a server's requests"
            ),
            Self::NothingRead => f.write_str(
                "connections were accepted, and no request was seen: does the server read by other calls than read, recv, recvfrom, \
                 recvmsg and readv, or pass its connections to another process? Take --order rmit",
            ),
            Self::NothingDrawn(connections) => write!(
                f,
                "each of {connections} connections had one request alone, and the first belongs to no arm: does the server close \
                 connections once it has answered? Have it keep them open, or take --order rmit"
            ),
            Self::NeverCalled { called, hooked } => write!(
                f,
                "the servers read by {}, and of the functions that read the hook stands in front of {} alone (for ours \
                 READHOOK_FUNCTIONS says of which): it was called for no request, and what it does in other functions is in all arms \
                 alike (--order rmit measures that)",
                called.join(", "),
                hooked.join(", ")
            ),
        }
    }
}
