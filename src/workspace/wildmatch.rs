//! Git's own pattern matching, byte for byte: what `wildmatch.c` of git answers with `WM_PATHNAME`.
//!
//! libgit2 and the `ignore` crate each read some patterns differently from git; what is left out of a patch
//! must be exactly what git itself would leave out. A test asks git.

/// How a match ended; the two aborts cut the search short, as in git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Match,
    NoMatch,
    AbortAll,
    AbortToStarStar,
}

/// Whether `pattern` matches the whole of `text`; only `**` crosses a slash.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    wild(pattern, text) == Outcome::Match
}

/// Past the end there is git's terminating NUL; names and patterns hold none.
fn at(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or(0)
}

fn rest(bytes: &[u8], index: usize) -> &[u8] {
    bytes.get(index..).unwrap_or(&[])
}

fn wild(pattern: &[u8], text: &[u8]) -> Outcome {
    let (mut p, mut t) = (0, 0);
    while p < pattern.len() {
        let here = at(text, t);
        let wanted = at(pattern, p);
        if here == 0 && wanted != b'*' {
            return Outcome::AbortAll;
        }
        match wanted {
            b'?' if here == b'/' => return Outcome::NoMatch,
            b'?' => {}
            b'*' => match star(pattern, p, text, t) {
                Ok((next_p, next_t)) => (p, t) = (next_p, next_t),
                Err(outcome) => return outcome,
            },
            b'[' => match class(pattern, p, here) {
                Ok((end, true)) => p = end,
                Ok((_, false)) => return Outcome::NoMatch,
                Err(outcome) => return outcome,
            },
            b'\\' => {
                p += 1;
                if here != at(pattern, p) {
                    return Outcome::NoMatch;
                }
            }
            _ if here != wanted => return Outcome::NoMatch,
            _ => {}
        }
        p += 1;
        t += 1;
    }
    if t < text.len() { Outcome::NoMatch } else { Outcome::Match }
}

/// One or more stars at `p`. `Ok`: go on after these positions; `Err`: this is the answer.
fn star(pattern: &[u8], mut p: usize, text: &[u8], t: usize) -> Result<(usize, usize), Outcome> {
    let first = p;
    p += 1;
    let mut crosses = false;
    if at(pattern, p) == b'*' {
        while at(pattern, p) == b'*' {
            p += 1;
        }
        let opens = first == 0 || at(pattern, first - 1) == b'/';
        let closes = match at(pattern, p) {
            0 | b'/' => true,
            b'\\' => at(pattern, p + 1) == b'/',
            _ => false,
        };
        if opens && closes {
            if at(pattern, p) == b'/' && wild(rest(pattern, p + 1), rest(text, t)) == Outcome::Match {
                return Err(Outcome::Match);
            }
            crosses = true;
        }
    }
    let slash = rest(text, t).iter().position(|byte| *byte == b'/');
    if p >= pattern.len() {
        let stops = !crosses && slash.is_some();
        return Err(if stops { Outcome::AbortToStarStar } else { Outcome::Match });
    }
    if !crosses && at(pattern, p) == b'/' {
        // A star before a slash takes the rest of this component, and the slash with it.
        return slash.map(|slash| (p, t + slash)).ok_or(Outcome::AbortAll);
    }
    for from in t..text.len() {
        match wild(rest(pattern, p), rest(text, from)) {
            Outcome::NoMatch if !crosses && at(text, from) == b'/' => return Err(Outcome::AbortToStarStar),
            Outcome::NoMatch => {}
            Outcome::AbortToStarStar if crosses => {}
            outcome => return Err(outcome),
        }
    }
    Err(Outcome::AbortAll)
}

/// The bracket class that opens at `p`: where it closes, and whether `here` is accepted.
fn class(pattern: &[u8], mut p: usize, here: u8) -> Result<(usize, bool), Outcome> {
    p += 1;
    let negated = matches!(at(pattern, p), b'!' | b'^');
    p += usize::from(negated);
    let mut matched = false;
    let mut previous = 0;
    loop {
        let mut c = at(pattern, p);
        if c == 0 {
            return Err(Outcome::AbortAll);
        }
        if c == b'\\' {
            p += 1;
            c = at(pattern, p);
            if c == 0 {
                return Err(Outcome::AbortAll);
            }
            matched |= here == c;
        } else if c == b'-' && previous != 0 && !matches!(at(pattern, p + 1), 0 | b']') {
            p += 1;
            if at(pattern, p) == b'\\' {
                p += 1;
            }
            let last = at(pattern, p);
            if last == 0 {
                return Err(Outcome::AbortAll);
            }
            matched |= (previous..=last).contains(&here);
            c = 0;
        } else if c == b'[' && at(pattern, p + 1) == b':' {
            let close =
                rest(pattern, p + 2).iter().position(|byte| *byte == b']').ok_or(Outcome::AbortAll)?;
            let inner = rest(pattern, p + 2).get(..close).unwrap_or(&[]);
            if let Some(name) = inner.strip_suffix(b":") {
                matched |= named(name, here).ok_or(Outcome::AbortAll)?;
                p += 2 + close;
                c = 0;
            } else {
                matched |= here == b'[';
            }
        } else {
            matched |= here == c;
        }
        previous = c;
        p += 1;
        if at(pattern, p) == b']' {
            return Ok((p, matched != negated && here != b'/'));
        }
    }
}

fn named(name: &[u8], c: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => c.is_ascii_alphanumeric(),
        b"alpha" => c.is_ascii_alphabetic(),
        b"blank" => matches!(c, b' ' | b'\t'),
        b"cntrl" => c.is_ascii_control(),
        b"digit" => c.is_ascii_digit(),
        b"graph" => c.is_ascii_graphic(),
        b"lower" => c.is_ascii_lowercase(),
        b"print" => c.is_ascii_graphic() || c == b' ',
        b"punct" => c.is_ascii_punctuation(),
        b"space" => matches!(c, b' ' | b'\t'..=b'\r'),
        b"upper" => c.is_ascii_uppercase(),
        b"xdigit" => c.is_ascii_hexdigit(),
        _ => return None,
    })
}
