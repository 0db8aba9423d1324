//! What each path answers.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::http::Request;

/// The most CPU that one request may ask for.
const MAX_WORK: Duration = Duration::from_secs(10);

/// Status and body of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'r> {
    /// The status line's code and reason.
    pub status: &'static str,
    /// The body.
    pub body: &'r [u8],
}

/// Answers a request, after doing the work that it asks for.
pub fn answer(request: &Request) -> Answer<'_> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((request.target.as_str(), ""));
    match path {
        "/" => ok(b"Hello World"),
        "/echo" => ok(&request.body),
        "/work" => match work_asked_for(query) {
            Some(work) => {
                burn_cpu(work);
                ok(b"done")
            }
            None => Answer {
                status: "400 Bad Request",
                body: b"expected /work?us=N with N from 0 to 10000000\n",
            },
        },
        _ => Answer {
            status: "404 Not Found",
            body: b"there are / and /echo and /work?us=N\n",
        },
    }
}

fn ok(body: &[u8]) -> Answer<'_> {
    Answer {
        status: "200 OK",
        body,
    }
}

fn work_asked_for(query: &str) -> Option<Duration> {
    let microseconds = query
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("us="))?;
    let work = Duration::from_micros(microseconds.parse().ok()?);
    (work <= MAX_WORK).then_some(work)
}

/// Burns CPU time of this thread. Time in which the thread does not run does not count.
fn burn_cpu(work: Duration) {
    let end = thread_cpu_time() + work;
    while thread_cpu_time() < end {
        std::hint::spin_loop();
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        Request {
            method: "GET".into(),
            target: target.into(),
            body: b"abc".to_vec(),
            keep_alive: true,
            sequence: None,
        }
    }

    #[test]
    fn paths_answer_as_documented() {
        assert_eq!(answer(&request("/")).body, b"Hello World");
        assert_eq!(answer(&request("/echo")).body, b"abc");
        assert_eq!(answer(&request("/nothing")).status, "404 Not Found");
    }

    #[test]
    fn work_burns_at_least_the_cpu_time_asked_for() {
        let earliest_end = thread_cpu_time() + Duration::from_millis(3);
        assert_eq!(answer(&request("/work?us=3000")).status, "200 OK");
        assert!(thread_cpu_time() >= earliest_end);
    }

    #[test]
    fn unreasonable_work_is_refused() {
        for target in [
            "/work",
            "/work?us=",
            "/work?us=-1",
            "/work?us=10000001",
            "/work?ms=1",
        ] {
            assert_eq!(
                answer(&request(target)).status,
                "400 Bad Request",
                "{target}"
            );
        }
        assert_eq!(answer(&request("/work?x=1&us=0")).status, "200 OK");
    }
}
