//! A hot standby for lists: whoever has written reads what he wrote, whether the standby follows,
//! stands still or is gone.

use serde_json::{Value, json};
use testkit::postgres::Postgres;

use crate::process::{KEY, Server, post};

struct Reader {
    client: reqwest::Client,
    server: Server,
}

impl Reader {
    /// Makes a customer, and finds it in the list at once.
    async fn writes_and_finds(&self, name: &str) {
        let base = &self.server.base;
        let body = json!({ "external_id": name, "name": name });
        let made = post(&self.client, format!("{base}/v1/customers"), ("x-api-key", KEY), &body);
        assert!(made.await.is_some(), "{name} was not made");
        let url = format!("{base}/v1/customers?external_id={name}");
        let found = self.client.get(url).header("x-api-key", KEY).send().await.unwrap();
        assert_eq!(found.status(), 200, "{name}");
        let found: Value = found.json().await.unwrap();
        assert_eq!(found["items"][0]["external_id"], name, "{found}");
    }
}

/// Rows that the standby has read of a table, as it counts them.
fn reads(standby: &Postgres) -> u64 {
    let reads = "SELECT COALESCE(seq_scan, 0) + COALESCE(idx_scan, 0) FROM pg_stat_user_tables
        WHERE relname = 'customers'";
    standby.ask(reads).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_written_reads_it_while_the_replica_follows_stands_still_or_is_gone() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let folder = tempfile::tempdir().unwrap();
    let (url, read_url) = (primary.url(), standby.url());
    let variables = [("FAREBOX_DATABASE_URL", &*url), ("FAREBOX_DATABASE_READ_URL", &*read_url)];
    let server = Server::start_with(folder.path(), &variables);
    let reader = Reader { client: testkit::http_client(), server };
    reader.server.ready(&reader.client).await;
    for number in 0..40 {
        reader.writes_and_finds(&format!("follows-{number}")).await;
    }
    // A standby's counts come a little later.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    reader.writes_and_finds("counted").await;
    let read = reads(&standby);
    assert!(read >= 20, "lists come from the standby: {read}");
    standby.ask("SELECT pg_wal_replay_pause()");
    for number in 0..5 {
        reader.writes_and_finds(&format!("still-{number}")).await;
    }
    standby.ask("SELECT pg_wal_replay_resume()");
    standby.kill();
    for number in 0..5 {
        reader.writes_and_finds(&format!("gone-{number}")).await;
    }
    standby.begin();
    for number in 0..5 {
        reader.writes_and_finds(&format!("back-{number}")).await;
    }
}
