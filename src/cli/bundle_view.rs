//! Finding a run's bundle and reading one of its files for display. Shows; proves nothing (`cto verify` does).

use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::beneath::{BeneathError, Dir};
use crate::evidence::Report;
use crate::home::Home;
use crate::store::{RunRecord, Store};

/// Longest file that is read for display, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Most files of `backend/` that are listed.
const MAX_NAMES: usize = 10_000;

/// A bundle's folder, and the record of the run if there is one.
pub(super) struct BundleView {
    pub(super) dir: PathBuf,
    pub(super) record: Option<RunRecord>,
}

impl BundleView {
    /// By folder, by the beginning of a run id, or `latest`.
    pub(super) fn find(name: &Path) -> Result<Self, Problem> {
        if name.is_dir() {
            return Ok(Self { dir: name.to_owned(), record: None });
        }
        let Some(text) = name.to_str().filter(|text| !text.contains('/')) else {
            return Err(Problem::usage(
                format!("there is no folder {}", name.display()),
                "name a bundle's folder, or a run as `cto runs` lists it",
            ));
        };
        let store = Store::open(Home::open()?.state())?;
        let record = if text == "latest" {
            store.list()?.into_iter().next().ok_or_else(|| {
                Problem::usage("no run is recorded here", "start one: cto run fixtures/fix-failing-test")
            })?
        } else {
            store.find(text)?
        };
        if !record.bundle.is_dir() {
            return Err(Problem::usage(
                format!("the bundle of {} is no longer at {}", record.run_id, record.bundle.display()),
                "name its folder where it lies now, or another run; `cto runs` lists them",
            ));
        }
        Ok(Self { dir: record.bundle.clone(), record: Some(record) })
    }

    /// One file's bytes, never through a link; `None` when the bundle has no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let damaged = |problem: BeneathError| Problem::Damaged {
            path: self.dir.join(name),
            problem: problem.to_string(),
        };
        let dir = Dir::open_root(&self.dir).map_err(damaged)?;
        if dir.status(name).map_err(damaged)?.is_none() {
            return Ok(None);
        }
        dir.read_file(name, MAX_BYTES).map(Some).map_err(damaged)
    }

    /// The report; `None` where the run did not come so far.
    pub(super) fn report(&self) -> Result<Option<Report>, Problem> {
        let name = "report.json";
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(report) => Ok(Some(report)),
            Err(error) => Err(Problem::Damaged { path: self.dir.join(name), problem: error.to_string() }),
        }
    }

    /// Names of the files below `backend/`, sorted.
    pub(super) fn backend_names(&self) -> Result<Vec<String>, Problem> {
        let damaged = |problem: BeneathError| Problem::Damaged {
            path: self.dir.join("backend"),
            problem: problem.to_string(),
        };
        let dir = Dir::open_root(&self.dir).map_err(damaged)?;
        if dir.status("backend").map_err(damaged)?.is_none() {
            return Ok(Vec::new());
        }
        let entries = dir.open_dir("backend").and_then(|dir| dir.entries(MAX_NAMES)).map_err(damaged)?;
        Ok(entries.iter().map(|entry| format!("backend/{}", entry.name.to_string_lossy())).collect())
    }
}
