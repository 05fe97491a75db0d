//! A private PostgreSQL in a temporary folder, and pgbench with a naive charge on it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::Plan;
use crate::report;

const CLIENTS: &str = "32";
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/local/pgsql/bin",
];
const TABLES: &str = "
CREATE SCHEMA naive;
SET search_path = naive;
CREATE TABLE wallets (id bigint PRIMARY KEY, balance numeric NOT NULL, updated_at timestamptz);
CREATE TABLE entries (id bigserial PRIMARY KEY, wallet bigint NOT NULL, amount numeric NOT NULL,
  balance numeric NOT NULL, key text NOT NULL UNIQUE, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON entries (wallet, id);
CREATE TABLE outbox (id bigserial PRIMARY KEY, kind text NOT NULL, body jsonb NOT NULL);
";
/// What most teams write: lock the row, insert the entry, update the balance, queue the event.
const CHARGE: &str = r#"
\set wallet random(1, :wallets)
BEGIN;
SELECT balance FROM naive.wallets WHERE id = :wallet FOR UPDATE;
INSERT INTO naive.entries (wallet, amount, balance, key)
  SELECT id, -0.01, balance - 0.01, gen_random_uuid()::text FROM naive.wallets WHERE id = :wallet;
UPDATE naive.wallets SET balance = balance - 0.01, updated_at = now() WHERE id = :wallet;
INSERT INTO naive.outbox (kind, body)
  VALUES ('wallet.transaction.created', '{"type":"debit","amount":"0.01","currency":"usd"}');
COMMIT;
"#;

pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// PostgreSQL does not run as root.
    other_user: bool,
}

impl Postgres {
    /// Makes and starts a database cluster with `wallets` wallets. fsync is on, as delivered.
    pub fn start(wallets: u64) -> anyhow::Result<Postgres> {
        let programs = FOLDERS.iter().map(PathBuf::from).find(|it| it.join("initdb").exists());
        let programs = programs.context("PostgreSQL is missing: apt-get install postgresql")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let owner = Command::new("id").arg("-u").output()?;
        let other_user = owner.stdout.starts_with(b"0");
        let postgres = Postgres { folder: tempfile::tempdir()?, programs, port, other_user };
        if other_user {
            run(Command::new("chown").arg("postgres").arg(postgres.folder.path()))?;
        }
        let data = postgres.data();
        run(postgres.program("initdb").args(["-A", "trust", "-U", "bench", "-D"]).arg(&data))?;
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} \
             -c shared_buffers=256MB",
            postgres.folder.path().display()
        );
        let log = postgres.folder.path().join("log");
        run(postgres
            .program("pg_ctl")
            .args(["-w", "-s", "-o", &options, "-l"])
            .arg(log)
            .arg("-D")
            .arg(&data)
            .arg("start"))?;
        let fill = format!(
            "{TABLES} INSERT INTO wallets SELECT id, 1000000000, now() \
             FROM generate_series(1, {wallets}) id; ANALYZE;"
        );
        run(postgres.client("psql").args([
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            &fill,
            "postgres",
        ]))?;
        Ok(postgres)
    }

    pub fn url(&self) -> String {
        format!("postgres://bench@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = if self.other_user {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn client(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.args(["-h", "127.0.0.1", "-U", "bench", "-p", &self.port.to_string()]);
        command
    }

    /// Charges a second over `wallets` wallets: the median of the runs.
    pub fn charges(&self, plan: &Plan, wallets: u64) -> anyhow::Result<u64> {
        let mut script = tempfile::NamedTempFile::new()?;
        script.write_all(CHARGE.as_bytes())?;
        run(Command::new("chmod").arg("644").arg(script.path()))?;
        self.pgbench(script.path(), wallets, plan.warm.as_secs())?;
        let mut rates = Vec::new();
        for _ in 0..plan.runs {
            rates.push(self.pgbench(script.path(), wallets, plan.run.as_secs())?);
        }
        Ok(report::median(&mut rates).unwrap_or(0))
    }

    fn pgbench(&self, script: &Path, wallets: u64, seconds: u64) -> anyhow::Result<u64> {
        let output = self
            .client("pgbench")
            .args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "2"])
            .args(["-T", &seconds.to_string(), "-D", &format!("wallets={wallets}"), "-f"])
            .arg(script)
            .arg("postgres")
            .stdout(Stdio::piped())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let whole = tps.and_then(|tps| tps.split(['.', ' ']).next());
        let error = String::from_utf8_lossy(&output.stderr);
        whole.and_then(|whole| whole.parse().ok()).with_context(|| format!("pgbench: {error}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        drop(
            stop.args(["-w", "-s", "-m", "immediate", "-D"]).arg(self.data()).arg("stop").status(),
        );
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stderr(Stdio::piped()).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {error}");
    Ok(())
}
