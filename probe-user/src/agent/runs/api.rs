//! The addresses under `/v1/runs`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{FromRef, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use report::page::{SERVED_POLICY, agent_run};
use runlog::agent_run::{AgentRun, Announcement, ClockReading, Finish, LogBytes, RunEntries};
use runlog::clock::Clock;
use serde::Deserialize;
use serde_json::Value;
use web::body::body;
use web::refusal::Refused;

use crate::agent::http::Services;
use crate::agent::runs::Runs;
use crate::agent::runs::upload::LogFile;
use crate::machine::monotonic_ns;

/// The longest piece of a log.
pub const MAX_PIECE: usize = 1 << 20;
/// The longest announcement, and the longest summary of a load.
pub const MAX_JSON: usize = 256 << 10;

/// What is asked now and then.
pub fn router() -> Router<Services> {
    Router::new()
        .route("/v1/runs", get(list).post(announce))
        .route("/v1/runs/{id}", get(show).delete(remove))
        .route("/v1/runs/{id}/finish", post(finish))
        .route("/v1/runs/{id}/report", get(show_report))
}

/// What comes in all the time while a run goes on.
pub fn log_router() -> Router<Services> {
    Router::new()
        .route("/v1/runs/{id}/log", put(add))
        .route("/v1/clock", get(read_clock))
}

type Answer<T> = Result<T, Refused>;

/// The runs, where there is a folder for them.
#[derive(Clone)]
struct Here(Option<Arc<Runs>>);

impl FromRef<Services> for Here {
    fn from_ref(services: &Services) -> Self {
        Self(services.runs.clone())
    }
}

impl Here {
    fn runs(self) -> Answer<Arc<Runs>> {
        self.0.ok_or_else(|| {
            let text = "this agent takes no runs: it was started without --runs-dir DIR";
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, text)
        })
    }
}

async fn list(State(here): State<Here>) -> Answer<Json<RunEntries>> {
    Ok(Json(here.runs()?.list()))
}

async fn announce(
    State(here): State<Here>,
    announced: Result<Json<Value>, JsonRejection>,
) -> Answer<Response> {
    let runs = here.runs()?;
    let announced: Announcement = body(announced)?;
    // In a task of its own: whoever asked may go away meanwhile.
    let run = tokio::spawn(async move { runs.announce(announced).await }).await;
    let run = run.map_err(|_| failed())??;
    let location = format!("/v1/runs/{}", run.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(run)).into_response())
}

async fn show(State(here): State<Here>, Path(id): Path<String>) -> Answer<Json<AgentRun>> {
    Ok(Json(here.runs()?.get(&id)?))
}

async fn remove(State(here): State<Here>, Path(id): Path<String>) -> Answer<StatusCode> {
    let runs = here.runs()?;
    let removed = tokio::task::spawn_blocking(move || runs.remove(&id)).await;
    removed
        .map_err(|_| failed())?
        .map(|()| StatusCode::NO_CONTENT)
}

/// Where a piece belongs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    file: LogFile,
    offset: u64,
}

async fn add(
    State(here): State<Here>,
    Path(id): Path<String>,
    place: Result<Query<Place>, QueryRejection>,
    piece: Result<Bytes, BytesRejection>,
) -> Answer<Json<LogBytes>> {
    let runs = here.runs()?;
    let Query(Place { file, offset }) =
        place.map_err(|rejection| Refused::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let piece =
        piece.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    let added = tokio::task::spawn_blocking(move || runs.add(&id, file, offset, &piece)).await;
    added.map_err(|_| failed())?.map(Json)
}

async fn read_clock() -> Json<ClockReading> {
    Json(ClockReading {
        monotonic_ns: monotonic_ns(),
        clock: Clock::of_this_process(),
    })
}

async fn finish(
    State(here): State<Here>,
    Path(id): Path<String>,
    finish: Result<Json<Value>, JsonRejection>,
) -> Answer<Response> {
    let runs = here.runs()?;
    let finish: Finish = body(finish)?;
    let run = runs.finish(&id, &finish)?;
    Ok((StatusCode::ACCEPTED, Json(run)).into_response())
}

async fn show_report(
    State(here): State<Here>,
    Path(id): Path<String>,
) -> Answer<impl IntoResponse> {
    let run = here.runs()?.get(&id)?;
    if !run.state.is_over() {
        let text = format!("run {id} goes on; there is a report when it has ended");
        return Err(Refused::new(StatusCode::NOT_FOUND, text));
    }
    let page = agent_run(&run);
    Ok(([(CONTENT_SECURITY_POLICY, SERVED_POLICY)], Html(page)))
}

fn failed() -> Refused {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Refused::new(status, "the agent has failed at this")
}
