//! The database under a world: made, opened, and left behind as a machine that loses power leaves
//! it. Everything that depends on the kind of database is here.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use store::Database;
use tempfile::TempDir;

/// Where the index of the log says what of it is in the database file.
const MOVED: std::ops::Range<usize> = 96..132;
const LOG_HEADER: usize = 32;
/// A folder in memory, where there is one: the copies are the crashes, not the disk's speed.
const MEMORY: &str = "/dev/shm";

/// How much of the database was on disk for certain at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// Tells the mark to whoever hears something of the world.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Option<PathBuf>);

impl Gauge {
    /// What was acknowledged before this call is within the mark.
    pub fn mark(&self) -> Mark {
        let log = self.0.as_deref().and_then(|path| fs::metadata(beside(path, "-wal")).ok());
        Mark(log.map_or(0, |log| log.len()))
    }
}

pub enum Ground {
    File(Files),
    Server(Schema),
}

impl Ground {
    /// A place for an empty database: on the server that tests run on, if they run on one.
    pub fn fresh() -> Ground {
        match crate::ground::server() {
            Some(url) => Ground::Server(Schema::fresh(url)),
            None => Ground::File(Files::fresh()),
        }
    }

    /// Opens what is there.
    pub fn open(&self) -> Database {
        let location = match self {
            Ground::File(files) => store::Location::file(&files.path),
            Ground::Server(schema) => store::Location::Server(schema.location()),
        };
        Database::open(&location, true).unwrap()
    }

    pub fn gauge(&self) -> Gauge {
        match self {
            Ground::File(files) => Gauge(Some(files.path.clone())),
            // What a server has acknowledged, it has.
            Ground::Server(_) => Gauge(None),
        }
    }

    /// Leaves the database as a crash at this moment would: what is within `mark` is there, and of
    /// what was written after it, `share` of 256 parts. The next `open` finds that.
    pub fn crash(&mut self, mark: Mark, share: u64) {
        match self {
            Ground::File(files) => files.crash(mark, share),
            Ground::Server(schema) => schema.crash(),
        }
    }

    /// Takes away what the crashed process left.
    pub fn clear(&self) {
        if let Ground::File(files) = self {
            files.clear();
        }
    }
}

/// A schema whose name tells how often its process crashed: whoever knew it by another name is
/// gone, and finds nothing.
pub struct Schema {
    url: String,
    world: String,
    crashes: u32,
}

/// Worlds of this process.
static WORLDS: AtomicU32 = AtomicU32::new(0);

impl Schema {
    fn fresh(url: String) -> Schema {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let world = format!("world_{}_{number}", std::process::id());
        let schema = Schema { url, world, crashes: 0 };
        schema.run(&format!("CREATE SCHEMA {}", schema.name()));
        schema
    }

    fn name(&self) -> String {
        format!("{}_{}", self.world, self.crashes)
    }

    fn location(&self) -> String {
        let name = self.name();
        let mark = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{mark}application_name={name}&options=-c%20search_path%3D{name}", self.url)
    }

    fn run(&self, sql: &str) {
        crate::ground::beside(&self.url, sql.to_owned());
    }

    /// The process loses its database in the middle of whatever it does, and the next one takes
    /// over from it at once.
    fn crash(&mut self) {
        let before = self.name();
        self.crashes += 1;
        let after = self.name();
        crate::ground::crash(&self.url, &before, &after);
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name()));
    }
}

pub struct Files {
    folder: TempDir,
    path: PathBuf,
    crashes: u32,
}

impl Files {
    fn fresh() -> Files {
        let memory = Path::new(MEMORY);
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = made.unwrap();
        let path = folder.path().join("world-0.db");
        Files { folder, path, crashes: 0 }
    }

    fn crash(&mut self, mark: Mark, share: u64) {
        let before = self.path.clone();
        self.crashes += 1;
        self.path = self.folder.path().join(format!("world-{}.db", self.crashes));
        loop {
            let state = log_state(&before);
            fs::copy(&before, &self.path).unwrap();
            let log = beside(&self.path, "-wal");
            fs::copy(beside(&before, "-wal"), &log).unwrap();
            if state == log_state(&before) {
                let length = fs::metadata(&log).unwrap().len();
                let is_cut = state.1.iter().all(|byte| *byte == 0) && length > mark.0;
                if is_cut {
                    let kept = mark.0 + (length - mark.0) * share / 256;
                    File::options().write(true).open(&log).unwrap().set_len(kept).unwrap();
                }
                return;
            }
        }
    }

    fn clear(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let current = self.path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with(&current) {
                drop(fs::remove_file(path));
            }
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Which log it is, and how much of it is in the database file: while both stay, a copy of the
/// file and then of the log belong together.
fn log_state(database: &Path) -> (Vec<u8>, Vec<u8>) {
    let first = |ending: &str, bytes: usize| {
        let mut found = Vec::new();
        let file = File::open(beside(database, ending)).unwrap();
        file.take(bytes as u64).read_to_end(&mut found).unwrap();
        found.resize(bytes, 0);
        found
    };
    let index = first("-shm", MOVED.end);
    let moved = [&index[MOVED.start..MOVED.start + 4], &index[MOVED.end - 4..]].concat();
    (first("-wal", LOG_HEADER), moved)
}
