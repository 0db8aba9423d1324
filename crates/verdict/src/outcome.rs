//! What an experiment hands over to be judged.

use runlog::analysis::Ledger;
use runlog::manifest::Manifest;

/// How an experiment ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it was set up, as in the run directory.
    pub manifest: Manifest,
    /// Why it ended early.
    pub cut_short: Option<String>,
    /// Where the probes' hits went.
    pub ledger: Option<Ledger>,
    /// Why there were no probes.
    pub no_probes: Option<String>,
}
