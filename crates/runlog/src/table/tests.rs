use std::fs::{self, OpenOptions};

use super::*;
use crate::record::{Request, WriteSpan};

fn request(sequence: u64) -> Request {
    Request {
        sequence,
        sent_ns: 10 * sequence,
        done_ns: 10 * sequence + 7,
        flags: Request::OBSERVED,
        ..Request::default()
    }
}

fn written(rows: u64) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.npy");
    let mut writer = TableWriter::create(&path).unwrap();
    for sequence in 0..rows {
        writer.push(&request(sequence)).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), rows);
    (folder, path)
}

#[test]
fn rows_come_back_as_they_were() {
    for count in [0, 1, 10_000] {
        let (_folder, path) = written(count);
        let mut rows = Rows::<Request>::open(&path).unwrap();
        for sequence in 0..count {
            assert_eq!(rows.next().unwrap().unwrap(), request(sequence));
        }
        assert!(rows.next().is_none());
        assert!(!rows.was_cut_short());
    }
}

#[test]
fn a_file_that_was_cut_gives_its_complete_rows_and_says_so() {
    let (_folder, path) = written(100);
    let length = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length - 30).unwrap();
    let mut rows = Rows::<Request>::open(&path).unwrap();
    assert_eq!(rows.by_ref().flatten().count(), 99);
    assert!(rows.was_cut_short());
}

#[test]
fn a_writer_that_never_finished_leaves_readable_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.npy");
    let mut writer = TableWriter::create(&path).unwrap();
    assert_eq!(Rows::<Request>::open(&path).unwrap().count(), 0);
    for sequence in 0..50_000 {
        writer.push(&request(sequence)).unwrap();
        if sequence == 45_000 {
            writer.flush().unwrap();
        }
    }
    std::mem::forget(writer); // as SIGKILL would leave it: no count, buffers lost
    let mut rows = Rows::<Request>::open(&path).unwrap();
    let mut read = 0;
    for (sequence, row) in rows.by_ref().enumerate() {
        assert_eq!(row.unwrap(), request(sequence as u64));
        read += 1;
    }
    assert!((45_001..=50_000).contains(&read), "{read}");
    assert!(rows.was_cut_short());
}

#[test]
fn what_a_writer_left_is_completed_once_and_for_all() {
    let (folder, path) = written(3);
    let copy = folder.path().join("copy.npy");
    let mut writer = TableWriter::create(&copy).unwrap();
    for sequence in 0..3 {
        writer.push(&request(sequence)).unwrap();
    }
    writer.flush().unwrap();
    std::mem::forget(writer);
    let file = OpenOptions::new().append(true).open(&copy).unwrap();
    Write::write_all(&mut &file, &[7; 20]).unwrap();
    for _ in 0..2 {
        assert_eq!(complete::<Request>(&copy).unwrap(), 3);
        let mut rows = Rows::<Request>::open(&copy).unwrap();
        let read: Vec<Request> = rows.by_ref().map(Result::unwrap).collect();
        assert_eq!(read, read_all::<Request>(&path).unwrap());
        assert!(!rows.was_cut_short());
    }
    assert!(complete::<WriteSpan>(&copy).is_err());
}

#[test]
fn foreign_files_are_refused_with_a_reason() {
    let (folder, path) = written(3);
    let error = Rows::<WriteSpan>::open(&path).unwrap_err().to_string();
    assert!(error.contains("columns"), "{error}");
    let text = folder.path().join("text.npy");
    fs::write(&text, "start_time,response_time\n").unwrap();
    let error = Rows::<Request>::open(&text).unwrap_err().to_string();
    assert!(error.contains("not a .npy file"), "{error}");
    let error = Rows::<Request>::open(folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn a_log_never_replaces_another() {
    let (_folder, path) = written(1);
    assert!(TableWriter::<Request>::create(&path).is_err());
}
