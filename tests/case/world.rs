//! The world in which a run happens: a small repository, the two programs, and facts in which every gate passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cto_harness::contract::{NoFiles, SealedContract, WireSource, parse};
use cto_harness::eligibility::{
    AdmissionFacts, AuthorityFacts, ConformanceFacts, Criticality, EngineFacts, Facts, LicenceFacts,
    Observed, Ownership, ProgramFacts, ProofFacts, RegistryFacts, Requester, SpendFacts, TargetFacts,
};
use cto_harness::engine::{Catalog, ProgramStore, StoredProgram};
use cto_harness::home::Home;
use cto_harness::sandbox::StubProgram;
use cto_harness::vocab::{Digest, EngineId, MutationMode, Stage, Timestamp};
use cto_harness::workspace::{Base, import_fixture};
use serde_json::json;

use crate::bench::{Asked, MODEL};

/// The artificial engine, built by cargo as an example of this package.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let me = std::env::current_exe().unwrap();
        let built = me.ancestors().nth(2).unwrap().join("examples/artificial-case");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        cargo.args(["build", "--offline", "--quiet", "--example", "artificial-case"]);
        // What cargo tells this test about its package is not to be told to the builds of others: they would begin anew.
        let told =
            ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_", "OUT_DIR"];
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| told.iter().any(|begin| name.starts_with(begin))) {
                cargo.env_remove(name);
            }
        }
        let done = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(done.success() && built.is_file(), "{}", built.display());
        built
    };
    BUILT.get_or_init(build).clone()
}

/// The one that cargo built with this test.
pub fn stub() -> StubProgram {
    StubProgram::At(PathBuf::from(env!("CARGO_BIN_EXE_cto-stub")))
}

fn contract(asked: &Asked, folder: &Path) -> SealedContract {
    let odd: Vec<String> = asked.odd.iter().map(|line| format!("artificial: {line}")).collect();
    let document = json!({
        "contract_version": "1", "task_id": "fix-the-sum", "title": "Make sum add",
        "instructions": format!("`sum` subtracts. Make it add.\n{}\n", odd.join("\n")), "target_repository": "repo",
        "authority_basis": {"kind": "task-contract", "reference": "a test"}, "risk_class": "RESTRICTED",
        "mutation_mode": "copied-fixture", "allowed_paths": ["src/**"], "forbidden_actions": asked.forbidden,
        "approval_required": false, "engine": "case", "limits": {"wall_seconds": asked.wall_seconds, "grace_seconds": 2},
        "verification_commands": [{"run": ["sh", "tests/run.sh"], "timeout": 30, "expect": "fail-to-pass"}],
        "evidence_expectations": [{"patch": "non-empty"}],
    });
    let source = WireSource::from_bytes(None, document.to_string().into_bytes()).unwrap();
    parse(&source, Some(folder), &NoFiles).unwrap_or_else(|error| panic!("{error}"))
}

