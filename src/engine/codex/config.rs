//! The configuration that codex finds in its private home: quiet, keyless, and pointed at the broker.
//!
//! Each setting is there for something that was measured: without them codex looks up hosts of its own, waits for a
//! network without end, or copies its environment into files. There is no `env_key`, so it sends no key at all.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::adapter::{AdapterError, KeptFiles, PlanInput};

/// The private home; not below the folder for temporary files, where codex refuses to work.
pub(super) const HOME: &str = "/codex-home";
/// Where in it the configuration lies.
pub(super) const FILE: &str = "config.toml";
/// Folder for temporary files (databases included), within the home.
pub(super) const TMP: &str = "/codex-home/tmp";
/// Retries of one request, and of one stream; without a bound codex waits for ever.
const RETRIES: u32 = 2;
/// Milliseconds of silence in a stream before codex gives it up.
const STREAM_SILENCE_MS: u32 = 240_000;

#[derive(Serialize)]
struct Config<'a> {
    model: &'a str,
    model_provider: &'static str,
    check_for_update_on_startup: bool,
    web_search: &'static str,
    sandbox_mode: &'static str,
    // A login shell would reset PATH to the system's and lose the toolchains.
    allow_login_shell: bool,
    analytics: Enabled,
    otel: Otel,
    features: BTreeMap<&'static str, bool>,
    shell_environment_policy: ShellEnvironment<'a>,
    model_providers: BTreeMap<&'static str, Provider>,
    history: History,
    skills: Skills,
    agents: Enabled,
    tools: Tools,
}

/// Codex's own skills are not unpacked: instructions of its maker's about other work than the contract's.
#[derive(Serialize)]
struct Skills {
    bundled: Enabled,
}

/// Nobody would answer the model's questions in a turn, so that it is not offered to ask any.
#[derive(Serialize)]
struct Tools {
    experimental_request_user_input: Enabled,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct Otel {
    metrics_exporter: &'static str,
}

/// What stays off: downloads, remote tools, copies of the environment in files, and all that a run has no leave for
/// whatever its contract says: browsers, the desktop, programs that hooks of the repository name, daemons, and whatever
/// would be remembered or granted without the harness.
const FEATURES_OFF: [&str; 26] = [
    "apps",
    "auth_elicitation",
    "browser_annotation_api",
    "browser_use",
    "browser_use_external",
    "browser_use_full_cdp_access",
    "code_mode_host",
    "code_mode_host_grpc",
    "computer_use",
    "daemon_auto_start",
    "goals",
    "guardian_approval",
    "hooks",
    "image_generation",
    "in_app_browser",
    "memories",
    "plugin_sharing",
    "plugins",
    "remote_plugin",
    "shell_snapshot",
    "skill_mcp_dependency_install",
    "skill_search",
    "tool_call_mcp_elicitation",
    "tool_suggest",
    "unbounded_connection_retries",
    "workspace_dependencies",
];

#[derive(Serialize)]
struct ShellEnvironment<'a> {
    inherit: &'static str,
    set: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Provider {
    name: &'static str,
    base_url: String,
    wire_api: &'static str,
    request_max_retries: u32,
    stream_max_retries: u32,
    stream_idle_timeout_ms: u32,
}

#[derive(Serialize)]
struct History {
    persistence: &'static str,
}

/// What codex needs of its home to resume a thread, and all that it needs: the rollout of that thread.
pub(super) fn kept() -> KeptFiles {
    KeptFiles {
        folder: "sessions".to_owned(),
        named: ("rollout-".to_owned(), ".jsonl".to_owned()),
        copies: "backend/codex/rollout".to_owned(),
    }
}

/// `config.toml` for this run.
pub(super) fn config_toml(input: &PlanInput<'_>, model: &str) -> Result<String, AdapterError> {
    let provider = Provider {
        name: "harness",
        base_url: format!("http://127.0.0.1:{}/v1", input.listener_port),
        wire_api: "responses",
        request_max_retries: RETRIES,
        stream_max_retries: RETRIES,
        stream_idle_timeout_ms: STREAM_SILENCE_MS,
    };
    let config = Config {
        model,
        model_provider: "harness",
        check_for_update_on_startup: false,
        web_search: "disabled",
        sandbox_mode: "danger-full-access",
        allow_login_shell: false,
        analytics: Enabled { enabled: false },
        otel: Otel { metrics_exporter: "none" },
        features: features(input),
        shell_environment_policy: ShellEnvironment { inherit: "none", set: commands_environment(input) },
        model_providers: BTreeMap::from([("harness", provider)]),
        history: History { persistence: "none" },
        skills: Skills { bundled: Enabled { enabled: false } },
        agents: Enabled { enabled: false },
        tools: Tools { experimental_request_user_input: Enabled { enabled: false } },
    };
    toml::to_string(&config)
        .map_err(|error| AdapterError::Unwritable { what: FILE.into(), why: error.to_string() })
}

/// Where a person is asked before some commands, no command that runs already can be fed others: without a terminal,
/// codex closes the standard input of what it starts.
const SESSIONS: &str = "unified_exec_tty";

fn features(input: &PlanInput<'_>) -> BTreeMap<&'static str, bool> {
    let sessions = Some(SESSIONS).filter(|_| !input.contract.ask_first.is_empty());
    FEATURES_OFF.into_iter().chain(sessions).map(|name| (name, false)).collect()
}

/// What the model's commands find in their environment: the toolchains' variables, and what every program expects.
fn commands_environment<'a>(input: &PlanInput<'a>) -> BTreeMap<&'a str, &'a str> {
    let mut set = BTreeMap::from([("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", PATH), ("TMPDIR", "/tmp")]);
    set.extend(input.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    set
}

/// Where programs are found when no toolchain says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where codex itself looks for programs: nowhere. What it would start unasked (`lsb_release` twice, `git` a dozen times, to
/// tell the system and the repository to its provider) takes a fifth of a short run, and stands between what the model asked
/// for in the evidence. Its commands have a PATH of their own, and shells are found without one.
pub(super) const NO_PROGRAMS: &str = "/nonexistent";

/// The environment of codex itself.
pub(super) fn environment(input: &PlanInput<'_>) -> BTreeMap<String, String> {
    let own = [
        ("CODEX_HOME", HOME),
        ("HOME", "/codex-home/home"),
        ("LANG", "C.UTF-8"),
        ("NO_COLOR", "1"),
        ("PATH", NO_PROGRAMS),
        ("TMPDIR", TMP),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    // Of what its commands are given, it shares the way out alone.
    let proxy = input.environment.iter().filter(|(name, _)| is_of_the_proxy(name));
    own.into_iter().chain(proxy.map(|(name, value)| (name.clone(), value.clone()))).collect()
}

fn is_of_the_proxy(name: &str) -> bool {
    ["HTTPS_PROXY", "NO_PROXY"].iter().any(|known| name.eq_ignore_ascii_case(known))
}
