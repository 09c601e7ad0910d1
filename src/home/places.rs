//! The three places and the fixed names in them.

use std::env;
use std::path::{Path, PathBuf};

use super::file::{self, Existing, OwnedText};
use super::{Accounts, Config, HomeError, Registry};

/// Folders of the system that every sandbox sees, read-only.
pub const SYSTEM_FOLDERS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"];

/// The installation's places: configuration, state and cache, each private to the caller.
#[derive(Debug, Clone)]
pub struct Home {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
}

impl Home {
    /// The places that the environment names: `CTO_HOME`, else the XDG base directories. Made 0700 if absent.
    pub fn open() -> Result<Self, HomeError> {
        if let Some(root) = env::var_os("CTO_HOME").filter(|text| !text.is_empty()) {
            return Self::at(Path::new(&root));
        }
        let below = |variable: &str, default: &str| {
            // XDG base directory specification: a relative path is to be ignored.
            let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
            let base = match set {
                Some(base) => base,
                None => env::home_dir().filter(|h| h.is_absolute()).ok_or(HomeError::NoHome)?.join(default),
            };
            Ok(base.join("cto"))
        };
        Self::of(
            below("XDG_CONFIG_HOME", ".config")?,
            below("XDG_STATE_HOME", ".local/state")?,
            below("XDG_CACHE_HOME", ".cache")?,
        )
    }

    /// All three places below one folder, as `CTO_HOME` does.
    pub fn at(root: &Path) -> Result<Self, HomeError> {
        let root = std::path::absolute(root)
            .map_err(|source| HomeError::Inspect { path: root.to_owned(), source })?;
        if root.to_str().is_none() {
            return Err(HomeError::NotUtf8 { path: root });
        }
        file::private_folder(&root)?;
        Self::of(root.join("config"), root.join("state"), root.join("cache"))
    }

    fn of(config: PathBuf, state: PathBuf, cache: PathBuf) -> Result<Self, HomeError> {
        if let Some(path) = [&config, &state, &cache].into_iter().find(|path| path.to_str().is_none()) {
            return Err(HomeError::NotUtf8 { path: path.clone() });
        }
        for place in [&config, &state, &cache] {
            file::private_folder(place)?;
            outside_of_the_system(place)?;
        }
        Ok(Self { config, state, cache })
    }

    /// Folder of `config.toml`, `principals.toml`, `trust.toml`, `repos.toml` and `engines/`. Absolute.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Folder of the sealing key, run records, approvals, program store and audit log. Absolute.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Folder of what can be made again. Absolute.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Folder of installed engine manifests; may not exist.
    #[must_use]
    pub fn engines_dir(&self) -> PathBuf {
        self.config.join("engines")
    }

