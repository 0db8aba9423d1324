//! What is run, and what is to come of it. The last column of each server was written down before it was run.

/// A way to run `bench`.
#[derive(Debug)]
pub struct Mode {
    pub name: &'static str,
    pub arms: Arms,
    /// Whether eBPF probes watch as well.
    pub has_probes: bool,
}

/// How arms are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// Request by request.
    Trial,
    /// By slices of time.
    Slices,
    /// In whole servers.
    Rmit,
}

/// The modes, in the order of what is expected. A further one is a further line here, and a further entry for each server.
pub const MODES: [Mode; 5] = [
    Mode {
        name: "trial",
        arms: Arms::Trial,
        has_probes: false,
    },
    Mode {
        name: "trial, probes",
        arms: Arms::Trial,
        has_probes: true,
    },
    Mode {
        name: "slices",
        arms: Arms::Slices,
        has_probes: false,
    },
    Mode {
        name: "rmit",
        arms: Arms::Rmit,
        has_probes: false,
    },
    Mode {
        name: "rmit, probes",
        arms: Arms::Rmit,
        has_probes: true,
    },
];

/// What is to come of a server in a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A result that can be used, with so many calls that read each request: the delay of the hook is found as often.
    Works(u32),
    /// Likewise, where this command sends the requests.
    WorksUnder(&'static str, u32),
    /// No run: `bench` says why, and ends with 1.
    Refused(&'static Reason),
    /// A run whose result it marks as not usable, for this reason; it ends with 4.
    NotUsable(&'static Reason),
    /// A result with this warning, and no effect.
    Warned(&'static Reason),
    /// This is not run.
    NotAsked,
}

/// Why a server is not measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// What `bench` says.
    pub words: &'static str,
    /// For the table.
    pub in_short: &'static str,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    /// Programs that must be there: see [`super::set_up`].
    pub needs: &'static [&'static str],
    /// Its command line. `{venv}` is the folder of Python's programs, and `{port}` is for `bench`.
    pub command: &'static [&'static str],
    /// By mode.
    pub expected: [Expected; MODES.len()],
}

use Expected::{NotAsked, NotUsable, Refused, Warned, Works, WorksUnder};

/// One read takes the request.
const ONE: Expected = Works(1);

/// Requests that our load generator does not send.
const CURL: Expected = WorksUnder(
    "timeout 4 curl -s -o /dev/null '{url}?[1-1000000]'; true",
    1,
);
const CURL_TLS: &str =
    "timeout 4 curl -sk -o /dev/null 'https://127.0.0.1:{port}/?[1-1000000]'; true";
/// The head of a record of TLS is read first, then the rest; nginx has OpenSSL read ahead.
const TLS: Expected = WorksUnder(CURL_TLS, 2);
const TLS_AHEAD: Expected = WorksUnder(CURL_TLS, 1);
const REDIS: Expected = WorksUnder(
    "timeout 4 redis-benchmark -p {port} -c 4 -n 100000000 -t get -q; true",
    1,
);

const CLOSES: Expected = NotUsable(&Reason {
    words: "had one request alone",
    in_short: "closes connections",
});
const DESCRIPTORS_CLOSED: Expected = Refused(&Reason {
    words: "has closed the descriptors that it inherited",
    in_short: "descriptors closed",
});
const GO: Expected = Refused(&Reason {
    words: "is a Go program",
    in_short: "Go",
});
const NOT_HTTP: Expected = NotUsable(&Reason {
    words: "does the server speak HTTP/1.1 there, without TLS",
    in_short: "no plain HTTP",
});
const NOT_LOADED: Expected = Refused(&Reason {
    words: "has not loaded",
    in_short: "hook not loaded",
});
const STATIC: Expected = Refused(&Reason {
    words: "is statically linked",
    in_short: "static",
});
/// Probes see the processes that are there when a block begins.
const STARTED_LATER: Expected = NotUsable(&Reason {
    words: "by a process that was started while the probes were attached",
    in_short: "processes started later",
});
/// Without probes nothing else tells whole servers that their hook is never called for requests.
const NOT_CALLED: Expected = Warned(&Reason {
    words: "does the server read by the functions that the hook stands in front of?",
    in_short: "no effect",
});
const UNJOINED: Expected = NotUsable(&Reason {
    words: "were they read past the hook",
    in_short: "read past the hook",
});
const UNREAD: Expected = NotUsable(&Reason {
    words: "accepted, and no request was seen",
    in_short: "no request seen",
});

const JAVA: &[&str] = &["java", "javac"];

