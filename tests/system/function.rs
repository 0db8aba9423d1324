//! `probe-user trace --symbol` and `--offset`: what becomes of each call, held against a program that
//! counts its calls itself.

use std::fs;
use std::process::Command;

use abi::OpenCalls;
use anyhow::Context as _;
use aya::maps::{HashMap, Map, MapData, MapInfo};

use crate::Test;
use crate::kit::{Kit, Running, compile_c, fail};
use crate::skips::Need;
use crate::trace::Trace;

const NEEDS: &[Need] = &[Need::Root, Need::Program("cc")];

pub const TESTS: &[Test] = &[
    Test {
        name: "function::recursion_beyond_the_kernels_limit_is_counted",
        needs: NEEDS,
        run: |kit| check(kit, "recursion", "probed", &["function_deeper_than_64"]),
    },
    Test {
        name: "function::tail_calls_are_kept_apart",
        needs: NEEDS,
        run: |kit| check(kit, "tail", "even", &["function_deeper_than_64"]),
    },
    Test {
        name: "function::calls_left_by_longjmp_are_counted",
        needs: NEEDS,
        run: |kit| check(kit, "longjmp", "probed", &["function_left_without_return"]),
    },
    Test {
        name: "function::longjmp_out_of_the_kernels_limit_is_counted",
        needs: NEEDS,
        run: |kit| {
            let causes = ["function_deeper_than_64", "function_left_without_return"];
            check(kit, "limit", "probed", &causes)
        },
    },
    Test {
        name: "function::calls_that_threads_end_in_are_counted",
        needs: NEEDS,
        run: |kit| check(kit, "threads", "probed", &["function_thread_ended"]),
    },
    Test {
        name: "function::calls_that_another_program_replaces_are_counted",
        needs: NEEDS,
        run: |kit| check(kit, "exec", "probed", &["function_thread_ended"]),
    },
    Test {
        name: "function::children_are_not_taken_for_their_parent",
        needs: NEEDS,
        run: forks,
    },
    Test {
        name: "function::a_stripped_program_is_traced_by_address",
        needs: NEEDS,
        run: by_address,
    },
    Test {
        name: "function::a_process_under_a_seccomp_filter_lives_on",
        needs: NEEDS,
        run: filter,
    },
    Test {
        name: "function::refuses_what_would_do_harm",
        needs: NEEDS,
        run: refuses,
    },
];

/// The program of `function.c`, waiting to be told to go.
struct Program {
    running: Running,
    /// Address of the function, as the program sees it.
    address: String,
    _folder: tempfile::TempDir,
}

/// What the program counted of its calls.
#[derive(Clone, Copy, Debug)]
struct Truth {
    entered: u64,
    left: u64,
    beyond: u64,
    ended: u64,
}

impl Program {
    fn start(kit: &Kit, way: &str, options: &[&str]) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        let options = [&["-O2", "-pthread"], options].concat();
        let program = compile_c(folder.path(), include_str!("c/function.c"), &options)?;
        let mut program = Self {
            running: Running::start_talking(Command::new(program).arg(way))?,
            address: String::new(),
            _folder: folder,
        };
        program.address = program.line()?;
        Ok(program)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let line = self.running.read_until(|_| true)?;
        Ok(String::from_utf8(line)?.trim().to_owned())
    }

    fn pid(&self) -> String {
        self.running.pid().to_string()
    }

    /// Has it do its work; it waits afterwards.
    fn go(&mut self) -> anyhow::Result<Truth> {
        self.running.tell(b"g")?;
        let line = self.line()?;
        let counts = line.split(' ').map(str::parse).collect::<Result<_, _>>();
        let counts: Vec<u64> = counts.with_context(|| line.clone())?;
        let [entered, left, beyond, ended] = counts[..] else {
            anyhow::bail!("not four counts: {line}");
        };
        Ok(Truth {
            entered,
            left,
            beyond,
            ended,
        })
    }
}

/// Traces the program's work, and holds each figure of the ledger against the program's counts.
fn trace(
    kit: &Kit,
    program: &mut Program,
    options: &[&str],
) -> anyhow::Result<(Truth, serde_json::Value)> {
    let pid = program.pid();
    // The ends of threads are to be seen without a kernel pair, too.
    let plain = [
        "--kernel-probe=none",
        "--calibration-rounds=0",
        "--pid",
        &pid,
    ];
    let options = [&plain[..], options].concat();
    let trace = Trace::start(kit, &options)?;
    let truth = program.go()?;
    // The program waits in its only thread.
    let followed = followed_threads(trace.pid())?;
    ensure!(followed == [program.running.pid()], "{followed:?}");
    let seen = trace.end()?;
    println!("{truth:?}");

    let row = &seen["ledger"]["probes"]["function"];
    let unpaired = truth.left + truth.beyond + truth.ended;
    let recorded = truth.entered - unpaired;
    ensure!(recorded > 0, "{truth:?}");
    ensure!(row["hits"] == truth.entered, "{truth:?}, {row}");
    ensure!(row["recorded"] == recorded, "{truth:?}, {row}");
    ensure!(row["unpaired"] == unpaired, "{truth:?}, {row}");
    ensure!(
        row["dropped"] == 0 && row["in_flight"] == 0,
        "{truth:?}, {row}"
    );
    ensure!(seen["spans"]["function"]["count"] == recorded, "{seen}");
    let causes = &seen["ledger"]["causes"];
    for (cause, count) in [
        ("function_left_without_return", truth.left),
        ("function_deeper_than_64", truth.beyond),
        ("function_thread_ended", truth.ended),
    ] {
        ensure!(
            causes[cause].as_u64().unwrap_or(0) == count,
            "{cause}: {truth:?}, {causes}"
        );
    }
    ensure!(
        causes["function_entered_before_attach"].is_null(),
        "{causes}"
    );
    Ok((truth, seen))
}

