//! Where a test's database is: a file in its folder, or a schema of its own on the server that
//! `FAREBOX_TEST_SERVER` names. The same tests run on both.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use store::Location;
use tokio_postgres::NoTls;

/// The server that tests run on, if they run on one.
pub fn server() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test command says where tests run")]
    std::env::var("FAREBOX_TEST_SERVER").ok().filter(|url| !url.is_empty())
}

/// The database that stands for the file at `path`: the same for the same path.
pub fn location(path: &Path) -> Location {
    match server() {
        Some(url) => Location::Server(schema(&url, path)),
        None => Location::file(path),
    }
}

/// Runs a statement in the database at `path` beside the server, as nobody should. Returns how many
/// rows it changed.
pub fn tamper(path: &Path, sql: &str) -> u64 {
    if let Location::Server(url) = location(path) {
        return beside(&url, sql.to_owned());
    }
    let beside = rusqlite::Connection::open(path).unwrap();
    u64::try_from(beside.execute(sql, []).unwrap()).unwrap()
}

fn name(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    format!("test_{:016x}", hasher.finish())
}

fn schema(url: &str, path: &Path) -> String {
    let name = name(path);
    beside(url, format!("CREATE SCHEMA IF NOT EXISTS {name}"));
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}options=-c%20search_path%3D{name}")
}

/// Every node that works in the schema `before` loses it, in the middle of whatever it does; in
/// `after` the next one takes over from them at once.
pub(crate) fn crash(url: &str, before: &str, after: &str) {
    beside(url, format!("ALTER SCHEMA {before} RENAME TO {after}"));
    beside(
        url,
        format!(
            "DO $$ BEGIN PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = '{before}'; END $$"
        ),
    );
    beside(url, format!("UPDATE {after}.nodes SET expires_at = 0"));
}

/// Runs a statement on the server, and returns how many rows it changed. On a thread of its own,
/// since a test has a runtime already.
pub(crate) fn beside(url: &str, sql: String) -> u64 {
    let url = url.to_owned();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let changed = client.execute(&sql, &[]).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
            changed
        })
    });
    thread.join().unwrap()
}
