//! The description of `loadgen serve`'s API in OpenAPI 3.1, made from its shapes.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::load_api::{
    self, Refusal, Run, RunList, RunProgress, Service, SessionRequest, StartRequest,
};

/// What each status of a refusal means.
const REFUSALS: [(u16, &str); 8] = [
    (
        400,
        "Not a request that can be read, or a query that makes no sense",
    ),
    (
        401,
        "The server wants its token: as `Authorization: Bearer TOKEN`, or the cookie of a session",
    ),
    (
        403,
        "A target that the command line does not allow, or a request that another site caused",
    ),
    (404, "There is no such run or file"),
    (
        409,
        "Another run is under way; or, to stop a run, it is not",
    ),
    (413, "The body is longer than 64 KiB"),
    (415, "The body is not application/json"),
    (422, "The run is not possible; the text says what is wrong"),
];

/// The description.
pub(super) fn describe() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut api = Description {
        shapes: settings.into_generator(),
    };
    let mut paths = server_paths(&mut api);
    if let (Value::Object(paths), Value::Object(more)) = (&mut paths, run_paths(&mut api)) {
        paths.extend(more);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "loadgen serve",
            "version": load_api::SCHEMA,
            "description": "Start, watch and stop loads, one at a time. Times are in nanoseconds.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "security": [{}, {"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "loadgen-session"},
            },
            "schemas": api.shapes.take_definitions(true),
        },
    })
}

/// What is about the server and all of its runs.
fn server_paths(api: &mut Description) -> Value {
    json!({
        "/api": {"get": {
            "operationId": "service",
            "summary": "What the server is, and what it lets one do",
            "responses": api.answers(200, Answer::of::<Service>("The service"), &[401]),
        }},
        "/api/session": {"post": {
            "operationId": "session",
            "summary": "Exchange the token for a cookie that lasts as long as the server",
            "security": [],
            "requestBody": api.body::<SessionRequest>(),
            "responses": api.answers(204, Answer::empty("The cookie is set"), &[400, 401, 413, 415]),
        }},
        "/api/runs": {
            "get": {
                "operationId": "runs",
                "summary": "The runs, the newest first",
                "responses": api.answers(200, Answer::of::<RunList>("The runs"), &[401]),
            },
            "post": {
                "operationId": "start",
                "summary": "Start a run; answered when its first requests are about to be sent",
                "requestBody": api.body::<StartRequest>(),
                "responses": api.answers(
                    201,
                    Answer::of::<Run>("The run; its address is in Location"),
                    &[400, 401, 403, 409, 413, 415, 422],
                ),
            },
        },
    })
}

/// What is about one run.
fn run_paths(api: &mut Description) -> Value {
    json!({
        "/api/runs/{id}": {
            "parameters": [id()],
            "get": {
                "operationId": "run",
                "summary": "One run, with its summary when it has ended",
                "responses": api.answers(200, Answer::of::<Run>("The run"), &[401, 404]),
            },
        },
        "/api/runs/{id}/progress": {
            "parameters": [id(), {
                "name": "from",
                "in": "query",
                "description": "Number of the first interval that is wanted: as many as are known",
                "schema": {"type": "integer", "minimum": 0, "default": 0},
            }],
            "get": {
                "operationId": "progress",
                "summary": "How a run goes, or went: an interval a second",
                "responses": api.answers(
                    200, Answer::of::<RunProgress>("The intervals"), &[400, 401, 404]
                ),
            },
        },
        "/api/runs/{id}/stop": {
            "parameters": [id()],
            "post": {
                "operationId": "stop",
                "summary": "Stop a run; what was measured is kept",
                "responses": api.answers(
                    202, Answer::of::<Run>("It was told, and will end soon"), &[401, 403, 404, 409]
                ),
            },
        },
        "/api/runs/{id}/files/{name}": {
            "parameters": [id(), {
                "name": "name",
                "in": "path",
                "required": true,
                "description": "As in the run's `files`",
                "schema": {"type": "string"},
            }],
            "get": {
                "operationId": "file",
                "summary": "A file of a run that has ended",
                "responses": api.answers(
                    200, Answer::other("The file", "application/octet-stream"), &[401, 404]
                ),
            },
        },
        "/api/runs/{id}/report": {
            "parameters": [id()],
            "get": {
                "operationId": "report",
                "summary": "A page about a run that has ended, to read and to print",
                "responses": api.answers(200, Answer::other("The page", "text/html"), &[401, 404]),
            },
        },
    })
}

fn id() -> Value {
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "As in the run's `id`",
        "schema": {"type": "string"},
    })
}

/// An answer that is not a refusal.
struct Answer {
    text: &'static str,
    content: Content,
}

enum Content {
    None,
    Other(&'static str),
    Json(fn(&mut SchemaGenerator) -> schemars::Schema),
}

impl Answer {
    fn of<T: JsonSchema>(text: &'static str) -> Self {
        let content = Content::Json(SchemaGenerator::subschema_for::<T>);
        Self { text, content }
    }

    fn other(text: &'static str, media_type: &'static str) -> Self {
        let content = Content::Other(media_type);
        Self { text, content }
    }

    fn empty(text: &'static str) -> Self {
        let content = Content::None;
        Self { text, content }
    }
}

struct Description {
    shapes: SchemaGenerator,
}

impl Description {
    fn content<T: JsonSchema>(&mut self) -> Value {
        json!({"application/json": {"schema": self.shapes.subschema_for::<T>()}})
    }

    fn body<T: JsonSchema>(&mut self) -> Value {
        json!({"required": true, "content": self.content::<T>()})
    }

    fn answers(&mut self, status: u16, answer: Answer, refusals: &[u16]) -> Value {
        let Answer { text, content } = answer;
        let good = match content {
            Content::None => json!({"description": text}),
            Content::Other(media_type) => json!({"description": text, "content": {media_type: {}}}),
            Content::Json(schema) => {
                let schema = schema(&mut self.shapes);
                json!({"description": text, "content": {"application/json": {"schema": schema}}})
            }
        };
        let mut answers = Map::new();
        answers.insert(status.to_string(), good);
        for (status, text) in REFUSALS {
            if refusals.contains(&status) {
                let refusal = json!({"description": text, "content": self.content::<Refusal>()});
                answers.insert(status.to_string(), refusal);
            }
        }
        Value::Object(answers)
    }
}

#[test]
fn every_reference_has_its_shape() {
    let description = describe();
    let text = description.to_string();
    let references: Vec<&str> = text
        .split("\"$ref\":\"#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(references.contains(&"StartRequest") && references.contains(&"LoadSummary"));
    for name in references {
        assert!(
            description["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}
