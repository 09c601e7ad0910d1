//! Finding rust, node, python and go on this machine, without running anything of them.
//!
//! A toolchain in the system folders needs nothing laid in; one in somebody's home appears read-only below
//! [`PLACE`], so that no path of the host shows inside. Launchers that pick a version by themselves (rustup,
//! pyenv) are followed to the version that they would pick. What the configuration names comes first.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::fingerprint;
use super::provisions::{ProvisionProblem, Toolchain, real};
use crate::home::ToolchainConfig;
use crate::sandbox::Bind;
use crate::vocab::Hasher;

/// Where toolchains appear inside.
pub const PLACE: &str = "/opt/toolchains";

/// The names that are looked for by themselves.
pub const KNOWN: &[&str] = &["rust", "node", "python", "go"];

/// Host folders that every sandbox has read-only at the same path.
const SYSTEM: &[&str] = &["/usr", "/bin", "/lib", "/lib64"];

/// Bytes of a version file that are read.
const VERSION_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Where to look: taken from the environment once, so that tests bring their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchPlaces {
    /// Folders of `PATH`, in order.
    pub path: Vec<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `RUSTUP_HOME`, `RUSTUP_TOOLCHAIN`, `PYENV_ROOT`, `PYENV_VERSION`, as far as they are set.
    pub env: BTreeMap<String, String>,
}

impl SearchPlaces {
    /// What this process was started with.
    #[must_use]
    pub fn of_this_process() -> Self {
        let names = ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "PYENV_ROOT", "PYENV_VERSION"];
        let env = names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        Self {
            path: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            env: env.collect(),
        }
    }

    fn home_or(&self, variable: &str, folder: &str) -> Option<PathBuf> {
        self.env.get(variable).map(PathBuf::from).or_else(|| self.home.as_ref().map(|home| home.join(folder)))
    }

    /// The first `program` of `PATH`, links followed.
    fn find(&self, program: &str) -> Option<PathBuf> {
        self.path
            .iter()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|file| file.is_file())
            .and_then(|file| file.canonicalize().ok())
    }
}

/// The toolchain `name`: as configured, else as found on this machine.
pub fn discover(
    name: &str,
    configured: &BTreeMap<String, ToolchainConfig>,
    places: &SearchPlaces,
) -> Result<Toolchain, ProvisionProblem> {
    if let Some(config) = configured.get(name) {
        return from_config(name, config);
    }
    let prefix = match name {
        "rust" => rust_prefix(places),
        "node" => plain_prefix(places, "node"),
        "python" => python_prefix(places),
        "go" => plain_prefix(places, "go"),
        _ => None,
    };
    let prefix = prefix.ok_or_else(|| absent(name))?;
    let (folders, version) = match name {
        "rust" => (&["bin", "lib", "libexec"][..], rust_version(&prefix)),
        "node" => (&["bin", "lib", "include"][..], node_version(&prefix)),
        "python" => (&["bin", "lib", "include"][..], folder_version(&prefix)),
        _ => (&["bin", "src", "pkg", "lib", "go.env", "VERSION"][..], go_version(&prefix)),
    };
    build(name, &prefix, folders, version)
}

fn absent(name: &str) -> ProvisionProblem {
    let known = KNOWN.join(", ");
    ProvisionProblem::new(
        "provision.absent",
        format!("the toolchain `{name}` was not found on this machine"),
        format!(
            "install it, or name its folders under [toolchains.{name}] in config.toml; found by themselves are {known}"
        ),
    )
}

/// A configured toolchain is seen inside at its own paths.
fn from_config(name: &str, config: &ToolchainConfig) -> Result<Toolchain, ProvisionProblem> {
    let mut read_only = Vec::new();
    let mut hasher = Hasher::new();
    for folder in &config.read_only {
        let from = real(folder)?;
        fingerprint::metadata(&from, &mut hasher)?;
        read_only.push(Bind { from, to: folder.clone() });
    }
    for dir in &config.path {
        real(dir)?;
    }
    let toolchain = Toolchain {
        name: name.to_owned(),
        read_only,
        path: config.path.clone(),
        env: config.env.clone(),
        version: None,
        digest: Hasher::new().finish(),
    };
    Ok(sealed(toolchain, hasher))
}

