//! SIGTERM under load, and a second process on the same file.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::House;
use crate::process::{Server, prove};

/// What is under way may take 10 seconds, and streams as long; charges take none of it.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

pub fn signal(server: &Server, name: &str) {
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_under_load_ends_in_time_with_0_and_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let house = House::open(&server).await;
    for round in 0..2 {
        let load = house.load(&server.base, &format!("stop{round}"));
        load.goes_on(200).await;
        let began = Instant::now();
        signal(&server, "TERM");
        let status = loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < STOPS_WITHIN, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        println!("ended after {:?}", began.elapsed());
        assert_eq!(status.code(), Some(0));
        let late = house.client.get(format!("{}/livez", server.base)).send().await;
        assert!(late.is_err(), "nobody is at the door any more");
        let told = load.end().await;
        assert!(told.refused.is_empty(), "{:?}", told.refused);
        prove(folder.path());
        server = Server::start(folder.path());
        server.ready(&house.client).await;
        house.settle_up(&server.base, &told).await;
    }
    server.kill();
    prove(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_file_says_so_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let house = House::open(&server).await;
    let load = house.load(&server.base, "first");
    std::fs::write(folder.path().join("x.db"), b"").unwrap();
    for verb in [&["serve", "--listen", "127.0.0.1:0"][..], &["restore", "x.db", "--yes"]] {
        let second = Command::new(env!("CARGO_BIN_EXE_farebox"))
            .args(verb)
            .env("FAREBOX_DATA_DIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{verb:?}: {said}");
        assert!(said.contains("another process has") && said.contains("stop it"), "{said}");
    }
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unknown.is_empty());
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(folder.path());
}
