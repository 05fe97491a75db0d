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

fn schema(url: &str, path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let name = format!("test_{:016x}", hasher.finish());
    let make = format!("CREATE SCHEMA IF NOT EXISTS {name}");
    let server = url.to_owned();
    let thread = std::thread::spawn(move || run(&server, &make));
    thread.join().unwrap();
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}options=-c%20search_path%3D{name}")
}

fn run(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}
