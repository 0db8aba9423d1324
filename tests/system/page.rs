//! The page of `loadgen serve`, in a real browser.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use runlog::summary::LoadSummary;
use runlog::{RunDirectory, interval_log, json, paper_csv};
use serde_json::Value;

use crate::Test;
use crate::cdp::{Browser, CHROMIUM};
use crate::kit::{Kit, Server, wait_for};
use crate::serve::LoadServer;
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "page::start_watch_stop_and_download",
        needs: &[Need::Program(CHROMIUM)],
        run: whole_run,
    },
    Test {
        name: "page::keyboard_and_labels",
        needs: &[Need::Program(CHROMIUM)],
        run: keyboard,
    },
    Test {
        name: "page::token_is_asked_for",
        needs: &[Need::Program(CHROMIUM)],
        run: token,
    },
];

/// Two servers, a page that loads them, and a browser.
struct Set {
    _servers: [Server; 2],
    server: LoadServer,
    browser: Browser,
    folder: tempfile::TempDir,
}

fn set(kit: &Kit, token: Option<&str>) -> anyhow::Result<Set> {
    let servers = [kit.sut(None, &["--quiet"])?, kit.sut(None, &["--quiet"])?];
    let folder = kit.scratch()?;
    let arms = [
        format!("--arm=baseline={}", servers[0].url()),
        format!("--arm=hooked={}", servers[1].url()),
    ];
    let runs = folder.path().join("runs");
    let server = LoadServer::start(kit, &arms, &runs, token)?;
    let browser = Browser::start(folder.path())?;
    Ok(Set {
        _servers: servers,
        server,
        browser,
        folder,
    })
}

/// Types a number into a field.
fn fill(browser: &mut Browser, field: &str, value: &str) -> anyhow::Result<()> {
    browser.value(&format!("document.getElementById('{field}').select()"))?;
    browser.type_text(value)
}

fn whole_run(kit: &Kit) -> anyhow::Result<()> {
    let mut set = set(kit, None)?;
    let browser = &mut set.browser;
    browser.open(&set.server.url())?;
    browser.wait_for(
        "the arms of the command line",
        "[...document.querySelectorAll('#arm-list input')].map(i => i.value).includes('hooked')",
    )?;
    fill(browser, "requests", "2000000")?;
    browser.value("document.getElementById('start').click()")?;
    let drawn = |arm| {
        format!(
            "(document.querySelectorAll('#chart-p99 path.arm-{arm}')[0]?.getAttribute('d') ?? '') \
             .split('L').length > 2"
        )
    };
    browser.wait_for("a line of two seconds and more", &drawn(0))?;
    browser.wait_for("a line of the other arm", &drawn(1))?;
    ensure!(browser.value("document.getElementById('start').disabled")? == true);
    let shown = browser.value("document.getElementById('tile-requests').textContent")?;
    ensure!(
        shown
            .as_str()
            .is_some_and(|text| text.ends_with("of 4,000,000")),
        "{shown}"
    );

    // The same page in another browser window would not get a second run.
    browser.value("document.getElementById('stop').click()")?;
    let stopped = "document.querySelector('#runs .state.cut_short') !== null";
    browser.wait_for("the run to be stopped", stopped)?;
    browser.wait_for(
        "the reason",
        "document.getElementById('run-about').textContent.includes('stopped by a user')",
    )?;
    browser.wait_for(
        "another run to be possible",
        "!document.getElementById('start').disabled",
    )?;

    let id = browser.value("document.querySelector('[data-run]').dataset.run")?;
    let id = id.as_str().context("no run")?.to_owned();
    let run = RunDirectory::existing(set.folder.path().join("runs").join(&id));
    let summary: LoadSummary = json::read(&run.load_summary())?;
    ensure!(summary.cut_short.is_some() && summary.arms.len() == 2);
    downloads(browser, set.folder.path(), &id, &run)?;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme)?;
        let contrast = browser.value(CONTRAST)?;
        ensure!(
            contrast.as_f64().is_some_and(|contrast| contrast >= 4.5),
            "{scheme}: text of contrast {contrast}"
        );
    }
    only_loopback(browser)
}

