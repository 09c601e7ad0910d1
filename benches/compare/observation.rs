//! What it costs to be observed, beside a C program that does the least that sees as much.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cto_harness::process::PayloadEvent;
use cto_harness::sandbox::{Bind, Purpose, Sandbox, SandboxPolicy, Stdio, StubProgram};
use cto_harness::workspace::RunUid;

use super::place::{Place, must};
use super::rounds::{Contender, Times, take_turns};
use super::rows::{Goal, Measured, Row, millis};
use super::warm::limits;

const TRACER: &str = include_str!("c/tracer.c");
/// Programs that one call executes.
const PROGRAMS: u32 = 200;
/// A difference of two noisy numbers wants many.
const ROUNDS: usize = 181;
/// C files of the project that is built.
const FILES: usize = 12;

/// The overhead of a program, and of a build.
pub(crate) fn observation(place: &Place) -> Vec<Row> {
    let Some(tracer) = compiled(place, "tracer", TRACER) else {
        let why = "not measured: there is no C compiler (`cc`)";
        let row = |what: &str, goal| Row { what: what.to_owned(), goal, rounds: ROUNDS, measured: Err(why) };
        return vec![
            row("observing a program", Goal::Ratio("1.3", 1.3)),
            row("observing `make`", Goal::Ratio("1.05", 1.05)),
        ];
    };
    vec![of_a_program(&tracer), of_a_build(place)]
}

/// A program of the bench itself.
pub(crate) fn compiled(place: &Place, name: &str, text: &str) -> Option<PathBuf> {
    let (source, program) = (place.path(&format!("{name}.c")), place.path(name));
    std::fs::write(&source, text).unwrap();
    let output = Command::new("cc").args(["-O2", "-o"]).args([&program, &source]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

fn of_a_program(tracer: &Path) -> Row {
    let script = format!("for i in {{1..{PROGRAMS}}}; do /bin/true; done");
    let argv = ["bash", "-c", &script];
    let by_tracer = |how: &str| {
        let output = must(Command::new(tracer).arg(how).args(argv));
        Duration::from_micros(String::from_utf8_lossy(&output.stdout).trim().parse().unwrap())
    };
    let mut taken: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    let ours = || inside(&argv, None, true).saturating_sub(inside(&argv, None, false)) / PROGRAMS;
    let peer = || by_tracer("traced").saturating_sub(by_tracer("plain")) / PROGRAMS;
    for round in 0..=ROUNDS {
        let (ours, peer) = (ours(), peer());
        if round > 0 {
            taken[0].push(ours);
            taken[1].push(peer);
        }
    }
    let [ours, peer] = taken;
    let peer = Times::of("a minimal C tracer", peer);
    let measured =
        Measured { ours: Times::of("observed", ours), peer: peer.name, peer_millis: millis(&peer) };
    let what = format!("observing a program (overhead of each of {PROGRAMS})");
    Row { what, goal: Goal::Ratio("1.3", 1.3), rounds: ROUNDS, measured: Ok(measured) }
}

fn of_a_build(place: &Place) -> Row {
    let project = place.path("project");
    std::fs::create_dir(&project).unwrap();
    let mut objects = String::new();
    for n in 0..FILES {
        let includes = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n";
        let mut body = String::new();
        for f in 0..60 {
            let line = "char b[64]; snprintf(b, 64, \"%d\", x); return (int)strlen(b)";
            writeln!(body, "int f{n}_{f}(int x) {{ {line} + {f}; }}").unwrap();
        }
        std::fs::write(project.join(format!("u{n}.c")), format!("{includes}{body}")).unwrap();
        write!(objects, " u{n}.o").unwrap();
    }
    std::fs::write(project.join("main.c"), "int f0_0(int);\nint main(void) { return f0_0(1) != 1; }\n")
        .unwrap();
    let rules = format!(
        "O = /tmp/o\nall: $(O)/app\n$(O)/%.o: %.c\n\tcc -O1 -c -o $@ $<\n$(O)/app: $(addprefix $(O)/,main.o{objects})\n\tcc -o $@ $^\n"
    );
    std::fs::write(project.join("Makefile"), rules).unwrap();
    let script = "mkdir /tmp/o && make -s -C /project";
    let build = |observed: bool| {
        let project = project.clone();
        move || {
            inside(&["bash", "-c", script], Some(&project), observed);
        }
    };
    let mut times = take_turns(
        9,
        vec![Contender::new("observed", build(true)), Contender::new("not observed", build(false))],
    );
    let (peer, ours) = (times.pop().unwrap(), times.pop().unwrap());
    let measured = Measured { ours, peer: peer.name, peer_millis: millis(&peer) };
    let what = format!("`make` of {} C files, observed", FILES + 1);
    Row { what, goal: Goal::Ratio("1.05", 1.05), rounds: 9, measured: Ok(measured) }
}

/// Wall time inside, from the word to go to the end, as PID 1 takes it.
fn inside(argv: &[&str], project: Option<&Path>, observed: bool) -> Duration {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let folder = tempfile::tempdir().unwrap();
    let lease = RunUid::claim_by_hand(folder.path()).unwrap();
    let mut policy = SandboxPolicy::new(Purpose::ByHand, argv, lease.uid(), limits());
    policy.observed = observed;
    policy.read_only.extend(project.map(|path| Bind::new(path, "/project")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stub = StubProgram::At(env!("CARGO_BIN_EXE_cto-stub").into());
        let mut payload = Sandbox::establish_with(policy, &stub).unwrap().start(Stdio::PipedNoInput).unwrap();
        let mut seen = 0;
        loop {
            match payload.next().await {
                PayloadEvent::Exited(exit) => {
                    assert!(exit.success() && (seen > 0) == observed, "{exit:?} {seen}");
                    return Duration::from_micros(exit.micros);
                }
                PayloadEvent::Seen(_) => seen += 1,
                PayloadEvent::Line { bytes, .. } => panic!("{}", String::from_utf8_lossy(&bytes)),
                PayloadEvent::LimitReached { name, .. } => panic!("{name:?}"),
            }
        }
    })
}
