//! Compiled modules, so that each is compiled once: machine code, and therefore nobody's but this machine's own.
//!
//! The folder is this account's and closed to others, or it is not used. A file counts where a record beside it, signed
//! by this machine's sealing key, names its digest together with the module's and the compiler's; anything else there is
//! passed over and compiled anew. Nothing here is evidence: the module's own digest is the bound fact.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use crate::beneath::{Dir, FileKind, Status};
use crate::home::Home;
use crate::vocab::{Digest, Signature};

/// Bytes of the largest compiled module that is read.
const CODE_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of the largest record that is read.
const RECORD_BYTES: u64 = 4 * 1024;
/// The permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// Keeps these signatures apart from every other one of this key.
const DOMAIN: &[u8] = b"cto-compiled-module-v1\0";

/// Machine code of this program's own making.
pub(super) struct OwnCode(Vec<u8>);

impl OwnCode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The compiled modules of one installation.
#[derive(Debug, Clone)]
pub struct CodeCache {
    home: Home,
    folder: PathBuf,
}

/// What was compiled, and into what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Digest of the module.
    module: Digest,
    /// Which compiler, with which settings, for which machine.
    compiler: String,
    /// Digest of the code.
    code: Digest,
}

/// As it lies in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    record: Record,
    signature: Signature,
}

impl CodeCache {
    /// That of `home`; nothing is made before the first module.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.cache().join("modules"), home: home.clone() }
    }

    /// The code of the module with digest `module`, whose bytes are `bytes`: found, or compiled and kept.
    pub(super) fn obtain(&self, engine: &Engine, module: Digest, bytes: &[u8]) -> wasmtime::Result<OwnCode> {
        let compiler = compiler(engine);
        if let Some(code) = self.find(module, &compiler) {
            return Ok(code);
        }
        let code = OwnCode(engine.precompile_component(bytes)?);
        // What cannot be kept is compiled again next time.
        self.keep(Record { module, compiler, code: Digest::of(&code.0) }, &code).ok();
        Ok(code)
    }

    fn names(module: Digest, compiler: &str) -> (String, String) {
        let pair = Digest::of(format!("{module} {compiler}").as_bytes()).hex();
        (format!("{pair}.cwasm"), format!("{pair}.json"))
    }

    /// What is there, if every byte of it is this machine's own.
    pub(super) fn find(&self, module: Digest, compiler: &str) -> Option<OwnCode> {
        let caller = self.home.caller_uid().ok()?;
        let ours =
            |found: &Status, kind| found.kind == kind && found.uid == caller && found.mode & OTHERS == 0;
        let folder = Dir::open_root(&self.folder).ok()?;
        if !ours(&folder.own_status().ok()?, FileKind::Directory) {
            return None;
        }
        let (code, record) = Self::names(module, compiler);
        for name in [&code, &record] {
            if !ours(&folder.status(name).ok()??, FileKind::File) {
                return None;
            }
        }
        let signed: Signed = serde_json::from_slice(&folder.read_file(&record, RECORD_BYTES).ok()?).ok()?;
        let code = folder.read_file(&code, CODE_BYTES).ok()?;
        let expected = Record { module, compiler: compiler.to_owned(), code: Digest::of(&code) };
        if signed.record != expected {
            return None;
        }
        let key = self.home.sealing_key().ok()?.public();
        key.verifies(&message(&expected)?, &signed.signature).then_some(OwnCode(code))
    }

    /// Each file whole or not at all, 0600; the record last.
    fn keep(&self, record: Record, code: &OwnCode) -> std::io::Result<()> {
        let (code_name, record_name) = Self::names(record.module, &record.compiler);
        let key = self.home.sealing_key().map_err(std::io::Error::other)?;
        let message = message(&record).ok_or(std::io::ErrorKind::InvalidData)?;
        let signed = serde_json::to_vec(&Signed { signature: key.sign(&message), record })?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        for (name, bytes) in [(code_name, code.bytes()), (record_name, signed.as_slice())] {
            // A temporary file is 0600 from the start.
            let mut draft = tempfile::NamedTempFile::new_in(&self.folder)?;
            draft.write_all(bytes)?;
            draft.persist(self.folder.join(name)).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

fn message(record: &Record) -> Option<Vec<u8>> {
    Some([DOMAIN, &serde_json::to_vec(record).ok()?].concat())
}

/// Version and settings of the compiler (its own word for both) and the machine, so that another one never finds this one's code.
pub(super) fn compiler(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{} {:016x}", std::env::consts::ARCH, hasher.finish())
}
