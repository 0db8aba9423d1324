//! The server under load: nginx with one worker, which answers with a small page from memory.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::children::{ends_with_us, interruptible, on_cpu};
use anyhow::{Context as _, bail};
use probes::discover::ports;
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it answers with.
const PAGE: &str = "This page is small, static, and asked for again and again.\n";

/// A running server. It ends with the value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Configuration, page and logs.
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a CPU, at a free port of the loopback address.
    pub fn start(cpu: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        write_files(folder.path(), address)?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "errors"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        ends_with_us(interruptible(&mut command));
        let child = on_cpu(cpu, || command.spawn().context("cannot start nginx"))?;
        let mut server = Self {
            child,
            address,
            folder,
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let errors = fs::read_to_string(self.folder.path().join("errors"));
                let errors = errors.unwrap_or_default();
                let last = errors.lines().next_back().unwrap_or("it said nothing");
                bail!("nginx has ended ({status}): {last}");
            }
            if Instant::now() > give_up {
                bail!("nginx does not listen after {} s", PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where its page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its worker ends with it only when it is asked.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Keep-alive without an end, no log of accesses, the page kept open and sent in one piece.
fn write_files(folder: &Path, address: SocketAddr) -> io::Result<()> {
    // The worker of a server that root starts is another user.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::write(folder.join("index.html"), PAGE)?;
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\n\
         worker_processes 1;\n\
         pid pid;\n\
         error_log errors;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         {scratch}\
         \x20   access_log off;\n\
         \x20   keepalive_requests 4000000000;\n\
         \x20   keepalive_timeout 1h;\n\
         \x20   sendfile off;\n\
         \x20   open_file_cache max=16 inactive=1h;\n\
         \x20   open_file_cache_valid 1h;\n\
         \x20   server {{ listen {address}; root {}; }}\n\
         }}\n",
        folder.display()
    );
    fs::write(folder.join("nginx.conf"), text)
}
