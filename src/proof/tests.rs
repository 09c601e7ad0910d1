//! Records that were altered, signers who do not count, installations that are not what was admitted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::approval::{Principal, Principals, Role};
use crate::eligibility::Observed;
use crate::home::{Accounts, Trust};
use crate::vocab::{
    Digest, EngineId, GitId, MutationMode, PrincipalName, PublicKey, RunId, SealingKey, Stage, Timestamp,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000).unwrap().plus_seconds(seconds).unwrap()
}

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

fn case() -> EngineId {
    EngineId::parse("case").unwrap()
}

struct World {
    principals: Principals,
    accounts: Accounts,
    trust: Trust,
    ops: SealingKey,
    sealing: PublicKey,
}

impl World {
    fn new() -> Self {
        let ops = SealingKey::generate().unwrap();
        let mut world = Self {
            principals: Principals::default(),
            accounts: Accounts::default(),
            trust: Trust::default(),
            sealing: SealingKey::generate().unwrap().public(),
            ops,
        };
        let key = world.ops.public();
        world.principals.add(principal("ops", key, &[Role::Operate, Role::Approve])).unwrap();
        world
    }

    fn at(&self, seconds: i64) -> HeldAgainst<'_> {
        HeldAgainst {
            principals: &self.principals,
            accounts: &self.accounts,
            trust: &self.trust,
            sealing_key: &self.sealing,
            now: at(seconds),
        }
    }
}

fn principal(called: &str, key: PublicKey, roles: &[Role]) -> Principal {
    Principal {
        name: name(called),
        roles: roles.iter().copied().collect::<BTreeSet<_>>(),
        accounts: Vec::new(),
        valid_from: None,
        valid_until: None,
        keys: vec![key],
    }
}

fn gate() -> GateRecord {
    GateRecord {
        engine: case(),
        opened_at: at(0),
        stages: vec![
            StageRule { stage: Stage::CopiedFixture, bundles: 1 },
            StageRule { stage: Stage::SandboxRepo, bundles: 3 },
        ],
        promoters: Vec::new(),
        expires_at: at(1_000),
    }
}

fn wrong(answer: Result<(), String>, part: &str) {
    let why = answer.unwrap_err();
    assert!(why.contains(part), "{part}: {why}");
}

#[test]
fn a_record_counts_with_the_signature_of_one_who_may_and_every_altered_byte_ends_it() {
    let world = World::new();
    let signed = sign(gate(), &name("ops"), &world.ops).unwrap();
    assert_eq!(signed.holds(&case(), &world.at(1)), Ok(()));
    let text = String::from_utf8(signed.render().unwrap()).unwrap();
    for (from, to) in [
        ("\"copied-fixture\"", "\"none\""),
        ("\"bundles\": 3", "\"bundles\": 2"),
        ("\"promoters\": []", "\"promoters\": [\n      \"ops\"\n    ]"),
        ("\"by\": \"ops\"", "\"by\": \"eve\""),
        ("\"engine\": \"case\"", "\"engine\": \"cake\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let holds =
            Signed::<GateRecord>::parse(changed.as_bytes()).and_then(|one| one.holds(&case(), &world.at(1)));
        assert!(holds.is_err(), "{to}");
    }
    let bytes = text.as_bytes();
    for index in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[index] ^= 1;
        let holds = Signed::<GateRecord>::parse(&changed).and_then(|one| one.holds(&case(), &world.at(1)));
        assert!(holds.is_err(), "byte {index} of {text}");
    }
}

