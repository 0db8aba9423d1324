//! Which block a record belongs to, where two run at once.

use crate::run::span_log::SpanLog;
use probes::records::Record;

/// The blocks that run.
#[derive(Debug, Default)]
pub struct Turn {
    block: u32,
    /// Arm and number of the block on the second side.
    beside: Option<(u32, u32)>,
    /// Records of the second side: in the log they come after those of the first.
    later: Vec<Record>,
}

impl Turn {
    /// Goes on to the next. What belongs to the one before must have been pushed.
    pub fn go_on(
        &mut self,
        block: u32,
        beside: Option<u16>,
        log: &mut SpanLog,
    ) -> runlog::Result<()> {
        self.write_later(log)?;
        self.block = block;
        self.beside = beside.map(|arm| (u32::from(arm), block + 1));
        Ok(())
    }

    /// Takes a record that was made in this turn.
    pub fn push(&mut self, record: Record, log: &mut SpanLog) -> runlog::Result<()> {
        match self.beside {
            Some((arm, _)) if record.arm() == arm => {
                self.later.push(record);
                Ok(())
            }
            _ => log.push(self.block, record),
        }
    }

    /// Writes what was put off. Nothing may be pushed after it but to the next turn.
    pub fn write_later(&mut self, log: &mut SpanLog) -> runlog::Result<()> {
        if let Some((_, number)) = self.beside {
            for record in self.later.drain(..) {
                log.push(number, record)?;
            }
        }
        Ok(())
    }
}
