//! `config.toml`: what an operator may set. Strict: an unknown field is an error, never ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config_syntax::{self, is_a_provider, is_a_variable};
use super::{HomeError, KeySource};
use crate::vocab::{Destination, EngineId, LimitName, MicroUsd, shown};

/// The checked configuration. Everything has a default, so that a first run needs no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// By engine id.
    pub engines: BTreeMap<EngineId, EngineConfig>,
    /// Toolchains besides those found on the machine, or instead of one of the same name.
    pub toolchains: BTreeMap<String, ToolchainConfig>,
    /// Ceilings that replace the built-in ones, in the unit of the name.
    pub ceilings: BTreeMap<LimitName, u64>,
    /// Where runs may connect to.
    pub network: NetworkConfig,
    /// What sandboxes are made of.
    #[serde(skip_serializing_if = "SandboxConfig::is_default")]
    pub sandbox: SandboxConfig,
    /// Caps on money, where they are not the built-in ones.
    pub spend: SpendConfig,
}

/// What of the kernel is used. Nothing here makes a sandbox stronger than the kernel lets it be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxConfig {
    /// The newest Landlock ABI to use: a newer kernel is then like an older one. 0 is one without Landlock.
    pub landlock_abi_at_most: Option<u32>,
}

impl SandboxConfig {
    /// Whether nothing is written, which is no part of a policy.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Caps on money; what is not written stays as it is built in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SpendConfig {
    /// For all runs of one day (UTC), micro-dollars.
    pub day_micro_usd: Option<MicroUsd>,
    /// The most that a contract may allow its run, micro-dollars.
    pub run_ceiling_micro_usd: Option<MicroUsd>,
    /// The most that a contract may allow its thread, micro-dollars.
    pub thread_ceiling_micro_usd: Option<MicroUsd>,
}

/// How one engine is reached. Holds no secret: the key is named, not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EngineConfig {
    /// Absolute path of the native program.
    pub program: Option<PathBuf>,
    /// Absolute path of the admitted installation, where it does not lie where it was admitted (gated engines).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<PathBuf>,
    /// Base URL of the model endpoint, without user, query or fragment.
    pub endpoint: Option<String>,
    /// The model when the contract names none.
    pub model: Option<String>,
    /// Who is paid for the model, as it stands in the price table.
    pub provider: Option<String>,
    /// The endpoint costs nothing (counts only for loopback).
    pub unpriced: bool,
    /// Where the endpoint's key is.
    pub key: Option<KeySource>,
    /// PEM file of the certificate authorities to trust at the endpoint, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// A toolchain: read-only folders and the environment that makes them work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ToolchainConfig {
    /// Absolute host folders, seen inside read-only at the same paths.
    pub read_only: Vec<PathBuf>,
    /// Absolute folders put in front of `PATH`.
    pub path: Vec<PathBuf>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
}

/// Where runs may connect to, where their contract asks for it. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetworkConfig {
    /// What a contract's `network.allow` may name.
    pub allow: BTreeSet<Destination>,
    /// Addresses of classes that are refused otherwise (private, loopback, this host's own …), each by itself.
    pub addresses: BTreeSet<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    engines: BTreeMap<EngineId, EngineWire>,
    #[serde(default)]
    toolchains: BTreeMap<String, ToolchainWire>,
    #[serde(default)]
    limits: BTreeMap<LimitName, u64>,
    #[serde(default)]
    network: NetworkWire,
    #[serde(default)]
    sandbox: SandboxConfig,
    #[serde(default)]
    spend: SpendWire,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkWire {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
}