#[test]
fn strangers_other_roles_other_times_and_the_sealing_key_sign_nothing_that_counts() {
    let mut world = World::new();
    let signed = sign(gate(), &name("ops"), &world.ops).unwrap();
    let holds = |world: &World| signed.holds(&case(), &world.at(1));
    assert_eq!(holds(&world), Ok(()));
    wrong(signed.holds(&EngineId::codex(), &world.at(1)), "about the engine `case`");
    wrong(signed.holds(&case(), &world.at(-1)), "a time to come");
    world.sealing = world.ops.public();
    wrong(holds(&world), "the sealing key");
    world.sealing = SealingKey::generate().unwrap().public();
    let was = world.principals.remove(&name("ops")).unwrap();
    wrong(holds(&world), "is not a principal");
    for (change, part) in [
        (
            (|p| p.keys = vec![SealingKey::generate().unwrap().public()]) as fn(&mut Principal),
            "a key that is not one of",
        ),
        (|p| p.roles = [Role::Approve, Role::Submit].into(), "does not have role `operate`"),
        (|p| p.valid_until = Some(at(1)), "is not valid at"),
        (|p| (p.valid_from, p.valid_until) = (Some(at(1)), None), "is not valid at"),
    ] {
        let mut other = was.clone();
        change(&mut other);
        world.principals.add(other).unwrap();
        wrong(holds(&world), part);
        world.principals.remove(&name("ops")).unwrap();
    }
    world.principals.add(was).unwrap();
    assert_eq!(holds(&world), Ok(()), "and again");
    // The signature of one kind is none for another, however alike the bytes are.
    let note = EnablingRecord { engine: case(), said_at: at(0), tree_digest: Digest::of(b""), enabled: true };
    let mut other = sign(note, &name("ops"), &world.ops).unwrap();
    other.signature = signed.signature;
    wrong(other.holds(&case(), &world.at(1)), "was altered");
}

#[test]
fn records_that_make_no_sense_are_not_signed() {
    let world = World::new();
    let refused = |record: GateRecord, part: &str| {
        let why = sign(record, &name("ops"), &world.ops).unwrap_err().to_string();
        assert!(why.contains(part), "{part}: {why}");
    };
    refused(GateRecord { expires_at: at(0), ..gate() }, "ends before it begins");
    refused(GateRecord { stages: Vec::new(), ..gate() }, "no stage");
    let rule = |stage, bundles| StageRule { stage, bundles };
    for (stages, part) in [
        (vec![rule(Stage::DefaultDeny, 1)], "does not come after"),
        (vec![rule(Stage::SandboxRepo, 1), rule(Stage::CopiedFixture, 1)], "does not come after"),
        (vec![rule(Stage::CopiedFixture, 2)], "there is one"),
        (vec![rule(Stage::CopiedFixture, 1), rule(Stage::SandboxRepo, 0)], "takes 1 to"),
        (vec![rule(Stage::CopiedFixture, 1), rule(Stage::SandboxRepo, 65)], "takes 1 to"),
    ] {
        refused(GateRecord { stages, ..gate() }, part);
    }
    let note = |spdx: &str, decision: Option<&str>, expires_at| LicenceNote {
        engine: case(),
        noted_at: at(0),
        tree_digest: Digest::of(b""),
        spdx: spdx.to_owned(),
        decision: decision.map(str::to_owned),
        widest_mode: MutationMode::CopiedFixture,
        expires_at,
    };
    assert!(note("Apache-2.0", None, None).well_formed().is_ok());
    assert!(note("MIT OR x", None, None).well_formed().is_err());
    assert!(note("NOASSERTION", Some("for tests"), None).well_formed().unwrap_err().contains("has to end"));
    assert!(note("NOASSERTION", Some("for tests"), Some(at(9))).unresolved().is_none());
    assert!(note("NOASSERTION", None, None).unresolved().unwrap().contains("no operator decided"));
    assert!(note("MIT", None, None).unresolved().is_none());
}

#[test]
fn evidence_is_of_different_fixtures() {
    let bundle = |n: u8| EvidenceRef {
        root: Digest::of(&[n]),
        run_id: RunId::new(),
        contract: Digest::of(&[n, 1]),
        base_tree: GitId::new(format!("{n:040x}")).unwrap(),
    };
    let promotion = |evidence: Vec<EvidenceRef>| PromotionRecord {
        engine: case(),
        promoted_at: at(0),
        from: Stage::CopiedFixture,
        to: Stage::SandboxRepo,
        gate: Digest::of(b"g"),
        admission: Digest::of(b"a"),
        program: Digest::of(b"p"),
        adapter: Digest::of(b"x"),
        evidence,
    };
    assert!(promotion(vec![bundle(1), bundle(2)]).well_formed().is_ok());
    wrong(promotion(vec![bundle(1), bundle(1)]).well_formed(), "the same root");
    wrong(
        promotion(vec![bundle(1), EvidenceRef { contract: bundle(1).contract, ..bundle(2) }]).well_formed(),
        "contract",
    );
    wrong(
        promotion(vec![bundle(1), EvidenceRef { base_tree: bundle(1).base_tree, ..bundle(2) }]).well_formed(),
        "tree",
    );
    wrong(
        PromotionRecord { from: Stage::SandboxRepo, ..promotion(Vec::new()) }.well_formed(),
        "does not come after",
    );
}

