use abi::trial::Arm;

use super::super::{Message, RequestOptions, Requests};
use super::*;

/// `off` is not the first arm, so that its number is no default.
const ARMS: [Arm; 3] = [Arm::On, Arm::Spiked { delay_ns: 1_000 }, Arm::Off];

fn trial(size: u32) -> Trial {
    Trial::new(42, size, 1, &ARMS).unwrap()
}

fn requests(options: &RequestOptions) -> anyhow::Result<Requests> {
    let arm = "server=http://127.0.0.1:8080/work".parse().unwrap();
    options.requests(&arm, false, 0)
}

fn of_size(size: u32) -> anyhow::Result<Requests> {
    requests(&RequestOptions {
        trial: Some(trial(size)),
        ..RequestOptions::default()
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn take(message: &mut Message, connection: u32, first_byte: u64) -> (Request, Arc<[u8]>) {
    let mut request = Request {
        connection,
        first_byte,
        ..Request::default()
    };
    let bytes = message.take(&mut request);
    (request, bytes)
}

#[test]
fn a_request_has_the_trials_size_or_an_error_names_one_that_fits() {
    let plain = requests(&RequestOptions::default()).unwrap();
    let plain = text(plain.all().next().unwrap());
    let salt = format!("X-Hookprobe-Salt: {}\r\n", "0".repeat(16));
    let least = u32::try_from(plain.len() + salt.len()).unwrap();
    let padded = least + u32::try_from("X-Hookprobe-Fill: \r\n".len()).unwrap();
    let (line, fields) = plain.split_once("\r\n").unwrap();
    for size in 64..=512 {
        let made = of_size(size);
        if size == least {
            let expected = format!("{line}\r\n{salt}{fields}");
            assert_eq!(text(made.unwrap().all().next().unwrap()), expected);
        } else if size >= padded {
            let fill = "x".repeat((size - padded) as usize);
            let expected = format!("{line}\r\n{salt}X-Hookprobe-Fill: {fill}\r\n{fields}");
            let made = text(made.unwrap().all().next().unwrap());
            assert_eq!((made.len(), made), (size as usize, expected));
        } else {
            let error = made.unwrap_err().to_string();
            let says = |what: &str| assert!(error.contains(what), "{size}: {error}");
            says(&format!("size={size} does not fit"));
            says(&format!("the request has {least} bytes"));
            says(&format!("give size={padded} or more"));
        }
    }
}

#[test]
fn a_body_counts_and_stays_whole() {
    let made = requests(&RequestOptions {
        body: Some("a=1".to_owned()),
        trial: Some(trial(700)),
        ..RequestOptions::default()
    });
    let made = text(made.unwrap().all().next().unwrap());
    assert_eq!(made.len(), 700);
    assert!(made.starts_with("POST /work HTTP/1.1\r\nX-Hookprobe-Salt: 0000000000000000\r\n"));
    assert!(made.ends_with("Content-Length: 3\r\n\r\na=1"), "{made}");
}

#[test]
fn only_the_first_of_a_connection_has_a_salt_and_bytes_of_its_own() {
    let mut requests = of_size(300).unwrap();
    let (_, message) = requests.next();
    let (_, second) = take(message, 7, 300);
    let (_, third) = take(message, 8, 600);
    assert!(Arc::ptr_eq(&second, &third), "no allocation");
    let trial = trial(300);
    // One of the salts begins with a zero.
    let starts_with_zero = |connection: &u32| trial.salt(*connection) >> 60 == 0;
    let short = (0..1_000).find(starts_with_zero).unwrap();
    for connection in [0, 1, 7, short, u32::MAX - 1] {
        let (_, first) = take(message, connection, 0);
        let digits = format!("{:016x}", trial.salt(connection));
        let expected = text(&second).replace(
            "X-Hookprobe-Salt: 0000000000000000\r\n",
            &format!("X-Hookprobe-Salt: {digits}\r\n"),
        );
        assert_eq!(text(&first), expected);
    }
    assert_eq!(take(message, 7, 900).1, second, "the template is as before");
}

#[test]
fn arms_are_those_of_the_draw() {
    let trial = trial(300);
    let mut requests = of_size(300).unwrap();
    let (_, message) = requests.next();
    let mut seen = [0; ARMS.len()];
    for connection in 0..300 {
        for ordinal in 0..30 {
            let (request, _) = take(message, connection, ordinal * 300);
            let drawn = trial.arm_of(trial.salt(connection), ordinal);
            let is_first = ordinal == 0;
            assert_eq!(drawn.is_none(), is_first);
            assert_eq!(usize::from(request.arm), drawn.unwrap_or(2));
            assert_eq!(request.is_warmup(), is_first);
            seen[usize::from(request.arm)] += usize::from(!is_first);
        }
    }
    // 8,700 draws out of three: the standard deviation of each is 44.
    assert!(seen.iter().all(|count| (2_600..3_200).contains(count)));
}

#[test]
fn slices_are_cut_by_the_servers_clock() {
    let trial = trial(300).by_slices(60_000_000_000);
    let slices = Slices::of(&trial).unwrap();
    let clock = ServerClock::default();
    let options = RequestOptions {
        trial: Some(trial),
        ..RequestOptions::default()
    };
    let mut requests = requests(&options).unwrap().by_clock(&clock);
    let (_, message) = requests.next();
    let mut seen = [0; ARMS.len()];
    for minutes in 0..60 {
        clock.set_ahead(minutes * 60_000_000_000);
        // A slice may end between two looks at the clock, and no more than one does.
        let arm_now = || slices.at(clock.now_ns()).arm;
        let before = arm_now();
        let arm = usize::from(take(message, 7, 300).0.arm);
        assert!(arm == before || arm == arm_now());
        seen[arm] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn what_cannot_be_of_a_trial_is_refused() {
    let refused = |options: RequestOptions, with_sequence, expected: &str| {
        let options = RequestOptions {
            trial: Some(trial(512)),
            ..options
        };
        let arm = "server=http://a/".parse().unwrap();
        let error = options.requests(&arm, with_sequence, 0).unwrap_err();
        assert!(error.to_string().contains(expected), "{error:#}");
    };
    let header = |text: &str| RequestOptions {
        headers: vec![text.parse().unwrap()],
        ..RequestOptions::default()
    };
    refused(RequestOptions::default(), true, "--sequence-header: ");
    refused(header("x-hookprobe-salt: 1"), false, "--header x-hook");
    refused(header("X-Hookprobe-Fill:"), false, "--header X-Hook");
    let close = "connections of more than one request";
    refused(header("Connection: close"), false, close);
    let closing = RequestOptions {
        close: true,
        ..RequestOptions::default()
    };
    refused(closing, false, close);
    let file = RequestOptions {
        request_file: Some("/no/such/file".into()),
        ..RequestOptions::default()
    };
    refused(file, false, "--request-file: ");
}

#[test]
fn what_a_trial_adds_has_no_word_that_hooks_look_for() {
    let words = include_str!("../../../../hook/keywords.txt");
    let added = format!("{SALT_FIELD}: 0000\r\n{PADDING_FIELD}: xxxx\r\n").to_lowercase();
    for word in words.lines().filter(|word| !word.is_empty()) {
        assert!(!added.contains(&word.to_lowercase()), "{word}");
    }
}
