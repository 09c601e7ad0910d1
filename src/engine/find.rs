//! Where an engine's program is found, and which one to name instead of a script.

use std::path::{Path, PathBuf};

use super::manifest::{Discover, EngineManifest};
use super::program::ProgramError;

/// Finds the program of an engine: `configured` is the operator's choice, `beside` the folder of the running
/// executable, `search` the value of `PATH`.
pub fn find_program(
    manifest: &EngineManifest,
    configured: Option<&Path>,
    beside: &Path,
    search: Option<&std::ffi::OsStr>,
) -> Result<PathBuf, ProgramError> {
    let name = manifest.program.name.as_str();
    let missing = |looked: String, remedy: String| ProgramError::NotFound {
        engine: manifest.id.to_string(),
        looked,
        remedy,
    };
    let remedy = format!("set `program` in `[engines.{}]` of config.toml to its absolute path", manifest.id);
    match (manifest.program.discover, configured) {
        (Discover::Beside, _) => {
            let path = beside.join(name);
            let remedy = format!("build or install `{name}` beside `cto`");
            if path.is_file() {
                Ok(path)
            } else {
                Err(missing(format!("`{}` is not there", path.display()), remedy))
            }
        }
        (_, Some(path)) if path.exists() => Ok(path.to_owned()),
        (_, Some(path)) => Err(missing(format!("the configured `{}` is not there", path.display()), remedy)),
        (Discover::Configured, None) => Err(missing("none is configured".into(), remedy)),
        (Discover::ConfiguredOrPath, None) => search
            .into_iter()
            .flat_map(std::env::split_paths)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| missing(format!("none is configured and `{name}` is not in PATH"), remedy)),
    }
}

/// The path to name instead of a script: npm ships the native program in a package of its own beside the shim.
pub(super) fn native_beside(script: &Path) -> String {
    let (package, target) = match std::env::consts::ARCH {
        "aarch64" => ("codex-linux-arm64", "aarch64-unknown-linux-musl"),
        _ => ("codex-linux-x64", "x86_64-unknown-linux-musl"),
    };
    let inner = Path::new(package).join("vendor").join(target).join("bin/codex");
    let candidates = script.ancestors().flat_map(|folder| {
        [folder.to_owned(), folder.join("@openai"), folder.join("node_modules/@openai")]
            .map(|scope| scope.join(&inner))
    });
    match candidates.into_iter().find(|path| path.is_file()) {
        Some(native) => format!("set `program` to the native binary, `{}`", native.display()),
        None => {
            format!("set `program` to the native binary (npm puts it at `…/@openai/{}`)", inner.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(path: &Path) {
        std::fs::write(path, b"\x7fELF").unwrap();
    }

    #[test]
    fn a_program_is_found_by_its_rule() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = crate::engine::Catalog::load(None).unwrap();
        let manifest = |id: &str| catalog.get(&crate::vocab::EngineId::parse(id).unwrap()).unwrap();
        let (path, nowhere) = (dir.path().join("codex"), dir.path().join("none"));
        assert!(find_program(manifest("codex"), None, &nowhere, Some(dir.path().as_os_str())).is_err());
        elf(&path);
        assert_eq!(
            find_program(manifest("codex"), None, &nowhere, Some(dir.path().as_os_str())).unwrap(),
            path
        );
        assert!(
            find_program(manifest("codex"), Some(&nowhere), &nowhere, Some(dir.path().as_os_str())).is_err()
        );
        assert!(find_program(manifest("case"), None, &nowhere, Some(dir.path().as_os_str())).is_err());
        assert!(find_program(manifest("fixture"), Some(&path), dir.path(), None).is_err());
        elf(&dir.path().join("cto-player"));
        assert!(find_program(manifest("fixture"), None, dir.path(), None).is_ok());
    }
}
