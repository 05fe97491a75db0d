//! A database with nodes on it, of either kind: a file with one node, or a PostgreSQL server with
//! several. It can be asked by SQL, and proven.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;

use domain::id::EventId;
use serde_json::{Value, json};
use testkit::postgres::Postgres;
use testkit::rusqlite::Connection;
use testkit::rusqlite::types::ValueRef;

use crate::process::{KEY, Server, binary, post, prove};

pub const TYPES: &str = "customer.*,wallet.*,paywall.*";
const FEED_PAGE: usize = 1_000;

pub struct Site {
    pub client: reqwest::Client,
    pub postgres: Option<Postgres>,
    folder: tempfile::TempDir,
}

/// What the feed says of an event.
#[derive(Clone, Debug)]
pub struct Told {
    pub sequence: u64,
    /// The charge or the customer that it tells of.
    pub name: Option<String>,
}

/// A delivery as it stands in the database.
pub struct Row {
    pub order_key: u32,
    pub state: String,
    pub attempts: u32,
}

/// Deliveries by endpoint, counted from 0, and place of the event.
pub type Rows = HashMap<(usize, i64), Row>;

impl Site {
    pub fn on_a_file() -> Site {
        Site::new(None)
    }

    pub fn on_a_server() -> Site {
        Site::new(Some(Postgres::start()))
    }

    fn new(postgres: Option<Postgres>) -> Site {
        Site { client: testkit::http_client(), postgres, folder: tempfile::tempdir().unwrap() }
    }

    /// Of the embedded database.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("farebox.db")
    }

    /// One more process; it may take a moment until it answers.
    pub fn node(&self) -> Server {
        let Some(postgres) = &self.postgres else { return Server::start(self.folder.path()) };
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let url = postgres.url();
        Server::start_with(&folder, &[("FAREBOX_DATABASE_URL", &url)])
    }

    /// An endpoint in order by subject, at this number of a listener.
    pub async fn endpoint(&self, base: &str, to: (&str, usize), more: Value) {
        let types: Vec<&str> = TYPES.split(',').collect();
        let url = format!("{}/{}", to.0, to.1);
        let mut body = json!({ "url": url, "types": types, "extensions": true });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let path = format!("{base}/v1/webhooks/endpoints");
        let made = post(&self.client, path, ("x-api-key", KEY), &body).await;
        assert!(made.is_some(), "{body} is refused");
    }

    /// A paywall with users who have money. Returns its key.
    pub async fn paywall(&self, base: &str, users: usize) -> String {
        let body = json!({ "name": "Faults", "currency": "USD" });
        let url = format!("{base}/v1/paywalls");
        let made = post(&self.client, url, ("x-api-key", KEY), &body).await.unwrap();
        let key = made["apiKey"].as_str().unwrap().to_owned();
        for user in 0..users {
            let body = json!({ "user": format!("user-{user}"), "amount": "1000000" });
            let url = format!("{base}/v1/user/balance/deposit");
            let bearer = format!("Bearer {key}");
            post(&self.client, url, ("authorization", &bearer), &body).await.unwrap();
        }
        key
    }

    /// Everything that the feed holds for the endpoints, by event.
    pub async fn feed(&self, base: &str) -> BTreeMap<EventId, Told> {
        let (mut told, mut after) = (BTreeMap::new(), "start".to_owned());
        loop {
            let query = format!("types={TYPES}&limit={FEED_PAGE}&after={after}");
            let url = format!("{base}/v1/webhooks/events?{query}");
            let answer = self.client.get(url).header("x-api-key", KEY).send().await.unwrap();
            let page: Value = answer.json().await.unwrap();
            for frame in page["data"].as_array().unwrap() {
                let id: EventId = frame["id"].as_str().unwrap().parse().unwrap();
                assert!(told.insert(id, of_frame(frame)).is_none(), "{id} is there twice");
            }
            page["next_cursor"].as_str().unwrap().clone_into(&mut after);
            if page["has_more"] == false {
                return told;
            }
        }
    }

    /// Rows of a statement, each column as text.
    pub fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        if let Some(postgres) = &self.postgres {
            let text = postgres.ask(sql);
            return text.lines().map(|row| row.split('|').map(str::to_owned).collect()).collect();
        }
        let beside = Connection::open(self.file()).unwrap();
        let mut select = beside.prepare(sql).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let text = |column| match row.get_ref(column).unwrap() {
                ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            };
            found.push((0..columns).map(text).collect());
        }
        found
    }

    /// How many deliveries are not at their end.
    pub fn open(&self) -> u64 {
        let rows = self.ask(
            "SELECT COUNT(*) FROM deliveries WHERE
                (state = 'due' OR state = 'leased' OR state = 'waiting')",
        );
        rows[0][0].parse().unwrap()
    }

    pub fn rows(&self) -> Rows {
        let receivers = self.ask("SELECT no FROM receivers ORDER BY no");
        let numbers: HashMap<&str, usize> =
            receivers.iter().zip(0..).map(|(row, place)| (row[0].as_str(), place)).collect();
        let mut keys: HashMap<String, u32> = HashMap::new();
        let sql = "SELECT receiver, place, order_key, state, attempts FROM deliveries";
        let all = self.ask(sql).into_iter().map(|row| {
            let next = u32::try_from(keys.len()).unwrap();
            let order_key = *keys.entry(row[2].clone()).or_insert(next);
            let place: i64 = row[1].parse().unwrap();
            let found = Row { order_key, state: row[3].clone(), attempts: row[4].parse().unwrap() };
            ((numbers[row[0].as_str()], place), found)
        });
        all.collect()
    }

    /// The books balance, says the verb that users run.
    pub fn prove(&self) {
        let Some(postgres) = &self.postgres else { return prove(self.folder.path()) };
        let verified = Command::new(binary())
            .arg("verify")
            .env("FAREBOX_DATABASE_URL", postgres.url())
            .env("FAREBOX_DATA_DIR", self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "{said}{}", String::from_utf8_lossy(&verified.stderr));
    }
}

fn of_frame(frame: &Value) -> Told {
    let body = &frame["body"];
    let name = match frame["type"].as_str().unwrap() {
        "paywall.balance.charge.completed" => body["data"]["activityId"].as_str(),
        "customer.created" => body["customer"]["external_id"].as_str(),
        _ => None,
    };
    Told { sequence: frame["sequence"].as_u64().unwrap(), name: name.map(str::to_owned) }
}
