//! Modules in whole runs: catalog, decision, sandbox, engine, verification, bundle. Everything is as in any run but for
//! what an installed engine has earned, which is put into the facts here.

use std::path::{Path, PathBuf};

use super::*;
use crate::eligibility::{AdmissionFacts, ConformanceFacts, LicenceFacts, ProofFacts};
use crate::engine::component::tests::made::{module, words};
use crate::engine::component::tests::sample_tests::sample;
use crate::engine::{InstallError, InstalledEngines};
use crate::home::{RegisteredOwnership, RepoEntry};
use crate::verify::{CheckState, Expect, verify};
use crate::vocab::{Digest, MutationMode, Stage, Verdict};

struct Quiet;

impl Observer for Quiet {
    fn progress(&mut self, _: Progress) {}
}

/// An installation with one engine of somebody else's, and a task.
struct Bench {
    root: tempfile::TempDir,
    home: Home,
    id: EngineId,
}

const MANIFEST: &str = "display = \"x\"\ngated = false\nadapter = \"component\"\nspends = false\n
    [program]\ndiscover = \"configured\"\nname = \"x\"\nform = \"native\"\n";

impl Bench {
    fn new(id: &str, module: &[u8], program: &Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(&root.path().join("home")).unwrap();
        let folder = root.path().join("module");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("engine.toml"), format!("id = \"{id}\"\n{MANIFEST}")).unwrap();
        std::fs::write(folder.join("adapter.wasm"), module).unwrap();
        let program = program.canonicalize().unwrap();
        let config = format!("[engines.{id}]\nprogram = \"{}\"\n", program.display());
        std::fs::write(home.config().join("config.toml"), config).unwrap();
        Self { root, home, id: EngineId::parse(id).unwrap() }
    }

    fn install(&self) -> Result<(), InstallError> {
        let engines = InstalledEngines::of(&self.home);
        engines.place(&engines.read(&[self.root.path().join("module")])?, "0:test")
    }

    /// One that passes every trial, so that what it does later is seen later.
    fn installed(self) -> Self {
        self.install().unwrap();
        self
    }

    /// A fixture whose check passes when the word is mended.
    fn task(&self, instructions: &str) -> PathBuf {
        let folder = self.root.path().join("task");
        std::fs::create_dir_all(folder.join("repo/notes")).unwrap();
        std::fs::write(folder.join("repo/notes/a.txt"), "teh end\n").unwrap();
        std::fs::write(folder.join("repo/check.sh"), "grep -q 'the end' notes/a.txt\n").unwrap();
        let contract = format!(
            "contract_version = \"1\"\ntask_id = \"t\"\ntitle = \"t\"\ninstructions = '''{instructions}'''
             target_repository = \"repo\"\nauthority_basis = {{ kind = \"task-contract\", reference = \"T-1\" }}
             risk_class = \"RESTRICTED\"\nmutation_mode = \"copied-fixture\"\nallowed_paths = [\"notes/\"]
             forbidden_actions = [\"git.push\"]\napproval_required = false\nengine = \"{}\"
             verification_commands = [{{ run = \"sh check.sh\", timeout = 30, expect = \"fail-to-pass\" }}]
             evidence_expectations = [{{ verification = \"all\" }}]
             limits = {{ grace_seconds = 1 }}\n",
            self.id
        );
        std::fs::write(folder.join("contract.toml"), contract).unwrap();
        let repo = RepoEntry {
            path: folder.join("repo").canonicalize().unwrap(),
            url: None,
            ownership: RegisteredOwnership::Sandbox,
            owner: Some("Ada".to_owned()),
            criticality: None,
            protected: None,
        };
        self.home.update_registry(|registry| registry.put(repo)).unwrap();
        folder
    }

    fn run(&self, instructions: &str, earned: bool) -> RunOutcome {
        let request = RunRequest {
            input: ContractInput::Path(self.task(instructions)),
            cwd: self.root.path().to_owned(),
            engine: Some(self.id.clone()),
            out: Some(self.root.path().join("bundles")),
            wait: false,
            learn: false,
        };
        let outcome = block_on(told(&self.home, &request, &self.id, earned)).unwrap();
        let trust = self.home.trust().unwrap();
        let checked = verify(&outcome.bundle, &trust, &Expect::default(), Timestamp::now()).unwrap();
        let wrong = |state| matches!(state, CheckState::Failed | CheckState::Untrusted);
        let wrong: Vec<_> = checked.checks.iter().filter(|check| wrong(check.state)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        outcome
    }
}

/// `tell`, with the facts of one engine as if it had earned them.
async fn told(
    home: &Home,
    request: &RunRequest,
    id: &EngineId,
    earned: bool,
) -> Result<RunOutcome, RunError> {
    let mut observer = Quiet;
    let stop = Stop::listen().map_err(RecordError::Loop)?;
    let (probing, settings) = (Probing::begin(home), Settings::read(home)?);
    let asked = Asked::seal(home, request, &settings.ceilings)?;
    let scanner = Arc::new(Scanner::embedded());
    let mut scene = Scene::look(home, request, settings, asked, RunId::new(), probing)?;
    if earned {
        earn(&mut scene, id);
    }
    stop.recording_begins();
    let redact: Redactor = scanner.clone();
    let mut recording = Recording::begin(home, &scene, request, redact, &mut observer)?;
    let (earlier, mut lease) = (Earlier::default(), None);
    let mut told = Told::new(earlier.started());
    let begun = Begun { home, request, scanner: &scanner, stop: &stop, earlier: &earlier };
    let (document, _) = attempt(&begun, &mut scene, &mut lease, &mut recording, &mut told).await?;
    conclude(home, &scene, &document, told, &stop, recording)
}

fn earn(scene: &mut Scene, id: &EngineId) {
    let facts = scene.facts.engines.get_mut(id).unwrap();
    let Observed::Seen(program) = facts.program.clone() else { panic!("{:?}", facts.program) };
    assert!(facts.gated, "whatever its manifest writes");
    let record = Digest::of(b"record");
    facts.enabled = true;
    facts.stage = Stage::CopiedFixture;
    let expires_at = Timestamp::now().plus_seconds(3600).unwrap();
    facts.proof =
        Some(Observed::Seen(ProofFacts { record, expires_at, promotions: vec![record], held: None }));
    facts.conformance = Observed::Seen(ConformanceFacts {
        record,
        adapter: facts.adapter,
        program: program.digest,
        evidence_interface: true,
        adapter_contract: true,
    });
    facts.admission = Observed::Seen(AdmissionFacts { record, program: program.digest });
    facts.licence =
        Observed::Seen(LicenceFacts { record, widest_mode: MutationMode::CopiedFixture, expires_at: None });
}

fn codes(outcome: &RunOutcome) -> Vec<&str> {
    outcome.reasons.iter().map(|reason| reason.code.as_str()).collect()
}

fn report(outcome: &RunOutcome) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(outcome.bundle.join("report.json")).unwrap()).unwrap()
}

fn of_the_sample() -> Option<Bench> {
    let folder = sample()?;
    let module = std::fs::read(folder.join("adapter.wasm")).unwrap();
    Some(Bench::new("wordy", &module, &folder.join("wordy")).installed())
}

#[test]
fn an_engine_of_somebody_elses_does_a_task_from_contract_to_bundle() {
    let Some(bench) = of_the_sample() else { return };
    let outcome = bench.run("Mend the spelling.\nreplace teh the", true);
    assert_eq!((outcome.verdict, codes(&outcome)), (Verdict::Pass, Vec::new()), "{:#?}", outcome.reasons);
    let report = report(&outcome);
    assert_eq!(report["sections"]["engine"]["adapter_version"], "component/1", "{report:#}");
    let events = std::fs::read_to_string(outcome.bundle.join("events.normalized.jsonl")).unwrap();
    let recommended = events.lines().find(|line| line.contains("\"recommendation\"")).unwrap();
    assert!(recommended.contains("\"claimed\"") && recommended.contains("\"evidence.claimed\""));
    let patch = std::fs::read_to_string(outcome.bundle.join("patch.diff")).unwrap();
    assert!(patch.contains("+the end"), "{patch}");
}

#[test]
fn an_installed_engine_that_has_earned_nothing_is_blocked_by_every_gate_that_it_lacks() {
    let Some(bench) = of_the_sample() else { return };
    let outcome = bench.run("replace teh the", false);
    assert_eq!(outcome.verdict, Verdict::Blocked);
    let codes = codes(&outcome).join(" ");
    for gate in
        ["engine.program", "engine.enabled", "engine.adapter-contract", "engine.stage", "source.admission"]
    {
        assert!(codes.contains(gate), "{gate} is not in {codes}");
    }
    assert!(!outcome.bundle.join("backend/stdout.log").exists(), "nothing was started");
}

#[test]
fn a_check_that_the_sample_boasts_of_and_never_ran_fails_the_run() {
    let Some(bench) = of_the_sample() else { return };
    let outcome = bench.run("replace teh the\nboast sh check.sh", true);
    assert_eq!(outcome.verdict, Verdict::Fail, "{:#?}", outcome.reasons);
    assert!(codes(&outcome).contains(&"claim.contradicted"), "{:?}", outcome.reasons);
}

/// The module answers everything in order but for one call.
fn hostile(call: &str, body: &str, data: &str) -> Bench {
    Bench::new("hostile", &module(&[(call, body)], data), Path::new("/bin/true")).installed()
}

#[test]
fn a_module_that_misbehaves_at_work_blocks_its_run_by_name_and_the_next_one_goes_on() {
    // While it is tried, no engine says a line; this one says one.
    for (body, code) in [
        ("unreachable", "engine.adapter-trap"),
        ("(loop $l (br $l)) unreachable", "engine.adapter-fuel"),
        ("(drop (memory.grow (i32.const 65000))) i32.const 4096", "engine.adapter-memory"),
        ("i32.const -4", "engine.adapter-garbage"),
        ("i32.const 1024", "engine.adapter-output"),
    ] {
        let data = format!("(data (i32.const 1024) \"{}\")", words(&[0, 1_200]));
        let bytes = module(&[("on-line", body)], &data);
        let bench = Bench::new("hostile", &bytes, Path::new("/bin/uname")).installed();
        let outcome = bench.run("x", true);
        assert_eq!(outcome.verdict, Verdict::Blocked, "{code}: {:#?}", outcome.reasons);
        let reason = outcome.reasons.iter().find(|reason| reason.code == code);
        let reason = reason.unwrap_or_else(|| panic!("{code}: {:#?}", outcome.reasons));
        assert!(!reason.remedy.is_empty() && reason.sentence.contains("hostile"), "{reason:?}");
        // What the engine said is not lost with its adapter.
        assert!(std::fs::read(outcome.bundle.join("backend/stdout.log")).unwrap().starts_with(b"Linux"));
    }
}

#[test]
fn a_module_without_a_plan_blocks_its_run_by_name() {
    // A plan for the task of the trial, and for no other: the instructions' length tells them apart.
    let body = "(if (i32.lt_u (local.get 5) (i32.const 20)) (then unreachable)) i32.const 4096";
    let bench = hostile("plan", body, "");
    let outcome = bench.run("x", true);
    assert_eq!((outcome.verdict, codes(&outcome)[0]), (Verdict::Blocked, "engine.adapter-trap"));
    assert!(!outcome.bundle.join("backend/stdout.log").exists(), "nothing was started");
}

#[test]
fn what_a_plan_lays_out_is_found_where_the_page_says() {
    let data = [
        (1024, words(&[0, 2048, 2, 0, 0, 1, 0, 0, 2100, 1, 2200, 1])),
        (2048, words(&[3000, 15, 3100, 4])),
        (2100, words(&[3100, 4, 3200, 5])),
        (2200, words(&[3014, 1, 3300, 7])),
        (3000, "/engine/files/s".to_owned()),
        (3100, "note".to_owned()),
        (3200, "hello".to_owned()),
        (3300, "sealed ".to_owned()),
    ];
    let data: Vec<String> =
        data.iter().map(|(at, text)| format!("(data (i32.const {at}) \"{text}\")")).collect();
    let bytes = module(&[("plan", "i32.const 1024")], &data.join(" "));
    let bench = Bench::new("hostile", &bytes, Path::new("/bin/cat")).installed();
    let outcome = bench.run("x", true);
    let said = std::fs::read_to_string(outcome.bundle.join("backend/stdout.log")).unwrap();
    assert_eq!(said, "sealed hello\n", "{:#?}", outcome.reasons);
}

#[test]
fn a_lie_about_the_end_is_held_against_the_kernels_word() {
    // It says "completed", and the program ended with 1.
    let bench = Bench::new("hostile", &module(&[], ""), Path::new("/bin/false")).installed();
    let outcome = bench.run("x", true);
    assert_eq!(outcome.verdict, Verdict::Fail);
    let crashed = outcome.reasons.iter().find(|reason| reason.code == "engine.crashed").unwrap();
    assert!(crashed.sentence.contains("says that it completed, but ended with exited:1"), "{crashed:?}");
}

#[test]
fn a_module_that_changed_after_the_decision_is_not_loaded() {
    let bench = Bench::new("hostile", &module(&[], ""), Path::new("/bin/true")).installed();
    let catalog = crate::engine::Catalog::load(Some(&bench.home.engines_dir())).unwrap();
    let manifest = catalog.get(&bench.id).unwrap();
    let file = manifest.component.as_ref().unwrap();
    assert!(file.load().is_ok());
    let path = bench.home.engines_dir().join("hostile/adapter.wasm");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, module(&[("plan", "unreachable")], "")).unwrap();
    assert_eq!(file.load().unwrap_err().kind.code(), "engine.adapter-load");
    let again = crate::engine::Catalog::load(Some(&bench.home.engines_dir())).unwrap();
    assert_ne!(again.get(&bench.id).unwrap().digest, manifest.digest, "a bound fact has changed");
}

#[test]
fn what_misbehaves_while_it_is_tried_is_not_installed() {
    for (call, body) in
        [("plan", "unreachable"), ("opening", "(loop $l (br $l)) unreachable"), ("conclude", "i32.const -8")]
    {
        let bench = Bench::new("hostile", &module(&[(call, body)], ""), Path::new("/bin/true"));
        assert!(matches!(bench.install(), Err(InstallError::Module(_))), "{call}");
        assert!(!bench.home.engines_dir().exists());
    }
}
