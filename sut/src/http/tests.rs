use super::*;

fn take(text: &str) -> (Result<Option<Request>, Refusal>, String) {
    let mut buffer = BytesMut::from(text);
    let result = take_request(&mut buffer);
    (result, String::from_utf8(buffer.to_vec()).unwrap())
}

#[test]
fn requests_are_taken_one_by_one() {
    let (request, rest) =
        take("POST /echo HTTP/1.1\r\nContent-Length: 3\r\nX-Sequence: 0042\r\n\r\nabcGET / HT");
    let expected = Request {
        method: "POST".into(),
        target: "/echo".into(),
        body: b"abc".to_vec(),
        keep_alive: true,
        sequence: Some(42),
    };
    assert_eq!(request, Ok(Some(expected)));
    assert_eq!(rest, "GET / HT");
    assert_eq!(
        take(&rest),
        (Ok(None), rest.clone()),
        "the partial one stays"
    );
}

#[test]
fn a_body_is_waited_for() {
    let text = "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nab";
    assert_eq!(take(text), (Ok(None), text.to_owned()));
}

#[test]
fn keep_alive_follows_version_and_header() {
    let keep_alive = |text: &str| take(text).0.unwrap().unwrap().keep_alive;
    assert!(keep_alive("GET / HTTP/1.1\r\n\r\n"));
    assert!(!keep_alive("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"));
    assert!(!keep_alive("GET / HTTP/1.0\r\n\r\n"));
    assert!(keep_alive(
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    ));
}

#[test]
fn what_cannot_be_served_is_refused() {
    let refusal = |text: &str| take(text).0.unwrap_err();
    assert_eq!(refusal("nonsense\r\n\r\n"), Refusal::BadRequest);
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        Refusal::BadRequest
    );
    assert_eq!(
        refusal("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Refusal::LengthRequired
    );
    assert_eq!(
        refusal("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"),
        Refusal::BodyTooLarge
    );
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD));
    assert_eq!(refusal(&long), Refusal::HeadTooLarge);
}

#[test]
fn the_answer_to_head_has_the_length_of_its_body_but_no_body() {
    let mut out = BytesMut::new();
    put_response(&mut out, "200 OK", b"Hello World", true, true);
    let text = str::from_utf8(&out).unwrap();
    assert!(text.contains("Content-Length: 11\r\nConnection: close\r\n\r\n"));
    assert!(text.ends_with("\r\n\r\n"));
}