/// Decimal dollars, as texts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpendWire {
    #[serde(rename = "day_usd")]
    day: Option<String>,
    #[serde(rename = "run_ceiling_usd")]
    run_ceiling: Option<String>,
    #[serde(rename = "thread_ceiling_usd")]
    thread_ceiling: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineWire {
    program: Option<PathBuf>,
    installation: Option<PathBuf>,
    endpoint: Option<String>,
    model: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    unpriced: bool,
    key: Option<KeyWire>,
    ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWire {
    env: Option<String>,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolchainWire {
    #[serde(default)]
    read_only: Vec<PathBuf>,
    #[serde(default)]
    path: Vec<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// One file being checked: makes errors that name it.
struct Checker<'a> {
    path: &'a Path,
}

impl Checker<'_> {
    fn refuse(&self, field: String, problem: &str, remedy: &str) -> HomeError {
        HomeError::Value { path: self.path.to_owned(), field, problem: problem.into(), remedy: remedy.into() }
    }

    /// What stands there instead of an absolute path is not repeated: it could be a key.
    fn absolute(&self, field: String, path: &Path) -> Result<(), HomeError> {
        if path.is_absolute() {
            Ok(())
        } else {
            Err(self.refuse(field, "is a relative path", "write an absolute path"))
        }
    }

    fn key(&self, field: &str, wire: KeyWire) -> Result<KeySource, HomeError> {
        let remedy = "write exactly one of { env = \"NAME\" }, { file = \"/path\" }, { command = [\"argv\", …] }; \
                      never the key itself";
        match (wire.env, wire.file, wire.command) {
            (Some(name), None, None) if is_a_variable(&name) => Ok(KeySource::Env(name)),
            (Some(_), None, None) => Err(self.refuse(
                format!("{field}.env"),
                "is not the name of an environment variable (it is not repeated: it could be a key)",
                "write the variable's name, of letters, digits and _; never the key itself",
            )),
            (None, Some(path), None) => {
                self.absolute(format!("{field}.file"), &path)?;
                Ok(KeySource::File(path))
            }
            (None, None, Some(argv)) => {
                let program =
                    argv.first().ok_or_else(|| self.refuse(field.into(), "the command is empty", remedy))?;
                self.absolute(format!("{field}.command"), Path::new(program))?;
                Ok(KeySource::Command(argv))
            }
            _ => Err(self.refuse(field.into(), "does not name one place of the key", remedy)),
        }
    }

    fn endpoint(&self, field: String, url: &str) -> Result<(), HomeError> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or("");
        let plain = url.bytes().all(|b| b.is_ascii_graphic()) && !url.contains(['?', '#', '@']);
        if host.is_empty() || !plain {
            let remedy = "write http://HOST:PORT/PATH or https://HOST/PATH without user, query or fragment";
            let problem = "is not an endpoint (it is not repeated: a key could stand in it)";
            return Err(self.refuse(field, problem, remedy));
        }
        Ok(())
    }

    fn network(&self, wire: &NetworkWire) -> Result<NetworkConfig, HomeError> {
        let mut network = NetworkConfig::default();
        for (index, text) in wire.allow.iter().enumerate() {
            let field = || format!("network.allow[{index}]");
            let destination = Destination::parse(text).map_err(|error| {
                let problem = format!("`{}` {error}", shown(text));
                self.refuse(field(), &problem, "write host:port, like example.org:443")
            })?;
            if !network.allow.insert(destination) {
                return Err(self.refuse(field(), "stands there twice", "keep one of the two"));
            }
        }
        for (index, text) in wire.addresses.iter().enumerate() {
            let field = format!("network.addresses[{index}]");
            let address = exact_address(text).ok_or_else(|| {
                let problem =
                    format!("`{}` is not the address of one host in its canonical form", shown(text));
                self.refuse(field, &problem, "write one address, like 10.1.2.3 or fd00::1, without a mask")
            })?;
            network.addresses.insert(address);
        }
        Ok(network)
    }

    fn engine(&self, id: &EngineId, wire: EngineWire) -> Result<EngineConfig, HomeError> {
        let field = |name: &str| format!("engines.{id}.{name}");
        if let Some(program) = &wire.program {
            self.absolute(field("program"), program)?;
        }
        if let Some(installation) = &wire.installation {
            self.absolute(field("installation"), installation)?;
        }
        if let Some(endpoint) = &wire.endpoint {
            self.endpoint(field("endpoint"), endpoint)?;
        }
        if let Some(ca) = &wire.ca {
            self.absolute(field("ca"), ca)?;
        }
        if wire.model.as_deref().is_some_and(str::is_empty) {
            return Err(self.refuse(field("model"), "is empty", "name a model or leave the field out"));
        }
        if wire.provider.as_deref().is_some_and(|name| !is_a_provider(name)) {
            let problem = "is not a provider's name (it is not repeated: it could be a key)";
            return Err(self.refuse(field("provider"), problem, "write it as it stands in the price table"));
        }
        let key = wire.key.map(|key| self.key(&field("key"), key)).transpose()?;
        Ok(EngineConfig {
            program: wire.program,
            installation: wire.installation,
            endpoint: wire.endpoint,
            model: wire.model,
            provider: wire.provider,
            unpriced: wire.unpriced,
            key,
            ca: wire.ca,
        })
    }

    fn spend(&self, wire: &SpendWire) -> Result<SpendConfig, HomeError> {
        let read = |name: &str, text: &Option<String>| {
            let amount = text.as_deref().map(str::parse::<MicroUsd>).transpose();
            let remedy = "write decimal dollars as a text, like \"20.00\"";
            amount.map_err(|error| self.refuse(format!("spend.{name}"), &error.to_string(), remedy))
        };
        Ok(SpendConfig {
            day_micro_usd: read("day_usd", &wire.day)?,
            run_ceiling_micro_usd: read("run_ceiling_usd", &wire.run_ceiling)?,
            thread_ceiling_micro_usd: read("thread_ceiling_usd", &wire.thread_ceiling)?,
        })
    }

    fn toolchain(&self, name: &str, wire: ToolchainWire) -> Result<ToolchainConfig, HomeError> {
        for path in &wire.read_only {
            self.absolute(format!("toolchains.{name}.read_only"), path)?;
        }
        for path in &wire.path {
            self.absolute(format!("toolchains.{name}.path"), path)?;
        }
        if let Some(odd) = wire.env.keys().find(|key| key.is_empty() || key.contains(['=', '\0'])) {
            let problem = format!("`{}` is not a name of an environment variable", shown(odd));
            return Err(self.refuse(format!("toolchains.{name}.env"), &problem, "use letters, digits and _"));
        }
        Ok(ToolchainConfig { read_only: wire.read_only, path: wire.path, env: wire.env })
    }
}

