//! How full the write-ahead log is, as SQLite's index of it says (its file format is published),
//! and room in it before it is needed. It reads two numbers and writes zeros behind the log's end;
//! frames are SQLite's alone.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// A page and its header.
const FRAME_BYTES: u64 = 4_096 + 24;
/// Where the index has the number of frames in use, and of those that were moved.
const USED_AT: u64 = 16;
const MOVED_AT: u64 = 96;
/// Smaller logs get no room: most databases of tests and of trials stay below.
const ROOM_FROM: u64 = 2 << 20;
/// Room that a log has ahead, and that is made at once where it is gone.
const AHEAD: u64 = 4 << 20;
const ROOM: u64 = 8 << 20;
const ROOM_MAX: u64 = 64 << 20;

pub(crate) struct Wal {
    index: File,
    log: File,
}

/// Of the log, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) used: u64,
    /// Not yet in the database file.
    pub(crate) left: u64,
}

impl Wal {
    /// The log of a database that is open.
    pub(crate) fn open(database: &Path) -> io::Result<Wal> {
        let beside = |ending: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(ending);
            path
        };
        let log = File::options().read(true).write(true).open(beside("-wal"))?;
        Ok(Wal { index: File::open(beside("-shm"))?, log })
    }

    pub(crate) fn fill(&self) -> io::Result<Fill> {
        let (used, moved) = (self.number(USED_AT)?, self.number(MOVED_AT)?);
        let bytes = |frames: u32| u64::from(frames) * FRAME_BYTES;
        Ok(Fill { used: bytes(used), left: bytes(used.saturating_sub(moved)) })
    }

    fn number(&self, at: u64) -> io::Result<u32> {
        let (mut bytes, mut index) = ([0; 4], &self.index);
        index.seek(SeekFrom::Start(at))?;
        index.read_exact(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// Makes the log's file longer before its frames need it: a sync that also has to put a longer
    /// file on disk takes ten times as long. Only the one who writes frames may call it. Zeros
    /// behind the last frame are no frames.
    pub(crate) fn make_room(&self, used: u64) -> io::Result<()> {
        let length = self.log.metadata()?.len();
        if used < ROOM_FROM || length >= used + AHEAD || length >= ROOM_MAX {
            return Ok(());
        }
        let mut log = &self.log;
        log.seek(SeekFrom::Start(length))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..ROOM >> 20 {
            log.write_all(&zeros)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fill_is_what_sqlite_says_and_room_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        let set = |name: &str, value: &str| connection.pragma_update(None, name, value).unwrap();
        set("journal_mode", "WAL");
        set("wal_autocheckpoint", "0");
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let wal = Wal::open(&path).unwrap();
        let fill = |rows: usize| {
            for _ in 0..rows {
                connection.execute("INSERT INTO t VALUES (zeroblob(4000))", []).unwrap();
            }
            let frames: (i64, i64) = connection
                .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?)))
                .unwrap();
            let fill = wal.fill().unwrap();
            let bytes = |frames: i64| u64::try_from(frames).unwrap() * FRAME_BYTES;
            assert_eq!((fill.used, fill.left), (bytes(frames.0), bytes(frames.0 - frames.1)));
            fill
        };
        let before = fill(800);
        assert!(before.used > ROOM_FROM && before.left == before.used);
        wal.make_room(before.used).unwrap();
        let length = wal.log.metadata().unwrap().len();
        assert!(length >= before.used + ROOM, "{length}");
        assert_eq!(fill(0), before);
        fill(100);
        assert_eq!(wal.log.metadata().unwrap().len(), length, "frames go into the room");
        let rows = |connection: &rusqlite::Connection| -> i64 {
            connection.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap()
        };
        let copy = folder.path().join("b.db");
        for ending in ["", "-wal"] {
            let name = |path: &Path| format!("{}{ending}", path.display());
            std::fs::copy(name(&path), name(&copy)).unwrap();
        }
        assert_eq!(rows(&rusqlite::Connection::open(&copy).unwrap()), 900, "as after a crash");
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        assert_eq!(wal.fill().unwrap().left, 0);
        fill(1);
        assert!(wal.fill().unwrap().used < before.used, "the log starts again");
    }
}
