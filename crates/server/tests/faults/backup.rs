//! `backup` while charges go through at full speed, and `restore` of what it made.

use std::path::Path;
use std::process::{Command, Output};

use crate::load::House;
use crate::process::{Server, prove};

fn farebox(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farebox"));
    command.args(arguments).env("FAREBOX_DATA_DIR", folder).env("FAREBOX_LOG", "error");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_restores_to_true_books_with_every_charge_acknowledged_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, fresh) = (folder.path().join("data"), folder.path().join("fresh"));
    let server = Server::start(&data);
    let house = House::open(&server).await;
    let load = house.load(&server.base, "backup");
    let mut backups = Vec::new();
    for number in 0..2 {
        load.goes_on(300).await;
        let before = load.acknowledged();
        let file = folder.path().join(format!("{number}.db"));
        let name = file.to_str().unwrap().to_owned();
        let (data, count) = (data.clone(), load.count());
        let backup = move || farebox(&data, &["backup", &name]);
        tokio::task::spawn_blocking(backup).await.unwrap();
        println!("{} charges during the backup", load.count() - count);
        backups.push((file, before));
    }
    load.goes_on(100).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unknown.is_empty(), "a backup stopped the charges");
    house.settle_up(&server.base, &told).await;
    server.kill();
    prove(&data);
    for (file, before) in backups {
        farebox(&fresh, &["restore", file.to_str().unwrap(), "--yes"]);
        prove(&fresh);
        let server = Server::start(&fresh);
        server.ready(&house.client).await;
        house.has(&server.base, &before).await;
        server.kill();
        prove(&fresh);
    }
}
