//! What stands at the end of the help pages.

pub(super) const CTO: &str = "\
Examples:
  cto run fixtures/fix-failing-test          the whole flow on an artificial repository
  cto decide task.toml                       may this run? every gate with its proof or remedy
  cto run task.toml --engine codex           let the real engine work, inside the bounds of the contract
  cto verify evidence/runs/run-0192…         is this evidence intact, and by whom?
  cto doctor                                 what can this machine enforce?

Exit codes: 0 pass · 1 fail or incomplete · 2 usage or invalid contract · 3 blocked or untrusted ·
            4 could not record · 130 interrupted";
pub(super) const RUN: &str = "\
Examples:
  cto run fixtures/fix-failing-test
  cto run task.toml --engine codex --out /srv/evidence
  cto run --learn fixtures/fix-failing-test
  generate-contract | cto run - --json";
pub(super) const DECIDE: &str = "\
Examples:
  cto decide task.toml
  cto decide task.toml --engine codex --json";
pub(super) const RUNS: &str = "\
Examples:
  cto runs
  cto runs --json | head -1";
pub(super) const RESUME: &str = "\
Examples:
  cto resume                                 which runs can be gone on with?
  cto resume run-0192
  cto resume --all                           for start scripts

The same run goes on: same id, same bundle, same event log. It is decided again first.";
pub(super) const CANCEL: &str = "\
Examples:
  cto cancel run-0192
  cto cancel run-0192 --json

Exit codes: 0 ended · 1 asked, and not sealed yet · 2 no such run, or over before";
pub(super) const SHOW: &str = "\
Examples:
  cto show                                   the latest run
  cto show run-0192 --json                   its report, for a program";
pub(super) const EVENTS: &str = "\
Examples:
  cto events
  cto events run-0192 --json | grep egress.denied";
pub(super) const LOGS: &str = "\
Examples:
  cto logs
  cto logs evidence/runs/run-0192…";
pub(super) const DIFF: &str = "\
Examples:
  cto diff
  cto diff run-0192 | git apply --binary";
pub(super) const SPEND: &str = "\
Examples:
  cto spend
  cto spend --day 2026-03-01
  cto spend --run run-0192… --json";
pub(super) const REPO: &str = "\
Examples:
  cto repo add . --ownership sandbox --owner \"Ada Lovelace\"
  cto repo list";
pub(super) const REPO_LIST: &str = "Example:\n  cto repo list --json";
pub(super) const PRINCIPAL: &str = "\
Examples:
  cto principal add alice --key alice.pub.pem --role approve
  cto principal list";
pub(super) const PRINCIPAL_LIST: &str = "Example:\n  cto principal list --json";
pub(super) const PRINCIPAL_REMOVE: &str = "Example:\n  cto principal remove alice";
pub(super) const KEY: &str = "\
Examples:
  cto key show > this-machine.pem
  cto key rotate";
pub(super) const KEY_SHOW: &str = "Example:\n  cto key show > this-machine.pem";
pub(super) const KEY_ROTATE: &str = "Example:\n  cto key rotate";
pub(super) const ENGINE: &str = "\
Examples:
  cto engine list
  cto engine check codex";
pub(super) const ENGINE_CHECK: &str = "\
Examples:
  cto engine check codex      a scripted turn in the sandbox, with a model that only recites
  cto engine check case       a gated one: its adapter alone is asked, nothing is started
  cto engine check case --log run-a.jsonl --log run-b.jsonl
  cto engine check codex --json | tail -1";
pub(super) const ENGINE_ADMIT: &str = "\
Example:
  cto engine admit case --installation /opt/case --program bin/ca --origin https://example.org/case.git \\
      --commit <40 hex> --tree <40 hex> --runtime 'bun 1.2.0' --as ops --key ops.pem";
pub(super) const ENGINE_LICENSE: &str = "\
Examples:
  cto engine license case --spdx Apache-2.0 --widest-mode sandbox-repo --as ops --key ops.pem
  cto engine license case --decision 'Own evaluation, no redistribution' --widest-mode copied-fixture \\
      --expires 2027-06-30 --as ops --key ops.pem";
