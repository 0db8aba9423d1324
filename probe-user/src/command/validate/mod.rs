//! `probe-user validate`: is the instrument right? Checks whose answer is known beforehand.

mod a_a;
mod repeat;
pub mod truth;

use clap::{Args, Subcommand};

use crate::command::End;
use a_a::AaArguments;
use truth::TruthArguments;

/// Options of `validate`.
#[derive(Args, Debug)]
pub struct ValidateArguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Compare equal servers: how often is a difference found?
    #[command(name = "a-a")]
    Aa(AaArguments),
    /// Inject known delays, hidden from the analysis: are they found?
    Truth(TruthArguments),
}

/// Makes the check.
pub async fn validate(arguments: ValidateArguments) -> anyhow::Result<End> {
    match arguments.check {
        Check::Aa(arguments) => a_a::a_a(arguments).await,
        Check::Truth(arguments) => truth::truth(arguments).await,
    }
}
