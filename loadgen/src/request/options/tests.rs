use std::io::Write as _;

use super::*;

fn arm() -> Arm {
    "a=http://[::1]:8080/work?us=5".parse().unwrap()
}

fn texts(options: &RequestOptions) -> Vec<String> {
    let requests = options.requests(&arm(), false, 1).unwrap();
    let texts = requests
        .all()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    texts.collect()
}

fn error(options: &RequestOptions) -> String {
    format!("{:#}", options.requests(&arm(), false, 1).unwrap_err())
}

fn header(text: &str) -> Header {
    text.parse().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn without_options_it_is_a_plain_get() {
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /work?us=5 HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: hookprobe-loadgen/{version}\r\n\
             Accept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
    );
    assert_eq!(texts(&RequestOptions::default()), [expected]);
}

#[test]
fn method_headers_and_body_are_as_given() {
    let options = RequestOptions {
        body: Some("a=1".to_owned()),
        headers: vec![header("host: shop"), header("Accept:"), header("X-A:b:c")],
        close: true,
        ..RequestOptions::default()
    };
    let [text] = &texts(&options)[..] else {
        panic!("one request");
    };
    let (first, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(first, "POST /work?us=5 HTTP/1.1");
    assert!(
        !rest.contains("Host:") && !rest.contains("Accept:"),
        "{rest}"
    );
    assert!(
        rest.contains("Connection: close\r\nhost: shop\r\nX-A: b:c\r\n"),
        "{rest}"
    );
    assert!(rest.ends_with("Content-Length: 3\r\n\r\na=1"), "{rest}");

    let body = file("\0binary");
    let options = RequestOptions {
        method: Some(Method::PUT),
        body: Some(format!("@{}", body.path().display())),
        ..RequestOptions::default()
    };
    let text = &texts(&options)[0];
    assert!(text.starts_with("PUT /"), "{text}");
    assert!(
        text.ends_with("Content-Length: 7\r\n\r\n\0binary"),
        "{text}"
    );
    let empty = RequestOptions {
        method: Some(Method::POST),
        ..RequestOptions::default()
    };
    assert!(texts(&empty)[0].ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn lines_of_a_file_take_what_they_do_not_say_from_the_options_and_the_arm() {
    let file = file("/a\n# not this\n\nDELETE http://shop.example/b?c\r\n");
    let options = RequestOptions {
        request_file: Some(file.path().to_owned()),
        method: Some(Method::HEAD),
        ..RequestOptions::default()
    };
    let texts = texts(&options);
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with("HEAD /a HTTP/1.1\r\nHost: [::1]:8080\r\n"));
    assert!(texts[1].starts_with("DELETE /b?c HTTP/1.1\r\nHost: shop.example\r\n"));
}

#[test]
fn raw_requests_are_sent_as_they_stand() {
    let raw = "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.0\r\n\r\n";
    let file = file(raw);
    let mut options = RequestOptions {
        request_file: Some(file.path().to_owned()),
        ..RequestOptions::default()
    };
    assert_eq!(texts(&options).concat(), raw);
    options.close = true;
    assert!(error(&options).contains("leave --close out"));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let error_of = |text: &str| format!("{:#}", Header::from_str(text).unwrap_err());
    assert!(error_of("Accept").contains("expected NAME: VALUE"));
    assert!(error_of("a b: c").contains("is no name"));
    assert!(error_of("a: b\r\nc: d").contains("cannot be the value"));
    assert!(error_of("Content-length: 5").contains("--body"));
    let options = RequestOptions {
        method: Some(Method::CONNECT),
        ..RequestOptions::default()
    };
    assert!(error(&options).contains("tunnel"));
    let missing = RequestOptions {
        body: Some("@/no/such/file".to_owned()),
        ..RequestOptions::default()
    };
    assert!(error(&missing).contains("--body @/no/such/file: No such file"));
}
