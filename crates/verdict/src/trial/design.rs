//! How the arms of a trial were drawn, and which server a block went to.

use abi::trial::slices::Slices;
use abi::trial::{Arm, Trial};
use anyhow::Context as _;
use runlog::manifest::Schedule;
use runlog::record::{BracketedCall, Request};

use crate::join::clock::on_server;

/// The design of a trial. Arms are known by their numbers.
#[derive(Clone, Debug)]
pub struct Design {
    /// The draw.
    pub trial: Trial,
    /// Its slices of time, if arms go by these.
    pub slices: Option<Slices>,
    /// Servers, which blocks take in turn.
    pub servers: usize,
    /// Number of the arm `off`.
    pub off: usize,
    /// Number of the arm `null`, if there is one.
    pub null: Option<usize>,
    /// Number of the arm `on`.
    pub on: usize,
}

impl Design {
    /// The design that a schedule names.
    pub fn of(schedule: &Schedule) -> anyhow::Result<Self> {
        let text = schedule.trial.as_deref();
        let text = text.context("the schedule of this trial does not say how arms are drawn")?;
        let trial = Trial::parse(text.as_bytes())
            .with_context(|| format!("the schedule's trial, {text:?}, is none"))?;
        let number = |arm| trial.arms().iter().position(|other| *other == arm);
        Ok(Self {
            servers: usize::try_from(schedule.servers_per_arm.max(1))?,
            off: number(Arm::Off).context("no arm is off")?,
            null: number(Arm::Null),
            on: number(Arm::On).context("no arm is on")?,
            slices: Slices::of(&trial),
            trial,
        })
    }

    /// The arms with their numbers.
    pub fn arms(&self) -> impl Iterator<Item = (usize, Arm)> + '_ {
        self.trial.arms().iter().copied().enumerate()
    }

    /// The arms with delays, from the shortest to the longest.
    pub fn spiked(&self) -> Vec<(usize, Arm)> {
        let mut spiked: Vec<_> = self.arms().filter(|(_, arm)| arm.delay_ns() > 0).collect();
        spiked.sort_by_key(|(_, arm)| arm.delay_ns());
        spiked
    }

    /// Whether the requests are those that the servers saw: somebody else sent them, of any size.
    pub fn is_server_log(&self) -> bool {
        self.trial.is_of_any_size()
    }

    /// Which request of its connection this is, from 0.
    pub fn ordinal(&self, request: &Request) -> u64 {
        match request.first_byte.checked_div(self.trial.size.into()) {
            Some(ordinal) => ordinal,
            None => request.first_byte,
        }
    }

    /// Number of the arm that a request was drawn; `None` for the first of a connection. By slices of time it is the one that it
    /// was sent with.
    pub fn arm_of(&self, request: &Request) -> Option<usize> {
        // A log that is sent to an agent may be made up.
        let is_arm = |arm: &usize| *arm < self.trial.arms().len();
        let sent_with = Some(usize::from(request.arm)).filter(is_arm);
        if self.is_server_log() {
            return sent_with;
        }
        let salt = self.trial.salt(request.connection);
        let drawn = self.trial.arm_of(salt, self.ordinal(request))?;
        match self.slices {
            None => Some(drawn),
            Some(_) => sent_with,
        }
    }

    /// Number of the arm that a call must have, whose instants are of a clock that the servers' own is ahead of by this.
    pub fn arm_of_call(&self, call: &BracketedCall, server_ahead_ns: i64) -> Option<usize> {
        match self.slices {
            None => self.trial.arm_of(call.salt, call.ordinal.into()),
            Some(slices) => Some(slices.at(on_server(call.enter_ns, server_ahead_ns)).arm),
        }
    }
}
