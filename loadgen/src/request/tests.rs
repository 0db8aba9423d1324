use super::*;

fn message(text: &str, with_sequence: bool) -> Message {
    Message::new(text.as_bytes().to_vec(), with_sequence).unwrap()
}

#[test]
fn a_sequence_number_does_not_change_the_length() {
    let mut message = message("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true);
    let length = message.numbered(0).len();
    let text = String::from_utf8(message.numbered(u64::MAX).to_vec()).unwrap();
    assert_eq!(text.len(), length);
    assert!(text.contains("\r\nX-Sequence: 18446744073709551615\r\n"));
    let first = Arc::clone(message.numbered(42));
    // A socket that has not taken it all keeps its own.
    message.numbered(43);
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert_eq!(
        text,
        "GET / HTTP/1.1\r\nX-Sequence: 00000000000000000042\r\nHost: a\r\n\r\n"
    );
}

#[test]
fn what_the_response_depends_on_is_seen() {
    for (text, expects_no_body, is_last) in [
        ("GET / HTTP/1.1\r\n\r\n", false, false),
        ("HEAD / HTTP/1.1\r\n\r\n", true, false),
        (
            "GET / HTTP/1.1\r\nconnection: x, Close\r\n\r\n",
            false,
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", false, true),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            false,
            false,
        ),
    ] {
        let message = message(text, false);
        let seen = (message.expects_no_body(), message.is_last());
        assert_eq!(seen, (expects_no_body, is_last), "{text}");
    }
}

#[test]
fn requests_cycle_or_are_drawn_alike_for_all_arms() {
    let messages: Vec<Message> = (0..5)
        .map(|number| message(&format!("GET /{number} HTTP/1.1\r\n\r\n"), false))
        .collect();
    let numbers = |pick, seed| -> Vec<u32> {
        let mut requests = Requests::new(messages.clone(), pick, seed).unwrap();
        (0..200)
            .map(|_| {
                let (number, message) = requests.next();
                assert!(
                    message
                        .bytes
                        .starts_with(format!("GET /{number}").as_bytes())
                );
                number
            })
            .collect()
    };
    let cycle = numbers(Pick::Cycle, 1);
    assert_eq!(cycle[..7], [0, 1, 2, 3, 4, 0, 1]);
    let drawn = numbers(Pick::Sample, 1);
    assert_eq!(drawn, numbers(Pick::Sample, 1));
    assert_ne!(drawn, numbers(Pick::Sample, 2));
    // Of 200 draws out of 5, fewer than 10 of one have a chance below 1 in a million.
    let count = |number| drawn.iter().filter(|drawn| **drawn == number).count();
    assert!((0..5).all(|number| count(number) >= 10), "{drawn:?}");
    assert!(Requests::new(Vec::new(), Pick::Cycle, 1).is_err());
}
