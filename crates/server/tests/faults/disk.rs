//! A disk without room, on a small file system of its own. Without the right to mount one the test
//! says so and tries nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::load::{House, refused_well};
use crate::process::{Server, prove};

const SIZE: &str = "48m";

/// A mounted file system; gone when dropped.
pub struct Disk(TempDir);

impl Disk {
    pub fn mount(size: &str) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "farebox-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Disk(folder)),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr);
                println!("NOT TRIED: no file system can be mounted: {}", why.trim());
                None
            }
            Err(error) => {
                println!("NOT TRIED: no file system can be mounted: {error}");
                None
            }
        }
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l"]).arg(self.0.path()).status());
    }
}

/// Takes all the room there is.
pub fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = File::create(&path).unwrap();
    let mut size = 1 << 20;
    while size > 0 {
        if file.write_all(&vec![1; size]).is_err() {
            size /= 2;
        }
    }
    path
}

async fn readiness(house: &House, server: &Server) -> (u16, Value) {
    let answer = house.client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_charges_loses_none_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount(SIZE) else { return };
    let server = Server::start(&disk.data());
    let house = House::open(&server).await;
    let load = house.load(&server.base, "full");
    for round in 0..2 {
        load.goes_on(200).await;
        let refused = load.refusals();
        let ballast = fill(disk.root());
        while load.refusals() < refused + 50 {
            assert!(!load.is_over(), "round {round}: the disk is full and nothing is refused");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(house.balance(&server.base, 0).await.is_some(), "reads go on");
        // What it tries to write is small, and may find the last room.
        loop {
            let (status, body) = readiness(&house, &server).await;
            assert!(!load.is_over(), "a full disk is ready");
            if status != 200 {
                assert_eq!((status, &body["failed"][0]), (503, &"disk".into()), "{body}");
                break;
            }
        }
        std::fs::remove_file(ballast).unwrap();
        load.goes_on(100).await;
        assert_eq!(readiness(&house, &server).await.0, 200);
    }
    let told = load.end().await;
    refused_well(&told);
    assert!(told.unknown.is_empty());
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(&disk.data());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_on_a_full_disk_comes_back_with_all_it_acknowledged() {
    let Some(disk) = Disk::mount(SIZE) else { return };
    let server = Server::start(&disk.data());
    let house = House::open(&server).await;
    let load = house.load(&server.base, "dies");
    load.goes_on(200).await;
    let ballast = fill(disk.root());
    while load.refusals() < 20 {
        assert!(!load.is_over(), "the disk is full and nothing is refused");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.kill();
    let told = load.end().await;
    refused_well(&told);
    std::fs::remove_file(ballast).unwrap();
    let server = Server::start(&disk.data());
    server.ready(&house.client).await;
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(&disk.data());
}
