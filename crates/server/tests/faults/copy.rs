//! `copy` from the embedded database to a server and back, killed at any time: the books are whole
//! on the other side, keys replay there, and what was not delivered is delivered from there.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fakes::sink::{Settings, Sink};
use serde_json::{Value, json};
use store::Location;
use store::copying::Copying;
use testkit::postgres::Postgres;
use testkit::rusqlite::{self, Connection};

use crate::load::House;
use crate::process::{KEY, Server, post};
use crate::stop::signal;

const CHARGES: usize = 1_500;
/// A silent node's lease, a sweep, and what it takes to send them.
const DELIVERED_WITHIN: Duration = Duration::from_secs(40);

/// Tables that say how processes run; a copy makes them anew.
const OF_PROCESSES: [&str; 6] = ["meta", "writer_turn", "turns", "nodes", "account_log", "claims"];

fn command(from: &str, to: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farebox"));
    command.args(["copy", "--from", from, "--to", to]).env("FAREBOX_LOG", "error");
    command
}

fn copy(from: &str, to: &str) -> Output {
    command(from, to).output().unwrap()
}

fn talk(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn copied(from: &str, to: &str) {
    let done = copy(from, to);
    assert!(done.status.success(), "{}", talk(&done));
    println!("{}", talk(&done));
}

fn refused(from: &str, to: &str, (status, why): (i32, &str)) {
    let done = copy(from, to);
    assert_eq!(done.status.code(), Some(status), "{}", talk(&done));
    assert!(talk(&done).contains(why), "{}", talk(&done));
}

fn file(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// A table's columns with their types.
fn columns(connection: &Connection, table: &str) -> Vec<(String, String)> {
    let mut select =
        connection.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid").unwrap();
    let rows = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn tables(connection: &Connection) -> Vec<String> {
    let select = "SELECT name FROM sqlite_schema WHERE type = 'table'
        AND name NOT LIKE 'sqlite%' ORDER BY name";
    let mut select = connection.prepare(select).unwrap();
    let names = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    names.map(Result::unwrap).filter(|name| !OF_PROCESSES.contains(&name.as_str())).collect()
}

/// Rows that nobody reads, of every table: numbers on both sides of 64 bits, bytes of all kinds.
fn fill(connection: &Connection, rows: i64) {
    for table in tables(connection) {
        let columns = columns(connection, &table);
        let places = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO {table} VALUES ({places})");
        for row in 0..rows {
            let value = |(_, kind): &(String, String)| -> rusqlite::types::Value {
                match kind.as_str() {
                    "TEXT" => format!("ä\u{1f600}'?1 {row}").into(),
                    "BLOB" => row.to_be_bytes().repeat(4).into(),
                    "NUMERIC" if row % 2 == 0 => {
                        let number = 10_i128.pow(30) * i128::from(row + 1);
                        (number.cast_unsigned() ^ (1 << 127)).to_be_bytes().to_vec().into()
                    }
                    _ => (row - rows / 2).into(),
                }
            };
            let values: Vec<_> = columns.iter().map(value).collect();
            connection.execute(&insert, rusqlite::params_from_iter(values)).unwrap();
        }
    }
}

fn everything(connection: &Connection) -> Vec<(String, Vec<Vec<rusqlite::types::Value>>)> {
    let of_table = |table: String| {
        let width = columns(connection, &table).len();
        let mut select =
            connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let rows = select.query_map([], |row| (0..width).map(|at| row.get(at)).collect()).unwrap();
        let rows = rows.map(Result::unwrap).collect();
        (table, rows)
    };
    tables(connection).into_iter().map(of_table).collect()
}

/// A copy by the library, which judges rows and not books. Returns whether it went on.
fn copy_rows(from: &Location, to: &Location) -> bool {
    let now = engine::clock::real_now();
    let copying = Copying::open(from, to, now).unwrap();
    let resumed = copying.is_resumed();
    copying.copy(&mut |_| {}).unwrap();
    copying.compare(&mut |_| {}).unwrap();
    copying.finish().unwrap();
    resumed
}

#[test]
fn every_row_of_every_table_comes_back_from_a_server_as_it_went_there() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start();
    let (first, back) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let (from, back) = (Location::file(&first), Location::file(&back));
    let server = Location::Server(postgres.url());
    drop(store::Database::open(&from, true).unwrap());
    let source = Connection::open(&first).unwrap();
    fill(&source, 300);
    assert!(!copy_rows(&from, &server));
    assert!(!copy_rows(&server, &back));
    let there = Connection::open(back.path().unwrap()).unwrap();
    assert_eq!(tables(&source), tables(&there));
    for ((name, rows), (_, theirs)) in everything(&source).into_iter().zip(everything(&there)) {
        assert_eq!(rows.len(), 300, "{name}");
        assert!(rows == theirs, "{name} came back otherwise");
    }
}

#[test]
fn a_copy_that_stops_anywhere_goes_on_and_a_wrong_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (from, to) = (Location::file(path("a.db")), Location::file(path("b.db")));
    drop(store::Database::open(&from, true).unwrap());
    fill(&Connection::open(path("a.db")).unwrap(), 200);
    let now = engine::clock::real_now();
    for stop_at in [1, 3, 30, 10] {
        let copying = Copying::open(&from, &to, now).unwrap();
        let mut pieces = 0;
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            copying.copy(&mut |_| {
                pieces += 1;
                assert!(pieces < stop_at, "stopped here");
            })
        }));
        assert!(stopped.is_err());
        let opened = store::Database::open(&to, true).map(drop).unwrap_err();
        assert!(opened.to_string().contains("unfinished copy"), "{opened}");
    }
    let copying = Copying::open(&from, &to, now).unwrap();
    assert!(copying.is_resumed());
    copying.copy(&mut |_| {}).unwrap();
    let target = Connection::open(path("b.db")).unwrap();
    target.execute("UPDATE keys SET name = 'other' WHERE no = 7", []).unwrap();
    let differs = copying.compare(&mut |_| {}).unwrap_err().to_string();
    assert!(differs.contains("row (7) of keys is not the same"), "{differs}");
    target.execute("DELETE FROM keys WHERE no = 7", []).unwrap();
    let differs = copying.compare(&mut |_| {}).unwrap_err().to_string();
    assert!(differs.contains("row (7) of keys is missing"), "{differs}");
}

