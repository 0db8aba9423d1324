//! The hooks of others, and the servers that they are preloaded into.

/// A library that is made to be preloaded, of a Debian package.
#[derive(Debug)]
pub struct Hook {
    pub package: &'static str,
    /// Where it is in the package.
    pub library: &'static str,
    /// Its settings. `{package}` is the folder that the package was unpacked in.
    pub settings: &'static [(&'static str, &'static str)],
    /// A file of settings, which is written into that folder.
    pub file: Option<(&'static str, &'static str)>,
    /// What it interposes, in a few words.
    pub interposes: &'static str,
}

impl Hook {
    const fn new(package: &'static str, library: &'static str, interposes: &'static str) -> Self {
        Self {
            package,
            library,
            settings: &[],
            file: None,
            interposes,
        }
    }
}

/// All of them: first those that define a function that reads.
pub const HOOKS: &[Hook] = &[
    Hook {
        // Limits that no request reaches.
        settings: &[
            ("TRICKLE_DOWNLOAD_LIMIT", "10000000"),
            ("TRICKLE_UPLOAD_LIMIT", "10000000"),
            ("TRICKLE_WINDOW_SIZE", "512"),
            ("TRICKLE_VERBOSE", "0"),
            ("TRICKLE_ARGV", "server"),
            ("TRICKLE_LATENCY", "0"),
            ("TRICKLE_LSMOOTH", "3"),
            ("TRICKLE_TSMOOTH", "1"),
            // No daemon.
            ("TRICKLE_SOCKNAME", ""),
        ],
        ..Hook::new(
            "trickle",
            "usr/lib/x86_64-linux-gnu/trickle/trickle-overload.so",
            "read, recv, readv, send, …: limits bandwidth",
        )
    },
    Hook {
        // No failure is asked for, so it only looks whether one is.
        settings: &[("LD_LIBRARY_PATH", "{package}/usr/lib")],
        ..Hook::new(
            "libfiu0",
            "usr/lib/fiu/fiu_posix_preload.so",
            "read, recv, open, mmap, malloc, …: injects faults",
        )
    },
    // Without a folder for its sockets it passes everything on.
    Hook::new(
        "libsocket-wrapper",
        "usr/lib/x86_64-linux-gnu/libsocket_wrapper.so",
        "read, recv, accept, fcntl, …: fakes a network",
    ),
    Hook::new(
        "torsocks",
        "usr/lib/x86_64-linux-gnu/torsocks/libtorsocks.so.0.0.0",
        "recvmsg, accept, connect, syscall, …: Tor",
    ),
    Hook::new(
        "libdsocksd0",
        "usr/lib/x86_64-linux-gnu/libdsocksd.so.0.0.0",
        "read, recv, accept, connect, …: SOCKS",
    ),
    Hook {
        settings: &[("PROXYCHAINS_CONF_FILE", "{package}/proxychains.conf")],
        file: Some((
            "proxychains.conf",
            "strict_chain\nquiet_mode\n[ProxyList]\nsocks5 127.0.0.1 9050\n",
        )),
        ..Hook::new(
            "libproxychains4",
            "usr/lib/x86_64-linux-gnu/libproxychains.so.4",
            "connect, close, sendto, getaddrinfo, …: SOCKS",
        )
    },
    Hook::new(
        "libeatmydata1",
        "usr/lib/x86_64-linux-gnu/libeatmydata.so.1.3.0",
        "open, fsync, msync, …: leaves syncing out",
    ),
    Hook::new(
        "nocache",
        "usr/lib/nocache/nocache.so",
        "open, close, …: keeps files out of the page cache",
    ),
    Hook {
        settings: &[("FAKETIME", "-3d")],
        ..Hook::new(
            "libfaketime",
            "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "clock_gettime, time, getpid, …: another time",
        )
    },
    Hook::new(
        "libfakechroot",
        "usr/lib/x86_64-linux-gnu/fakechroot/libfakechroot.so",
        "open, stat, bind, dlopen, …: another root",
    ),
    Hook::new(
        "libjemalloc2",
        "usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
        "malloc and its family",
    ),
    Hook::new(
        "libtcmalloc-minimal4",
        "usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4.5.10",
        "malloc and its family, mmap",
    ),
    Hook::new(
        "libmimalloc2.0",
        "usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0",
        "malloc and its family",
    ),
    Hook::new(
        "electric-fence",
        "usr/lib/libefence.so.0.0",
        "malloc and its family: each block on pages of its own",
    ),
];

/// A server.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    /// Behind `--` of `bench`; none is our own. `{nginx}` is nginx's program.
    pub command: &'static [&'static str],
}

/// One that reads by `read`, one by `recv`, and one whose threads and whose language's runtime are somebody else's.
pub const SERVERS: [Server; 3] = [
    Server {
        name: "sut",
        command: &[],
    },
    Server {
        name: "nginx",
        command: &[
            "sh",
            "-c",
            "mkdir -p $SERVER_PORT && sed s/PORT/$SERVER_PORT/ nginx.conf >$SERVER_PORT/conf && exec {nginx} -p $PWD/$SERVER_PORT \
             -c conf -e stderr",
        ],
    },
    Server {
        name: "Node.js",
        command: &["node", "server.js"],
    },
];

/// Files that the servers take.
pub const FILES: [(&str, &str); 2] = [
    (
        "nginx.conf",
        "daemon off;\nworker_processes 1;\npid pid;\nerror_log stderr warn;\nevents {}\nhttp {\n  access_log off;\n  \
         keepalive_requests 1000000;\n  client_body_temp_path a;\n  proxy_temp_path b;\n  fastcgi_temp_path c;\n  \
         uwsgi_temp_path d;\n  scgi_temp_path e;\n  server {\n    listen 127.0.0.1:PORT;\n    location / { return 200 \"ok\"; }\n  \
         }\n}\n",
    ),
    (
        "server.js",
        "const server = require('http').createServer((request, response) => response.end('ok'));\n\
         server.keepAliveTimeout = 60_000;\nserver.listen(process.env.SERVER_PORT, '127.0.0.1');\n",
    ),
];
