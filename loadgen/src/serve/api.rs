//! The addresses under `/api`, and the files of the page.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    SET_COOKIE,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use report::page::{SERVED_POLICY, load};
use runlog::load_api::{
    FileKind, NamedUrl, OPENAPI, Run, RunList, RunProgress, SCHEMA, Service, SessionRequest,
    StartRequest,
};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::io::ReaderStream;
use web::body::body;
use web::refusal::Refused;

use super::access::{Access, guard};
use super::runs::{Runs, is_over};

/// The longest body of a request.
const MAX_BODY: usize = 64 * 1024;

/// The page, built in.
const PAGE: [(&str, &str, &str); 11] = [
    ("/", "text/html", include_str!("page/index.html")),
    ("/tokens.css", "text/css", report::page::TOKENS),
    ("/page.css", "text/css", include_str!("page/page.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page.js", JAVASCRIPT, include_str!("page/page.js")),
    ("/api.js", JAVASCRIPT, include_str!("page/api.js")),
    ("/chart.js", JAVASCRIPT, include_str!("page/chart.js")),
    ("/dom.js", JAVASCRIPT, include_str!("page/dom.js")),
    ("/form.js", JAVASCRIPT, include_str!("page/form.js")),
    ("/format.js", JAVASCRIPT, include_str!("page/format.js")),
    ("/tables.js", JAVASCRIPT, include_str!("page/tables.js")),
];
const JAVASCRIPT: &str = "text/javascript";

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Server {
    /// The runs.
    pub runs: Arc<Runs>,
    /// Who may use them.
    pub access: Access,
    /// The arms of the command line.
    pub arms: Arc<[NamedUrl]>,
}

/// All addresses.
pub fn router(server: Server) -> Router {
    let mut router = Router::new()
        .route("/api", get(service))
        .route("/api/openapi.json", get(openapi))
        .route("/api/session", post(session))
        .route("/api/runs", get(list).post(start))
        .route("/api/runs/{id}", get(run))
        .route("/api/runs/{id}/progress", get(progress))
        .route("/api/runs/{id}/stop", post(stop))
        .route("/api/runs/{id}/files/{name}", get(file))
        .route("/api/runs/{id}/report", get(show_report));
    for (path, media_type, text) in PAGE {
        let answer = move || async move {
            let media_type = format!("{media_type}; charset=utf-8");
            ([(CONTENT_TYPE, media_type)], text)
        };
        router = router.route(path, get(answer));
    }
    let guard = axum::middleware::from_fn_with_state(server.access.clone(), guard);
    router
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Refused::new(status, "this address is used in another way")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(guard)
        .with_state(server)
}

type Answer<T> = Result<T, Refused>;

async fn service(State(server): State<Server>) -> Json<Service> {
    Json(Service {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arms: server.arms.to_vec(),
        allowed: server
            .runs
            .allowed()
            .iter()
            .map(|allowed| allowed.as_str().to_owned())
            .collect(),
        limits: server.runs.limits(),
    })
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn session(
    State(server): State<Server>,
    given: Result<Json<Value>, JsonRejection>,
) -> Answer<Response> {
    let SessionRequest { token } = body(given)?;
    let cookie = server.access.cookie(&token).ok_or_else(|| {
        Refused::new(
            StatusCode::UNAUTHORIZED,
            "this is not the token of this server",
        )
    })?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

async fn list(State(server): State<Server>) -> Json<RunList> {
    let runs = server.runs.list();
    Json(RunList { runs })
}

async fn start(
    State(server): State<Server>,
    wanted: Result<Json<Value>, JsonRejection>,
) -> Answer<Response> {
    let wanted: StartRequest = body(wanted)?;
    let run = server.runs.start(wanted).await?;
    let location = format!("/api/runs/{}", run.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(run)).into_response())
}

async fn run(State(server): State<Server>, Path(id): Path<String>) -> Answer<Json<Run>> {
    Ok(Json(server.runs.get(&id)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    #[serde(default)]
    from: usize,
}

async fn progress(
    State(server): State<Server>,
    Path(id): Path<String>,
    query: Result<Query<From>, QueryRejection>,
) -> Answer<Json<RunProgress>> {
    let Query(From { from }) =
        query.map_err(|rejection| Refused::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    Ok(Json(server.runs.progress(&id, from)?))
}

async fn stop(State(server): State<Server>, Path(id): Path<String>) -> Answer<Response> {
    let run = server.runs.stop(&id, "stopped by a user")?;
    Ok((StatusCode::ACCEPTED, Json(run)).into_response())
}

async fn file(
    State(server): State<Server>,
    Path((id, name)): Path<(String, String)>,
) -> Answer<Response> {
    let run = server.runs.get(&id)?;
    let missing = || {
        let text = format!("run \"{id}\" has no file \"{name}\"");
        Refused::new(StatusCode::NOT_FOUND, text)
    };
    // Only what is listed: no name can lead out of the folder.
    let listed = run.files.iter().find(|file| file.name == name);
    let listed = listed.ok_or_else(missing)?;
    let path = server.runs.directory(&run).root().join(&listed.name);
    let file = tokio::fs::File::open(path).await.map_err(|_| missing())?;
    let length = file.metadata().await.map_err(|_| missing())?.len();
    let media_type = match listed.kind {
        FileKind::Summary => "application/json",
        FileKind::Csv => "text/csv; charset=utf-8",
        FileKind::Hlog => "text/plain; charset=utf-8",
        FileKind::Requests | FileKind::Connections => "application/octet-stream",
    };
    let headers: [(HeaderName, String); 3] = [
        (CONTENT_TYPE, media_type.to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}-{name}\""),
        ),
    ];
    let content = Body::from_stream(ReaderStream::with_capacity(file, 64 * 1024));
    Ok((headers, content).into_response())
}

async fn show_report(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Answer<impl IntoResponse> {
    let run = server.runs.get(&id)?;
    if !is_over(run.state) {
        let text = format!("run \"{id}\" is under way; there is a report when it has ended");
        return Err(Refused::new(StatusCode::NOT_FOUND, text));
    }
    let directory = server.runs.directory(&run);
    let page = tokio::task::spawn_blocking(move || {
        // A run that was analysed has a page of its own.
        std::fs::read_to_string(directory.report()).unwrap_or_else(|_| load(&run, &directory))
    });
    let page = page.await;
    let page = page.map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Refused::new(status, "the report could not be made")
    })?;
    Ok(([(CONTENT_SECURITY_POLICY, SERVED_POLICY)], Html(page)))
}