/// The toolchain below `prefix`, of which only `folders` are laid in (documentation is left out).
fn build(
    name: &str,
    prefix: &Path,
    folders: &[&str],
    version: Option<String>,
) -> Result<Toolchain, ProvisionProblem> {
    let system = SYSTEM.iter().any(|dir| prefix.starts_with(dir));
    let inside = if system { prefix.to_owned() } else { Path::new(PLACE).join(name) };
    let mut hasher = Hasher::new();
    let mut read_only = Vec::new();
    for part in parts(name, prefix, folders) {
        let from = real(&part)?;
        fingerprint::metadata(&from, &mut hasher)?;
        if !system {
            let rest = part.strip_prefix(prefix).unwrap_or(&part);
            read_only.push(Bind { to: inside.join(rest), from });
        }
    }
    let toolchain = Toolchain {
        name: name.to_owned(),
        read_only,
        path: vec![inside.join("bin")],
        env: environment(name, &inside),
        version,
        digest: Hasher::new().finish(),
    };
    Ok(sealed(toolchain, hasher))
}

/// What is described: the folders of a prefix of its own; of a shared one (`/usr`) only what belongs to `name`.
fn parts(name: &str, prefix: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let shared = [Path::new("/usr"), Path::new("/usr/local"), Path::new("/")].contains(&prefix);
    let all: Vec<PathBuf> = if shared {
        let own: &[&str] = match name {
            "rust" => &["bin/rustc", "bin/cargo", "lib/rustlib"],
            "node" => &["bin/node", "lib/node_modules"],
            "python" => &["bin/python3"],
            _ => &["bin/go"],
        };
        own.iter().map(|part| prefix.join(part)).collect()
    } else {
        folders.iter().map(|part| prefix.join(part)).collect()
    };
    all.into_iter().filter(|part| part.exists()).collect()
}

/// Puts where things appear and the environment under the digest too.
fn sealed(mut toolchain: Toolchain, mut hasher: Hasher) -> Toolchain {
    let places = toolchain.read_only.iter().map(|bind| format!("at {}", bind.to.display()));
    let path = toolchain.path.iter().map(|dir| format!("path {}", dir.display()));
    let env = toolchain.env.iter().map(|(name, value)| format!("env {name}={value}"));
    for line in places.chain(path).chain(env).chain(toolchain.version.iter().map(|v| format!("version {v}")))
    {
        hasher.update(&(line.len() as u64).to_be_bytes());
        hasher.update(line.as_bytes());
    }
    toolchain.digest = hasher.finish();
    toolchain
}

