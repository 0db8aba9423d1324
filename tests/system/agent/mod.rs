//! `probe-user agent`: what it finds, counts and serves, held against requests that were made.

mod bracketed;
pub mod client;
mod http;
mod jitter;
mod namespaces;
mod restarts;
mod rights;
mod runs;
mod runs_http;
mod trial_nodes;
mod two_nodes;

use rustix::process::Signal;

use self::client::{Agent, arm, is_attached, request, spans, unique};
use crate::Test;
use crate::install;
use crate::kit::{Kit, Server, check_schema, fail, succeed};
use crate::skips::Need;

/// What a trial over two network namespaces takes.
const TRIAL_OF_TWO_NODES: &[Need] = &[
    Need::Root,
    Need::Alone,
    Need::Program("unshare"),
    Need::Program("nsenter"),
    Need::Program("ip"),
    Need::Program("chrt"),
    Need::Program("taskset"),
];

pub const TESTS: &[Test] = &[
    Test {
        name: "agent::counts_what_each_arm_was_asked_and_nothing_of_another",
        needs: &[Need::Root],
        run: counts,
    },
    Test {
        name: "agent::a_library_in_several_containers_is_attached_to_once",
        needs: &[Need::Root, Need::Program("mount")],
        run: namespaces::overlays,
    },
    Test {
        name: "agent::sees_the_same_from_within_a_pid_namespace",
        needs: &[Need::Root, Need::Program("unshare")],
        run: namespaces::nested,
    },
    Test {
        name: "agent::a_trace_sees_the_same_from_within_a_pid_namespace",
        needs: &[Need::Root, Need::Program("unshare")],
        run: namespaces::traced,
    },
    Test {
        name: "agent::finds_processes_by_port_and_executable",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: rules,
    },
    Test {
        name: "agent::a_process_that_is_started_again_is_attached_to_again",
        needs: &[Need::Root, Need::Clock],
        run: restarts::process,
    },
    Test {
        name: "agent::goes_on_after_it_was_killed_and_says_what_it_missed",
        needs: &[Need::Root, Need::Clock],
        run: restarts::agent,
    },
    Test {
        name: "agent::knows_by_its_state_file_what_another_has_observed",
        needs: &[Need::Root, Need::Clock],
        run: restarts::agent_with_state,
    },
    Test {
        name: "agent::a_state_file_of_another_boot_is_said_and_not_used",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: restarts::foreign_state,
    },
    Test {
        name: "agent::metrics_say_the_same_as_the_json",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: http::metrics,
    },
    Test {
        name: "agent::promtool_accepts_the_metrics",
        needs: &[Need::Root, Need::DeployTool("promtool")],
        run: http::promtool,
    },
    Test {
        name: "agent::bad_requests_get_their_status_and_change_nothing",
        needs: &[Need::Root, Need::Clock],
        run: http::bad_requests,
    },
    Test {
        name: "agent::runs_are_joined_to_the_requests_of_their_load",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: runs::joins,
    },
    Test {
        name: "agent::without_a_folder_there_are_no_runs",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: runs::without_a_folder,
    },
    Test {
        name: "agent::a_run_whose_agent_ends_is_cut_short_and_the_load_is_not",
        needs: &[Need::Root, Need::Clock],
        run: runs::agent_ends,
    },
    Test {
        name: "agent::a_run_that_fills_the_disk_is_cut_short_and_the_load_is_not",
        needs: &[Need::Root, Need::Program("unshare"), Need::Program("mount")],
        run: runs::disk_full,
    },
    Test {
        name: "agent::a_run_whose_load_has_gone_is_cut_short",
        needs: &[Need::Root, Need::Clock],
        run: runs::load_gone,
    },
    Test {
        name: "agent::bad_requests_to_runs_get_their_status_and_change_nothing",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: runs_http::bad_requests,
    },
    Test {
        name: "agent::a_log_that_was_cut_goes_on_where_it_was",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: runs_http::resumes,
    },
    Test {
        name: "agent::runs_over_two_nodes_with_two_clocks",
        needs: &[
            Need::Root,
            Need::Program("unshare"),
            Need::Program("nsenter"),
            Need::Program("ip"),
        ],
        run: two_nodes::two_nodes,
    },
    Test {
        name: "agent::a_trial_over_two_nodes_with_two_clocks",
        needs: TRIAL_OF_TWO_NODES,
        run: trial_nodes::by_requests,
    },
    Test {
        name: "agent::a_trial_over_two_nodes_with_jitter",
        needs: &[
            Need::Root,
            Need::Alone,
            Need::Program("unshare"),
            Need::Program("nsenter"),
            Need::Program("ip"),
            Need::Program("chrt"),
            Need::Program("taskset"),
            Need::TwoCpus,
        ],
        run: trial_nodes::with_jitter,
    },
    Test {
        name: "agent::a_trial_by_slices_over_two_nodes",
        needs: TRIAL_OF_TWO_NODES,
        run: trial_nodes::by_slices,
    },
    Test {
        name: "agent::says_when_it_may_not_look_whether_there_is_a_hook",
        needs: &[Need::Root, Need::Program("setpriv")],
        run: rights::hidden_hook,
    },
    Test {
        name: "agent::without_rights_reads_what_bracketed_processes_record",
        // Agents of other tests would read its memory before it.
        needs: &[Need::Alone, Need::NoOtherKernel],
        run: bracketed::without_rights,
    },
    Test {
        name: "agent::without_probes_takes_part_in_trials",
        // Agents of other tests would read its memory before it.
        needs: &[Need::Alone, Need::NoOtherKernel],
        run: bracketed::takes_part,
    },
    Test {
        name: "agent::children_of_fork_record_in_one_memory",
        // Agents of other tests would read its memory before it.
        needs: &[Need::Alone, Need::Program("cc"), Need::NoOtherKernel],
        run: bracketed::children_of_fork,
    },
    Test {
        name: "agent::counts_calls_by_records_or_by_probes_and_never_twice",
        // Agents of other tests would read its memory before it.
        needs: &[Need::Alone, Need::Root, Need::NoOtherKernel],
        run: bracketed::counted_once,
    },
    Test {
        name: "agent::says_of_whom_it_can_see_nothing_without_probes",
        needs: &[],
        run: bracketed::nothing_to_read,
    },
    Test {
        name: "agent::refuses_bad_options",
        needs: &[],
        run: refuses_bad_options,
    },
];