impl Config {
    /// Parses and checks the text of `path` (used in messages only).
    pub fn parse(path: &Path, text: &str) -> Result<Self, HomeError> {
        let wire: Wire = toml::from_str(text).map_err(|error| config_syntax::refused(path, text, &error))?;
        let check = Checker { path };
        let mut config = Self { ceilings: wire.limits, sandbox: wire.sandbox, ..Self::default() };
        if let Some((name, _)) = config.ceilings.iter().find(|(_, value)| **value == 0) {
            let field = format!("limits.{}", name.as_str());
            return Err(check.refuse(field, "a ceiling of 0 forbids every run", "write a positive number"));
        }
        config.network = check.network(&wire.network)?;
        config.spend = check.spend(&wire.spend)?;
        for (id, engine) in wire.engines {
            let checked = check.engine(&id, engine)?;
            config.engines.insert(id, checked);
        }
        for (name, toolchain) in wire.toolchains {
            let checked = check.toolchain(&name, toolchain)?;
            config.toolchains.insert(name, checked);
        }
        Ok(config)
    }

    /// The files that keys are read from and the folders that they lie in, with and without links: nothing of
    /// them is for an engine. Where such a folder is the home folder or holds it, the key alone is meant: the
    /// rest is the caller's, and tools lie there.
    #[must_use]
    pub fn key_places(&self) -> Vec<PathBuf> {
        let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
        let named = self.engines.values().filter_map(|engine| match &engine.key {
            Some(KeySource::File(path)) => Some(path.clone()),
            _ => None,
        });
        let files = named.flat_map(|path| path.canonicalize().ok().into_iter().chain([path]));
        files
            .flat_map(|file| {
                let folder = file.parent().map(|folder| folder.canonicalize().unwrap_or(folder.to_owned()));
                let own = folder.filter(|folder| !home.as_ref().is_some_and(|home| home.starts_with(folder)));
                std::iter::once(file).chain(own)
            })
            .collect()
    }

    /// The configuration of one engine; the default when nothing is written.
    #[must_use]
    pub fn engine(&self, id: &EngineId) -> EngineConfig {
        self.engines.get(id).cloned().unwrap_or_default()
    }
}

/// One host's address, spelled canonically; an IPv4 address is written as one.
fn exact_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let of_a_host = !address.is_unspecified() && !address.is_multicast() && !broadcast;
    (of_a_host && address.to_canonical() == address && address.to_string() == text).then_some(address)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
