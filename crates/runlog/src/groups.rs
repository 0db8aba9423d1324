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
mod tests {
    use super::*;
    use crate::record::Request;
    use crate::table::TableWriter;

    fn log(blocks: &[u32]) -> (tempfile::TempDir, Groups<Request>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.npy");
        let mut writer = TableWriter::create(&path).unwrap();
        for block in blocks {
            let request = Request {
                block: *block,
                ..Request::default()
            };
            writer.push(&request).unwrap();
        }
        writer.finish().unwrap();
        let groups = Groups::open(path, |request: &Request| request.block).unwrap();
        (folder, groups)
    }

    #[test]
    fn groups_come_one_by_one() {
        let (_folder, mut groups) = log(&[0, 0, 2, 5, 5, 5]);
        let mut sizes = Vec::new();
        while let Some((number, group)) = groups.next_group().unwrap() {
            sizes.push((number, group.len()));
        }
        assert_eq!(sizes, [(0, 2), (2, 1), (5, 3)]);
        assert!(!groups.was_cut_short());
    }

    #[test]
    fn a_group_can_be_gone_through_row_by_row() {
        let (_folder, mut groups) = log(&[0, 0, 2, 5, 5, 5]);
        assert_eq!(groups.next_number(), Some(0));
        assert!(groups.peek_of(1).unwrap().is_none(), "passes group 0 over");
        assert_eq!(groups.next_number(), Some(2));
        assert!(groups.next_of(2).unwrap().is_some());
        assert!(groups.next_of(2).unwrap().is_none());
        let mut rows = 0;
        while groups.next_of(5).unwrap().is_some() {
            rows += 1;
        }
        assert_eq!((rows, groups.next_number()), (3, None));
    }

    #[test]
    fn a_group_is_found_behind_others_and_an_absent_one_is_empty() {
        let (_folder, mut groups) = log(&[0, 0, 2, 5, 5, 5]);
        assert_eq!(groups.take_group(1).unwrap().len(), 0);
        assert_eq!(groups.take_group(2).unwrap().len(), 1);
        assert_eq!(groups.take_group(2).unwrap().len(), 0);
        assert_eq!(groups.take_group(5).unwrap().len(), 3);
        assert_eq!(groups.take_group(9).unwrap().len(), 0);
        let (_folder, mut empty) = log(&[]);
        assert_eq!(empty.next_group().unwrap(), None);
    }
}
