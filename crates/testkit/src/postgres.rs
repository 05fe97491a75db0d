//! A PostgreSQL server of a test's own, in a temporary folder, that the test may kill.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Where Debian and the project itself put the server's programs.
const FOLDERS: [&str; 5] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/local/pgsql/bin",
    "/usr/bin",
];

/// A running server with fsync on; ends with the value.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: String,
}

impl Postgres {
    pub fn start() -> Postgres {
        Postgres::prepared(|_| String::new())
    }

    /// A server whose files are all in this folder, such as a small file system of a test.
    pub fn start_in(folder: &Path) -> Postgres {
        Postgres::born(Postgres::unborn(tempfile::tempdir_in(folder).unwrap()), |_| String::new())
    }

    /// A server with TLS. Its certificate is for `localhost`, signed by `authority`.
    pub fn start_with_tls() -> Postgres {
        Postgres::prepared(Postgres::make_certificates)
    }

    /// `settings` makes what the server needs, and the words of its command line that say so.
    fn prepared(settings: impl FnOnce(&Postgres) -> String) -> Postgres {
        Postgres::born(Postgres::unborn(tempfile::tempdir().unwrap()), settings)
    }

    fn born(mut server: Postgres, settings: impl FnOnce(&Postgres) -> String) -> Postgres {
        run(server
            .program("initdb")
            .args(["-A", "trust", "-U", "farebox", "-D"])
            .arg(server.data()));
        server.settings = settings(&server);
        server.begin();
        server
    }

    /// A hot standby that follows this server.
    #[must_use]
    pub fn standby(&self) -> Postgres {
        let standby = Postgres::unborn(tempfile::tempdir().unwrap());
        let mut copy = standby.program("pg_basebackup");
        copy.args(["-R", "-X", "stream", "-c", "fast", "-d", &self.url(), "-D"]);
        run(copy.arg(standby.data()));
        standby.begin();
        standby
    }

    /// A folder and a port, without data.
    fn unborn(folder: TempDir) -> Postgres {
        let programs = FOLDERS.iter().map(PathBuf::from).find(|it| it.join("initdb").exists());
        let programs =
            programs.unwrap_or_else(|| panic!("PostgreSQL is missing: apt-get install postgresql"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Postgres { folder, programs, port, settings: String::new() };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(server.folder.path()));
        }
        server
    }

    /// Starts the server on the data that are there.
    pub fn begin(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} {}",
            self.port,
            self.folder.path().display(),
            self.settings
        );
        let log = self.folder.path().join("log");
        run(self
            .program("pg_ctl")
            .args(["-w", "-s", "-o", &options, "-l"])
            .arg(log)
            .arg("-D")
            .arg(self.data())
            .arg("start"));
    }

    /// Ends every process of the server at once, as a crash does: nothing is flushed.
    pub fn kill(&self) {
        let mut stop = self.program("pg_ctl");
        run(stop.args(["-m", "immediate", "-w", "-s", "-D"]).arg(self.data()).arg("stop"));
    }

    /// Whether it could run the statement: a server without room may not even be there.
    pub fn can(&self, sql: &str) -> bool {
        let mut psql = self.program("psql");
        let asked = psql.args(["-XAtqc", sql]).arg(self.url()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    }

    /// Starts it where it ended by itself.
    pub fn begin_again(&self) {
        let mut status = self.program("pg_ctl");
        status.args(["status", "-s", "-D"]).arg(self.data());
        if !status.status().unwrap().success() {
            self.begin();
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("postgres://farebox@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements beside the nodes, in one transaction.
    pub fn run(&self, sql: &str) {
        let mut psql = self.program("psql");
        run(psql.args(["-q", "-1", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]));
    }

    /// As `url`, by the name that its certificate has.
    pub fn url_by_name(&self) -> String {
        self.url().replace("127.0.0.1", "localhost")
    }

    /// Who signed its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// What `psql` answers, as it prints it.
    pub fn ask(&self, sql: &str) -> String {
        let mut psql = self.program("psql");
        let asked = psql.args(["-XAtqc", sql]).arg(self.url()).stdout(Stdio::piped());
        let answer = asked.output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }

    fn make_certificates(&self) -> String {
        let folder = self.folder.path();
        let script = "
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                -subj /CN=authority -keyout ca.key -out ca.crt
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
                -subj /CN=localhost -keyout server.key -out server.csr
            echo subjectAltName=DNS:localhost > server.ext
            openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
                -extfile server.ext -out server.crt
            chmod 600 server.key";
        let mut shell = Command::new("sh");
        run(shell.args(["-ec", script]).current_dir(folder).stderr(Stdio::null()));
        if is_root() {
            run(Command::new("chown").args(["postgres", "server.key"]).current_dir(folder));
        }
        let folder = folder.display();
        format!(
            "-c ssl=on -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = if is_root() {
            // PostgreSQL does not run as root.
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["-m", "immediate", "-s", "-D"]).arg(self.data()).arg("stop");
        drop(stop.stderr(Stdio::null()).status());
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

fn run(command: &mut Command) {
    let done = command.status().unwrap();
    assert!(done.success(), "{command:?}: {done}");
}
