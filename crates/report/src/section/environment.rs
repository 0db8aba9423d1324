//! The machine, and how the run was laid out on it.

use maud::{Markup, html};
use runlog::clock::utc;
use runlog::manifest::{Manifest, Resources, Schedule, Scheduling};

use super::definitions;
use crate::format::{count, decimal, figure, percent};
use crate::run::Run;

/// Definitions.
pub fn body(run: &Run) -> Markup {
    let manifest = &run.manifest;
    let mut entries = machine(manifest);
    entries.extend(layout(manifest));
    html! {
        (definitions(entries))
        @if let Some(resources) = &manifest.resources {
            h3 { "Limits" }
            (definitions(limits(resources)))
        }
    }
}

/// How a load was laid out.
pub fn laid_out(schedule: &Schedule) -> Vec<(String, Markup)> {
    vec![
        ("Order of blocks".to_owned(), order(schedule)),
        ("Connections".to_owned(), text(schedule.connections)),
    ]
}

/// Where each arm's requests went, and what made the page.
pub fn addresses<'a>(
    arms: impl Iterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = (String, Markup)> {
    let arms = arms.map(|(name, url)| (format!("Arm {name}"), text(url)));
    arms.chain([(
        "Version".to_owned(),
        text(concat!("hookprobe ", env!("CARGO_PKG_VERSION"))),
    )])
}

fn order(schedule: &Schedule) -> Markup {
    text(format!("{}, seed {}", schedule.order, schedule.seed))
}

/// One line about the machine.
pub fn in_a_line(manifest: &Manifest) -> String {
    let environment = &manifest.environment;
    let kind = if environment.virtual_machine {
        ", virtual machine"
    } else {
        ""
    };
    format!(
        "{} × {}{kind}, Linux {} {}",
        environment.cpus, environment.cpu_model, environment.kernel, environment.architecture
    )
}

fn text(value: impl std::fmt::Display) -> Markup {
    html! { (value.to_string()) }
}

fn machine(manifest: &Manifest) -> Vec<(&'static str, Markup)> {
    let environment = &manifest.environment;
    let at = "manifest.json#/environment";
    let mut entries = vec![
        ("Started", text(utc(manifest.started_unix_ns))),
        ("Machine", text(in_a_line(manifest))),
        (
            "Clock",
            html! {
                (environment.clock_source) ", "
                (figure(&format!("{at}/clock_read_ns"), environment.clock_read_ns, &decimal(environment.clock_read_ns, 1)))
                " ns a read"
            },
        ),
        (
            "Frequency governor",
            text(
                environment
                    .governor
                    .as_deref()
                    .unwrap_or("the kernel has none"),
            ),
        ),
        (
            "Load average at the start",
            figure(
                &format!("{at}/load_average"),
                environment.load_average,
                &decimal(environment.load_average, 2),
            ),
        ),
        (
            "CPU limit",
            environment.cgroup_cpu_limit.map_or_else(
                || text("none"),
                |limit| text(format!("{} CPUs", decimal(limit, 2))),
            ),
        ),
        (
            "Memory limit",
            environment.cgroup_memory_limit.map_or_else(
                || text("none"),
                |limit| {
                    text(format!(
                        "{} MiB",
                        decimal(limit as f64 / f64::from(1 << 20), 0)
                    ))
                },
            ),
        ),
    ];
    if let Some(stolen) = environment.steal_ms {
        entries.push((
            "Stolen by the hypervisor",
            text(format!("{} ms", count(stolen))),
        ));
    }
    entries
}

fn layout(manifest: &Manifest) -> Vec<(&'static str, Markup)> {
    let schedule = &manifest.schedule;
    let placement = &manifest.placement;
    let cpus = |cpus: &[usize]| {
        cpus.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let scheduling = match placement.scheduling {
        Scheduling::Fair => "fair (SCHED_OTHER)",
        Scheduling::Fifo => "real-time (SCHED_FIFO)",
        Scheduling::Batch => "batch (SCHED_BATCH)",
    };
    let mut entries = vec![
        (
            "CPUs",
            text(format!(
                "servers {}, load generator {}, agent {}: {}",
                cpus(&placement.sut_cpus),
                cpus(&placement.loadgen_cpus),
                cpus(&placement.agent_cpus),
                placement.policy
            )),
        ),
        ("Scheduling", text(scheduling)),
        ("Order of blocks", order(schedule)),
        (
            "Requests",
            text(format!(
                "{} an arm in each state of the probes, in {} blocks, over {} connections",
                count(schedule.requests_per_cell),
                schedule.blocks_per_cell,
                schedule.connections
            )),
        ),
        ("Servers of each arm", text(schedule.servers_per_arm)),
    ];
    for arm in &manifest.arms {
        let hook = arm.hook.as_deref().unwrap_or("no hook");
        let settings = arm.hook_environment.join(" ");
        entries.push(("Arm", text(format!("{}: {hook} {settings}", arm.name))));
    }
    if let Some(probes) = &manifest.probes {
        let passed_over = probes
            .passed_over
            .iter()
            .map(|other| format!("; {} passed over: {}", other.kernel_probe, other.reason));
        entries.push((
            "Probes",
            text(format!(
                "kernel probe {}{}; site at +{} ({})",
                probes.kernel_probe,
                passed_over.collect::<String>(),
                probes.site_offset,
                probes.site_offset_reason
            )),
        ));
    }
    entries.push(("Version", text(format!("hookprobe {}", manifest.version))));
    entries
}

fn limits(resources: &Resources) -> Vec<(&'static str, Markup)> {
    let at = "manifest.json#/resources";
    let unknown = || text("unknown");
    let counted = |key: &str, value: Option<u64>| {
        value.map_or_else(unknown, |value| {
            figure(&format!("{at}/{key}"), value as f64, &count(value))
        })
    };
    let share = |value: Option<f64>| value.map_or_else(unknown, |value| text(percent(value, 2)));
    vec![
        (
            "Periods in which a server was throttled",
            counted("throttled_periods", resources.throttled_periods),
        ),
        (
            "Times a memory limit was hit",
            counted("memory_limit_hits", resources.memory_limit_hits),
        ),
        (
            "Connections that found a full queue",
            counted("listen_overflows", resources.listen_overflows),
        ),
        (
            "Most descriptors in use, of those allowed",
            share(resources.descriptors),
        ),
        (
            "Time that the load generator was busy",
            share(resources.loadgen_busy),
        ),
        (
            "CPU time given to others by the hypervisor",
            share(resources.stolen),
        ),
    ]
}
