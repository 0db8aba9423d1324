use super::*;

fn error(text: &str) -> String {
    format!("{:#}", parse(text.as_bytes()).unwrap_err())
}

fn raw(text: &str) -> Vec<String> {
    let entries = parse(text.as_bytes()).unwrap().into_iter();
    entries
        .map(|entry| match entry {
            Entry::Raw(bytes) => String::from_utf8(bytes).unwrap(),
            Entry::Line(line) => panic!("{line:?}"),
        })
        .collect()
}

#[test]
fn raw_requests_end_where_their_heads_say() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "GET /lf HTTP/1.0\nHost: a\n\n",
    ];
    assert_eq!(raw(&requests.concat()), requests);
    assert_eq!(raw(&requests.join("\r\n\n")), requests);
    assert_eq!(raw(&format!("\n{}\n", requests[0])), requests[..1]);
}

#[test]
fn errors_say_where() {
    assert!(error("").contains("no request"));
    assert!(error("# only\n\n").contains("no request"));
    assert!(error("/a\nGET /b c\n").contains("line 2: expected a URL"));
    assert!(error("/a\nGE@T /b\n").contains("line 2: \"GE@T\" is no method"));
    assert!(error("https://a/\n").contains("line 1: \"https://a/\" starts with neither"));
    assert!(error("a/b\n").contains("line 1"));
    assert!(error("http://me@a/\n").contains("Authorization"));
    assert!(error("CONNECT http://a/\n").contains("tunnel"));
    let one = "GET / HTTP/1.1\r\n\r\n";
    let cut = format!("{one}POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc");
    assert!(error(&cut).contains("request 2, which begins in line 3: the file ends after 3"));
    assert!(error(&format!("{one}GET / HTTP/1.1\r\nHost: a\r\n")).contains("does not end"));
    assert!(error(&format!("{one}what?")).contains("request 2"));
    let sign = "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde";
    assert!(error(sign).contains("is no number"));
    let chunks = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(error(&format!("{chunks}3\r\nab")).contains("within its chunked body"));
    assert!(error(&format!("{chunks}x\r\n")).contains("malformed"));
}
