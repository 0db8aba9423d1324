//! `loadgen serve`: its API, and whom it lets in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context as _, bail};
use runlog::record::Request;
use runlog::summary::LoadSummary;
use runlog::table::read_all;
use runlog::{RunDirectory, json};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::Test;
use crate::http::{Answer, Service, parts};
use crate::kit::{Kit, fail, pid, wait_for, wait_for_rows};

pub const TESTS: &[Test] = &[
    Test {
        name: "serve::answers_are_as_described",
        needs: &[],
        run: as_described,
    },
    Test {
        name: "serve::lets_in_whom_it_should",
        needs: &[],
        run: access,
    },
    Test {
        name: "serve::sends_only_where_it_may",
        needs: &[],
        run: targets,
    },
    Test {
        name: "serve::limits_hold",
        needs: &[],
        run: limits,
    },
    Test {
        name: "serve::ends_cleanly_and_finds_its_runs_again",
        needs: &[],
        run: ends_cleanly,
    },
    Test {
        name: "serve::refuses_bad_options",
        needs: &[],
        run: refuses_bad_options,
    },
];

/// A server that ends with the value.
#[derive(Debug)]
pub struct LoadServer {
    child: Child,
    service: Service,
    token: Option<String>,
}

impl LoadServer {
    /// Starts one on a free port of loopback.
    pub fn start(
        kit: &Kit,
        options: &[String],
        runs: &Path,
        token: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut command = kit.command("loadgen");
        command
            .args(["serve", "--listen=127.0.0.1:0", "--runs"])
            .arg(runs)
            .args(options)
            .stdout(Stdio::piped());
        match token {
            Some(token) => command.env("LOADGEN_TOKEN", token),
            None => command.env_remove("LOADGEN_TOKEN"),
        };
        let mut child = command.spawn()?;
        let service = Service::announced(child.stdout.take().context("no stdout")?)?;
        Ok(Self {
            child,
            service,
            token: token.map(str::to_owned),
        })
    }

    /// Its address, with a slash at the end.
    pub fn url(&self) -> String {
        self.service.url()
    }

