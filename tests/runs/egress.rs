//! Ways out besides the model: with real TLS clients through the broker, and from inside a run's sandbox.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use cto_harness::broker::{Broker, Egress, Resolve, Resolving, Ways};
use cto_harness::vocab::Destination;
use serde_json::Value;

use super::bench::{Said, TestBench, contract};

/// Port of the listener inside.
const PROXY: &str = "http://127.0.0.1:8099";

/// A TLS server for `allowed.example` and 127.0.0.1, of openssl's, on a free port of loopback; gone when dropped.
struct TlsServer {
    process: Child,
    port: u16,
}

impl TlsServer {
    fn start(bench: &TestBench) -> Self {
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=allowed.example"])
            .args(["-addext", "subjectAltName=DNS:allowed.example,IP:127.0.0.1"])
            .current_dir(bench.work())
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-www"])
            .current_dir(bench.work())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accepts =
            lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned));
        let port = accepts.expect("s_server names its port").trim().parse().unwrap();
        // What it says further is read and dropped.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Knows one name, and keeps every question.
#[derive(Debug, Default)]
struct OneName(Mutex<Vec<String>>);

impl Resolve for OneName {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.0.lock().unwrap().push(name.to_owned());
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

/// Serves a way to `to` while `client` uses it: its answer, and the events of the broker.
fn through<T: Send + 'static>(
    to: &str,
    names: &Arc<OneName>,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> (T, Vec<Value>) {
    let policy = BTreeSet::from([Destination::parse(to).unwrap()]);
    let exceptions = BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let egress = Egress::new(&[to.to_owned()], &policy, &exceptions).unwrap();
    let egress = egress.resolving_by(Arc::<OneName>::clone(names));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || client(at));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let events = runtime.block_on(async {
        let (broker, mut notices) = Broker::serve(listener, Ways { model: None, egress }).unwrap();
        let mut events = Vec::new();
        while !client.is_finished() {
            tokio::select! {
                notice = notices.recv() => {
                    let notice = notice.unwrap();
                    events.push(notice.draft.data);
                    notice.recorded.send(()).ok();
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
            }
        }
        broker.stop();
        while let Some(notice) = notices.recv().await {
            events.push(notice.draft.data);
            notice.recorded.send(()).ok();
        }
        events
    });
    (client.join().unwrap(), events)
}

fn call(folder: &Path, program: &str, args: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    Said::of(&command.output().unwrap())
}

#[test]
fn curl_gets_the_allowed_host_with_its_certificate_and_no_other() {
    let bench = TestBench::new();
    let server = TlsServer::start(&bench);
    let names = Arc::new(OneName::default());
    let (port, folder) = (server.port, bench.work());
    let (said, events) = through(&format!("allowed.example:{port}"), &names, move |at| {
        let proxy = format!("http://{at}");
        let curl = |url: &str| {
            call(&folder, "curl", &["-sS", "-m", "20", "--cacert", "cert.pem", "-x", &proxy, url])
        };
        [
            curl(&format!("https://allowed.example:{port}/")),
            curl(&format!("https://ALLOWED.example:{port}/")),
            curl(&format!("https://evil.example:{port}/")),
            curl(&format!("https://allowed.example.:{port}/")),
            curl(&format!("https://127.0.0.1:{port}/")),
            curl(&format!("http://allowed.example:{port}/")),
        ]
    });
    for allowed in &said[..2] {
        allowed.expect(0, &["s_server", "Protocol  : TLSv1.3"]);
    }
    for refused in &said[2..5] {
        refused.expect(56, &["403"]);
    }
    said[5].expect(0, &["refused by the harness"]);
    assert_eq!(*names.0.lock().unwrap(), ["allowed.example"; 2]);
    let codes: Vec<_> = events.iter().filter_map(|data| data["code"].as_str()).collect();
    assert_eq!(codes, ["egress.host", "egress.host", "egress.host", "egress.route"]);
}

#[test]
fn only_a_hello_that_names_the_host_gets_to_it_in_either_version() {
    let bench = TestBench::new();
    let server = TlsServer::start(&bench);
    let names = Arc::new(OneName::default());
    let (port, folder) = (server.port, bench.work());
    let (said, events) = through(&format!("allowed.example:{port}"), &names, move |at| {
        // Connects to the allowed host whatever the URL says, whose host is what the hello names; of an address, none.
        let (proxy, to) = (format!("http://{at}"), format!("::allowed.example:{port}"));
        let hello = |host: &str, version: &str| {
            let fixed = ["-sS", "-k", "-m", "20", "-x", &proxy, "--connect-to", &to, "--tls-max", version];
            call(&folder, "curl", &[&fixed[..], &[&format!("https://{host}/")]].concat())
        };
        ["allowed.example", "evil.example", "127.0.0.1"]
            .map(|host| ["1.2", "1.3"].map(|version| hello(host, version)))
    });
    said[0][0].expect(0, &["s_server", "Protocol  : TLSv1.2"]);
    said[0][1].expect(0, &["s_server", "Protocol  : TLSv1.3"]);
    for refused in said[1..].iter().flatten() {
        refused.expect(35, &["SSL"]);
    }
    let codes: Vec<_> = events.iter().filter_map(|data| data["code"].as_str()).collect();
    assert_eq!(codes, ["egress.sni"; 4]);
}

/// A bench whose configuration says `network`, with a contract that adds `lines` and a script that runs `commands`.
fn bench_with(network: &str, lines: &str, commands: &[String]) -> TestBench {
    let bench = TestBench::new();
    bench.repository("repo");
    configure(&bench, network);
    let steps = commands.iter().map(|text| {
        let argv = serde_json::to_string(&["sh", "-c", text]).unwrap();
        format!("[[step]]\ndo = \"run\"\nargv = {argv}\n")
    });
    bench.file("script.toml", &steps.collect::<String>());
    bench.file("c.toml", &format!("{}script = \"script.toml\"\n{lines}", contract("repo")));
    bench
}

fn configure(bench: &TestBench, network: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    // Every part of a place is private.
    for folder in ["../home", "../home/config"] {
        std::fs::create_dir_all(bench.work().join(folder)).unwrap();
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(bench.work().join(folder), private).unwrap();
    }
    bench.file("../home/config/config.toml", &format!("[network]\n{network}\n"));
}

fn events(said: &Said) -> Vec<Value> {
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(Path::new(&bundle).join("events.normalized.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).map(|event| &event["data"]).collect()
}

/// What the commands of the script printed, and their statuses.
fn ran(events: &[Value]) -> Vec<(i64, String)> {
    let finished = of(events, "tool.finished");
    let one = |data: &&Value| {
        (data["exit_code"].as_i64().unwrap_or(-1), data["output"].as_str().unwrap_or("").to_owned())
    };
    finished.iter().map(one).collect()
}

#[test]
fn a_run_reaches_what_contract_and_configuration_allow_and_verification_does_not() {
    let bench = TestBench::new();
    let server = TlsServer::start(&bench);
    let (port, other) = (server.port, TcpListener::bind("127.0.0.1:0").unwrap());
    let closed = other.local_addr().unwrap().port();
    let to = format!("127.0.0.1:{port}");
    let network = format!("allow = [\"{to}\", \"never-asked-for.example:443\"]\naddresses = [\"127.0.0.1\"]");
    let commands = [
        // NO_PROXY exempts 127.0.0.1 for the model's sake; here it is the far side of a test.
        format!("curl -sS -k -m 20 --noproxy '' https://{to}/ | head -c 300"),
        format!("curl -sS -k -m 5 https://{to}/"),
        format!("curl -sS -k -m 20 --noproxy '' https://127.0.0.1:{closed}/"),
        "curl -sS -k -m 20 https://never-asked-for.example/".to_owned(),
        format!("curl -sS -k -m 20 --noproxy '' --connect-to ::{to} https://evil.example/"),
        "env".to_owned(),
    ];
    let offline = format!("! env | grep -i proxy && ! curl -sk -m 5 -x {PROXY} https://{to}/");
    let lines = format!("network = {{ allow = [\"{to}\"] }}\n");
    let run = bench_with(&network, &lines, &commands);
    let text = std::fs::read_to_string(run.work().join("c.toml")).unwrap();
    let check = format!("verification_commands = [{{ run = {} }}]", serde_json::to_string(&offline).unwrap());
    let text = text.replace("verification_commands = []", &check);
    run.file("c.toml", &text.replace("forbidden_actions = []", "forbidden_actions = [\"git.push\"]"));

    let said = run.cto(&["run", "c.toml", "--json"]);
    said.expect(0, &["\"verdict\":\"pass\""]);
    let events = events(&said);
    let ran = ran(&events);
    assert!(ran[0].1.contains("s_server"), "{ran:?}");
    assert!(ran[1].0 != 0 && ran[1].1.contains("7)"), "without the proxy there is nobody: {ran:?}");
    assert!(ran[2].0 == 56 && ran[3].0 == 56, "{ran:?}");
    assert_eq!(ran[4].0, 35, "{ran:?}");
    let environment: Vec<&str> =
        ran[5].1.lines().filter(|line| line.to_lowercase().contains("proxy")).collect();
    let proxy = ["HTTPS_PROXY", "https_proxy"].map(|name| format!("{name}={PROXY}"));
    let none = ["NO_PROXY", "no_proxy"].map(|name| format!("{name}=127.0.0.1,localhost"));
    let expected: BTreeSet<&str> = proxy.iter().chain(&none).map(String::as_str).collect();
    assert_eq!(environment.into_iter().collect::<BTreeSet<_>>(), expected);

    let allowed = of(&events, "egress.allowed");
    let opened: Vec<_> = allowed.iter().filter(|data| data["stage"] == "open").collect();
    assert_eq!(opened.len(), 2, "{allowed:?}");
    assert_eq!((&opened[0]["host"], &opened[0]["port"]), (&"127.0.0.1".into(), &port.into()));
    let ends: Vec<_> = allowed.iter().filter(|data| data["stage"] == "end").collect();
    assert!(ends.len() == 2 && ends[0]["bytes_in"].as_u64().unwrap() > 300, "{ends:?}");
    let codes: BTreeSet<_> =
        of(&events, "egress.denied").iter().filter_map(|data| data["code"].as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["egress.host", "egress.sni"]));
    assert_eq!(of(&events, "engine.finished")[0]["tunnels"], 2);
    let bundle = said.result()["bundle"].as_str().unwrap().to_owned();
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(&bundle).join("report.json")).unwrap())
            .unwrap();
    let push = &report["sections"]["actions"][0];
    assert!(push["enforced_by"].as_str().unwrap().starts_with("no credential inside"), "{push}");
    run.cto(&["verify", &bundle]).expect(0, &["PASS"]);
}

