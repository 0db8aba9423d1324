//! The addresses under `/v1/runs`, asked as they should not be.

use std::fs;
use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use runlog::agent_run::{AgentRun, Finish, LogBytes, RunState};
use runlog::summary::LoadSummary;
use serde_json::{Value, json};

use super::client::{Agent, request, spans, unique};
use super::runs::{Scene, arms};
use crate::kit::{Kit, exact_kernel_probe, succeed, wait_for};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn announcement() -> Value {
    let arm = |name| json!({"name": unique(name), "url": "http://127.0.0.1:1/"});
    json!({
        "arms": [arm("baseline"), arm("hooked")],
        "schedule": {
            "order": "rmit", "seed": 1, "connections": 1, "requests_per_cell": 1, "blocks_per_cell": 1,
            "servers_per_arm": 1, "warmup_requests": 0, "block_warmup_requests": 0,
        },
        "load": null,
        "requests": null,
        "clock": null,
    })
}

fn announce(agent: &Agent, announced: &Value) -> anyhow::Result<(u16, String)> {
    agent.send(
        "POST",
        "/v1/runs",
        &[JSON],
        announced.to_string().as_bytes(),
    )
}

fn begin(agent: &Agent) -> anyhow::Result<AgentRun> {
    let (status, body) = announce(agent, &announcement())?;
    ensure!(status == 201, "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

fn put(agent: &Agent, run: &str, query: &str, piece: &[u8]) -> anyhow::Result<(u16, String)> {
    agent.send("PUT", &format!("/v1/runs/{run}/log?{query}"), &[], piece)
}

/// An agent that wants a token, beside a server of each arm.
fn guarded(kit: &Kit) -> anyhow::Result<Scene> {
    let folder = kit.scratch()?;
    let token = folder.path().join("token");
    fs::write(&token, TOKEN)?;
    let mut command = kit.command("probe-user");
    command
        .args([
            "agent",
            "--listen=127.0.0.1:0",
            "--max-runs=1",
            "--max-run-bytes=3000000",
        ])
        .arg("--token-file")
        .arg(&token)
        .arg("--runs-dir")
        .arg(folder.path().join("runs"))
        .args(exact_kernel_probe());
    let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let agent = Agent::of(command.stdout(out).stderr(err).spawn()?, Some(TOKEN))?;
    Scene::with_agent(kit, folder, agent)
}

pub fn bad_requests(kit: &Kit) -> anyhow::Result<()> {
    let scene = guarded(kit)?;
    let agent = &scene.agent;
    let before = agent.arms()?;
    unauthorised(agent)?;
    bad_announcements(agent)?;
    let none = agent.ask_json("/v1/runs")?;
    ensure!(none["runs"] == json!([]), "nothing was begun: {none:#}");
    let folders = fs::read_dir(scene.folder.path().join("runs"))?.count();
    ensure!(folders == 0, "{folders} folders");

    let run = begin(agent)?;
    ensure!(run.state == RunState::Recording && run.processes.values().all(|count| *count == 1));
    ensure!(announce(agent, &announcement())?.0 == 409, "one at a time");
    bad_pieces(agent, &run.id)?;
    slow(agent, &run.id)?;
    let (status, body) = agent.send("DELETE", &format!("/v1/runs/{}", run.id), &[], &[])?;
    ensure!(status == 409, "it goes on: {status} {body}");
    // Three pieces of a megabyte are more than it may have.
    let log = log_of(kit, &scene)?;
    let (status, body) = put(agent, &run.id, "file=requests.npy&offset=0", &log)?;
    ensure!(status == 200, "{status} {body}");
    let piece = vec![0; 1_000_000];
    let mut offset = log.len();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let query = format!("file=requests.npy&offset={offset}");
        statuses.push(put(agent, &run.id, &query, &piece)?.0);
        offset += piece.len();
    }
    ensure!(statuses == [200, 200, 413], "{statuses:?}");

    // What of it was garbage is joined to nothing, and harms nobody.
    let over = finish_as_it_is(&scene, &run.id)?;
    ensure!(over.result.is_some_and(|result| !result.usable));
    ensure!(announce(agent, &announcement())?.0 == 507, "--max-runs");
    let (status, _) = agent.send("DELETE", &format!("/v1/runs/{}", run.id), &[], &[])?;
    ensure!(status == 204 && begin(agent).is_ok());

    request(&scene.hooked, 70)?;
    let after = agent.arms()?;
    let hooked = |arms| spans(arms, "hooked", "hook_overhead");
    ensure!(hooked(&after) > hooked(&before), "{after:#}");
    let resident = |arms: &Value| arms["agent"]["resident_bytes"].as_u64().unwrap_or(0);
    println!(
        "resident: {} before, {} after",
        resident(&before),
        resident(&after)
    );
    ensure!(resident(&after) < resident(&before) + (16 << 20));
    Ok(())
}

/// Without the token nothing is told, and nothing is done.
fn unauthorised(agent: &Agent) -> anyhow::Result<()> {
    for (method, path) in [
        ("GET", "/v1/runs"),
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs/x"),
        ("DELETE", "/v1/runs/x"),
        ("PUT", "/v1/runs/x/log?file=requests.npy&offset=0"),
        ("POST", "/v1/runs/x/finish"),
        ("GET", "/v1/runs/x/report"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for token in [
            "",
            "Authorization: Bearer 0123456789abcdef0123456789abcdee\r\n",
        ] {
            let (status, ..) = agent.raw(format!("{head}{token}\r\n").as_bytes())?;
            ensure!(status == 401, "{method} {path}: {status}");
        }
    }
    Ok(())
}

fn bad_announcements(agent: &Agent) -> anyhow::Result<()> {
    let changed = |change: fn(&mut Value)| {
        let mut announced = announcement();
        change(&mut announced);
        announced
    };
    for (announced, expected, text) in [
        (changed(|it| it["arms"] = json!([])), 422, "0 arms"),
        (
            changed(|it| it["arms"][0]["name"] = json!("../x")),
            422,
            "no name",
        ),
        (
            changed(|it| it["arms"][1] = it["arms"][0].clone()),
            422,
            "twice",
        ),
        (changed(|it| it["more"] = json!(1)), 422, "more"),
        (
            changed(|it| it["arms"] = json!([{"name": "nobody-s-arm", "url": ""}])),
            422,
            "/v1/arms",
        ),
        (json!([1]), 422, ""),
    ] {
        let (status, body) = announce(agent, &announced)?;
        ensure!(
            status == expected && body.contains(text),
            "{status}: {body}"
        );
    }
    let send =
        |headers: &[(&str, &str)], body: &[u8]| agent.send("POST", "/v1/runs", headers, body);
    ensure!(send(&[JSON], b"{\"arms\"")?.0 == 400, "cut");
    ensure!(send(&[JSON], &[0xff; 100])?.0 == 400, "garbage");
    // What a page of another site can have a browser send is no JSON.
    let text = announcement().to_string();
    ensure!(send(&[("Content-Type", "text/plain")], text.as_bytes())?.0 == 415);
    ensure!(send(&[JSON], &vec![b' '; 300_000])?.0 == 413, "oversized");
    ensure!(agent.send("PUT", "/v1/runs", &[JSON], b"{}")?.0 == 405);
    for path in [
        "/v1/runs/none",
        "/v1/runs/..%2f..%2fetc",
        "/v1/runs/none/report",
    ] {
        ensure!(agent.get(path, &[])?.0 == 404, "{path}");
    }
    Ok(())
}

fn bad_pieces(agent: &Agent, run: &str) -> anyhow::Result<()> {
    let log = "file=requests.npy&offset=0";
    let oversized = vec![0; (1 << 20) + 1];
    for (id, query, piece, expected) in [
        ("none", log, &b"x"[..], 404),
        (run, "", b"x", 400),
        (run, "file=load.json&offset=0", b"x", 400),
        (run, "file=../../x&offset=0", b"x", 400),
        (run, "file=requests.npy&offset=-1", b"x", 400),
        (
            run,
            "file=requests.npy&offset=18446744073709551615",
            b"x",
            409,
        ),
        (run, log, b"no log", 422),
        (run, "file=connections-client.npy&offset=7", b"x", 409),
        (run, log, &oversized, 413),
        (run, log, b"", 200),
    ] {
        let (status, body) = put(agent, id, query, piece)?;
        ensure!(status == expected, "{id} {query}: {status} {body}");
    }
    let state = agent.ask_json(&format!("/v1/runs/{run}"))?;
    ensure!(
        state["received"] == json!({"requests": 0, "connections": 0}),
        "{state:#}"
    );
    Ok(())
}

/// A piece that never comes whole is not taken, and whoever sends it loses the connection.
fn slow(agent: &Agent, run: &str) -> anyhow::Result<()> {
    let mut stream = agent.connect()?;
    let head = format!(
        "PUT /v1/runs/{run}/log?file=requests.npy&offset=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\x93NUMPY")?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    ensure!(
        answer.is_empty()
            || answer.starts_with(b"HTTP/1.1 503")
            || answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let state = agent.ask_json(&format!("/v1/runs/{run}"))?;
    ensure!(state["received"]["requests"] == 0, "{state:#}");
    Ok(())
}

/// The request log of a load without an agent.
fn log_of(kit: &Kit, scene: &Scene) -> anyhow::Result<Vec<u8>> {
    let folder = scene.folder.path().join("alone");
    let mut load = kit.command("loadgen");
    load.args(["run", "--seed=1", "--requests=2000", "--blocks=4"])
        .arg(format!(
            "--arm={}={}",
            unique("baseline"),
            scene.baseline.url()
        ))
        .arg(format!("--arm={}={}", unique("hooked"), scene.hooked.url()))
        .arg("--out")
        .arg(&folder);
    succeed(&mut load)?;
    Ok(fs::read(folder.join("requests.npy"))?)
}

/// Says that the load has ended with what has come in, and waits for the result.
fn finish_as_it_is(scene: &Scene, id: &str) -> anyhow::Result<AgentRun> {
    let agent = &scene.agent;
    let path = format!("/v1/runs/{id}");
    let connections = fs::read(scene.folder.path().join("alone/connections-client.npy"))?;
    let (status, body) = put(
        agent,
        id,
        "file=connections-client.npy&offset=0",
        &connections,
    )?;
    ensure!(status == 200, "{status} {body}");
    let received: LogBytes = serde_json::from_value(agent.ask_json(&path)?["received"].clone())?;
    let summary = fs::read_to_string(scene.folder.path().join("alone/load.json"))?;
    let summary: LoadSummary = serde_json::from_str(&summary)?;
    let finish = |bytes| -> anyhow::Result<(u16, String)> {
        let summary = summary.clone();
        let body = serde_json::to_vec(&Finish { bytes, summary })?;
        agent.send("POST", &format!("{path}/finish"), &[JSON], &body)
    };
    let more = LogBytes {
        requests: received.requests + 1,
        ..received
    };
    let (status, body) = finish(more)?;
    ensure!(
        status == 409 && body.contains("not all here"),
        "{status} {body}"
    );
    ensure!(finish(received)?.0 == 202);
    ensure!(finish(received)?.0 == 202, "said twice");
    let mut run = Value::Null;
    wait_for("the result", || {
        run = agent.ask_json(&path)?;
        Ok(run["state"] != "recording" && run["state"] != "joining")
    })?;
    let (status, _) = put(agent, id, "file=requests.npy&offset=0", b"x")?;
    ensure!(status == 409, "it is over");
    Ok(serde_json::from_value(run)?)
}

pub fn resumes(kit: &Kit) -> anyhow::Result<()> {
    let scene = Scene::open(kit, &[])?;
    let agent = &scene.agent;
    let run = begin(agent)?;
    let log = log_of(kit, &scene)?;
    let mut sent = 0;
    while sent < log.len() {
        // Each second piece is cut on its way.
        let piece = &log[sent..log.len().min(sent + 50_000)];
        let head = format!(
            "PUT /v1/runs/{}/log?file=requests.npy&offset={sent} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: {}\r\n\r\n",
            run.id,
            piece.len()
        );
        let mut stream = agent.connect()?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&piece[..piece.len() / 2])?;
        drop(stream);
        let state = agent.ask_json(&format!("/v1/runs/{}", run.id))?;
        let there = state["received"]["requests"]
            .as_u64()
            .context("no number")?;
        ensure!(there == sent as u64, "{state:#}");
        let query = format!("file=requests.npy&offset={there}");
        let (status, body) = put(agent, &run.id, &query, piece)?;
        ensure!(status == 200, "{status} {body}");
        sent += piece.len();
    }
    let run = finish_as_it_is(&scene, &run.id)?;
    ensure!(run.state == RunState::Complete, "{run:?}");
    let result = run.result.as_ref().context("no result")?;
    ensure!(result.usable, "{result:?}");
    let [_, hooked] = arms(&run)?;
    let join = hooked.join.as_ref().context("no join")?;
    ensure!(join.matched == 2_000 && join.requests == 2_000, "{join:?}");
    Ok(())
}
