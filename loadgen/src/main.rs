//! `loadgen`: the load generator. HTTP/1.1, closed and open loop, arms in interleaved blocks; every request
//! is logged with its instants and with the bytes of the connection that it occupies.

mod agent;
mod arrivals;
mod block;
mod check;
mod client;
mod clock;
mod connection;
mod export;
mod gate;
mod live;
mod live_view;
mod numbering;
mod options;
mod pace;
mod pacer;
mod plan;
mod request;
mod response;
mod run;
mod scheduling;
mod serve;
mod show;
mod slots;
mod target;
mod timer;
mod turn;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::End;

/// HTTP load generator that compares arms in interleaved blocks and logs every request.
#[derive(Debug, Parser)]
#[command(
    version,
    args_override_self = true,
    after_help = "\
Examples:
  loadgen run --arm a=http://127.0.0.1:8080/ --arm b=http://127.0.0.1:8081/
  loadgen run --arm a=http://127.0.0.1:8080/ --connections 32 --json
  loadgen run --arm a=http://127.0.0.1:8080/ --body @form.bin --close
  loadgen run --arm a=http://127.0.0.1:8080/ --request-file urls.txt
  loadgen run --arm a=http://127.0.0.1:8080/ --duration 30 --rate 20000
  loadgen run --arm a=http://10.0.0.5/ --agent http://10.0.0.5:9464
  loadgen serve --arm a=http://127.0.0.1:8080/

Exit codes: 0 complete, 1 error, 2 usage, 3 cut short (what was measured is
kept), 4 not usable: the agent has no result"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send requests to the arms and write the request log
    Run(options::RunArguments),
    /// Serve a page, and an API, that start, watch and stop loads
    #[command(after_help = "\
Examples:
  loadgen serve --arm a=http://127.0.0.1:8080/ --arm b=http://127.0.0.1:8081/
  loadgen serve --allow http://127.0.0.1:8080/work --runs /var/tmp/loads
  LOADGEN_TOKEN=$(openssl rand -hex 16) loadgen serve \\
      --listen 0.0.0.0:8089 --arm a=http://10.0.0.5/")]
    Serve(serve::ServeArguments),
    /// Print the bytes of the requests that an arm gets
    Request {
        /// The arm, as for run
        #[arg(value_name = "NAME=URL")]
        arm: target::Arm,

        #[command(flatten)]
        options: request::RequestOptions,
    },
}

fn main() -> ExitCode {
    let Arguments { command } = cli::parse();
    let result = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Request { arm, options } => print_requests(&arm, &options).map(|()| End::Complete),
    };
    cli::end("loadgen", result)
}

fn print_requests(arm: &target::Arm, options: &request::RequestOptions) -> anyhow::Result<()> {
    let requests = options.requests(arm, false, 0)?;
    let mut stdout = std::io::stdout().lock();
    for bytes in requests.all() {
        stdout.write_all(bytes)?;
    }
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_option_stands_in_for_another() {
        super::Arguments::command().debug_assert();
    }
}