/// The least contrast between a text of the page and what is behind it, by WCAG 2's formula.
pub const CONTRAST: &str = "(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([r, g, b]) => [r, g, b]
        .map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour[3] > 250) return colour;
        }
        return [255, 255, 255];
    };
    const ownText = (element) => [...element.childNodes]
        .some(node => node.nodeType === 3 && node.textContent.trim() !== '');
    const shown = [...document.body.querySelectorAll('*')].filter(element =>
        ownText(element) && element.checkVisibility() && !element.matches(':disabled') && !(element instanceof SVGElement));
    return Math.min(...shown.map(element => {
        const two = [rgb(getComputedStyle(element).color), behind(element)].map(luminance).sort();
        return (two[1] + 0.05) / (two[0] + 0.05);
    }));
})()";

/// Clicks on the links of a run, and holds the files against those in its folder.
fn downloads(
    browser: &mut Browser,
    folder: &Path,
    id: &str,
    run: &RunDirectory,
) -> anyhow::Result<()> {
    for name in [
        "load.json",
        "baseline.csv",
        "hooked.csv",
        "baseline.hlog",
        "hooked.hlog",
    ] {
        let link = format!("document.querySelector('a[download=\"{id}-{name}\"]').click()");
        browser.value(&link)?;
        let file = folder.join(format!("{id}-{name}"));
        let original = fs::read(run.root().join(name))?;
        wait_for(name, || {
            browser.value("0")?; // lets the request through
            Ok(fs::read(&file).is_ok_and(|bytes| bytes == original))
        })?;
    }
    let csv = paper_csv::read(folder.join(format!("{id}-hooked.csv")))?;
    let hlog = interval_log::read(folder.join(format!("{id}-hooked.hlog")))?;
    let in_hlog: u64 = hlog.iter().map(|interval| interval.histogram.len()).sum();
    ensure!(csv.len() as u64 == in_hlog && in_hlog > 100, "{in_hlog}");
    let report = browser.value(
        "fetch(document.querySelector('.downloads a').href).then(answer => answer.text())",
    )?;
    let report = report.as_str().context("no report")?;
    for text in [id, "stopped by a user", "baseline", "hooked", "<svg"] {
        ensure!(report.contains(text), "no {text} in the report: {report}");
    }
    ensure!(!report.contains("<script") && !report.contains("src="));
    Ok(())
}

/// Nothing was asked for beyond loopback, no script failed; and had anything been asked for, it would have
/// been seen.
fn only_loopback(browser: &mut Browser) -> anyhow::Result<()> {
    ensure!(browser.refused.is_empty(), "{:?}", browser.refused);
    ensure!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    ensure!(browser.let_through >= 10, "{}", browser.let_through);
    let out = "fetch('http://192.0.2.1/').then(() => 'an answer', () => 'none')";
    ensure!(browser.value(out)? == "none");
    ensure!(
        browser.refused.is_empty(),
        "the page's policy let a request out: {:?}",
        browser.refused
    );
    // Without that policy the interception is what stops it.
    browser.open("about:blank")?;
    ensure!(browser.value(out)? == "none");
    ensure!(
        browser.refused == ["http://192.0.2.1/"],
        "{:?}",
        browser.refused
    );
    Ok(())
}

