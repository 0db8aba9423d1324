use std::io::Write as _;

use super::*;

fn check(access: &Access, name: &'static str, value: &str) -> Result<(), Denied> {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    access.check(&headers)
}

fn access(token: &str) -> anyhow::Result<Access> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(token.as_bytes())?;
    Access::by_token_in(Some(file.path()))
}

#[test]
fn the_token_opens_and_nothing_else() {
    let access = access("0123456789abcdef\nnot this\n").unwrap();
    let of = |value| check(&access, "authorization", value);
    assert_eq!(of("Bearer 0123456789abcdef"), Ok(()));
    assert_eq!(of("bearer 0123456789abcdef"), Ok(()));
    for wrong in [
        "Bearer 0123456789abcdeg",
        "Bearer 0123456789abcde",
        "Bearer ",
        "0123456789abcdef",
        "Basic 0123456789abcdef",
        "",
    ] {
        assert_eq!(of(wrong), Err(Denied::Unauthorized), "{wrong}");
    }
    assert_eq!(
        check(&access, "host", "localhost"),
        Err(Denied::Unauthorized)
    );
}

#[test]
fn a_bad_token_is_refused() {
    for token in ["", "short", "0123456789 abcdef", "\n0123456789abcdef"] {
        assert!(access(token).is_err(), "{token}");
    }
}

#[test]
fn without_a_token_only_names_of_loopback_are_ours() {
    let access = Access::by_token_in(None).unwrap();
    for host in [
        "localhost:9464",
        "127.0.0.1:9464",
        "127.8.8.8",
        "[::1]:9464",
        "LocalHost",
    ] {
        assert_eq!(check(&access, "host", host), Ok(()), "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1:9464",
        "",
    ] {
        assert_eq!(
            check(&access, "host", host),
            Err(Denied::Forbidden),
            "{host}"
        );
    }
    assert_eq!(access.check(&HeaderMap::new()), Err(Denied::Forbidden));
}