#[test]
fn without_a_list_nothing_is_said_of_a_proxy_and_a_connect_is_refused() {
    let bench = TestBench::new();
    let server = TlsServer::start(&bench);
    let to = format!("127.0.0.1:{}", server.port);
    let commands = [format!("curl -sS -k -m 20 -x {PROXY} --noproxy '' https://{to}/"), "env".to_owned()];
    let run = bench_with(&format!("allow = [\"{to}\"]\naddresses = [\"127.0.0.1\"]"), "", &commands);
    let said = run.cto(&["run", "c.toml", "--json"]);
    let events = events(&said);
    let ran = ran(&events);
    assert!(ran[0].0 == 56 && !ran[1].1.to_lowercase().contains("proxy"), "{ran:?}");
    assert_eq!(of(&events, "egress.denied")[0]["code"], "egress.route");
    assert!(of(&events, "egress.allowed").is_empty());
}

#[test]
fn a_destination_that_no_operator_allows_blocks_and_what_is_allowed_is_part_of_the_request() {
    let lines = "network = { allow = [\"allowed.example:443\", \"closed.example:443\"] }\n";
    let run = bench_with("allow = [\"allowed.example:443\"]", lines, &[]);
    let said = run.cto(&["run", "c.toml", "--json"]);
    said.expect(3, &["contract.supported", "closed.example:443"]);
    assert!(of(&events(&said), "engine.started").is_empty());
    let request = |network: &str| {
        configure(&run, network);
        let said = run.cto(&["decide", "c.toml", "--json"]);
        let last: Value = serde_json::from_str(said.out.lines().last().unwrap()).unwrap();
        let found = said.out.split("\"request_digest\":\"").nth(1).map(|rest| rest[..71].to_owned());
        (said.code, found.unwrap_or_else(|| panic!("{last}")))
    };
    let both = "allow = [\"allowed.example:443\", \"closed.example:443\"]";
    let (code, wide) = request(both);
    assert_eq!(code, Some(0), "both allow it");
    let more = [
        "allow = [\"allowed.example:443\"]".to_owned(),
        format!("{both}\naddresses = [\"10.1.2.3\"]"),
        "allow = [\"allowed.example:443\", \"closed.example:443\", \"more.example:443\"]".to_owned(),
    ];
    let digests: BTreeSet<String> = more.iter().map(|network| request(network).1).chain([wide]).collect();
    assert_eq!(digests.len(), 4, "{digests:?}");
}

