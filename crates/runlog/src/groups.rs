//! Logs in runs of rows with the same number: blocks, attaches.

use std::path::PathBuf;

use npyz::Deserialize;

use crate::error::Result;
use crate::table::Rows;

/// The rows of a log, one group at a time. Groups follow each other in ascending order, as they were
/// written.
#[derive(Debug)]
pub struct Groups<T: Deserialize> {
    rows: Rows<T>,
    number_of: fn(&T) -> u32,
    next: Option<T>,
}

impl<T: Deserialize> Groups<T> {
    /// Opens a log whose rows are grouped by `number_of`.
    pub fn open(path: impl Into<PathBuf>, number_of: fn(&T) -> u32) -> Result<Self> {
        let mut rows = Rows::open(path)?;
        let next = rows.next().transpose()?;
        Ok(Self {
            rows,
            number_of,
            next,
        })
    }

    /// The next group, with its number.
    pub fn next_group(&mut self) -> Result<Option<(u32, Vec<T>)>> {
        let Some(first) = self.next.take() else {
            return Ok(None);
        };
        let number = (self.number_of)(&first);
        let mut group = vec![first];
        for row in self.rows.by_ref() {
            let row = row?;
            if (self.number_of)(&row) != number {
                self.next = Some(row);
                break;
            }
            group.push(row);
        }
        Ok(Some((number, group)))
    }

    /// The number of the next row's group; `None` behind the last row.
    pub fn next_number(&self) -> Option<u32> {
        self.next.as_ref().map(self.number_of)
    }

    /// The next row, which stays, if it is of the group with this number. Groups before it are passed
    /// over. With [`Groups::next_of`] this goes through a group that does not fit into memory.
    pub fn peek_of(&mut self, number: u32) -> Result<Option<&T>> {
        while self.next_number().is_some_and(|next| next < number) {
            self.next = self.rows.next().transpose()?;
        }
        let is_of = self.next_number() == Some(number);
        Ok(self.next.as_ref().filter(|_| is_of))
    }

    /// Takes the next row if it is of the group with this number. Groups before it are passed over.
    pub fn next_of(&mut self, number: u32) -> Result<Option<T>> {
        if self.peek_of(number)?.is_none() {
            return Ok(None);
        }
        let row = self.next.take();
        self.next = self.rows.next().transpose()?;
        Ok(row)
    }

    /// Passes the group with this number over, and those before it.
    pub fn skip(&mut self, number: u32) -> Result<()> {
        while self.next_number().is_some_and(|next| next <= number) {
            self.next = self.rows.next().transpose()?;
        }
        Ok(())
    }

    /// The group with this number, empty when there is none. Groups before it are passed over.
    pub fn take_group(&mut self, number: u32) -> Result<Vec<T>> {
        while let Some(row) = &self.next
            && (self.number_of)(row) <= number
        {
            if let Some((found, group)) = self.next_group()?
                && found == number
            {
                return Ok(group);
            }
        }
        Ok(Vec::new())
    }

    /// Whether the file was cut short. Known once the last group was taken.
    pub fn was_cut_short(&self) -> bool {
        self.rows.was_cut_short()
    }
}

#[cfg(test)]
mod tests;