pub(super) const ENGINE_ENABLE: &str = "Example:\n  cto engine enable case --as ops --key ops.pem";
pub(super) const ENGINE_DISABLE: &str = "Example:\n  cto engine disable case --as ops --key ops.pem";
pub(super) const PROOF: &str = "\
Examples:
  cto proof open case --as ops --key ops.pem
  cto proof show case                        what has it earned, and what holds it?";
pub(super) const PROOF_OPEN: &str = "\
Examples:
  cto proof open case --as ops --key ops.pem
  cto proof open case --stage copied-fixture=1 --stage sandbox-repo=3 --promoter alice --expires 2027-06-30 \\
      --as ops --key ops.pem";
pub(super) const PROOF_RUN: &str = "Example:\n  cto proof run case --stage default-deny";
pub(super) const PROOF_PROMOTE: &str = "\
Example:
  cto proof promote case --to copied-fixture --evidence evidence/runs/run-0192… --as alice --key alice.pem";
pub(super) const PROOF_SHOW: &str = "Example:\n  cto proof show case --json";
pub(super) const PROOF_CHECK: &str = "\
Examples:
  cto proof check
  cto proof check case --records ./records --json

Exit codes: 0 every record holds · 1 one does not · 3 the proof is not open";
pub(super) const ENGINE_LIST: &str = "Example:\n  cto engine list --json";
pub(super) const ENGINE_INSTALL: &str = "\
Examples:
  scripts/guests.sh && cto engine install target/guests/wordy
  cto engine install engine.toml adapter.wasm

Nothing of it runs before it has been admitted, enabled and has proven itself.";
pub(super) const ENGINE_REMOVE: &str = "Example:\n  cto engine remove wordy";
pub(super) const DOCTOR: &str = "\
Examples:
  cto doctor
  cto doctor --clean";
pub(super) const VERIFY: &str = "\
Examples:
  cto verify evidence/runs/run-0192…
  cto verify BUNDLE --trust their-trust.toml --expect verdict=pass,base=<commit>,max-age=86400
  cto verify --print-script > verify.sh && sh verify.sh PUBLIC_KEY.pem BUNDLE";
pub(super) const ANSWER: &str = "\
Examples:
  cto approve apr-…                                    (shows what an engine at work asks)
  cto approve apr-… --as alice --key ~/.keys/alice.pem
  cto deny apr-… --as alice --key ~/.keys/alice.pem
  cto approve apr-… --as bob --key ~/.ssh/id_ed25519_sk.pub        (ssh-keygen asks for the touch)

With a key that is elsewhere:
  cto approve apr-… --as bob --print-message > message
  ssh-keygen -Y sign -n cto-harness@cto.invalid -f ~/.ssh/id_ed25519.pub message
  cto approve apr-… --as bob --signature message.sig";
pub(super) const PUBLISH: &str = "\
Examples:
  cto publish run-0198…
  cto publish 0198 --json

The sealed bundle is verified again first, and so is the target as it is now. What is there already is not made twice.";
pub(super) const SANDBOX: &str = "\
Examples:
  cto sandbox -- /bin/true
  cto sandbox --workspace . --patch change.diff -- make test
  cto sandbox --ro /opt/tool --env LANG=C --limit wall_seconds=60 -- /opt/tool/bin/run
  cto sandbox --learn --workspace . -- make

It ends as its command does: 128 and the signal's number when one ended it, 127 and 126 when it
could not be started, 125 when it was not held to its end, 124 when it met a limit and ended with 0.

This is not evidence: no broker, no key, no bundle.";
pub(super) const REPO_ADD: &str = "Example:\n  cto repo add . --ownership sandbox --owner \"Ada Lovelace\"";
pub(super) const PRINCIPAL_ADD: &str = "\
Example:
  openssl genpkey -algorithm ed25519 -out alice.pem && openssl pkey -in alice.pem -pubout -out alice.pub.pem
  cto principal add alice --key alice.pub.pem --role approve --account 1001:alice";