/// What makes a toolchain work offline, with its caches in the private `/tmp`.
fn environment(name: &str, inside: &Path) -> BTreeMap<String, String> {
    let inside = inside.display().to_string();
    let pairs: Vec<(&str, String)> = match name {
        "rust" => vec![
            ("CARGO_HOME", "/tmp/cargo-home".to_owned()),
            ("CARGO_NET_OFFLINE", "true".to_owned()),
            ("CARGO_TERM_COLOR", "never".to_owned()),
        ],
        "node" => vec![
            ("npm_config_offline", "true".to_owned()),
            ("npm_config_cache", "/tmp/npm-cache".to_owned()),
            ("npm_config_update_notifier", "false".to_owned()),
        ],
        "python" => vec![
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PIP_NO_INDEX", "1".to_owned()),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
        ],
        "go" => vec![
            ("GOROOT", inside),
            ("GOPATH", "/tmp/go".to_owned()),
            ("GOCACHE", "/tmp/go-build".to_owned()),
            ("GOPROXY", "off".to_owned()),
            ("GOTOOLCHAIN", "local".to_owned()),
        ],
        _ => Vec::new(),
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `rustc` of `PATH`, through rustup's launcher to the toolchain that it would start.
fn rust_prefix(places: &SearchPlaces) -> Option<PathBuf> {
    let rustup = || {
        let home = places.home_or("RUSTUP_HOME", ".rustup")?;
        let picked = places.env.get("RUSTUP_TOOLCHAIN").cloned().or_else(|| rustup_default(&home))?;
        home.join("toolchains").join(picked).canonicalize().ok()
    };
    let prefix = match places.find("rustc") {
        Some(file) if file.file_name().is_some_and(|name| name == "rustup") => rustup(),
        Some(file) => file.parent()?.parent().map(Path::to_owned),
        None => rustup(),
    };
    prefix.filter(|prefix| prefix.join("bin/rustc").is_file())
}

fn rustup_default(home: &Path) -> Option<String> {
    let settings = bounded_text(&home.join("settings.toml"))?;
    let line = settings.lines().find_map(|line| line.trim().strip_prefix("default_toolchain"))?;
    Some(line.trim().strip_prefix('=')?.trim().trim_matches('"').to_owned())
}

/// `python3` of `PATH`, through pyenv's launcher to the version that it would start.
fn python_prefix(places: &SearchPlaces) -> Option<PathBuf> {
    let file = places.find("python3")?;
    let is_launcher = file.parent().is_some_and(|dir| dir.ends_with("shims"));
    if !is_launcher {
        return file.parent()?.parent().map(Path::to_owned);
    }
    let root = places.home_or("PYENV_ROOT", ".pyenv")?;
    let picked = places.env.get("PYENV_VERSION").cloned().or_else(|| bounded_text(&root.join("version")))?;
    let picked = picked.split([':', '\n']).next()?.trim().to_owned();
    root.join("versions")
        .join(picked)
        .canonicalize()
        .ok()
        .filter(|prefix| prefix.join("bin/python3").is_file())
}

fn plain_prefix(places: &SearchPlaces, program: &str) -> Option<PathBuf> {
    places.find(program)?.parent()?.parent().map(Path::to_owned)
}

fn bounded_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(VERSION_FILE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The compiler's version from the manifest that rustup lays beside it.
fn rust_version(prefix: &Path) -> Option<String> {
    let file = std::fs::File::open(prefix.join("lib/rustlib/multirust-channel-manifest.toml")).ok()?;
    let mut lines = BufReader::new(file.take(VERSION_FILE_MAX)).lines().map_while(Result::ok);
    lines.find(|line| line == "[pkg.rustc]")?;
    let line = lines.next()?;
    Some(line.strip_prefix("version = ")?.trim_matches('"').to_owned())
}

fn node_version(prefix: &Path) -> Option<String> {
    let text = bounded_text(&prefix.join("include/node/node_version.h"))?;
    let number = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.trim().to_owned())
    };
    let (major, minor) = (number("NODE_MAJOR_VERSION")?, number("NODE_MINOR_VERSION")?);
    Some(format!("{major}.{minor}.{}", number("NODE_PATCH_VERSION")?))
}

fn go_version(prefix: &Path) -> Option<String> {
    Some(bounded_text(&prefix.join("VERSION"))?.lines().next()?.to_owned())
}

/// The version in the name of a prefix (`…/versions/3.11.7`), or behind `python` in its library folder.
fn folder_version(prefix: &Path) -> Option<String> {
    let is_version = |name: &str| name.starts_with(|c: char| c.is_ascii_digit()) && name.contains('.');
    let own = prefix.file_name()?.to_str()?.to_owned();
    if is_version(&own) {
        return Some(own);
    }
    let program = prefix.join("bin/python3").canonicalize().ok()?;
    let version = program.file_name()?.to_str()?.strip_prefix("python")?.to_owned();
    is_version(&version).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A home with rustup and pyenv as they lay themselves out, with empty programs.
    fn home() -> (tempfile::TempDir, SearchPlaces) {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        touch(&at(".cargo/bin/rustup"), "");
        std::os::unix::fs::symlink("rustup", at(".cargo/bin/rustc")).unwrap();
        touch(&at(".rustup/settings.toml"), "version = \"12\"\ndefault_toolchain = \"stable\"\n");
        for name in ["stable", "nightly"] {
            touch(&at(&format!(".rustup/toolchains/{name}/bin/rustc")), name);
            touch(&at(&format!(".rustup/toolchains/{name}/share/doc/book")), name);
            touch(
                &at(&format!(".rustup/toolchains/{name}/lib/rustlib/multirust-channel-manifest.toml")),
                &format!("[pkg.rust]\nversion = \"0\"\n[pkg.rustc]\nversion = \"1.95.0 ({name})\"\n"),
            );
        }
        touch(&at(".pyenv/shims/python3"), "");
        touch(&at(".pyenv/version"), "3.11.7\n");
        touch(&at(".pyenv/versions/3.11.7/bin/python3"), "");
        let places = SearchPlaces {
            path: vec![at(".cargo/bin"), at(".pyenv/shims")],
            home: Some(place.path().to_owned()),
            env: BTreeMap::new(),
        };
        (place, places)
    }

    #[test]
    fn launchers_are_followed_to_what_they_would_start() {
        let (place, mut places) = home();
        let rust = discover("rust", &BTreeMap::new(), &places).unwrap();
        assert_eq!(rust.version.as_deref(), Some("1.95.0 (stable)"));
        assert_eq!(rust.path, [Path::new("/opt/toolchains/rust/bin")]);
        let binds: Vec<_> = rust.read_only.iter().map(|bind| bind.to.display().to_string()).collect();
        assert_eq!(binds, ["/opt/toolchains/rust/bin", "/opt/toolchains/rust/lib"], "no documentation");
        assert!(
            rust.read_only.iter().all(|bind| bind.from.starts_with(place.path().canonicalize().unwrap()))
        );
        assert_eq!(rust.env.get("CARGO_NET_OFFLINE").map(String::as_str), Some("true"));

        places.env.insert("RUSTUP_TOOLCHAIN".to_owned(), "nightly".to_owned());
        let nightly = discover("rust", &BTreeMap::new(), &places).unwrap();
        assert_eq!(nightly.version.as_deref(), Some("1.95.0 (nightly)"));
        assert_ne!(nightly.digest, rust.digest);

        let python = discover("python", &BTreeMap::new(), &places).unwrap();
        assert_eq!(python.version.as_deref(), Some("3.11.7"));
    }

    #[test]
    fn the_digest_follows_the_files() {
        let (place, places) = home();
        let before = discover("rust", &BTreeMap::new(), &places).unwrap().digest;
        assert_eq!(discover("rust", &BTreeMap::new(), &places).unwrap().digest, before);
        touch(&place.path().join(".rustup/toolchains/stable/bin/rustc"), "stabl2");
        assert_ne!(discover("rust", &BTreeMap::new(), &places).unwrap().digest, before);
    }

    #[test]
    fn absent_and_unknown_ones_say_so() {
        for name in ["go", "cobol"] {
            let problem = discover(name, &BTreeMap::new(), &SearchPlaces::default()).unwrap_err();
            assert!(problem.is_absent() && problem.remedy.contains("config.toml"), "{problem:?}");
        }
    }

    #[test]
    fn the_configuration_comes_first_and_keeps_its_paths() {
        let (place, places) = home();
        let tools = place.path().join("tools");
        touch(&tools.join("bin/rustc"), "");
        let config = ToolchainConfig {
            read_only: vec![tools.clone()],
            path: vec![tools.join("bin")],
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        };
        let configured = BTreeMap::from([("rust".to_owned(), config)]);
        let rust = discover("rust", &configured, &places).unwrap();
        assert_eq!(rust.read_only[0].to, tools);
        assert_eq!(rust.env.len(), 1);
    }
}
