//! What SQLite plans to do for our statements on `deliveries`. A receiver gets millions of them, so
//! a statement that asks for its open ones and walks all is as good as broken.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::{Database, Location};

/// A page of the newest ends after its limit; the proof reads everything.
const MAY_WALK: &[&str] = &["ORDER BY place DESC LIMIT ?3", "OVER (PARTITION BY receiver"];
/// The step that walks a receiver's whole history.
const WALK: &str = "USING PRIMARY KEY (receiver=?)";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            false => {}
        }
    }
}

/// Literals of a source that are whole statements on `deliveries`.
fn statements(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let verbs = ["\"SELECT ", "\"UPDATE ", "\"DELETE ", "\"WITH "];
    let starts = verbs.iter().flat_map(|verb| source.match_indices(verb));
    let texts = starts.filter_map(|(at, _)| source[at + 1..].split('"').next());
    let texts = texts.filter(|text| text.contains("deliveries"));
    texts.map(|text| text.replace("{COLUMNS}", "place").replace('\\', " ")).collect()
}

fn steps(connection: &Connection, statement: &str) -> Option<Vec<String>> {
    let mut select = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).ok()?;
    let parameters = vec![1; select.parameter_count()];
    let rows = select.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).ok()?;
    Some(rows.map(Result::unwrap).collect())
}

#[test]
fn no_statement_walks_all_deliveries_that_a_receiver_ever_got() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farebox.db");
    Database::open(&Location::file(&path), true).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut read, mut walks) = (0, Vec::new());
    for statement in files.iter().flat_map(|file| statements(&fs::read_to_string(file).unwrap())) {
        let Some(steps) = steps(&connection, &statement) else { continue };
        read += 1;
        let may_walk = MAY_WALK.iter().any(|part| statement.contains(part));
        if !may_walk && steps.iter().any(|step| step.ends_with(WALK)) {
            walks.push((statement, steps));
        }
    }
    assert!(read > 30, "only {read} statements were understood");
    assert!(walks.is_empty(), "{walks:#?}");
}
