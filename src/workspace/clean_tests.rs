//! What counts against a clean start, and what never does.

use std::path::PathBuf;

use super::tests_bed::{Bed, shell};
use super::{ObserveOptions, holds_tracked, observe_target};
use crate::vocab::RunId;

pub(super) fn dirt(bed: &Bed) -> Vec<String> {
    dirt_besides(bed, None, None)
}

fn dirt_besides(bed: &Bed, contract: Option<PathBuf>, bundles: Option<&str>) -> Vec<String> {
    let bundles = bundles.map(PathBuf::from);
    let options = ObserveOptions { look_for_dirt: true, contract, bundles };
    observe_target(&bed.path("target"), "HEAD", &options).unwrap().facts.dirt.unwrap()
}

#[test]
fn every_kind_of_dirt_is_seen() {
    for (script, seen) in [
        ("echo y > d/f", "d/f"),
        ("rm d/f", "d/f"),
        ("chmod +x d/f", "d/f"),
        ("rm d/f; ln -s x d/f", "d/f"),
        ("echo n > new", "new"),
        ("mkdir n; echo n > n/new", "n/"),
        ("echo y > d/f; git add d/f; echo x > d/f", "d/f"),
        ("git rm -q --cached d/f", "d/f"),
        ("git update-index --chmod=+x d/f", "d/f"),
    ] {
        let bed = Bed::new("mkdir d; echo x > d/f");
        shell(&bed.path("target"), script);
        assert_eq!(dirt(&bed).first().map(String::as_str), Some(seen), "{script}");
    }
    let bed = Bed::new(":");
    shell(&bed.path("target"), "for i in {1..30}; do echo x > $i; done");
    assert_eq!(dirt(&bed).len(), 20);
}

#[test]
fn contract_and_bundles_are_no_dirt() {
    let bed = Bed::new("echo x > f");
    let run = RunId::new();
    let script = format!(
        "mkdir -p evidence/runs/{run} tasks; echo x > tasks/c.toml; echo x > evidence/runs/{run}/report.json"
    );
    shell(&bed.path("target"), &script);
    let contract = || Some(PathBuf::from("tasks/c.toml"));
    assert_eq!(dirt_besides(&bed, contract(), Some("evidence/runs")), [""; 0]);
    let absolute = Some(bed.path("target/tasks/c.toml"));
    assert_eq!(dirt_besides(&bed, absolute, None), [format!("evidence/runs/{run}/report.json")]);
    shell(&bed.path("target"), "echo x > tasks/other; mkdir tasks/c.d; echo x > tasks/c.d/c.toml");
    let seen = dirt_besides(&bed, contract(), Some("evidence/runs"));
    assert_eq!(seen, ["tasks/c.d/c.toml", "tasks/other"]);
}

#[test]
fn no_folder_for_bundles_hides_anything_but_untracked_runs() {
    let run = RunId::new();
    let bed = Bed::new(&format!("mkdir -p d/{run}; echo x > d/f; echo x > d/{run}/tracked"));
    let top = bed.path("target");
    shell(&top, &format!("echo y > d/f; echo y > d/{run}/tracked; echo x > new; echo x > d/{run}/untracked"));
    let absolute = [top.clone(), top.join("d"), top.parent().unwrap().to_owned()];
    let absolute = absolute.iter().map(|path| path.to_str().unwrap());
    for bundles in ["", "d"].into_iter().chain(absolute) {
        let mut all = vec!["d/f".to_owned(), format!("d/{run}/tracked"), "new".to_owned()];
        if bundles != "d" && !bundles.ends_with("/d") {
            all.insert(2, format!("d/{run}/untracked"));
        }
        assert_eq!(dirt_besides(&bed, None, Some(bundles)), all, "{bundles:?}");
    }
    for (folder, holds) in [("", true), ("d", true), ("d/e", false), ("di", false), ("..", false)] {
        let folder = if folder == ".." { top.parent().unwrap().to_owned() } else { top.join(folder) };
        assert_eq!(holds_tracked(&top, &folder).unwrap(), holds, "{}", folder.display());
    }
}
