//! Sandboxes of others that are installed for the measurement, each as it is called for `/bin/true`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{Place, must};
use super::rounds::{Contender, take_turns};
use super::rows::{Goal, Measured, Row, millis};

pub(crate) const NO_SRT: &str = "not measured: scripts/install-srt.sh has not installed it";

/// A call, made anew each time.
pub(crate) type Call = Box<dyn Fn() -> Command>;

fn installed(name: &str) -> Option<PathBuf> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools").join(name);
    tool.is_file().then_some(tool)
}

/// The real Codex, where the tests have installed it.
pub(crate) fn codex(place: &Place) -> Option<Call> {
    let (tool, home) = (installed("codex/codex")?, place.folder("codex"));
    Some(Box::new(move || {
        let mut command = Command::new(&tool);
        command.args(["sandbox", "--", "/bin/true"]).env("CODEX_HOME", &home);
        command
    }))
}

/// Anthropic's sandbox-runtime, which may write in one folder and reach nobody.
pub(crate) fn srt(place: &Place) -> Option<Call> {
    let (tool, home) = (installed("srt/srt")?, place.folder("srt"));
    let settings = format!(
        r#"{{"network":{{"allowedDomains":[],"deniedDomains":[]}},
            "filesystem":{{"denyRead":[],"allowWrite":["{}"],"denyWrite":[]}}}}"#,
        home.display()
    );
    std::fs::write(home.join("settings.json"), settings).unwrap();
    Some(Box::new(move || {
        let mut command = Command::new(&tool);
        command.arg("--settings").arg(home.join("settings.json")).args(["--", "/bin/true"]);
        command.current_dir(&home).env("HOME", &home);
        command
    }))
}

/// `cto sandbox` beside it, both as commands.
pub(crate) fn command(place: &Place) -> Vec<Row> {
    const ROUNDS: usize = 11;
    let measured = srt(place).ok_or(NO_SRT).map(|call| {
        let times = take_turns(
            ROUNDS,
            vec![
                Contender::new("cto sandbox", || drop(must(&mut place.cto(&["sandbox", "--", "/bin/true"])))),
                Contender::new("sandbox-runtime", move || drop(must(&mut call()))),
            ],
        );
        let [ours, peer] = times.try_into().ok().expect("two contenders");
        Measured { ours, peer: "sandbox-runtime", peer_millis: millis(&peer) }
    });
    let what = "`cto sandbox -- /bin/true`, both as commands".to_owned();
    vec![Row { what, goal: Goal::Ratio("1/10", 0.1), rounds: ROUNDS, measured }]
}