    /// Folder with one record a run; may not exist yet.
    #[must_use]
    pub fn runs_dir(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// Folder of pending, granted and spent approvals; may not exist yet.
    #[must_use]
    pub fn approvals_dir(&self) -> PathBuf {
        self.state.join("approvals")
    }

    /// Folder of admitted programs by digest; may not exist yet.
    #[must_use]
    pub fn programs_dir(&self) -> PathBuf {
        self.state.join("programs")
    }

    /// Folder of the records of gated engines, one folder an engine; may not exist.
    #[must_use]
    pub fn proof_dir(&self) -> PathBuf {
        self.config.join("proof")
    }

    /// Folder of the copies of admitted installations, by digest; may not exist yet.
    #[must_use]
    pub fn installations_dir(&self) -> PathBuf {
        self.state.join("installations")
    }

    /// The audit log; may not exist yet.
    #[must_use]
    pub fn audit_path(&self) -> PathBuf {
        self.state.join("audit.jsonl")
    }

    /// The sealing key's file; made by [`Home::sealing_key`].
    #[must_use]
    pub fn sealing_key_path(&self) -> PathBuf {
        self.state.join("sealing-key.pem")
    }

    /// The default trust file; made by [`Home::trust`].
    #[must_use]
    pub fn trust_path(&self) -> PathBuf {
        self.config.join("trust.toml")
    }

    /// The file of principals; there is none by default.
    #[must_use]
    pub fn principals_path(&self) -> PathBuf {
        self.config.join("principals.toml")
    }

    /// The caller's effective uid: the owner of all three places.
    pub fn caller_uid(&self) -> Result<u32, HomeError> {
        file::caller_uid()
    }

    /// The caller's OS account as `uid:name`, or `uid` where it has no name: who asked, as the harness sees it.
    pub fn caller_account(&self) -> Result<String, HomeError> {
        Ok(Accounts::read().spelled(file::caller_uid()?))
    }

    /// `config.toml`; the defaults when there is none.
    pub fn load_config(&self) -> Result<Config, HomeError> {
        let path = self.config.join("config.toml");
        match file::read_checked(&path)? {
            Some(found) => Config::parse(&path, &found.text),
            None => Ok(Config::default()),
        }
    }

    /// `repos.toml`; empty when there is none.
    pub fn load_registry(&self) -> Result<Registry, HomeError> {
        let path = self.config.join("repos.toml");
        match file::read_checked(&path)? {
            Some(found) => Registry::parse(&path, &found.text),
            None => Ok(Registry::default()),
        }
    }

    /// Changes `repos.toml` under a lock, so that no other writer's entry is lost.
    pub fn update_registry<T>(
        &self,
        change: impl FnOnce(&mut Registry) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        let _held = file::lock(&self.config)?;
        let mut registry = self.load_registry()?;
        let answer = change(&mut registry)?;
        let path = self.config.join("repos.toml");
        file::publish(&path, registry.render(&path)?.as_bytes(), Existing::Replace)?;
        Ok(answer)
    }

    /// The text of `principals.toml` and the uid that owns it; `None` when there is none.
    pub fn load_principals(&self) -> Result<Option<OwnedText>, HomeError> {
        file::read_checked(&self.principals_path())
    }

    /// The operator's price table: `prices.toml` in the configuration. There is none by default.
    #[must_use]
    pub fn prices_path(&self) -> PathBuf {
        self.config.join("prices.toml")
    }

    /// The text of `prices.toml`; `None` when there is none.
    pub fn load_prices(&self) -> Result<Option<OwnedText>, HomeError> {
        file::read_checked(&self.prices_path())
    }

    /// Changes `principals.toml` under a lock, so that no other writer's change is lost: `change` gets the text (empty
    /// when there is none) and gives the new one. The file stays its owner's, or is not written.
    pub fn update_principals<E: From<HomeError>>(
        &self,
        change: impl FnOnce(&str) -> Result<String, E>,
    ) -> Result<(), E> {
        let _held = file::lock(&self.config)?;
        let text = self.load_principals()?.map(|found| found.text).unwrap_or_default();
        let text = change(&text)?;
        file::publish(&self.principals_path(), text.as_bytes(), Existing::KeepOwner)?;
        Ok(())
    }
}

/// A private folder is closed to others, but the payload of an ordinary user is the user himself.
fn outside_of_the_system(place: &Path) -> Result<(), HomeError> {
    let inspect = |source| HomeError::Inspect { path: place.to_owned(), source };
    let real = place.canonicalize().map_err(inspect)?;
    match SYSTEM_FOLDERS.iter().chain(&["/etc"]).find(|system| real.starts_with(system)) {
        Some(system) => Err(HomeError::InTheSystem { path: place.to_owned(), system }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn places_are_made_private_and_absolute() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("h")).unwrap();
        for place in [home.config(), home.state(), home.cache()] {
            assert!(place.is_absolute());
            assert_eq!(std::fs::metadata(place).unwrap().permissions().mode() & 0o7777, 0o700);
        }
        assert_eq!(home.load_config().unwrap(), Config::default());
        assert!(home.load_principals().unwrap().is_none());
    }

    #[test]
    fn a_place_that_every_sandbox_sees_is_refused() {
        let inside = outside_of_the_system(Path::new("/usr/share"));
        assert!(inside.unwrap_err().to_string().contains("CTO_HOME"));
        // By its own name or by a link's.
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).unwrap();
        assert!(outside_of_the_system(&folder.path().join("link/share")).is_err());
        assert!(outside_of_the_system(folder.path()).is_ok());
    }

    #[test]
    fn an_open_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        std::fs::set_permissions(home.state(), std::fs::Permissions::from_mode(0o707)).unwrap();
        assert!(matches!(Home::at(folder.path()), Err(HomeError::WritableByOthers { .. })));
    }

    #[test]
    fn principals_are_kept_as_text_with_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let put =
            |text: &'static str| home.update_principals(|was| Ok::<_, HomeError>(format!("{was}{text}")));
        put("# nobody\n").unwrap();
        let found = home.load_principals().unwrap().unwrap();
        assert_eq!(found.text, "# nobody\n");
        assert_eq!(found.owner_uid, home.caller_uid().unwrap());
        let path = home.principals_path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let other = 4_000_000;
        // Only root can give a file away, and only root leaves it to its owner.
        let given = std::os::unix::fs::chown(&path, Some(other), Some(other)).is_ok();
        put("# at all\n").unwrap();
        let found = home.load_principals().unwrap().unwrap();
        assert_eq!(found.text, "# nobody\n# at all\n");
        assert_eq!(found.owner_uid, if given { other } else { home.caller_uid().unwrap() });
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn of_many_writers_none_loses_the_change_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for nth in 0..8 {
                let home = &home;
                let add = move |was: &str| Ok::<_, HomeError>(format!("{was}# {nth}\n"));
                scope.spawn(move || home.update_principals(add).unwrap());
            }
        });
        assert_eq!(home.load_principals().unwrap().unwrap().text.lines().count(), 8);
    }
}
