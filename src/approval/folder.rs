//! The approvals folder: `pending/`, `granted/`, `denied/` and `spent/` in the harness's state.
//!
//! Guarantees: a file is written once, durable before it counts, and never overwritten; spending is the exclusive
//! making of one file, so of two runs only one gets it, also across a crash; a spent record that cannot be
//! read counts as spent. Links, odd names and oversized files are not read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PendingRequest, SignedApproval};
use crate::eligibility::ApprovalAnswer;
use crate::vocab::{ApprovalId, Digest, RunId, Timestamp};

/// Largest record that is read, bytes.
const RECORD_MAX: u64 = 64 * 1024;
/// Drafts begun by this process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);
/// Most records that are read from one folder.
const RECORDS_MAX: usize = 10_000;

/// Why the folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder could not be made.
    #[error("the approvals folder {path} could not be made: {source}")]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder could not be listed.
    #[error("the approvals folder {path} could not be listed: {source}")]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More records than are read.
    #[error("{0} holds more than {RECORDS_MAX} records: move old ones away")]
    TooMany(PathBuf),
    /// A record could not be written.
    #[error("{path} could not be written: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record could not be read.
    #[error("{path} could not be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is not what its place says.
    #[error("{path} is not a record of this folder: {why}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The principal answered already.
    #[error("`{by}` has answered request {id} already")]
    Answered {
        /// The request.
        id: ApprovalId,
        /// Who.
        by: String,
    },
    /// Another run has it.
    #[error("approval {id} is spent by {run}")]
    Spent {
        /// Which.
        id: ApprovalId,
        /// By which run; `unknown` when the record cannot be read.
        run: String,
    },
}

/// That a run used an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpentRecord {
    /// The approval's request.
    pub request_id: ApprovalId,
    /// What was approved.
    pub request_digest: Digest,
    /// The run that has it.
    pub run_id: RunId,
    /// When.
    pub spent_at: Timestamp,
}

/// Whether an approval was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spending {
    /// It was not.
    Unspent,
    /// It was.
    By(SpentRecord),
    /// A record is there and cannot be read: it was.
    Unreadable(String),
}

/// An answer with what the folder knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The answer as signed; nothing in it is checked yet.
    pub approval: SignedApproval,
    /// The request that it answers, if one is on record.
    pub request: Option<PendingRequest>,
    /// Whether it was used.
    pub spending: Spending,
}