/// A receiver of every charge at an address where somebody listens and nobody answers.
async fn silent_hook(house: &House, base: &str) -> TcpListener {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ok", silent.local_addr().unwrap());
    let body = json!({ "url": url, "types": ["wallet.transaction.created"] });
    let hooks = format!("{base}/v1/webhooks/endpoints");
    let made = post(&house.client, hooks, ("x-api-key", KEY), &body).await;
    assert!(made.is_some(), "the endpoint was refused");
    silent
}

/// Waits until as many different events came.
async fn delivered(sink: &Sink, count: usize) {
    let began = Instant::now();
    loop {
        let received = sink.received();
        let ids = received.iter().filter_map(|one| one.header("webhook-id"));
        let ids = ids.collect::<BTreeSet<_>>().len();
        if ids == count {
            return;
        }
        assert!(began.elapsed() < DELIVERED_WITHIN, "{ids} of {count} events came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_moves_to_a_server_and_back_goes_on_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (embedded, back) = (file(&data.join("farebox.db")), folder.path().join("back"));
    let postgres = Postgres::start();
    let server = Server::start(&data);
    let house = House::open(&server).await;
    let silent = silent_hook(&house, &server.base).await;
    let load = house.load(&server.base, "before");
    load.goes_on(CHARGES).await;
    refused(&embedded, &postgres.url(), (1, "another process has"));
    let told = load.end().await;
    house.settle_up(&server.base, &told).await;
    // What was on its way to the receiver is still leased to this process.
    server.kill();

    killed_until_done(&embedded, &postgres.url());
    // Nobody has opened it: asked again, the copy is proven again.
    copied(&embedded, &postgres.url());
    refused(&embedded, &embedded, (2, "the same database"));
    refused("sqlite:///no/such/file.db", &postgres.url(), (2, "there is no database"));

    let at = silent.local_addr().unwrap();
    drop(silent);
    let sink = Sink::start(at, Settings::default()).await.unwrap();
    let url = postgres.url();
    let variables = [("FAREBOX_DATABASE_URL", url.as_str())];
    let node = Server::start_with(&folder.path().join("node"), &variables);
    node.ready(&house.client).await;
    house.has(&node.base, &told.acknowledged).await;
    let load = house.load(&node.base, "after");
    load.goes_on(100).await;
    let more = load.end().await;
    house.settle_up(&node.base, &more).await;
    balanced(&house, &node.base).await;
    delivered(&sink, told.acknowledged.len() + more.acknowledged.len()).await;
    let home = file(&back.join("farebox.db"));
    refused(&embedded, &url, (1, "not empty"));
    refused(&url, &home, (1, "nodes serve the source"));
    stopped(node);

    copied(&url, &home);
    let server = Server::start(&back);
    server.ready(&house.client).await;
    house.has(&server.base, &told.acknowledged).await;
    house.has(&server.base, &more.acknowledged).await;
    let load = house.load(&server.base, "home");
    load.goes_on(20).await;
    house.settle_up(&server.base, &load.end().await).await;
    balanced(&house, &server.base).await;
    server.kill();
}

fn stopped(mut node: Server) {
    signal(&node, "TERM");
    assert!(node.child.wait().unwrap().success());
}

async fn balanced(house: &House, base: &str) {
    let url = format!("{base}/v1/verify");
    let proof = house.client.get(url).header("x-api-key", KEY).send().await.unwrap();
    let proof: Value = proof.json().await.unwrap();
    assert_eq!(proof["balanced"], true, "{proof:#}");
}

/// Killed a little later each time, until it comes to its end.
fn killed_until_done(from: &str, to: &str) {
    for kills in 0.. {
        let mut copying = command(from, to).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 150 * kills));
        if let Some(status) = copying.try_wait().unwrap() {
            println!("killed {kills} times");
            return assert!(status.success());
        }
        copying.kill().unwrap();
        copying.wait().unwrap();
    }
}