#[test]
fn an_address_of_the_host_itself_is_refused_an_interfaces_second_one_too() {
    // A network of its own, where two public addresses are this host's.
    const SETUP: &str = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && ip addr add 93.184.216.10/24 dev lo && \
                         ip addr add 93.184.216.11/24 dev lo && exec \"$0\" \"$@\"";
    // Only root may give a network addresses and still be the one who runs.
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) != 0 {
        return;
    }
    let to = ["93.184.216.10:443", "93.184.216.11:443"];
    let commands = to.map(|to| format!("curl -sS -k -m 20 https://{to}/ 2>&1"));
    let lines = format!("network = {{ allow = {to:?} }}\n");
    let answers = |addresses: &str| {
        let run = bench_with(&format!("allow = {to:?}\naddresses = {addresses}"), &lines, &commands);
        let call = run.call(&["run", "c.toml", "--json"]);
        let mut within = Command::new("unshare");
        within.args(["-n", "sh", "-c", SETUP]).arg(call.get_program()).args(call.get_args());
        within.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(run.work());
        let said = Said::of(&within.stdin(Stdio::null()).output().unwrap());
        let events = events(&said);
        let reasons = of(&events, "egress.denied");
        let reasons: Vec<String> = reasons.iter().map(|data| data["reason"].to_string()).collect();
        (reasons, of(&events, "egress.allowed").len())
    };
    let (refused, opened) = answers("[]");
    assert!(
        refused.len() == 2 && refused.iter().all(|why| why.contains("of this host itself")),
        "{refused:?}"
    );
    assert_eq!(opened, 0);
    // The control: what the operator names is dialled, where nobody listens.
    assert_eq!(answers("[\"93.184.216.10\", \"93.184.216.11\"]"), (Vec::new(), 4));
}
