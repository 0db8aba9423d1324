//! The load generators: how each is asked for the same load, and what it then says.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use runlog::RunDirectory;
use runlog::record::Request;
use runlog::summary::LoadSummary;
use runlog::table::Rows;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stats::grouped::{Group, quantile};

/// wrk prints no JSON of its own.
const WRK_REPORT: &str = include_str!("../../peers/report.lua");
/// Locust is told what to do in Python.
const LOCUST_FILE: &str = include_str!("../../peers/locustfile.py");

/// A load generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Ours,
    /// <https://github.com/wg/wrk>
    Wrk,
    /// <https://github.com/hatoo/oha>
    Oha,
    /// <https://locust.io>, with the client that its documentation begins with.
    Locust,
    /// Locust, with the client that it recommends where speed matters.
    LocustFast,
}

impl Kind {
    /// All of them, ours first.
    pub const ALL: [Self; 5] = [
        Self::Ours,
        Self::Wrk,
        Self::Oha,
        Self::Locust,
        Self::LocustFast,
    ];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "loadgen",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::Locust => "locust",
            Self::LocustFast => "locust-fast",
        }
    }

    /// Name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::LocustFast => "locust",
            other => other.name(),
        }
    }
}

/// A generator, and where its program is.
#[derive(Clone, Debug)]
pub struct Generator {
    pub kind: Kind,
    pub program: PathBuf,
}

/// What a generator is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load<'l> {
    /// The page that is asked for.
    pub url: &'l str,
    /// Connections that are kept open, each with one request under way.
    pub connections: u32,
    /// For how long.
    pub seconds: u32,
    /// About how many requests that will be: ours counts.
    pub requests: u64,
    /// A folder for what it writes: empty.
    pub folder: &'l Path,
    /// Whether the latencies are to be as exact as they can be had.
    pub exactly: bool,
}

/// How a generator is started.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The command.
    pub words: Vec<OsString>,
    /// Variables for it.
    pub variables: Vec<(&'static str, OsString)>,
}

/// What a generator says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were not, or not with a 2xx status.
    pub errors: u64,
    /// Requests per second.
    pub requests_per_second: f64,
    /// Median latency.
    pub p50_ns: f64,
    /// 99th percentile of latency.
    pub p99_ns: f64,
}

impl Generator {
    /// The first line of what it says of its version.
    pub fn version(&self) -> String {
        let flag = if self.kind == Kind::Wrk {
            "-v"
        } else {
            "--version"
        };
        let output = Command::new(&self.program).arg(flag).output();
        let said = output.map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().next().unwrap_or("unknown version");
        // wrk goes on with its author, Locust with where it is.
        let end = first.find(" [").or_else(|| first.find(" from "));
        first[..end.unwrap_or(first.len())].to_owned()
    }

    /// How to start it.
    pub fn invocation(&self, load: &Load<'_>) -> anyhow::Result<Invocation> {
        let Load {
            url,
            connections,
            seconds,
            requests,
            folder,
            exactly,
        } = load;
        let mut variables = Vec::new();
        let words: Vec<String> = match self.kind {
            Kind::Ours => {
                let out = folder.join("run").display().to_string();
                // One block: as the others have it.
                format!("run --json --blocks 1 --connections {connections} --requests {requests}")
                    .split(' ')
                    .map(str::to_owned)
                    .chain(["--arm".to_owned(), format!("bench={url}")])
                    .chain(["--out".to_owned(), out])
                    .collect()
            }
            Kind::Wrk => {
                let script = folder.join("report.lua");
                fs::write(&script, WRK_REPORT)?;
                if *exactly {
                    variables.push(("LOAD_BENCH_BINS", "1".into()));
                }
                vec![
                    "-t1".to_owned(),
                    format!("-c{connections}"),
                    format!("-d{seconds}s"),
                    "-s".to_owned(),
                    script.display().to_string(),
                    (*url).to_owned(),
                ]
            }
            Kind::Oha => {
                format!("--no-tui --output-format json -w -z {seconds}s -c {connections} {url}")
                    .split(' ')
                    .map(str::to_owned)
                    .collect()
            }
            Kind::Locust | Kind::LocustFast => {
                let script = folder.join("locustfile.py");
                fs::write(&script, LOCUST_FILE)?;
                let user = if self.kind == Kind::Locust {
                    "plain"
                } else {
                    "fast"
                };
                variables.push(("LOAD_BENCH_USER", user.into()));
                variables.push(("LOAD_BENCH_REPORT", folder.join("report").into()));
                let users = format!("-u {connections} -r {connections} -t {seconds}s");
                let host = url.trim_end_matches('/');
                format!("--headless --only-summary --loglevel ERROR {users} --host {host} -f")
                    .split(' ')
                    .map(str::to_owned)
                    .chain([script.display().to_string()])
                    .collect()
            }
        };
        let program = self.program.clone().into_os_string();
        Ok(Invocation {
            words: std::iter::once(program)
                .chain(words.into_iter().map(OsString::from))
                .collect(),
            variables,
        })
    }

    /// What it has said of a load.
    pub fn said(&self, load: &Load<'_>) -> anyhow::Result<Said> {
        let stdout = || {
            let path = load.folder.join("stdout");
            fs::read_to_string(&path).context("its output")
        };
        let said = match self.kind {
            Kind::Ours => said_by_ours(&stdout()?, load),
            Kind::Wrk => said_by_wrk(&stdout()?),
            Kind::Oha => said_by_oha(&stdout()?),
            Kind::Locust | Kind::LocustFast => fs::read_to_string(load.folder.join("report"))
                .context("wrote no report")
                .and_then(|report| said_by_locust(&report)),
        }?;
        if said.requests == 0 {
            bail!("not one request was answered");
        }
        Ok(said)
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).context("printed something else than expected")
}