/// What was found for one request digest.
#[derive(Debug, Default)]
pub struct FoundAnswers {
    /// Readable answers, sorted by file name.
    pub answers: Vec<Found>,
    /// Files by whose name somebody answered such a request, and which say nothing that can be read. What was
    /// answered is not known: it may have been a no.
    pub unreadable: Vec<String>,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct ApprovalFolder {
    dir: PathBuf,
}

impl ApprovalFolder {
    /// Opens the folder at `dir`, making it and its parts (0700) where they are not there.
    pub fn open(dir: &Path) -> Result<Self, FolderError> {
        for part in ["pending", "granted", "denied", "spent"] {
            let path = dir.join(part);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| FolderError::Make { path, source })?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Puts a request on record, durable.
    pub fn post(&self, request: &PendingRequest) -> Result<(), FolderError> {
        let path = self.dir.join("pending").join(format!("{}.json", request.request_id));
        write_new(&path, request).map_err(|source| FolderError::Write { path, source })
    }

    /// The request with this id, if it is on record.
    pub fn pending(&self, id: &ApprovalId) -> Result<Option<PendingRequest>, FolderError> {
        let path = self.dir.join("pending").join(format!("{id}.json"));
        let Some(request) = read::<PendingRequest>(&path)? else { return Ok(None) };
        if &request.request_id != id {
            return Err(FolderError::Malformed { path, why: "it names another request".to_owned() });
        }
        Ok(Some(request))
    }

    /// A request on record for the same digest by the same account that is still open at `now`, so that asking
    /// again does not make a second one.
    pub fn open_request(
        &self,
        digest: Digest,
        account: &str,
        now: Timestamp,
    ) -> Result<Option<PendingRequest>, FolderError> {
        for request in self.requests()? {
            let same = request.request_digest == digest && request.requester_account == account;
            if same && request.expires_at > now && self.spending(&request.request_id) == Spending::Unspent {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Every readable request on record, sorted by id.
    pub fn requests(&self) -> Result<Vec<PendingRequest>, FolderError> {
        let mut requests = Vec::new();
        for name in self.names("pending")? {
            let id = name.strip_suffix(".json").and_then(|stem| ApprovalId::parse(stem).ok());
            // A file that is no request asks for nothing.
            if let Some(Ok(Some(request))) = id.map(|id| self.pending(&id)) {
                requests.push(request);
            }
        }
        Ok(requests)
    }

    /// Puts an answer on record, durable. One principal answers one request once in each direction.
    pub fn answer(&self, approval: &SignedApproval) -> Result<(), FolderError> {
        let path = self.dir.join(place(approval.answer)).join(file_name(approval));
        write_new(&path, approval).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                FolderError::Answered { id: approval.request_id.clone(), by: approval.by.to_string() }
            }
            _ => FolderError::Write { path, source },
        })
    }

    /// Every answer that is for `digest`, or answers a request on record for it. Nothing is checked yet.
    pub fn answers_for(&self, digest: Digest) -> Result<FoundAnswers, FolderError> {
        let mut found = FoundAnswers::default();
        for answer in [ApprovalAnswer::Grant, ApprovalAnswer::Deny] {
            for name in self.names(place(answer))? {
                match self.one_answer(answer, &name) {
                    Ok(one) => {
                        let of_request = one.request.as_ref().is_some_and(|r| r.request_digest == digest);
                        if of_request || one.approval.request_digest == digest {
                            found.answers.push(one);
                        }
                    }
                    Err(error) if self.may_answer(&name, digest) => {
                        found.unreadable.push(crate::vocab::shown(&error.to_string()));
                    }
                    // Its name belongs to no request for this digest, so it answers none.
                    Err(_) => {}
                }
            }
        }
        Ok(found)
    }

    /// Whether a file's name makes it an answer to a request for `digest`. A request that cannot be read may be.
    fn may_answer(&self, name: &str, digest: Digest) -> bool {
        let id = name.split_once('.').and_then(|(id, _)| ApprovalId::parse(id).ok());
        match id.map(|id| self.pending(&id)) {
            None | Some(Ok(None)) => false,
            Some(Ok(Some(request))) => request.request_digest == digest,
            Some(Err(_)) => true,
        }
    }

    pub(super) fn one_answer(&self, answer: ApprovalAnswer, name: &str) -> Result<Found, FolderError> {
        let path = self.dir.join(place(answer)).join(name);
        let malformed = |why: &str| FolderError::Malformed { path: path.clone(), why: why.to_owned() };
        let approval = read::<SignedApproval>(&path)?.ok_or_else(|| malformed("it vanished"))?;
        if approval.answer != answer || file_name(&approval) != name {
            return Err(malformed("it says something other than its name"));
        }
        let request = self.pending(&approval.request_id)?;
        let spending = self.spending(&approval.request_id);
        Ok(Found { approval, request, spending })
    }

    /// Whether an approval was used. What cannot be looked at was.
    #[must_use]
    pub fn spending(&self, id: &ApprovalId) -> Spending {
        match read::<SpentRecord>(&self.spent_path(id)) {
            Ok(None) => Spending::Unspent,
            Ok(Some(record)) if &record.request_id == id => Spending::By(record),
            Ok(Some(_)) => Spending::Unreadable("it names another request".to_owned()),
            Err(error) => Spending::Unreadable(crate::vocab::shown(&error.to_string())),
        }
    }

    /// Spends an approval for a run: durable when this returns, and exclusive. The run that has it may ask again.
    pub fn spend(&self, record: &SpentRecord) -> Result<(), FolderError> {
        let path = self.spent_path(&record.request_id);
        match write_new(&path, record) {
            Ok(()) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                match self.spending(&record.request_id) {
                    Spending::By(had)
                        if had.run_id == record.run_id && had.request_digest == record.request_digest =>
                    {
                        Ok(())
                    }
                    Spending::By(had) => {
                        Err(FolderError::Spent { id: record.request_id.clone(), run: had.run_id.to_string() })
                    }
                    Spending::Unspent | Spending::Unreadable(_) => {
                        Err(FolderError::Spent { id: record.request_id.clone(), run: "unknown".to_owned() })
                    }
                }
            }
            Err(source) => Err(FolderError::Write { path, source }),
        }
    }

    fn spent_path(&self, id: &ApprovalId) -> PathBuf {
        self.dir.join("spent").join(format!("{id}.json"))
    }

    /// The files of answers in one direction.
    pub(super) fn answer_names(&self, answer: ApprovalAnswer) -> Result<Vec<String>, FolderError> {
        self.names(place(answer))
    }

    fn names(&self, part: &str) -> Result<Vec<String>, FolderError> {
        let path = self.dir.join(part);
        let list = |source| FolderError::List { path: path.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(list)? {
            if let Some(name) =
                entry.map_err(list)?.file_name().to_str().filter(|name| !name.starts_with('.'))
            {
                names.push(name.to_owned());
            }
            if names.len() > RECORDS_MAX {
                return Err(FolderError::TooMany(path));
            }
        }
        names.sort();
        Ok(names)
    }
}

const fn place(answer: ApprovalAnswer) -> &'static str {
    match answer {
        ApprovalAnswer::Grant => "granted",
        ApprovalAnswer::Deny => "denied",
    }
}

fn file_name(approval: &SignedApproval) -> String {
    format!("{}.{}.json", approval.request_id, approval.by)
}

/// Publishes a record under a name that was not there, whole or not at all, and returns when file and folder
/// entry are durable. `AlreadyExists` = somebody else has the name.
fn write_new<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("the record lies in no folder"));
    };
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    // INVARIANT: no other writer alive has this draft's name. One that a crash left behind is never read, because
    // its name begins with a dot.
    let nth = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{}.{}.{nth}", name.display(), std::process::id()));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&text)?;
    file.sync_all()?;
    // A link is made in one step and only where nothing is, so the name is won by exactly one writer.
    let published = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    published?;
    File::open(folder)?.sync_all()
}

/// Reads a regular file strictly; `None` = not there.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FolderError> {
    let failed = |source| FolderError::Read { path: path.to_owned(), source };
    let malformed = |why: String| FolderError::Malformed { path: path.to_owned(), why };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    if !kind.is_file() {
        return Err(malformed("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(RECORD_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > RECORD_MAX {
        return Err(malformed(format!("it is larger than {RECORD_MAX} bytes")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| malformed(error.to_string()))
}
