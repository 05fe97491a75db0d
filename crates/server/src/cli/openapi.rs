//! `farebox openapi`: the OpenAPI document of this release, as it is served and checked in.

use super::{Failure, out};
use crate::http;

/// Print the OpenAPI document
#[derive(clap::Args)]
#[command(after_help = "Example: farebox openapi > openapi.json")]
pub struct Args {}

pub fn run(_: &Args) -> Result<(), Failure> {
    out::line(&http::spec::document_text(&http::routes()))
}
