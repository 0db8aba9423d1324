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
