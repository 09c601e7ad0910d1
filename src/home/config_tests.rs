//! `config.toml`: what is read, and what is refused with which words.

use super::*;

fn parse(text: &str) -> Result<Config, HomeError> {
    Config::parse(Path::new("/c/config.toml"), text)
}

#[test]
fn a_whole_file_is_read() {
    let config = parse(
        r#"
        [engines.codex]
        program = "/opt/codex"
        endpoint = "http://127.0.0.1:8080/v1"
        model = "m"
        provider = "openai"
        unpriced = true
        key = { env = "CODEX_KEY" }
        [toolchains.zig]
        read_only = ["/opt/zig"]
        path = ["/opt/zig/bin"]
        env = { ZIG = "1" }
        [limits]
        wall_seconds = 60
        [network]
        allow = ["example.org:443", "[2001:db8::1]:443"]
        addresses = ["10.1.2.3", "fd00::1"]
        [sandbox]
        landlock_abi_at_most = 2
        [spend]
        day_usd = "20"
        thread_ceiling_usd = "0.50"
        "#,
    )
    .unwrap();
    let codex = config.engine(&EngineId::parse("codex").unwrap());
    assert_eq!(codex.key, Some(KeySource::Env("CODEX_KEY".into())));
    assert!(codex.unpriced);
    assert_eq!(codex.provider.as_deref(), Some("openai"));
    let spend = [config.spend.day_micro_usd, config.spend.run_ceiling_micro_usd];
    assert_eq!(spend, [Some(MicroUsd::new(20_000_000)), None]);
    assert_eq!(config.spend.thread_ceiling_micro_usd, Some(MicroUsd::new(500_000)));
    assert_eq!(config.ceilings.get(&LimitName::WallSeconds), Some(&60));
    let allow: Vec<String> = config.network.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["example.org:443", "[2001:db8::1]:443"]);
    assert_eq!(config.network.addresses, ["10.1.2.3", "fd00::1"].map(|text| text.parse().unwrap()).into());
    assert_eq!(config.sandbox.landlock_abi_at_most, Some(2));
    assert_eq!(config.toolchains["zig"].path, [PathBuf::from("/opt/zig/bin")]);
}

#[test]
fn mistakes_name_file_field_and_remedy() {
    for (text, named) in [
        ("[engines.codex]\nprograms = '/x'", "programs"),
        ("[engines.codex]\nprogram = 'codex'", "engines.codex.program"),
        ("[engines.codex]\nendpoint = 'ftp://x'", "engines.codex.endpoint"),
        ("[engines.codex]\nendpoint = 'https://user:pw@x/'", "engines.codex.endpoint"),
        ("[engines.codex]\nkey = { }", "engines.codex.key"),
        ("[engines.codex]\nkey = { env = 'A', file = '/b' }", "engines.codex.key"),
        ("[engines.codex]\nkey = 'plain'", "key"),
        ("[engines.codex]\nkey = { command = ['pass'] }", "engines.codex.key.command"),
        ("[limits]\nwall_seconds = 0", "limits.wall_seconds"),
        ("[limits]\nwall = 1", "wall"),
        ("[sandbox]\nlandlock_abi_at_most = -1", "landlock_abi_at_most"),
        ("[sandbox]\nlandlock_abi_at_least = 3", "landlock_abi_at_least"),
        ("[toolchains.x]\nread_only = ['a']", "toolchains.x.read_only"),
        ("[spend]\nday_usd = 20", "day_usd = 20"),
        ("[spend]\nday_usd = '20,5'", "spend.day_usd"),
        ("[spend]\nrun_ceiling_usd = '-1'", "spend.run_ceiling_usd"),
        ("[spend]\nday = '20'", "day"),
        ("[engines.codex]\nprovider = 'Open AI'", "engines.codex.provider"),
        ("oops = 1", "oops"),
        ("[engines.codex]\nmodel = 'a'\nmodel = 'b'", "model"),
        ("[engines", "line 1"),
        ("[network]\nallow = ['a.example:443', '*.example:443']", "network.allow[1]"),
        ("[network]\nallow = ['a.example:443', 'a.example:443']", "network.allow[1]"),
        ("[network]\nallow = ['localhost:443']", "network.allow[0]"),
        ("[network]\naddresses = ['10.0.0.0/8']", "network.addresses[0]"),
        ("[network]\naddresses = ['10.1.2.3', '0.0.0.0']", "network.addresses[1]"),
        ("[network]\naddresses = ['::ffff:10.1.2.3']", "network.addresses[0]"),
        ("[network]\naddresses = ['224.0.0.1']", "network.addresses[0]"),
        ("[network]\ndeny = []", "deny"),
    ] {
        let error = parse(text).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("/c/config.toml"), "{message}");
        assert!(message.contains(named), "{named}: {message}");
        assert!(message.contains("remedy:"), "{message}");
        assert!(error.is_configuration());
    }
}