fn keyboard(kit: &Kit) -> anyhow::Result<()> {
    let mut set = set(kit, None)?;
    let browser = &mut set.browser;
    browser.open(&set.server.url())?;
    browser.wait_for(
        "the form",
        "document.querySelectorAll('#arm-list .arm').length === 2",
    )?;
    labels(browser)?;

    let mut places = Vec::new();
    // As far as the button that starts.
    while places.last().is_none_or(|last| last != "start") && places.len() < 40 {
        browser.press("Tab")?;
        let id = browser.value(
            "document.activeElement.id || document.activeElement.getAttribute('aria-label') || \
             document.activeElement.textContent",
        )?;
        places.push(id.as_str().unwrap_or_default().to_owned());
        let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle")?;
        let width =
            browser.value("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")?;
        ensure!(
            outline != "none" && width.as_f64() >= Some(2.0),
            "the focus on {id} is not seen: {outline} {width}"
        );
    }
    let expected = [
        "Skip to the run",
        "arm-1-name",
        "arm-1-url",
        "Remove arm 1",
        "arm-2-name",
        "arm-2-url",
        "Remove arm 2",
        "add-arm",
        "requests",
        "duration",
        "connections",
        "rate",
        "blocks",
        "warmup",
        "order",
        "More options",
        "start",
    ];
    ensure!(places == expected, "{places:?}");

    // Enter in a field starts, the charts are gone through with arrows, and the space bar stops.
    browser.value("document.getElementById('requests').focus()")?;
    fill(browser, "requests", "2000000")?;
    browser.press("Enter")?;
    browser.wait_for(
        "two seconds",
        "document.querySelectorAll('#chart-p50 path.line').length === 2 && \
         document.getElementById('tile-time').textContent >= '0:02'",
    )?;
    browser.value("document.querySelector('#chart-p50 .plot').focus()")?;
    browser.press("ArrowLeft")?;
    let said = browser.value("document.getElementById('said').textContent")?;
    ensure!(
        said.as_str()
            .is_some_and(|said| said.contains("baseline ") && said.contains("hooked ")),
        "{said}"
    );
    browser.value("document.getElementById('stop').focus()")?;
    browser.press(" ")?;
    let stopped = "document.querySelector('#runs .state.cut_short') !== null";
    browser.wait_for("the run to be stopped", stopped)?;

    // What the server refuses is said where it was asked for.
    fill(browser, "blocks", "9999999")?;
    browser.value("document.getElementById('blocks').focus()")?;
    browser.press("Enter")?;
    browser.wait_for(
        "the refusal",
        "document.querySelector('#refusal[role=alert]').textContent.includes('--blocks 9999999')",
    )?;
    ensure!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    Ok(())
}

/// What a screen reader would call each thing that takes input: each has a name.
fn labels(browser: &mut Browser) -> anyhow::Result<()> {
    browser.value("document.querySelector('#new details').open = true")?;
    let tree = browser.call("Accessibility.getFullAXTree", &serde_json::json!({}))?;
    let nodes = tree["nodes"].as_array().context("no tree")?;
    let takes_input = |node: &&Value| {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        let roles = [
            "textbox",
            "spinbutton",
            "combobox",
            "checkbox",
            "button",
            "link",
        ];
        roles.contains(&role) && node["ignored"] != true
    };
    let inputs: Vec<&Value> = nodes.iter().filter(takes_input).collect();
    ensure!(inputs.len() >= 15, "{}", inputs.len());
    for input in inputs {
        let name = input["name"]["value"].as_str().unwrap_or_default();
        ensure!(!name.trim().is_empty(), "no name: {input}");
    }
    browser.value("document.querySelector('#new details').open = false")?;
    ensure!(browser.value("document.documentElement.lang")? == "en");
    Ok(())
}

fn token(kit: &Kit) -> anyhow::Result<()> {
    let mut set = set(kit, Some("a-token-of-this-test"))?;
    let browser = &mut set.browser;
    browser.open(&set.server.url())?;
    browser.wait_for(
        "the question for the token",
        "document.getElementById('token-dialog').open && document.activeElement.id === 'token'",
    )?;
    browser.type_text("not-the-token-at-all")?;
    browser.press("Enter")?;
    browser.wait_for(
        "the refusal",
        "document.getElementById('token-refusal').textContent.includes('not the token')",
    )?;
    fill(browser, "token", "a-token-of-this-test")?;
    browser.press("Enter")?;
    browser.wait_for(
        "the form",
        "document.querySelectorAll('#arm-list .arm').length === 2 && \
         !document.getElementById('token-dialog').open",
    )?;
    // The cookie is for the API alone, and no script reads it.
    ensure!(browser.value("document.cookie")? == "");
    // It holds for a page that is opened anew.
    browser.open(&format!("{}?again", set.server.url()))?;
    browser.wait_for(
        "the form again",
        "document.querySelectorAll('#arm-list .arm').length === 2",
    )?;
    ensure!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    Ok(())
}
