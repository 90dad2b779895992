//! Files that only their owner reads, and that are there when they are whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::output::CliError;

/// A file under way, at another name until [`WholeFile::put`]. Dropped before, it goes.
pub(crate) struct WholeFile {
    path: PathBuf,
    part: PathBuf,
    out: BufWriter<File>,
    put: bool,
}

impl WholeFile {
    /// Begins a file beside its place. It is a new one: what is there already may be somebody else's, or lead elsewhere.
    pub(crate) fn begin(path: &Path) -> Result<Self, CliError> {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), part, out: BufWriter::new(file), put: false })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes).map_err(|error| failed(&self.path, &error))
    }

    /// Brings what was written to the disk.
    pub(crate) fn sync(&mut self) -> Result<(), CliError> {
        self.out.flush().and_then(|()| self.out.get_ref().sync_all()).map_err(|error| failed(&self.path, &error))
    }

    /// Puts the file in its place, not over one that came meanwhile.
    pub(crate) fn put(mut self) -> Result<PathBuf, CliError> {
        self.sync()?;
        match std::fs::hard_link(&self.part, &self.path) {
            Ok(()) => drop(std::fs::remove_file(&self.part)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(failed(&self.path, &error)),
            // Some file systems have no such links.
            Err(_) => std::fs::rename(&self.part, &self.path).map_err(|error| failed(&self.path, &error))?,
        }
        self.put = true;
        Ok(self.path.clone())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.put {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{} cannot be written: {error}", path.display()))
}