fn seen(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn engine_facts(program: &StoredProgram, adapter: Digest) -> EngineFacts {
    EngineFacts {
        gated: true,
        adapter,
        program: Observed::Seen(ProgramFacts { digest: program.digest, version: None }),
        model: Some(MODEL.to_owned()),
        documents: false,
        spend: SpendFacts::UnpricedLoopback,
        enabled: true,
        enabling_problem: None,
        proof: Some(Observed::Seen(ProofFacts {
            record: seen("gate record"),
            expires_at: Timestamp::now().plus_seconds(3_600).unwrap(),
            promotions: Vec::new(),
            held: None,
        })),
        covered: None,
        stage: Stage::CopiedFixture,
        conformance: Observed::Seen(ConformanceFacts {
            record: seen("conformance"),
            adapter,
            program: program.digest,
            evidence_interface: true,
            adapter_contract: true,
        }),
        admission: Observed::Seen(AdmissionFacts { record: seen("admission"), program: program.digest }),
        licence: Observed::Seen(LicenceFacts {
            record: seen("licence"),
            widest_mode: MutationMode::CopiedFixture,
            expires_at: None,
        }),
    }
}

/// The facts of a world in which the engine has everything.
fn facts(
    home: &Home,
    contract: &SealedContract,
    base: &Base,
    program: &StoredProgram,
    adapter: Digest,
) -> Facts {
    let engine = engine_facts(program, adapter);
    let limits = contract.task().limits.clone();
    Facts {
        named_engine: Some(case()),
        learning: false,
        checking: false,
        proving: false,
        target: Observed::Seen(TargetFacts {
            identity: "/fixture".to_owned(),
            commit: base.commit.clone(),
            tree: base.tree.clone(),
            is_fixture: true,
            dirt: Some(Vec::new()),
            unreadable_forms: Vec::new(),
        }),
        target_remedy: String::new(),
        registry: Observed::Seen(RegistryFacts {
            ownership: Ownership::Sandbox,
            owner: Some("tests".to_owned()),
            criticality: Some(Criticality::Noncritical),
        }),
        authority: Observed::Seen(AuthorityFacts { digest: seen("authority") }),
        engines: BTreeMap::from([(case(), engine)]),
        host: Observed::Seen(cto_harness::sandbox::probe_with(home, &stub()).unwrap()),
        provisions: BTreeMap::new(),
        policy: seen("policy"),
        ceilings: limits,
        network_allow: std::collections::BTreeSet::new(),
        spend_ceilings: contract.task().spend,
        requester: Requester {
            account: "tests".to_owned(),
            principal: None,
            owns_principals: false,
            is_root: false,
        },
        approvals: Vec::new(),
        approval_errors: Vec::new(),
        gathered_at: Timestamp::now(),
    }
}

pub fn case() -> EngineId {
    EngineId::parse("case").unwrap()
}

/// A small repository with a sum that subtracts.
fn repository(at: &Path) {
    for folder in ["src", "tests"] {
        std::fs::create_dir_all(at.join(folder)).unwrap();
    }
    std::fs::write(at.join("src/sum.sh"), "echo $(( $1 - $2 ))\n").unwrap();
    let test = "[ \"$(sh src/sum.sh 2 3)\" = 5 ] && echo ok\n";
    std::fs::write(at.join("tests/run.sh"), test).unwrap();
}

/// Where an installation lies inside, and what of it a runtime is given.
pub const INSTALLATION: &str = "/engine/installation";
pub const ENTRY: &str = "/engine/installation/src/index.ts";

/// An installation whose runtime is a shell: what it is given hands on to the artificial engine in it.
fn installation(root: &Path) -> PathBuf {
    let dir = root.join("installation");
    std::fs::create_dir_all(dir.join("src")).unwrap();
    std::fs::copy(program(), dir.join("artificial-case")).unwrap();
    std::fs::write(dir.join("src/index.ts"), format!("exec {INSTALLATION}/artificial-case \"$@\"\n"))
        .unwrap();
    dir
}

/// Everything that is there before a decision.
pub struct Place {
    pub home: Home,
    pub folder: PathBuf,
    pub base: Base,
    pub contract: SealedContract,
    pub facts: Facts,
    pub program: StoredProgram,
    /// The folder of the installation, where there is one.
    pub installation: Option<PathBuf>,
}

pub fn place(asked: &Asked, root: &Path) -> Place {
    let repo = root.join("repo");
    repository(&repo);
    let home = Home::at(&root.join("home")).unwrap();
    let base = import_fixture(&repo, &root.join("fixtures.git")).unwrap().base();
    let folder = root.join("run");
    std::fs::create_dir(&folder).unwrap();
    let contract = contract(asked, root);
    let installation = asked.runtime.then(|| installation(root));
    let source = if asked.runtime { PathBuf::from("/bin/sh").canonicalize().unwrap() } else { program() };
    let program = ProgramStore::at(home.programs_dir()).admit(&source).unwrap();
    let catalog = Catalog::load(None).unwrap();
    let manifest = catalog.get(&case()).unwrap();
    let facts = facts(&home, &contract, &base, &program, manifest.digest);
    Place { home, folder, base, contract, facts, program, installation }
}
