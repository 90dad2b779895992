//! A folder for one test's database file, removed when the test ends.

#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs, which fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("grantor-store-{}-{number}", std::process::id()));
        // Left over from a process that was killed and had the same number.
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Folder { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path.join("grantor.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}
