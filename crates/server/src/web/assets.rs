//! Style, script and icon, inside the binary. A file's name carries the hash of what is in it, so a
//! browser may keep it for ever.

use std::sync::OnceLock;

use axum::http::Method;
use engine::Error;
use sha2::{Digest as _, Sha256};

use super::parts;
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::route::{Access, Routes};
use crate::http::spec::Doc;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Name, kind, content.
const FILES: [(&str, &str, &str); 3] = [
    ("app.css", CSS, include_str!("assets/app.css")),
    ("app.js", JAVASCRIPT, include_str!("assets/app.js")),
    ("icon.svg", SVG, include_str!("assets/icon.svg")),
];

fn paths() -> &'static [(&'static str, String)] {
    static PATHS: OnceLock<Vec<(&'static str, String)>> = OnceLock::new();
    PATHS.get_or_init(|| FILES.iter().map(|(name, _, text)| (*name, hashed(name, text))).collect())
}

fn hashed(name: &str, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let hash = parts::hex(&digest[..6]);
    let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
    format!("/assets/{stem}.{hash}.{ending}")
}

/// Where a file is.
pub fn path(name: &str) -> &'static str {
    paths().iter().find(|(known, _)| *known == name).map_or("", |(_, path)| path.as_str())
}

/// Bytes of all files, for whoever counts a page's weight.
pub fn bytes() -> usize {
    FILES.iter().map(|(.., text)| text.len()).sum()
}

pub fn routes() -> Routes {
    let doc = Doc::new("Dashboard", "asset", "Style, script, icon");
    Routes::default().add((Method::GET, "/assets/{name}"), Access::Public, doc, file)
}

async fn file(_: App, call: Call) -> Result<Answer, Error> {
    let name: String = call.path("name", "file")?;
    let asked = format!("/assets/{name}");
    let found = FILES.iter().find(|(known, ..)| path(known) == asked);
    let (_, kind, text) = found.ok_or_else(|| Error::not_found("file"))?;
    Ok(Answer::text(kind, *text)
        .with("cache-control", "public, max-age=31536000, immutable")
        .with("x-content-type-options", "nosniff"))
}
