//! `loadgen`: the load generator. Closed loop, keep-alive, arms in interleaved blocks; every request
//! is logged with its instants and with the bytes of the connection that it occupies.

mod client;
mod clock;
mod connection;
mod export;
mod gate;
mod plan;
mod response;
mod run;
mod scheduling;
mod target;
mod turn;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// HTTP load generator that compares arms in interleaved blocks and logs every request.
#[derive(Debug, Parser)]
#[command(
    version,
    args_override_self = true,
    after_help = "\
Examples:
  loadgen run --arm baseline=http://127.0.0.1:8080/ --arm hooked=http://127.0.0.1:8081/
  loadgen run --arm a=http://127.0.0.1:8080/ --requests 100000 --connections 32 --json
  loadgen run --order duet --side-cpus 0,1 --arm a=http://127.0.0.1:8080/ --arm b=http://127.0.0.1:8081/"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send requests to the arms and write the request log
    Run(run::RunArguments),
    /// Print the bytes of the request that an arm gets
    Request {
        /// The arm, as for run
        #[arg(value_name = "NAME=URL")]
        arm: target::Arm,
    },
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let result = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Request { arm } => std::io::stdout()
            .write_all(arm.request(false).numbered(0))
            .map(|()| true)
            .map_err(anyhow::Error::from),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3), // partial, and said so
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
