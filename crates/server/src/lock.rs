//! One process owns a database file. The lock beside it says so to other processes, and ends with
//! the process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Held while a process may write to the file.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// The lock's file; it stays when the lock ends, and says nothing then.
pub fn path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

impl Lock {
    /// The lock, or `None` while another process has it.
    pub fn take(database: &Path) -> io::Result<Option<Lock>> {
        let path = path(database);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("farebox.db");
        let first = Lock::take(&database).unwrap().unwrap();
        assert!(Lock::take(&database).unwrap().is_none());
        drop(first);
        assert!(Lock::take(&database).unwrap().is_some());
    }
}