    /// Sends a request with these headers.
    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<Answer> {
        let length = body.len().to_string();
        let mut all = Vec::new();
        if !body.is_empty() {
            all.push(("Content-Length", length.as_str()));
        }
        all.extend(headers);
        let mut stream = self.service.connect()?;
        stream.write_all(self.service.head(method, path, &all).as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parts(&answer)
    }

    /// Calls the API as its users do; returns status and JSON.
    fn api(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        if let Some(bearer) = &bearer {
            headers.push(("Authorization", bearer.as_str()));
        }
        let text = match body {
            Some(body) => {
                headers.push(("Content-Type", "application/json"));
                body.to_string()
            }
            None => String::new(),
        };
        let (status, _, answer) = self.send(method, path, &headers, &text)?;
        let value = serde_json::from_slice(&answer)
            .with_context(|| format!("{path}: {}", String::from_utf8_lossy(&answer)))?;
        Ok((status, value))
    }

    /// Starts a run; returns its id.
    fn run(&self, wanted: &Value) -> anyhow::Result<String> {
        let (status, run) = self.api("POST", "/api/runs", Some(wanted))?;
        ensure!(status == 201, "{status}: {run}");
        Ok(run["id"].as_str().context("no id")?.to_owned())
    }

    /// Waits for the end of a run, and returns it.
    fn end_of(&self, id: &str) -> anyhow::Result<Value> {
        let mut run = Value::Null;
        wait_for("the run to end", || {
            run = self.api("GET", &format!("/api/runs/{id}"), None)?.1;
            Ok(run["state"] != "running" && run["state"] != "stopping")
        })?;
        Ok(run)
    }
}

impl Drop for LoadServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A load that ends only when it is stopped.
fn endless(url: &str) -> Value {
    json!({"arms": [{"name": "a", "url": url}], "requests": 5_000_000, "blocks": 5})
}

/// Holds answers against the server's own description.
struct Description(Value);

impl Description {
    fn check(&self, method: &str, path: &str, status: u16, answer: &Value) -> anyhow::Result<()> {
        let operation = &self.0["paths"][path][method];
        let schema = &operation["responses"][status.to_string()]["content"]["application/json"];
        ensure!(
            schema["schema"].is_object(),
            "{method} {path}: {status} is not described"
        );
        let mut schema = schema["schema"].clone();
        schema["components"] = self.0["components"].clone();
        if let Err(error) = jsonschema::validate(&schema, answer) {
            bail!(
                "{method} {path} {status}: {error} at {}: {answer}",
                error.instance_path()
            );
        }
        Ok(())
    }
}

fn as_described(kit: &Kit) -> anyhow::Result<()> {
    let target = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let arms = [format!("--arm=a={}", target.url())];
    let server = LoadServer::start(kit, &arms, &folder.path().join("runs"), None)?;
    let published = include_str!("../../docs/schema/load-api.openapi.json");
    let (_, described) = server.api("GET", "/api/openapi.json", None)?;
    ensure!(described == serde_json::from_str::<Value>(published)?);
    let described = Description(described);
    let mut calls = 0;
    let mut call = |method: &str, template: &str, path: &str, body: Option<&Value>, expected| {
        let (status, answer) = server.api(method, path, body)?;
        ensure!(status == expected, "{method} {path}: {status} {answer}");
        described.check(&method.to_lowercase(), template, status, &answer)?;
        calls += 1;
        anyhow::Ok(answer)
    };
    call("GET", "/api", "/api", None, 200)?;
    call("GET", "/api/runs", "/api/runs", None, 200)?;
    let wanted = endless(&target.url());
    let run = call("POST", "/api/runs", "/api/runs", Some(&wanted), 201)?;
    ensure!(run["planned_requests"] == 5_000_000 && run["schedule"]["blocks_per_cell"] == 5);
    let id = run["id"].as_str().context("no id")?;
    let of = |what: &str| format!("/api/runs/{id}{what}");
    // One at a time.
    call("POST", "/api/runs", "/api/runs", Some(&wanted), 409)?;
    call("GET", "/api/runs/{id}", &of(""), None, 200)?;
    call("GET", "/api/runs/{id}/report", &of("/report"), None, 404)?;
    let progress = "/api/runs/{id}/progress";
    let mut first = Value::Null;
    wait_for("two seconds of it", || {
        first = call("GET", progress, &of("/progress"), None, 200)?;
        Ok(first["intervals"]
            .as_array()
            .is_some_and(|two| two.len() >= 2))
    })?;
    let rest = call("GET", progress, &of("/progress?from=1"), None, 200)?;
    ensure!(rest["from"] == 1 && rest["intervals"][0] == first["intervals"][1]);
    call("GET", progress, &of("/progress?from=-1"), None, 400)?;
    call("POST", "/api/runs/{id}/stop", &of("/stop"), None, 202)?;
    let run = server.end_of(id)?;
    described.check("get", "/api/runs/{id}", 200, &run)?;
    ensure!(
        run["state"] == "cut_short" && run["reason"] == "stopped by a user",
        "{run}"
    );
    call("POST", "/api/runs/{id}/stop", &of("/stop"), None, 409)?;
    let over = call("GET", progress, &of("/progress"), None, 200)?;
    let sum: u64 = over["intervals"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|interval| interval["arms"][0]["requests"].as_u64())
        .sum();
    let all = run["summary"]["arms"][0]["requests"].as_u64();
    ensure!(all == Some(sum), "{sum}: {run}");
    for (path, template) in [
        ("/api/runs/none", "/api/runs/{id}"),
        ("/api/runs/none/progress", progress),
    ] {
        call("GET", template, path, None, 404)?;
    }
    let file = "/api/runs/{id}/files/{name}";
    for name in ["none", "..%2f..%2fetc%2fpasswd", "progress.jsonl"] {
        call("GET", file, &of(&format!("/files/{name}")), None, 404)?;
    }
    // What the load itself refuses, in its own words.
    let impossible = json!({"arms": wanted["arms"], "requests": 5, "blocks": 6});
    let refusal = call("POST", "/api/runs", "/api/runs", Some(&impossible), 422)?;
    ensure!(
        refusal["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("--blocks 6")),
        "{refusal}"
    );
    for (body, status) in [
        (json!({"arms": "a"}), 422),
        (json!({"arms": [], "x": 1}), 422),
        (json!({"arms": wanted["arms"], "order": "trial"}), 422),
    ] {
        call("POST", "/api/runs", "/api/runs", Some(&body), status)?;
    }
    ensure!(calls >= 20, "{calls}");
    files_are_those_of_the_folder(&server, &run, &folder.path().join("runs").join(id))
}

fn files_are_those_of_the_folder(
    server: &LoadServer,
    run: &Value,
    folder: &Path,
) -> anyhow::Result<()> {
    let files = run["files"].as_array().context("no files")?;
    ensure!(files.len() == 5, "{files:?}");
    for file in files {
        let name = file["name"].as_str().context("no name")?;
        let path = format!(
            "/api/runs/{}/files/{name}",
            run["id"].as_str().unwrap_or_default()
        );
        let (status, head, bytes) = server.send("GET", &path, &[], "")?;
        ensure!(status == 200 && head.contains("attachment"), "{head}");
        ensure!(file["bytes"] == bytes.len() && bytes == fs::read(folder.join(name))?);
    }
    // An analysis has its own report, which is shown, and may do nothing.
    let report = format!(
        "/api/runs/{}/report",
        run["id"].as_str().unwrap_or_default()
    );
    let (_, _, ours) = server.send("GET", &report, &[], "")?;
    ensure!(String::from_utf8(ours)?.contains("stopped by a user"));
    fs::write(folder.join("report.html"), "<p>of the analysis")?;
    let (status, head, theirs) = server.send("GET", &report, &[], "")?;
    ensure!(status == 200 && theirs == b"<p>of the analysis");
    ensure!(head.contains("content-security-policy: sandbox;"), "{head}");
    Ok(())
}

fn access(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let allow = ["--allow=http://127.0.0.1:9/".to_owned()];
    let open = LoadServer::start(kit, &allow, folder.path(), None)?;
    let status = |server: &LoadServer, method, path, headers: &[(&str, &str)], body| {
        Ok::<u16, anyhow::Error>(server.send(method, path, headers, body)?.0)
    };
    ensure!(status(&open, "GET", "/", &[("Host", "localhost:1")], "")? == 200);
    for host in ["evil.example", "127.0.0.1.evil.example:80", ""] {
        ensure!(
            status(&open, "GET", "/", &[("Host", host)], "")? == 403,
            "{host}"
        );
        ensure!(
            status(&open, "GET", "/api/runs", &[("Host", host)], "")? == 403,
            "{host}"
        );
    }
    let json = ("Content-Type", "application/json");
    let long = " ".repeat(70_000);
    let evil = ("Origin", "http://evil.example");
    ensure!(status(&open, "POST", "/api/runs", &[json, evil], "{}")? == 403);
    ensure!(status(&open, "POST", "/api/runs/x/stop", &[evil], "")? == 403);
    // What a form of another site could send.
    ensure!(
        status(
            &open,
            "POST",
            "/api/runs",
            &[("Content-Type", "text/plain")],
            "{}"
        )? == 415
    );
    ensure!(status(&open, "POST", "/api/runs", &[json], "{")? == 400);
    ensure!(status(&open, "POST", "/api/runs", &[json], &long)? == 413);
    ensure!(status(&open, "DELETE", "/api/runs", &[], "")? == 405);
    let (_, head, _) = open.send("GET", "/", &[], "")?;
    ensure!(head.contains("default-src 'none'") && head.contains("frame-ancestors 'none'"));

    let token = "0123456789-a-token";
    let closed = LoadServer::start(kit, &allow, folder.path(), Some(token))?;
    ensure!(
        status(&closed, "GET", "/", &[], "")? == 200,
        "the page asks for it"
    );
    for path in [
        "/api",
        "/api/runs",
        "/api/runs/x/report",
        "/api/openapi.json",
    ] {
        ensure!(status(&closed, "GET", path, &[], "")? == 401, "{path}");
    }
    let bearer = format!("Bearer {token}");
    ensure!(status(&closed, "GET", "/api", &[("Authorization", &bearer)], "")? == 200);
    ensure!(status(&closed, "GET", "/api", &[("Authorization", "Bearer x")], "")? == 401);
    let wrong = r#"{"token": "0123456789-another"}"#;
    ensure!(status(&closed, "POST", "/api/session", &[json], wrong)? == 401);
    let right = format!(r#"{{"token": "{token}"}}"#);
    let (code, head, _) = closed.send("POST", "/api/session", &[json], &right)?;
    ensure!(code == 204, "{head}");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next());
    let cookie = ("Cookie", cookie.context("no cookie")?);
    ensure!(status(&closed, "GET", "/api", &[cookie], "")? == 200);
    ensure!(!cookie.1.contains(token), "the cookie is not the token");
    Ok(())
}

fn targets(kit: &Kit) -> anyhow::Result<()> {
    let (allowed, other) = (kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?);
    let folder = kit.scratch()?;
    let options = [format!("--allow={}work", allowed.url())];
    let server = LoadServer::start(kit, &options, &folder.path().join("runs"), None)?;
    let refused = |name: &str, url: &str, expected: u16| {
        let wanted = json!({"arms": [{"name": name, "url": url}], "requests": 10, "blocks": 2});
        let (status, answer) = server.api("POST", "/api/runs", Some(&wanted))?;
        ensure!(status == expected, "{name}={url}: {status} {answer}");
        anyhow::Ok(())
    };
    let url = allowed.url();
    refused("a", &other.url(), 403)?;
    refused("a", &url, 403)?;
    refused("a", &format!("{url}workshop"), 403)?;
    refused("a", &format!("{url}work/../x"), 422)?;
    refused("a", "http://169.254.169.254/latest/meta-data", 403)?;
    refused("a", "file:///etc/passwd", 422)?;
    // The load would take this for an arm x with another URL.
    refused(&format!("x={}?", other.url()), &format!("{url}work"), 422)?;
    ensure!(
        !folder.path().join("runs").exists(),
        "a refused run left something"
    );
    let wanted = json!({"arms": [{"name": "a", "url": format!("{url}work?us=1")}],
        "requests": 10, "blocks": 2});
    let run = server.end_of(&server.run(&wanted)?)?;
    ensure!(
        run["state"] == "complete" && run["reason"].is_null(),
        "{run}"
    );
    ensure!(run["summary"]["arms"][0]["requests"] == 10);
    Ok(())
}

fn limits(kit: &Kit) -> anyhow::Result<()> {
    let target = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let options = [
        format!("--arm=a={}", target.url()),
        "--max-requests=6000000".to_owned(),
        "--max-seconds=1".to_owned(),
    ];
    let server = LoadServer::start(kit, &options, folder.path(), None)?;
    let mut wanted = endless(&target.url());
    wanted["requests"] = json!(6_000_001);
    let (status, refusal) = server.api("POST", "/api/runs", Some(&wanted))?;
    ensure!(status == 422, "{refusal}");
    ensure!(
        refusal["error"]
            .as_str()
            .is_some_and(|text| text.contains("--max-requests"))
    );
    let run = server.end_of(&server.run(&endless(&target.url()))?)?;
    ensure!(run["state"] == "cut_short", "{run}");
    ensure!(
        run["reason"]
            .as_str()
            .is_some_and(|text| text.contains("--max-seconds")),
        "{run}"
    );
    // The next one may follow: by time and rate, so that the plan is known beforehand.
    let paced = json!({"arms": endless(&target.url())["arms"], "duration_seconds": 0.5, "rate": 200,
        "arrivals": "poisson", "blocks": 2});
    let run = server.end_of(&server.run(&paced)?)?;
    ensure!(run["state"] == "complete", "{run}");
    ensure!(run["summary"]["load"]["model"] == "open_loop", "{run}");
    ensure!(run["summary"]["load"]["rate_per_second"] == 200.0, "{run}");
    let short = json!({"arms": endless(&target.url())["arms"], "requests": 100});
    ensure!(server.end_of(&server.run(&short)?)?["state"] == "complete");
    Ok(())
}

fn ends_cleanly(kit: &Kit) -> anyhow::Result<()> {
    let target = kit.sut(None, &["--quiet"])?;
    let folder = kit.scratch()?;
    let runs = folder.path().join("runs");
    let options = [format!("--arm=a={}", target.url())];
    let mut server = LoadServer::start(kit, &options, &runs, None)?;
    let id = server.run(&endless(&target.url()))?;
    let run = RunDirectory::existing(runs.join(&id));
    wait_for_rows::<Request>(&run.requests(), 100)?;
    kill_process(pid(server.child.id())?, Signal::INT)?;
    let mut status = None;
    wait_for("the server to end", || {
        status = server.child.try_wait()?;
        Ok(status.is_some())
    })?;
    ensure!(status.is_some_and(|status| status.success()), "{status:?}");
    let summary: LoadSummary = json::read(&run.load_summary())?;
    let logged = read_all::<Request>(run.requests())?.len() as u64;
    ensure!(logged > 100 && summary.arms[0].requests == logged);

    let again = LoadServer::start(kit, &options, &runs, None)?;
    let (_, list) = again.api("GET", "/api/runs", None)?;
    let found = &list["runs"][0];
    ensure!(
        found["id"] == id.as_str() && found["state"] == "cut_short",
        "{list}"
    );
    ensure!(
        found["files"]
            .as_array()
            .is_some_and(|files| files.len() == 5)
    );
    let path = format!("/api/runs/{id}/progress");
    let (_, progress) = again.api("GET", &path, None)?;
    ensure!(
        progress["intervals"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    Ok(())
}

fn refuses_bad_options(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let short = folder.path().join("short");
    fs::write(&short, "secret\n")?;
    let short = format!("--token-file={}", short.display());
    let arm = "--arm=a=http://127.0.0.1:9/";
    let refuse = |options: &[&str], code, texts: &[&str]| {
        let mut command = kit.command("loadgen");
        command.env_remove("LOADGEN_TOKEN").arg("serve");
        fail(command.args(options), code, texts)
    };
    refuse(&[], 1, &["--arm", "--allow"])?;
    refuse(
        &["--listen=0.0.0.0:0", arm],
        1,
        &["--listen 0.0.0.0:0", "--token-file"],
    )?;
    refuse(&["--listen=[::]:0", arm], 1, &["--token-file"])?;
    refuse(
        &["--listen=0.0.0.0:0", arm, &short],
        1,
        &["--token-file", "16 characters"],
    )?;
    refuse(
        &[arm, "--token-file=/nonexistent"],
        1,
        &["/nonexistent", "No such file"],
    )?;
    refuse(&["--allow=https://a/"], 2, &["does not start with http://"])?;
    refuse(&["--allow=http://a/../b"], 2, &["--allow", ".."])?;
    refuse(&[arm, "--max-seconds=0"], 2, &["--max-seconds"])?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = format!("--listen={}", taken.local_addr()?);
    refuse(&[arm, &listen], 1, &["cannot listen", "in use"])
}