/// A small installation: a program, a file, a folder, a link.
fn installation(root: &Path) {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::write(root.join("bin/ca"), b"\x7fELFprogram").unwrap();
    fs::set_permissions(root.join("bin/ca"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(root.join("src/index.ts"), "entry").unwrap();
    symlink("../../bin/ca", root.join("src/deep/ca")).unwrap();
}

fn admission(root: &Path) -> AdmissionRecord {
    let files = look(root).unwrap();
    AdmissionRecord {
        engine: case(),
        admitted_at: at(0),
        origin: "https://example.org/case.git".to_owned(),
        commit: GitId::new("1".repeat(40)).unwrap(),
        tree: GitId::new("2".repeat(40)).unwrap(),
        runtime: "none".to_owned(),
        installation: root.display().to_string(),
        program: "bin/ca".to_owned(),
        entry: Some("src/index.ts".to_owned()),
        tree_digest: tree_digest(&files).unwrap(),
        files,
    }
}

#[test]
fn a_changed_added_or_missing_byte_mode_or_name_is_seen_and_the_copy_is_made_again() {
    let place = tempfile::tempdir().unwrap();
    let (root, store) = (place.path().join("inst"), InstallationStore::at(place.path().join("store")));
    installation(&root);
    let record = admission(&root);
    assert_eq!(record.well_formed(), Ok(()));
    let copy = store.hold(&root, &record).unwrap();
    assert_eq!(fs::read(copy.join("src/deep/ca")).unwrap(), b"\x7fELFprogram");
    assert_eq!(fs::metadata(copy.join("bin/ca")).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(fs::metadata(copy.join("src/index.ts")).unwrap().permissions().mode() & 0o7777, 0o444);
    assert_eq!(fs::metadata(copy.join("src")).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(store.hold(&root, &record).unwrap(), copy);

    let differs = |part: &str| {
        let why = store.hold(&root, &record).unwrap_err().to_string();
        assert!(why.contains(part), "{part}: {why}");
    };
    fs::write(root.join("src/index.ts"), "entrY").unwrap();
    differs("`src/index.ts` was changed");
    fs::write(root.join("src/index.ts"), "entry").unwrap();
    fs::write(root.join("src/new"), "").unwrap();
    differs("`src/new` was added");
    fs::remove_file(root.join("src/new")).unwrap();
    fs::rename(root.join("src/index.ts"), place.path().join("away")).unwrap();
    differs("`src/index.ts` is missing");
    fs::rename(place.path().join("away"), root.join("src/index.ts")).unwrap();
    fs::set_permissions(root.join("src/index.ts"), fs::Permissions::from_mode(0o755)).unwrap();
    differs("`src/index.ts` has another mode");
    fs::set_permissions(root.join("src/index.ts"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.hold(&root, &record).unwrap(), copy, "it was that");

    // The copy is not believed either.
    fs::set_permissions(copy.join("src"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(copy.join("src/index.ts")).unwrap();
    fs::write(copy.join("src/index.ts"), "other").unwrap();
    assert_eq!(store.hold(&root, &record).unwrap(), copy);
    assert_eq!(fs::read(copy.join("src/index.ts")).unwrap(), b"entry");
}

#[test]
fn what_leads_out_of_an_installation_or_is_no_plain_file_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("inst");
    installation(&root);
    fs::write(place.path().join("secret"), "s").unwrap();
    assert!(look(&root).is_ok());
    for target in ["/etc/passwd", "../../secret", "deep/../../../secret", "deep/ca/..", ""] {
        let link = root.join("src/link");
        if symlink(target, &link).is_ok() {
            assert!(look(&root).is_err(), "{target}");
            fs::remove_file(&link).unwrap();
        }
    }
    symlink("../bin/ca", root.join("src/link")).unwrap();
    assert!(look(&root).is_ok(), "inside is inside");
    fs::set_permissions(root.join("bin/ca"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert!(look(&root).unwrap_err().to_string().contains("set-id"));
    fs::set_permissions(root.join("bin/ca"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("a\u{202e}b"), "").unwrap();
    assert!(look(&root).unwrap_err().to_string().contains("cannot be shown"));
    fs::remove_file(root.join("a\u{202e}b")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    assert!(look(&root).unwrap_err().to_string().contains("neither file"));
}

#[test]
fn an_admission_names_a_program_that_is_in_it() {
    let place = tempfile::tempdir().unwrap();
    installation(place.path());
    let good = admission(place.path());
    assert_eq!(good.program_digest(), Some(Digest::of(b"\x7fELFprogram")));
    for (change, part) in [
        ((|r| r.program = "bin/other".to_owned()) as fn(&mut AdmissionRecord), "not a regular file"),
        (|r| r.program = "src/deep/ca".to_owned(), "not a regular file"),
        (|r| r.program = "src/index.ts".to_owned(), "not executable"),
        (|r| r.entry = Some("src".to_owned()), "not a regular file"),
        (|r| r.tree_digest = Digest::of(b""), "`tree_digest`"),
        (|r| r.origin = " ".to_owned(), "`origin` is empty"),
        (|r| r.runtime = "a\u{1b}[2J".to_owned(), "not shown"),
        (|r| r.installation = "relative".to_owned(), "relative"),
    ] {
        let mut record = good.clone();
        change(&mut record);
        wrong(record.well_formed(), part);
    }
}

#[test]
fn without_the_record_that_comes_first_nothing_is_earned_and_with_it_only_what_starts_nothing() {
    let (place, world) = (tempfile::tempdir().unwrap(), World::new());
    let folder = ProofFolder::of(place.path(), &case());
    let stage = |seconds: i64| {
        let found = earned(&folder, Digest::of(b"adapter"), &world.at(seconds));
        (found.stage, found.held.unwrap_or_default())
    };
    assert_eq!(stage(1).0, Stage::Unproven);
    let signed = sign(gate(), &name("ops"), &world.ops).unwrap();
    folder.keep(&signed).unwrap();
    assert_eq!(stage(1), (Stage::DefaultDeny, "nothing is admitted".to_owned()));
    assert!(stage(1_000).1.contains("ended at"));
    assert_eq!(stage(1_000).0, Stage::Unproven);

    let path = folder.path().join("gate.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"bundles\": 3", "\"bundles\": 1")).unwrap();
    assert_eq!(stage(1).0, Stage::Unproven, "altered");
    fs::write(&path, format!("{text} ")).unwrap();
    assert!(matches!(earned(&folder, Digest::of(b""), &world.at(1)).gate, Observed::Error(_)));
    fs::remove_file(&path).unwrap();
    symlink("elsewhere.json", &path).unwrap();
    fs::write(folder.path().join("elsewhere.json"), &text).unwrap();
    assert_eq!(stage(1).0, Stage::Unproven, "through a link");
    fs::remove_file(&path).unwrap();
    fs::write(&path, &text).unwrap();
    assert_eq!(stage(1).0, Stage::DefaultDeny, "it was that");
}

#[test]
fn notes_are_about_the_admitted_installation_and_no_other() {
    let (place, world) = (tempfile::tempdir().unwrap(), World::new());
    let root = place.path().join("inst");
    installation(&root);
    let folder = ProofFolder::of(place.path(), &case());
    let record = admission(&root);
    let enabling =
        |tree_digest| EnablingRecord { engine: case(), said_at: at(0), tree_digest, enabled: true };
    let keep = |tree| folder.keep(&sign(enabling(tree), &name("ops"), &world.ops).unwrap()).unwrap();
    let found = || earned(&folder, Digest::of(b""), &world.at(1));
    keep(record.tree_digest);
    assert!(matches!(found().enabling, Observed::Absent(why) if why.contains("none is admitted")));
    folder.keep(&sign(record.clone(), &name("ops"), &world.ops).unwrap()).unwrap();
    assert!(matches!(found().enabling, Observed::Seen(_)));
    keep(Digest::of(b"another"));
    assert!(matches!(found().enabling, Observed::Absent(why) if why.contains("another installation")));
}
