use super::*;

fn covers(allowed: &str, url: &str) -> bool {
    let allowed: Allowed = allowed.parse().unwrap();
    allowed.covers(url).unwrap()
}

#[test]
fn host_and_port_must_be_the_same() {
    assert!(covers("http://a:8080", "http://A:8080/any/path?x=1"));
    assert!(covers("http://a/", "http://a:80"));
    assert!(covers("http://[::1]:8080/", "http://[::1]:8080/"));
    for url in [
        "http://a:8081/",
        "http://b:8080/",
        "http://a.b:8080/",
        "http://a/",
    ] {
        assert!(!covers("http://a:8080/", url), "{url}");
    }
}

#[test]
fn a_path_counts_whole_segments() {
    assert!(covers("http://a/work", "http://a/work"));
    assert!(covers("http://a/work", "http://a/work/1?us=5"));
    assert!(covers("http://a/work/", "http://a/work"));
    assert!(!covers("http://a/work", "http://a/workshop"));
    assert!(!covers("http://a/work", "http://a/"));
}

#[test]
fn what_could_lead_elsewhere_is_no_url() {
    let allowed: Allowed = "http://a/work".parse().unwrap();
    for url in [
        "http://a/work/../admin",
        "http://a/work/%2E%2e/admin",
        "http://a/work/..%2fadmin",
        "http://a/work/..\\admin",
        "http://a/work/./x",
        "http://user@a/work",
        "https://a/work",
        "a/work",
        "",
    ] {
        assert!(allowed.covers(url).is_err(), "{url}");
    }
    assert!(allowed.covers("http://a/work/..hidden").unwrap());
    assert!(Allowed::from_str("http://a/?x").is_err());
}
