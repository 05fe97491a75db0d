//! A PostgreSQL server without room, on a small file system of its own: for tables, and for its log
//! of changes too, which ends the server. Without the right to mount one the test says so and tries
//! nothing.

use std::time::{Duration, Instant};

use testkit::postgres::Postgres;

use crate::disk::{Disk, fill};
use crate::load::{House, Load, Told, refused_well};
use crate::process::{KEY, Server};

/// Its own files take 60 MiB when they are made.
const SIZE: &str = "192m";
const REFUSED_WITHIN: Duration = Duration::from_secs(40);
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// More than it keeps in advance.
const SWITCHES: u32 = 8;

/// Its supervisor starts a server again that ended; then charges go through.
async fn goes_on(postgres: &Postgres, load: &Load) {
    let (began, enough) = (Instant::now(), load.count() + 100);
    while load.count() < enough {
        assert!(began.elapsed() < BACK_WITHIN, "no charges go through");
        tokio::task::block_in_place(|| postgres.begin_again());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks for one new file of its log of changes after the other, until none can be made.
fn exhaust_log(postgres: &Postgres) {
    let ended = (0..SWITCHES).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        !postgres.can("SELECT pg_switch_wal()")
    });
    println!("the server {} while its log had no room", if ended { "ended" } else { "went on" });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_refuses_charges_loses_none_and_goes_on_when_there_is_some() {
    let Some(disk) = Disk::mount(SIZE) else { return };
    let postgres = Postgres::start_in(disk.root());
    let folder = tempfile::tempdir().unwrap();
    let url = postgres.url();
    let server = Server::start_with(folder.path(), &[("FAREBOX_DATABASE_URL", &url)]);
    let house = House::open(&server).await;
    let load = house.load(&server.base, "full");
    let mut late = Told::default();
    for name in ["tables", "log"] {
        load.goes_on(100).await;
        let ballast = fill(disk.root());
        if name == "log" {
            tokio::task::block_in_place(|| exhaust_log(&postgres));
        }
        late.add(house.until_refused(&server.base, name, REFUSED_WITHIN).await);
        std::fs::remove_file(ballast).unwrap();
        goes_on(&postgres, &load).await;
    }
    let mut told = load.end().await;
    told.add(late);
    refused_well(&told);
    house.settle_up(&server.base, &told).await;
    let url = format!("{}/v1/verify", server.base);
    let proof = house.client.get(url).header("x-api-key", KEY).send().await.unwrap();
    let proof: serde_json::Value = proof.json().await.unwrap();
    assert_eq!(proof["balanced"], true, "{proof:#}");
}