/// Traces one way of calling, which must give rise to just these causes.
fn check(kit: &Kit, way: &str, symbol: &str, causes: &[&str]) -> anyhow::Result<()> {
    let mut program = Program::start(kit, way, &[])?;
    let (_, seen) = trace(kit, &mut program, &["--symbol", symbol])?;
    let named = seen["ledger"]["causes"].as_object().context("causes")?;
    let named: Vec<&str> = named.keys().map(String::as_str).collect();
    ensure!(named == causes, "{named:?}");
    Ok(())
}

/// The threads in the table of open calls of a tracer that runs.
fn followed_threads(tracer: u32) -> anyhow::Result<Vec<u32>> {
    for entry in fs::read_dir(format!("/proc/{tracer}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        let Some(id) = id else { continue };
        let id = id.trim().parse()?;
        if MapInfo::from_id(id)?.name_as_str() == Some("OPEN_CALLS") {
            let map = Map::HashMap(MapData::from_id(id)?);
            let map: HashMap<_, u32, OpenCalls> = map.try_into()?;
            return Ok(map.keys().collect::<Result<_, _>>()?);
        }
    }
    anyhow::bail!("process {tracer} has no map of open calls")
}

fn forks(kit: &Kit) -> anyhow::Result<()> {
    let mut program = Program::start(kit, "forks", &[])?;
    let (_, seen) = trace(kit, &mut program, &["--symbol", "probed"])?;
    let ledger = &seen["ledger"];
    ensure!(ledger["causes"] == serde_json::json!({}), "{ledger}");
    // The children's own calls.
    ensure!(ledger["hits_of_other_processes"] == 7 + 3, "{ledger}");
    Ok(())
}

fn by_address(kit: &Kit) -> anyhow::Result<()> {
    // At a fixed address, so that where the function is in memory is where it is in the file.
    let mut program = Program::start(kit, "longjmp", &["-no-pie", "-s"])?;
    let address = program.address.clone();
    trace(kit, &mut program, &["--offset", &address]).map(|_| ())
}

/// On kernels where the filter would kill it, the trace is refused.
fn filter(kit: &Kit) -> anyhow::Result<()> {
    let mut program = Program::start(kit, "filter", &[])?;
    let probed = ["--symbol", "probed"];
    let traced = trace(kit, &mut program, &probed).map(|_| ());
    if let Err(error) = &traced
        && format!("{error:#}").contains("under a seccomp filter")
    {
        println!("refused: {error:#}");
        program.go()?;
        return Ok(());
    }
    traced
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let refuse = |program: &Program, options: &[&str], texts: &[&str]| {
        let mut command = kit.command("probe-user");
        command.args(["trace", "--duration=1", "--pid", &program.pid()]);
        fail(command.args(options), 1, texts)
    };
    let mut go = Program::start(kit, "recursion", &["-DGO_NOTE"])?;
    refuse(&go, &["--symbol=probed"], &["built by Go", "moves stacks"])?;
    go.go()?;

    let mut program = Program::start(kit, "recursion", &["-no-pie"])?;
    let address = u64::from_str_radix(program.address.trim_start_matches("0x"), 16)?;
    let inside = format!("--offset={:#x}", address + 1);
    refuse(
        &program,
        &[&inside],
        &["0x1 bytes into \"probed\"", "only whole functions"],
    )?;
    refuse(&program, &["--offset=0x1"], &["no code at 0x1"])?;
    refuse(&program, &["--symbol=prob"], &["did you mean probed"])?;
    refuse(&program, &["--symbol=probed+0x1"], &["name \"probed\""])?;
    refuse(&program, &["--symbol=setjmp"], &["no function \"setjmp\""])?;
    refuse(&program, &["--symbol=fork"], &["--lib"])?;
    program.go()?;
    drop(program);

    let program = Program::start(kit, "recursion", &["-no-pie", "-s"])?;
    refuse(&program, &["--symbol=probed"], &["stripped", "--offset"])?;
    refuse(&program, &[&inside], &["0x1 bytes into the one at"])
}
