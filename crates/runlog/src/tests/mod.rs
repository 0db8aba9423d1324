//! What holds for the shapes as a whole.

mod load_openapi;
mod schemas;
