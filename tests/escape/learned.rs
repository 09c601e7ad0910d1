//! A sandbox that learns is the same sandbox: it tells more, and holds the same.

use cto_harness::process::{Learned, Want};
use cto_harness::sandbox::Bind;

use super::attacks::registry::CLASSES;
use super::attacks::table::complaints;
use super::rig::{Outcome, lease, open_folder, outside, policy, run};

async fn learning(argv: &[&str]) -> Outcome {
    let lease = lease();
    let mut policy = policy(lease.uid(), argv);
    (policy.observed, policy.learning) = (true, true);
    run(policy).await
}

#[track_caller]
fn wanted(learned: &Learned, path: &str, wants: &[Want]) {
    let all = learned.wanted();
    let found: Vec<Want> = all.get(path).into_iter().flatten().copied().collect();
    assert_eq!(found, wants, "{path}: {all:?}");
}

#[tokio::test]
async fn no_attack_works_where_the_sandbox_learns() {
    for class in CLASSES {
        // The controls outside are among the rows: what does not work there shows nothing inside.
        let rows = class.rows_learning().await;
        assert!(rows.len() > 10, "{}", class.name);
        let wrong = complaints(&rows, "a sandbox that learns");
        assert!(wrong.is_empty(), "class {}:\n{}\n", class.letter, wrong.join("\n"));
    }
}

#[tokio::test]
async fn what_is_wanted_and_not_shown_is_told_and_stays_hidden() {
    let folder = open_folder();
    let file = folder.path().join("secret file");
    std::fs::write(&file, "canary").unwrap();
    let [dir, file] = [folder.path(), &file].map(|path| path.to_str().unwrap());
    let read = format!("cat '{file}'");
    assert!(outside(&read), "control");
    let script = format!(
        "{read}; cd {dir} || true; cd /usr/lib && cat ../../{dir}/./secret\\ file; '{file}'; : > '{file}'; \
         : > /usr/new; : > /srv/new; : > /tmp/own; cat /usr/lib/nowhere /etc/hostname; (exec 7< /usr; cat /proc/self/fd/7/../{dir}/x); \
         /bin/mv /tmp/own '{file}'; ln -s '{dir}' /tmp/link; cat /tmp/link/x; exit 0"
    );
    let seen = learning(&["bash", "-c", &script]).await;
    assert!(seen.exit.success() && !seen.out.contains("canary"), "{seen:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("secret file")).unwrap(), "canary");
    let learned = seen.tree.learned();
    wanted(learned, file, &[Want::Read, Want::Run]);
    wanted(learned, "/usr/new", &[Want::Write]);
    wanted(learned, dir, &[Want::Read]);
    wanted(learned, "/srv/new", &[Want::Write]);
    wanted(learned, "/tmp/own", &[]);
    wanted(learned, "/usr/lib/nowhere", &[]);
    assert!(learned.is_whole() && learned.most_tasks() >= 2, "{learned:?}");
    assert!(seen.exit.used.memory_bytes > 0 && seen.exit.used.cpu_micros > 0, "{:?}", seen.exit);
    assert!(seen.tree.is_whole(), "what is observed otherwise is seen as well");
}

#[tokio::test]
async fn folders_that_were_handed_in_are_told_when_they_are_used() {
    let [used, unused] = [open_folder(), open_folder()];
    std::fs::write(used.path().join("a"), "a").unwrap();
    let lease = lease();
    let mut policy = policy(lease.uid(), &["bash", "-c", "cat /opt/used/a; cat /opt/used/b; cd /; exit 0"]);
    (policy.observed, policy.learning) = (true, true);
    policy.read_only.push(Bind::new(used.path(), "/opt/used"));
    policy.read_only.push(Bind::new(unused.path(), "/opt/unused"));
    let seen = run(policy).await;
    assert_eq!(seen.out, "a\n", "{seen:?}");
    wanted(seen.tree.learned(), "/opt/used", &[Want::Read]);
    wanted(seen.tree.learned(), "/opt/unused", &[]);
}

#[tokio::test]
async fn a_flood_of_paths_is_counted_and_the_sandbox_works() {
    let flood =
        "import os\nfor n in range(6000):\n try: os.stat(f'/srv/{n}')\n except OSError: pass\nprint('done')";
    let seen = learning(&["python3", "-c", flood]).await;
    assert_eq!(seen.out, "done\n", "{seen:?}");
    let learned = seen.tree.learned();
    assert!(learned.wanted().len() == 4096 && learned.left_out() >= 6000 - 4096, "{}", learned.left_out());
    assert!(!learned.is_whole());
}

#[tokio::test]
async fn what_learns_works_as_before() {
    let script = "for i in {1..60}; do (cat /etc/services > /dev/null; exit 3) & done; wait; mkdir /tmp/a; cd /tmp/a; \
                  echo x > b; mv b c; ln c d; cat d; kill -USR1 $$ 2>&1 || true";
    let seen = learning(&["bash", "-c", &format!("trap 'echo trapped' USR1; {script}")]).await;
    assert_eq!(seen.out, "x\ntrapped\n", "{seen:?}");
    assert!(seen.tree.is_complete() && seen.tree.learned().is_whole(), "{:?}", seen.tree.learned());
}
