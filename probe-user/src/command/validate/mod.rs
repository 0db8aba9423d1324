//! `probe-user validate`: checks of the instrument, whatever it is to measure.

mod a_a;
pub mod probes;
mod repeat;
pub mod truth;

use clap::{Args, Subcommand};

use crate::command::End;
use a_a::AaArguments;
use probes::ProbesArguments;
use truth::TruthArguments;

/// Options of `validate`.
#[derive(Args, Debug)]
pub struct ValidateArguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Calibrate every kind of probe: what does each add on this machine?
    Probes(ProbesArguments),
    /// Compare equal servers: how often is a difference found?
    #[command(name = "a-a")]
    Aa(AaArguments),
    /// Inject known delays, hidden from the analysis: are they found?
    Truth(TruthArguments),
}

/// Makes the check.
pub async fn validate(arguments: ValidateArguments) -> anyhow::Result<End> {
    match arguments.check {
        Check::Probes(arguments) => probes::probes(arguments).await,
        Check::Aa(arguments) => a_a::a_a(arguments).await,
        Check::Truth(arguments) => truth::truth(arguments).await,
    }
}