/// Quantiles of the summary are those of a histogram with up to 0.8 % of error; the log is exact.
fn said_by_ours(text: &str, load: &Load<'_>) -> anyhow::Result<Said> {
    let summary: LoadSummary = parse(text)?;
    let [arm] = &summary.arms[..] else {
        bail!("has {} arms, and was given one", summary.arms.len());
    };
    let latency = arm.latency_ns.as_ref().context("no request succeeded")?;
    let mut said = Said {
        requests: arm.requests - arm.errors,
        errors: arm.errors,
        requests_per_second: arm.requests_per_second,
        p50_ns: latency.p50 as f64,
        p99_ns: latency.p99 as f64,
    };
    if load.exactly {
        let log = RunDirectory::existing(load.folder.join("run")).requests();
        let mut times = Vec::new();
        for request in Rows::<Request>::open(log)? {
            let request = request?;
            if request.is_ok() {
                times.push(request.response_time_ns());
            }
        }
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        said.p50_ns = at(50).context("an empty log")? as f64;
        said.p99_ns = at(99).context("an empty log")? as f64;
    }
    Ok(said)
}

/// What `report.lua` prints.
#[derive(Deserialize)]
struct WrkReport {
    requests: u64,
    duration_us: f64,
    errors: u64,
    p50_us: f64,
    p99_us: f64,
    bins: Vec<(f64, u64)>,
}

/// wrk takes the difference of two clocks in whole microseconds: a latency of 8.3 µs counts as 8 or, three
/// times in ten, as 9. So each value stands for half a microsecond to both sides.
fn said_by_wrk(text: &str) -> anyhow::Result<Said> {
    let line = text.lines().find(|line| line.starts_with('{'));
    let report: WrkReport = parse(line.context("printed no JSON")?)?;
    let bins: Vec<Group> = report
        .bins
        .iter()
        .map(|&(value_us, count)| Group {
            lowest: (value_us - 0.5) * 1e3,
            highest: (value_us + 0.5) * 1e3,
            count,
        })
        .collect();
    Ok(Said {
        requests: report.requests,
        errors: report.errors,
        requests_per_second: report.requests as f64 * 1e6 / report.duration_us,
        p50_ns: quantile(&bins, 0.5).unwrap_or(report.p50_us * 1e3),
        p99_ns: quantile(&bins, 0.99).unwrap_or(report.p99_us * 1e3),
    })
}

fn said_by_oha(text: &str) -> anyhow::Result<Said> {
    let report: Value = parse(text)?;
    let number = |path: &str| {
        let value = report.pointer(path).and_then(Value::as_f64);
        value.with_context(|| format!("its JSON has no {path}"))
    };
    let counts = |name: &str| -> Vec<(String, u64)> {
        let counts = report[name].as_object().into_iter().flatten();
        counts
            .map(|(key, count)| (key.clone(), count.as_u64().unwrap_or(0)))
            .collect()
    };
    let statuses = counts("statusCodeDistribution");
    let is_success = |(status, _): &&(String, u64)| status.starts_with('2');
    let requests: u64 = statuses.iter().filter(is_success).map(|(_, n)| n).sum();
    let answered: u64 = statuses.iter().map(|(_, n)| n).sum();
    let failed: u64 = counts("errorDistribution").iter().map(|(_, n)| n).sum();
    Ok(Said {
        requests,
        errors: answered - requests + failed,
        requests_per_second: requests as f64 / number("/summary/total")?,
        p50_ns: number("/latencyPercentiles/p50")? * 1e9,
        p99_ns: number("/latencyPercentiles/p99")? * 1e9,
    })
}

/// What `locustfile.py` writes.
#[derive(Deserialize)]
struct LocustReport {
    requests: u64,
    errors: u64,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn said_by_locust(text: &str) -> anyhow::Result<Said> {
    let report: LocustReport = parse(text)?;
    Ok(Said {
        requests: report.requests - report.errors,
        errors: report.errors,
        requests_per_second: report.requests_per_second,
        p50_ns: report.p50_ms * 1e6,
        p99_ns: report.p99_ms * 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_whole_microseconds_are_spread_over_half_of_one_to_both_sides() {
        let text = "Running 1s test\n  1 threads\n\
            {\"requests\":100,\"duration_us\":2000000,\"errors\":3,\"p50_us\":9,\"p99_us\":20,\
            \"bins\":[[8,25],[9,50],[20,25]]}\n";
        let said = said_by_wrk(text).unwrap();
        assert_eq!((said.requests, said.errors), (100, 3));
        assert!((said.requests_per_second - 50.0).abs() < 1e-9);
        assert!((said.p50_ns - 9_000.0).abs() < 1e-9, "in the middle of 9");
        let without = text.replace("[[8,25],[9,50],[20,25]]", "[]");
        assert!((said_by_wrk(&without).unwrap().p99_ns - 20_000.0).abs() < 1e-9);
        assert!(said_by_wrk("unable to connect").is_err());
    }

    #[test]
    fn ohas_failures_and_other_statuses_are_errors() {
        let text = r#"{"summary":{"total":2.0},"latencyPercentiles":{"p50":0.000012,"p99":0.0001},
            "statusCodeDistribution":{"200":90,"204":6,"500":3},"errorDistribution":{"reset":1}}"#;
        let said = said_by_oha(text).unwrap();
        assert_eq!((said.requests, said.errors), (96, 4));
        assert!((said.requests_per_second - 48.0).abs() < 1e-9);
        assert!((said.p50_ns - 12_000.0).abs() < 1e-6);
        let error = said_by_oha("{}").unwrap_err().to_string();
        assert!(error.contains("/summary/total"), "{error}");
    }
}
