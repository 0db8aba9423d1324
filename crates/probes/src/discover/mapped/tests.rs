use super::*;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[test]
fn libraries_are_found_by_name_and_by_path() {
    let by_name = find_library(own_pid(), Path::new("libc")).unwrap();
    assert!(
        by_name.path.to_string_lossy().contains("/libc.so"),
        "{by_name:?}"
    );
    assert_eq!(find_library(own_pid(), &by_name.path).unwrap(), by_name);
    let file_name = by_name.path.file_name().unwrap();
    assert_eq!(
        find_library(own_pid(), Path::new(file_name)).unwrap(),
        by_name
    );
}

#[test]
fn libraries_are_found_by_relative_path() {
    let library = find_library(own_pid(), Path::new("libc")).unwrap();
    let here = std::env::current_dir().unwrap();
    let mut relative: PathBuf = here.iter().skip(1).map(|_| "..").collect();
    relative.extend(library.path.iter().skip(1));
    assert_eq!(find_library(own_pid(), &relative).unwrap(), library);
}

#[test]
fn a_library_that_is_not_mapped_is_named_with_those_that_are() {
    let error = find_library(own_pid(), Path::new("libnothing.so"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has not mapped \"libnothing.so\""),
        "{error}"
    );
    assert!(error.contains("/libc.so"), "{error}");
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    let error = mapped_code(i32::MAX).unwrap_err().to_string();
    assert!(error.contains("2147483647"), "{error}");
}
