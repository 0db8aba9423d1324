//! Bodies of requests.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use runlog::json::Shape;
use serde_json::Value;

use crate::refusal::Refused;

/// Parses a body. A refusal names the field that is wrong.
pub fn body<T: Shape>(body: Result<Json<Value>, JsonRejection>) -> Result<T, Refused> {
    let Json(value) =
        body.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    T::from_value(value)
        .map_err(|error| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}
