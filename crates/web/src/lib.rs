//! What the HTTP services share: the page of the load generator and the agent.

pub mod access;
pub mod body;
pub mod listen;
pub mod refusal;
