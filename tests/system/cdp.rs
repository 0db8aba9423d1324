//! A browser under remote control: headless Chromium, by the Chrome `DevTools` Protocol.
//!
//! Every request of its pages is stopped first: what goes to loopback or to a file goes on, anything else fails and
//! is kept for the test to see.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, Message, WebSocket};

use crate::kit::{Running, SOON, wait_for};

/// The program, as Debian names it.
pub const CHROMIUM: &str = "chromium";

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    session: String,
    /// Addresses beyond loopback that pages asked for.
    pub refused: Vec<String>,
    /// Files that pages asked for, themselves included.
    pub files: Vec<String>,
    /// Requests to loopback that were let through.
    pub let_through: usize,
    /// Messages of scripts that failed.
    pub complaints: Vec<String>,
    /// What the console shows in red or yellow: of loading, of the page's policy, of what is outdated.
    pub log: Vec<String>,
    _process: Running,
}

impl Browser {
    /// Starts one. Its profile and its downloads go to a folder.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let profile = folder.join("profile");
        let mut command = Command::new(CHROMIUM);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--remote-debugging-port=0", "--window-size=1360,1000"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .env("HOME", folder)
            .stderr(std::process::Stdio::null());
        let process = Running::start(command)?;
        let file = profile.join("DevToolsActivePort");
        wait_for("Chromium to listen", || {
            Ok(fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2))
        })?;
        let text = fs::read_to_string(&file)?;
        let (port, path) = text.split_once('\n').context("no path")?;
        let (socket, _) = tungstenite::connect(format!("ws://127.0.0.1:{port}{}", path.trim()))?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(SOON))?;
        }
        let mut browser = Self {
            socket,
            last_id: 0,
            session: String::new(),
            refused: Vec::new(),
            files: Vec::new(),
            let_through: 0,
            complaints: Vec::new(),
            log: Vec::new(),
            _process: process,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attached)?;
        session["sessionId"]
            .as_str()
            .context("no session")?
            .clone_into(&mut browser.session);
        for (method, parameters) in [
            ("Page.enable", json!({})),
            ("Runtime.enable", json!({})),
            ("Log.enable", json!({})),
            ("Fetch.enable", json!({"patterns": [{"urlPattern": "*"}]})),
        ] {
            browser.call(method, &parameters)?;
        }
        let downloads = json!({"behavior": "allow", "downloadPath": folder});
        browser.call("Browser.setDownloadBehavior", &downloads)?;
        Ok(browser)
    }

    /// Calls a method and waits for its result. Events on the way are seen to.
    pub fn call(&mut self, method: &str, parameters: &Value) -> anyhow::Result<Value> {
        let id = self.send(method, parameters)?;
        let give_up = Instant::now() + SOON;
        while Instant::now() < give_up {
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(_) => continue,
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let message: Value = serde_json::from_str(&text)?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].clone());
            }
            self.see_to(&message)?;
        }
        bail!("{method}: no answer");
    }

    fn send(&mut self, method: &str, parameters: &Value) -> anyhow::Result<u64> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if !self.session.is_empty() && !method.starts_with("Browser.") {
            message["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(message.to_string()))?;
        Ok(self.last_id)
    }

    fn see_to(&mut self, event: &Value) -> anyhow::Result<()> {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Fetch.requestPaused") => {
                let id = &parameters["requestId"];
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if url.starts_with("file://") {
                    self.files.push(url.to_owned());
                    self.send("Fetch.continueRequest", &json!({"requestId": id}))?;
                } else if is_on_loopback(url) {
                    self.let_through += 1;
                    self.send("Fetch.continueRequest", &json!({"requestId": id}))?;
                } else {
                    self.refused.push(url.to_owned());
                    let reason = json!({"requestId": id, "errorReason": "AddressUnreachable"});
                    self.send("Fetch.failRequest", &reason)?;
                }
            }
            Some("Log.entryAdded") if parameters["entry"]["level"] != "info" => {
                self.log.push(parameters["entry"]["text"].to_string());
            }
            Some("Runtime.exceptionThrown") => {
                self.complaints
                    .push(parameters["exceptionDetails"].to_string());
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes to an address.
    pub fn open(&mut self, url: &str) -> anyhow::Result<()> {
        self.call("Page.navigate", &json!({"url": url}))?;
        self.wait_for("the page to load", "document.readyState === 'complete'")
    }

    /// The value of a JavaScript expression on the page.
    pub fn value(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &parameters)?;
        ensure!(
            result["exceptionDetails"].is_null(),
            "{expression}: {}",
            result["exceptionDetails"]
        );
        Ok(result["result"]["value"].clone())
    }

    /// Waits until an expression on the page is true.
    pub fn wait_for(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let give_up = Instant::now() + SOON;
        while self.value(expression)? != true {
            if Instant::now() > give_up {
                let text = self.value("document.body.innerText")?;
                bail!("waited for {what}; the page says: {text}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Presses a key, and lets it go.
    pub fn press(&mut self, key: &str) -> anyhow::Result<()> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "ArrowLeft" => (37, ""),
            " " => (32, " "),
            other => bail!("no key {other}"),
        };
        let mut event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &event)?;
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &event)?;
        Ok(())
    }

    /// Types a text where the keyboard's focus is, over what is selected.
    pub fn type_text(&mut self, text: &str) -> anyhow::Result<()> {
        self.call("Input.insertText", &json!({"text": text}))?;
        Ok(())
    }

    /// Has the page drawn in a window of this size.
    pub fn resize(&mut self, width: u32, height: u32) -> anyhow::Result<()> {
        let window =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &window)?;
        Ok(())
    }

    /// Has the page drawn in light or dark colours.
    pub fn prefer(&mut self, scheme: &str) -> anyhow::Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))?;
        Ok(())
    }
}

fn is_on_loopback(url: &str) -> bool {
    [
        "http://127.0.0.1:",
        "data:",
        "about:",
        "blob:http://127.0.0.1:",
    ]
    .iter()
    .any(|start| url.starts_with(start))
}