/// Starts a server of an arm.
pub fn sut(kit: &Kit, arm: &str, is_hooked: bool) -> anyhow::Result<Server> {
    let mut command = kit.command("sut");
    command.arg("--quiet").env("HOOKPROBE_ARM", unique(arm));
    if is_hooked {
        command.env("LD_PRELOAD", kit.path("readhook.so"));
    }
    Server::start(command)
}

fn counts(kit: &Kit) -> anyhow::Result<()> {
    let baseline = sut(kit, "baseline", false)?;
    let hooked = sut(kit, "hooked", true)?;
    let bystander = kit.sut(Some(&[]), &["--quiet"])?;
    let agent = Agent::start(kit, &[])?;
    agent.wait_for(|arms| is_attached(arms, "baseline") && is_attached(arms, "hooked"))?;
    // One that comes later, of an arm that is there already.
    let late = sut(kit, "hooked", true)?;
    agent.wait_for(|arms| {
        arm(arms, "hooked")["processes"]
            .as_array()
            .is_some_and(|two| two.len() == 2)
    })?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    let before = spans(&agent.arms()?, "hooked", "hook_overhead");
    request(&baseline, 300)?;
    request(&hooked, 500)?;
    request(&late, 70)?;
    request(&bystander, 40)?;
    let arms = agent.arms()?;
    check_schema(&arms, "agent-arms")?;
    ensure!(spans(&arms, "baseline", "read_syscall") == 300, "{arms:#}");
    ensure!(spans(&arms, "baseline", "hook_overhead") == 0, "{arms:#}");
    ensure!(
        spans(&arms, "hooked", "hook_overhead") - before == 570,
        "{arms:#}"
    );
    // Those of other tests may be among them.
    let of_others = arms["hits_of_other_processes"].as_u64();
    ensure!(of_others.is_some_and(|hits| hits >= 40), "{arms:#}");
    let processes = &arm(&arms, "hooked")["processes"];
    ensure!(
        processes[0]["library"].is_u64() && processes[0]["library"] == processes[1]["library"],
        "one file: {arms:#}"
    );
    for name in ["baseline", "hooked"] {
        let ledger = &arm(&arms, name)["ledger"];
        ensure!(
            ledger["balanced"] == true && ledger["dropped"] == 0,
            "{ledger:#}"
        );
    }
    let (status, said) = agent.end(Signal::TERM)?;
    ensure!(
        status.success() && said.contains("ledger balances"),
        "{status}: {said}"
    );
    Ok(())
}

fn rules(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let other = kit.sut(None, &["--quiet"])?;
    let by_port = format!("--port={}={}", unique("by-port"), server.port);
    let folder = kit.scratch()?;
    let own = folder.path().join("own-sut");
    install::program(kit.path("sut"), &own)?;
    let by_executable = format!("--exe={}={}", unique("own"), own.display());
    let agent = Agent::start(kit, &[&by_port])?;
    agent.wait_for(|arms| is_attached(arms, "by-port"))?;
    request(&server, 20)?;
    request(&other, 30)?;
    ensure!(spans(&agent.arms()?, "by-port", "read_syscall") == 20);
    drop(agent);
    let agent = Agent::start(kit, &[&by_executable])?;
    let mut command = std::process::Command::new(&own);
    command.arg("--quiet").env_remove("HOOKPROBE_ARM");
    let own = Server::start(command)?;
    agent.wait_for(|arms| is_attached(arms, "own"))?;
    let before = spans(&agent.arms()?, "own", "read_syscall");
    request(&own, 20)?;
    request(&other, 30)?;
    ensure!(spans(&agent.arms()?, "own", "read_syscall") - before == 20);
    Ok(())
}

fn refuses_bad_options(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let short = folder.path().join("token");
    std::fs::write(&short, "short\n")?;
    let short = format!("--token-file={}", short.display());
    for (arguments, code, text) in [
        (&["--listen=0.0.0.0:0"][..], 1, "--token-file"),
        (&["--listen=nowhere"], 2, "--listen"),
        (&["--token-file=/nonexistent"], 1, "/nonexistent"),
        (&[short.as_str()], 1, "16 characters"),
        (&["--port=70000"], 2, "--port"),
        (&["--port=a=b=1"], 2, "--port"),
        (&["--container=xyz"], 2, "hexadecimal"),
        (&["--scan-interval=0"], 1, "--scan-interval"),
        (&["--max-series=0"], 2, "--max-series"),
        (&["--max-runs=3"], 2, "--runs-dir"),
        (&["--runs-dir=/dev/null"], 1, "--runs-dir"),
        (&["--runs-dir=/tmp", "--ring-bytes=1000"], 1, "--ring-bytes"),
    ] {
        fail(
            kit.command("probe-user").arg("agent").args(arguments),
            code,
            &[text],
        )?;
    }
    let help = succeed(kit.command("probe-user").args(["agent", "--help"]))?;
    let help = String::from_utf8(help.stdout)?;
    for text in ["Examples:", "HOOKPROBE_ARM", "--token-file", "SIGTERM"] {
        ensure!(help.contains(text), "{text}: {help}");
    }
    Ok(())
}
