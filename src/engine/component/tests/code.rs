//! Compiled modules: found again, and only where every byte is this machine's own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::made::harmless;
use crate::engine::component::machine::machine;
use crate::engine::component::{CodeCache, Module};
use crate::home::Home;
use crate::vocab::Digest;

struct Bench {
    _root: tempfile::TempDir,
    home: Home,
    cache: CodeCache,
    module: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(root.path()).unwrap();
        let bench = Self { cache: CodeCache::of(&home), home, _root: root, module: harmless() };
        Module::load(&bench.module, Some(&bench.cache)).unwrap();
        bench
    }

    fn file(&self, end: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.home.cache().join("modules")).unwrap();
        let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == end);
        entries.map(|entry| entry.unwrap().path()).find(ends).unwrap()
    }

    fn is_found(&self) -> bool {
        let engine = &machine().unwrap().engine;
        self.cache
            .find(Digest::of(&self.module), &crate::engine::component::cache::compiler(engine))
            .is_some()
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn compiled_code_is_kept_closed_and_found_again() {
    let bench = Bench::new();
    assert!(bench.is_found());
    for end in ["cwasm", "json"] {
        assert_eq!(std::fs::metadata(bench.file(end)).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let folder = bench.home.cache().join("modules");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    let again = Module::load(&bench.module, Some(&bench.cache)).unwrap();
    assert!(again.fresh().is_ok(), "what was found works");
}

#[test]
fn code_that_is_not_this_machines_own_is_never_loaded() {
    let bench = Bench::new();
    let (code, record) = (bench.file("cwasm"), bench.file("json"));
    let (was, signed) = (std::fs::read(&code).unwrap(), std::fs::read_to_string(&record).unwrap());
    let restored = || {
        std::fs::write(&code, &was).unwrap();
        std::fs::write(&record, &signed).unwrap();
        assert!(bench.is_found(), "restored");
    };
    let mut other = was.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(&code, &other).unwrap();
    assert!(!bench.is_found(), "one bit of the code");
    // With a record that fits it, but that nobody signed.
    let forged = signed.replace(&Digest::of(&was).to_string(), &Digest::of(&other).to_string());
    assert_ne!(forged, signed);
    std::fs::write(&record, forged).unwrap();
    assert!(!bench.is_found(), "another digest in the record");
    // Asked for all the same, the module is compiled anew and the forgery replaced.
    assert!(Module::load(&bench.module, Some(&bench.cache)).unwrap().fresh().is_ok());
    assert_eq!(std::fs::read(&code).unwrap(), was);
    restored();
    for path in [&code, &record, &bench.home.cache().join("modules")] {
        let was = std::fs::metadata(path).unwrap().permissions().mode();
        mode(path, was | 0o044);
        assert!(!bench.is_found(), "{} is open to others", path.display());
        mode(path, was);
    }
    restored();
    std::fs::rename(&code, code.with_extension("elsewhere")).unwrap();
    std::os::unix::fs::symlink(code.with_extension("elsewhere"), &code).unwrap();
    assert!(!bench.is_found(), "a link");
    std::fs::remove_file(&code).unwrap();
    std::fs::write(&code, &was).unwrap();
    mode(&code, 0o600);
    restored();
    bench.home.rotate_sealing_key().unwrap();
    assert!(!bench.is_found(), "signed by a key that is gone");
}
