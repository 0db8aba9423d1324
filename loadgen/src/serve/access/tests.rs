use axum::body::Body;

use super::*;

fn status(access: &Access, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    match access.check(&request) {
        Ok(()) => 200,
        Err(refused) => refused.status().as_u16(),
    }
}

#[test]
fn on_loopback_only_its_names_are_ours() {
    let access = Access::new(true, None).unwrap();
    let get = |host| status(&access, "GET", "/", &[("host", host)]);
    for host in [
        "localhost:8089",
        "LOCALHOST",
        "127.0.0.1:8089",
        "127.8.8.8",
        "[::1]:8089",
    ] {
        assert_eq!(get(host), 200, "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example:8089",
        "evil.example:127",
        "10.0.0.1:8089",
        "127.0.0.1.evil.example",
        "[fe80::1]:8089",
    ] {
        assert_eq!(get(host), 403, "{host}");
    }
    assert_eq!(status(&access, "GET", "/", &[]), 403);
}

#[test]
fn other_sites_change_nothing() {
    let access = Access::new(true, None).unwrap();
    let post = |origin| {
        let headers = [("host", "localhost:8089"), ("origin", origin)];
        status(&access, "POST", "/api/runs/x/stop", &headers)
    };
    assert_eq!(post("http://localhost:8089"), 200);
    for origin in ["null", "http://evil.example", "http://localhost:8090", ""] {
        assert_eq!(post(origin), 403, "{origin}");
    }
    let own = [("host", "localhost:8089")];
    assert_eq!(
        status(&access, "POST", "/api/runs", &own),
        200,
        "not a browser"
    );
}

#[test]
fn the_token_or_its_cookie_opens_the_api() {
    let access = Access::new(false, Some("0123456789abcdef".to_owned())).unwrap();
    let get = |name, value| status(&access, "GET", "/api/runs", &[("host", "h"), (name, value)]);
    assert_eq!(get("x-nothing", ""), 401);
    assert_eq!(get("authorization", "Bearer 0123456789abcdef"), 200);
    assert_eq!(get("authorization", "Bearer 0123456789abcdeg"), 401);
    assert_eq!(get("authorization", "Bearer "), 401);
    assert_eq!(get("authorization", "0123456789abcdef"), 401);
    assert_eq!(get("cookie", "loadgen-session=0123456789abcdef"), 401);
    assert_eq!(access.cookie("wrong"), None);
    let cookie = access.cookie("0123456789abcdef").unwrap();
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(get("cookie", &format!("a=b; {pair}")), 200);
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    assert_eq!(
        status(&access, "GET", "/", &[("host", "h")]),
        200,
        "the page itself"
    );
    assert_eq!(status(&access, "GET", "/api", &[("host", "h")]), 401);
}
