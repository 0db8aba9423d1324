//! What speaks for and against measuring here: rights, kernel, machine, limits, who else is there, and the ten
//! recommendations of the paper.
//!
//! [`look`] is cheap and is made before and after each run; [`diagnose`] is all of it.

mod attach;
mod counts;
mod kernel;
mod limits;
mod others;
mod processors;
mod recommendations;
mod rights;

use std::time::Duration;

use runlog::calibration::Calibration;
use runlog::doctor::{Diagnosis, Finding, SCHEMA};
use runlog::manifest::Environment;
use tokio::time::sleep;

use crate::machine;
use counts::{Counts, During};
pub use recommendations::{Run, recommendations};

/// How long a run is kept waiting by a look before it and one after it.
pub const SHORT: Duration = Duration::from_millis(200);

/// Looks at the machine for a while: what may disturb a run.
pub async fn look(duration: Duration) -> Vec<Finding> {
    let during = watch(duration).await;
    disturbances(&during, &machine::environment())
}

async fn watch(duration: Duration) -> During {
    let before = Counts::now();
    sleep(duration).await;
    Counts::now().since(&before)
}

fn disturbances(during: &During, environment: &Environment) -> Vec<Finding> {
    let mut findings = processors::findings(environment);
    findings.extend(limits::findings(during));
    findings.extend(others::findings(during, environment.cpus));
    findings
}

/// Looks at everything for a while. `tried` is what came of trying the probes; finished runs say what can be said of the
/// recommendations by them alone.
pub async fn diagnose(
    duration: Duration,
    tried: Option<anyhow::Result<Calibration>>,
    runs: &[Run],
) -> Diagnosis {
    let mut findings = rights::findings();
    findings.extend(kernel::findings());
    let tried = tried.as_ref().map(attach::judge).unwrap_or_default();
    findings.extend(tried.findings);
    let during = watch(duration).await;
    let environment = machine::environment();
    findings.extend(disturbances(&during, &environment));
    Diagnosis {
        schema: SCHEMA.to_owned(),
        environment,
        attach_types: tried.attach_types,
        recommendations: recommendations(runs, &findings),
        findings,
    }
}