pub const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        needs: &["nginx"],
        command: &["sh", "nginx.sh", ""],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "nginx, TLS",
        needs: &["curl", "nginx", "openssl"],
        command: &["sh", "nginx.sh", "ssl"],
        expected: [NOT_HTTP, NotAsked, TLS_AHEAD, NOT_HTTP, NotAsked],
    },
    Server {
        name: "gunicorn, sync worker",
        needs: &["curl", "gunicorn"],
        command: &["{venv}/gunicorn", "--bind=127.0.0.1:{port}", "wsgi:app"],
        // That kind of worker keeps no connection open.
        expected: [CLOSES, CLOSES, CURL, ONE, ONE],
    },
    Server {
        name: "gunicorn, gthread",
        needs: &["gunicorn"],
        command: &[
            "{venv}/gunicorn",
            "--bind=127.0.0.1:{port}",
            "--worker-class=gthread",
            "--threads=4",
            "wsgi:app",
        ],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "gunicorn, gthread, 2 workers, preload",
        needs: &["gunicorn"],
        command: &[
            "{venv}/gunicorn",
            "--bind=127.0.0.1:{port}",
            "--worker-class=gthread",
            "--threads=4",
            "--workers=2",
            "--preload",
            "wsgi:app",
        ],
        // The second worker is forked when the first serves already.
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "asyncio, streams",
        needs: &["python3"],
        command: &["python3", "streams.py"],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "uvicorn, asyncio, h11",
        needs: &["uvicorn"],
        command: &[
            "{venv}/uvicorn",
            "--port={port}",
            "--loop=asyncio",
            "--http=h11",
            "--log-level=warning",
            "asgi:app",
        ],
        expected: [ONE, NotAsked, ONE, ONE, NotAsked],
    },
    Server {
        name: "uvicorn, uvloop, httptools",
        needs: &["uvicorn"],
        command: &[
            "{venv}/uvicorn",
            "--port={port}",
            "--loop=uvloop",
            "--http=httptools",
            "--log-level=warning",
            "asgi:app",
        ],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "uvicorn, 2 workers",
        needs: &["uvicorn"],
        command: &[
            "{venv}/uvicorn",
            "--port={port}",
            "--workers=2",
            "--log-level=warning",
            "asgi:app",
        ],
        expected: [DESCRIPTORS_CLOSED, NotAsked, DESCRIPTORS_CLOSED, ONE, ONE],
    },
    Server {
        name: "Python http.server, threads",
        needs: &["python3"],
        command: &["python3", "http_server.py", "threads"],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "Python http.server, a fork for each connection",
        needs: &["python3"],
        command: &["python3", "http_server.py", "processes"],
        expected: [ONE, STARTED_LATER, ONE, ONE, STARTED_LATER],
    },
    Server {
        name: "Python http.server, HTTP/1.0",
        needs: &["curl", "python3"],
        command: &["python3", "http_server.py", "close"],
        expected: [CLOSES, NotAsked, CURL, ONE, NotAsked],
    },
    Server {
        name: "Python http.server, TLS",
        needs: &["curl", "python3", "openssl"],
        command: &["python3", "http_server.py", "tls"],
        expected: [NOT_HTTP, NotAsked, TLS, NOT_HTTP, NotAsked],
    },
    Server {
        name: "Node.js",
        needs: &["node"],
        command: &["node", "node.js"],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "JDK's HTTP server",
        needs: JAVA,
        command: &[
            "java",
            "-XX:TieredStopAtLevel=1",
            "-Dsun.net.httpserver.nodelay=true",
            "-cp",
            "classes",
            "Jdk",
        ],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "Tomcat 10",
        needs: &["java", "javac", "tomcat"],
        command: &[
            "java",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            "classes:/usr/share/java/tomcat10-embed-core.jar:/usr/share/java/jakarta-annotation-api.jar",
            "Embedded",
        ],
        expected: [ONE, ONE, ONE, ONE, ONE],
    },
    Server {
        name: "Go net/http, static",
        needs: &["go"],
        command: &["./go-static"],
        expected: [STATIC, STATIC, STATIC, STATIC, STATIC],
    },
    Server {
        name: "Go net/http, cgo",
        needs: &["go"],
        command: &["./go-cgo"],
        expected: [GO, GO, GO, GO, GO],
    },
    Server {
        name: "Go net/http, cgo, started by a script",
        needs: &["go"],
        command: &["sh", "-c", "./go-cgo"],
        expected: [GO, NotAsked, GO, GO, NotAsked],
    },
    Server {
        name: "Redis",
        needs: &["redis-benchmark", "redis-server"],
        command: &["redis-server", "--port", "{port}", "--save", ""],
        expected: [NOT_HTTP, NotAsked, REDIS, NOT_HTTP, NotAsked],
    },
    Server {
        name: "reads of 64 bytes",
        needs: &["cc"],
        command: &["./server", "pieces"],
        // Requests have 256 bytes in a trial, and else what they take: from 129 to 192.
        expected: [Works(4), Works(4), Works(4), Works(3), Works(3)],
    },
    Server {
        name: "a fork for each connection",
        needs: &["cc"],
        command: &["./server", "children"],
        expected: [ONE, STARTED_LATER, ONE, ONE, STARTED_LATER],
    },
    Server {
        name: "a worker forked anew after two connections",
        needs: &["cc"],
        command: &["./server", "recycled"],
        // Whether one is there when probes are attached is chance.
        expected: [ONE, NotAsked, ONE, ONE, NotAsked],
    },
    Server {
        name: "accepts in one process, reads in another",
        needs: &["cc"],
        command: &["./server", "passed"],
        expected: [UNREAD, UNREAD, UNREAD, NOT_CALLED, UNJOINED],
    },
    Server {
        name: "reads by recvmmsg",
        needs: &["cc"],
        command: &["./server", "recvmmsg"],
        expected: [UNREAD, UNREAD, UNREAD, NOT_CALLED, UNJOINED],
    },
    Server {
        name: "LD_PRELOAD cleared",
        needs: &["cc"],
        command: &["env", "-u", "LD_PRELOAD", "./server", "pieces"],
        expected: [NOT_LOADED, NotAsked, NOT_LOADED, NOT_LOADED, NotAsked],
    },
    Server {
        name: "started by Python's subprocess",
        needs: &["cc", "python3"],
        command: &["python3", "supervisor.py", "./server", "pieces"],
        expected: [
            DESCRIPTORS_CLOSED,
            NotAsked,
            DESCRIPTORS_CLOSED,
            Works(3),
            Works(3),
        ],
    },
];
