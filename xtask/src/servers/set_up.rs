//! The servers' programs: what is fetched, compiled and written for them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::{command, is_installed, run, target};
use crate::setup;

/// Of the Python Package Index.
const GUNICORN: &str = "gunicorn==27.0.1";
const UVICORN: [&str; 3] = ["uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"];

/// Debian's packages, by the program that they are for.
const PACKAGES: [(&str, &str); 11] = [
    ("cc", "gcc"),
    ("curl", "curl"),
    ("go", "golang-go"),
    ("java", "default-jre-headless"),
    ("javac", "default-jdk-headless"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("redis-benchmark", "redis-tools"),
    ("redis-server", "redis-server"),
];
/// Tomcat's libraries are no program.
const TOMCAT: [(&str, &str); 2] = [
    (
        "/usr/share/java/tomcat10-embed-core.jar",
        "libtomcat10-embed-java",
    ),
    (
        "/usr/share/java/jakarta-annotation-api.jar",
        "libjakarta-annotation-api-java",
    ),
];

/// Sources and settings, as they are put into the folder.
const FILES: [(&str, &str); 12] = [
    ("Embedded.java", include_str!("programs/Embedded.java")),
    ("Jdk.java", include_str!("programs/Jdk.java")),
    ("asgi.py", include_str!("programs/asgi.py")),
    ("http_server.py", include_str!("programs/http_server.py")),
    ("main.go", include_str!("programs/main.go")),
    ("nginx.conf", include_str!("programs/nginx.conf")),
    ("nginx.sh", include_str!("programs/nginx.sh")),
    ("node.js", include_str!("programs/node.js")),
    (
        "server.c",
        include_str!("../../../tests/system/c/odd_server.c"),
    ),
    ("streams.py", include_str!("programs/streams.py")),
    ("supervisor.py", include_str!("programs/supervisor.py")),
    ("wsgi.py", include_str!("programs/wsgi.py")),
];

/// Where the servers are.
#[derive(Debug)]
pub struct Programs {
    /// What they are started in.
    pub folder: PathBuf,
    /// Of Python's programs.
    pub venv: PathBuf,
    missing: Vec<&'static str>,
}

impl Programs {
    /// Installs what is missing where that can be done, and compiles.
    pub fn fetch() -> anyhow::Result<Self> {
        let folder = target().join("servers");
        fs::create_dir_all(folder.join("classes"))?;
        for (name, text) in FILES {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let lacks_program = |(program, _): &&(&str, &str)| !is_installed(program);
        let lacks_file = |(file, _): &&(&str, &str)| !fs::exists(file).unwrap_or(false);
        let programs = PACKAGES.iter().filter(lacks_program);
        let missing = programs.chain(TOMCAT.iter().filter(lacks_file));
        let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
        setup::install_packages(&packages);

        let mut programs = Self {
            venv: target().join("peers/servers"),
            folder,
            missing: Vec::new(),
        };
        let lacking = PACKAGES.iter().filter(lacks_program);
        programs
            .missing
            .extend(lacking.map(|(program, _)| *program));
        if TOMCAT.iter().any(|entry| lacks_file(&entry)) {
            programs.missing.push("tomcat");
        }
        programs.python();
        programs.compile()?;
        Ok(programs)
    }

    /// What of this could not be had.
    pub fn lacks(&self, needs: &[&'static str]) -> Option<&'static str> {
        let mut needs = needs.iter().copied();
        needs.find(|need| self.missing.contains(need))
    }

    fn has(&self, needs: &[&'static str]) -> bool {
        self.lacks(needs).is_none()
    }

    fn python(&mut self) {
        let packages = [[GUNICORN].as_slice(), &UVICORN].concat();
        if let Err(error) = setup::python_packages("uvicorn", &packages, &self.venv) {
            eprintln!("  {error:#}");
            self.missing.extend(["gunicorn", "uvicorn"]);
        }
    }

    fn compile(&self) -> anyhow::Result<()> {
        let tool = |name: &str| {
            let mut tool = command(name);
            tool.current_dir(&self.folder);
            tool
        };
        if self.has(&["cc"]) {
            run(tool("cc").args(["-O2", "-o", "server", "server.c"]))?;
        }
        if self.has(&["openssl"]) {
            run(tool("openssl")
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
                ])
                .args([
                    "-subj",
                    "/CN=localhost",
                    "-keyout",
                    "key.pem",
                    "-out",
                    "cert.pem",
                ])
                .stderr(std::process::Stdio::null()))?;
        }
        if self.has(&["javac"]) {
            run(tool("javac").args(["-d", "classes", "Jdk.java"]))?;
        }
        if self.has(&["javac", "tomcat"]) {
            run(tool("javac").args(["-cp", TOMCAT[0].0, "-d", "classes", "Embedded.java"]))?;
        }
        if self.has(&["go"]) {
            for (cgo, program) in [("0", "go-static"), ("1", "go-cgo")] {
                run(tool("go")
                    .args(["build", "-o", program, "main.go"])
                    .env("CGO_ENABLED", cgo)
                    .env("GOCACHE", self.folder.join("go-cache")))?;
            }
        }
        Ok(())
    }
}
