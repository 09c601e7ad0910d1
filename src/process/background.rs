//! Work that somebody will need soon and nobody waits for yet.

/// Does `work` in a thread that gives way to everything else: without that, the kernel may let a sandbox that somebody
/// waits for stand behind it for milliseconds. Best effort: where there is no thread, whoever needs it does it then.
pub fn in_background(work: fn()) {
    let begin = move || {
        // Of a thread, on Linux. If it is refused, the work has the ordinary priority.
        rustix::process::nice(19).ok();
        work();
    };
    std::thread::Builder::new().name("background".to_owned()).spawn(begin).ok();
}
