//! A process that does what a line of JSON on its stdin says, and answers with another.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A running worker. It ends with the value, as its stdin does.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one, and waits for its first line: then it is set up.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the worker's stdout")?);
        let mut worker = Self {
            child,
            orders,
            answers,
        };
        worker.answer()?;
        Ok(worker)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order, and returns the answer.
    pub fn order<A: DeserializeOwned>(&mut self, order: &impl Serialize) -> anyhow::Result<A> {
        let orders = self.orders.as_mut().context("the worker's stdin")?;
        writeln!(orders, "{}", serde_json::to_string(order)?).context("the worker has ended")?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).with_context(|| format!("the worker's answer \"{answer}\""))
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the worker has ended ({})", self.child.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// The worker's side: does what it is told until stdin ends. Its first line tells that all is set up.
pub fn serve<O: DeserializeOwned, A: Serialize>(
    mut obey: impl FnMut(O) -> anyhow::Result<A>,
) -> anyhow::Result<()> {
    // Standard output is flushed at the end of each line.
    println!("ready");
    for line in io::stdin().lock().lines() {
        let answer = obey(serde_json::from_str(&line?)?)?;
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

/// Has variables that set a hook up, which begin with one of these words, not reach a child.
pub fn without_hook_settings<'c>(command: &'c mut Command, prefixes: &[&str]) -> &'c mut Command {
    command.env_remove("LD_PRELOAD");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_answers_until_it_is_dropped() {
        let script = "echo ready; while read line; do echo \"[$line, 5]\"; done";
        let mut worker = Worker::start(Command::new("sh").args(["-c", script])).unwrap();
        for order in [1, 2] {
            assert_eq!(worker.order::<[u32; 2]>(&order).unwrap(), [order, 5]);
        }
        let error = worker.order::<bool>(&3).unwrap_err().to_string();
        assert!(error.contains("[3, 5]"), "{error}");
    }

    #[test]
    fn a_worker_that_ends_says_how() {
        let start = Worker::start(Command::new("sh").args(["-c", "exit 5"]));
        let error = start.unwrap_err().to_string();
        assert!(error.contains("exit status: 5"), "{error}");
    }
}
