//! The first thing said in a tunnel: one TLS `ClientHello`, read strictly for the one name in it.
//!
//! Read by RFC 8446 §4.1.2 and §5.1 (TLS 1.2 and 1.3 alike) and RFC 6066 §3, whole or in fragments of any size. What
//! is not exactly one hello is no TLS as far as this is concerned: that is stricter than servers are. An encrypted
//! hello is refused, because the name that counts could not be seen. Nothing is decrypted and nothing changed.

use std::collections::BTreeSet;

/// Bytes of all records of a hello, headers included.
pub(super) const HELLO_BYTES: usize = 16 * 1024;
/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes of a record's content (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;
/// The content type of handshakes, and the first handshake.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Extensions: the server's name, and the encrypted hello in its final and its first form.
const SERVER_NAME: u16 = 0;
const ENCRYPTED: [u16; 2] = [0xfe0d, 0xffce];
/// The one kind of name.
const HOST_NAME: u8 = 0;

/// How far a hello came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// What is there could become one.
    Part,
    /// It is there.
    Whole {
        /// The name in it, as it was sent.
        name: Option<String>,
    },
}

/// Why it is no hello, or none that may pass.
pub(super) type NoHello = &'static str;

/// Reads what came so far.
pub(super) fn read(bytes: &[u8]) -> Result<Hello, NoHello> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match record(rest)? {
            Record::Part => return Ok(Hello::Part),
            Record::Whole(content, after) => {
                message.extend_from_slice(content);
                rest = after;
            }
        }
        let [kind, a, b, c, body @ ..] = message.as_slice() else { continue };
        if *kind != CLIENT_HELLO {
            return Err("the handshake does not begin with a hello");
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if length > HELLO_BYTES {
            return Err("the hello is too large");
        }
        if body.len() > length {
            return Err("the hello does not end where its record ends");
        }
        if body.len() == length {
            return Ok(Hello::Whole { name: client_hello(body)? });
        }
    }
}

enum Record<'a> {
    Part,
    Whole(&'a [u8], &'a [u8]),
}

/// The first record of `bytes`, whose header is judged as soon as it is there.
fn record(bytes: &[u8]) -> Result<Record<'_>, NoHello> {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE) || bytes.get(1).is_some_and(|major| *major != 3) {
        return Err("it is not TLS");
    }
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(Record::Part) };
    let &[_, _, minor, high, low] = header else { return Ok(Record::Part) };
    let length = usize::from(high) << 8 | usize::from(low);
    if !(1..=3).contains(&minor) || !(1..=RECORD).contains(&length) {
        return Err("a record has another form than TLS 1.2 and 1.3 give it");
    }
    Ok(rest.split_at_checked(length).map_or(Record::Part, |(content, after)| Record::Whole(content, after)))
}

/// Bytes that are read from their beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NoHello> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or("a length in the hello is beyond its end")?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of `bytes` bytes.
    fn number(&mut self, bytes: usize) -> Result<usize, NoHello> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows its own length, which has `bytes` bytes.
    fn vector(&mut self, bytes: usize) -> Result<Reader<'a>, NoHello> {
        let length = self.number(bytes)?;
        self.take(length).map(Reader)
    }

    const fn is_at_its_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name in a hello's body.
fn client_hello(body: &[u8]) -> Result<Option<String>, NoHello> {
    let mut hello = Reader(body);
    if !matches!(hello.take(2)?, [3, 1..=3]) {
        return Err("the hello is of another version than TLS 1.2 and 1.3 write");
    }
    hello.take(32)?;
    let (session, suites, compression) = (hello.vector(1)?.0, hello.vector(2)?.0, hello.vector(1)?.0);
    if session.len() > 32 || suites.is_empty() || !suites.len().is_multiple_of(2) || !compression.contains(&0)
    {
        return Err("session, cipher suites or compression methods of the hello are none");
    }
    if hello.is_at_its_end() {
        return Ok(None);
    }
    let mut extensions = hello.vector(2)?;
    if !hello.is_at_its_end() {
        return Err("something follows the hello's extensions");
    }
    let (mut seen, mut name) = (BTreeSet::new(), None);
    while !extensions.is_at_its_end() {
        let kind = u16::try_from(extensions.number(2)?).unwrap_or(u16::MAX);
        let content = extensions.vector(2)?;
        if !seen.insert(kind) {
            return Err("an extension of the hello stands there twice");
        }
        if ENCRYPTED.contains(&kind) {
            return Err("the hello is encrypted, so the name in it cannot be seen");
        }
        if kind == SERVER_NAME {
            name = Some(server_name(content)?);
        }
    }
    Ok(name)
}

/// The only name of a list of names.
fn server_name(mut content: Reader<'_>) -> Result<String, NoHello> {
    let mut names = content.vector(2)?;
    let kind = names.number(1)?;
    let name = names.vector(2)?.0;
    if kind != usize::from(HOST_NAME) || !names.is_at_its_end() || !content.is_at_its_end() {
        return Err("the hello does not name exactly one host");
    }
    let text = str::from_utf8(name).ok().filter(|text| !text.is_empty() && text.is_ascii());
    text.map(str::to_owned).ok_or("the name in the hello is not one of a host")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, content)].concat()
    }

    fn names(names: &[(u8, &str)]) -> Vec<u8> {
        let list: Vec<u8> = names
            .iter()
            .flat_map(|(kind, name)| [&[*kind][..], &vector(2, name.as_bytes())].concat())
            .collect();
        extension(SERVER_NAME, &vector(2, &list))
    }

    fn body(extensions: &[u8]) -> Vec<u8> {
        let random = [7; 32];
        [
            &[3, 3][..],
            &random,
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat()
    }

    fn handshake(body: &[u8]) -> Vec<u8> {
        [&[CLIENT_HELLO][..], &vector(3, body)].concat()
    }

    fn records(message: &[u8], most: usize) -> Vec<u8> {
        message.chunks(most).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &vector(2, part)].concat()).collect()
    }

    /// A hello as clients send it.
    pub(in super::super) fn hello(name: Option<&str>) -> Vec<u8> {
        let mut extensions = extension(43, &[2, 3, 4]);
        extensions.extend(name.map(|name| names(&[(HOST_NAME, name)])).into_iter().flatten());
        extensions.extend(extension(16, &[0, 3, 2, b'h', b'2']));
        records(&handshake(&body(&extensions)), RECORD)
    }

    fn whole(name: Option<&str>) -> Hello {
        Hello::Whole { name: name.map(str::to_owned) }
    }

    #[test]
    fn the_name_is_found_wherever_the_hello_is_cut_and_however_it_is_broken_into_records() {
        let message = handshake(&body(&names(&[(HOST_NAME, "a.example")])));
        for most in 1..=message.len() {
            let bytes = records(&message, most);
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(Hello::Part), "records of {most}, cut at {cut}");
            }
            assert_eq!(read(&bytes), Ok(whole(Some("a.example"))), "records of {most}");
            // What follows the hello in records of its own (early data) is no part of it.
            assert_eq!(read(&[&bytes[..], &[20, 3, 3, 0, 1, 1]].concat()), Ok(whole(Some("a.example"))));
        }
        assert_eq!(read(&hello(None)), Ok(whole(None)));
        let bare = &body(&[])[..body(&[]).len() - 2];
        assert_eq!(read(&records(&handshake(bare), RECORD)), Ok(whole(None)), "no extensions at all");
    }

    #[test]
    fn whatever_else_is_said_first_is_no_hello() {
        let one = names(&[(HOST_NAME, "a.example")]);
        let said = |extensions: &[u8]| records(&handshake(&body(extensions)), RECORD);
        let message = handshake(&body(&one));
        let patched = |at: usize, byte: u8| {
            let mut bytes = said(&one);
            bytes[at] = byte;
            bytes
        };
        let suites =
            [&[3, 3][..], &[7; 32], &[0], &vector(2, &[1, 2, 3]), &vector(1, &[0]), &[0, 0]].concat();
        let deflate = [&[3, 3][..], &[7; 32], &[0], &vector(2, &[1, 2]), &vector(1, &[1]), &[0, 0]].concat();
        let cases: [(&str, Vec<u8>); 22] = [
            ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            ("ssh", b"SSH-2.0-x\r\n".to_vec()),
            ("sslv2", b"\x80\x2e\x01\x03\x01".to_vec()),
            ("alert", patched(0, 21)),
            ("data", patched(0, 23)),
            ("another major version", patched(1, 2)),
            ("ssl 3", patched(2, 0)),
            ("tls 1.3 on the record", patched(2, 4)),
            ("an empty record", [&[HANDSHAKE, 3, 1, 0, 0][..], &said(&one)].concat()),
            ("a record that is too long", vec![HANDSHAKE, 3, 1, 0x40, 1]),
            ("a hello of the server's", patched(HEADER, 2)),
            ("an endless hello", patched(HEADER + 1, 1)),
            ("another version", patched(HEADER + 5, 4)),
            (
                "a second handshake in the same record",
                records(&[&message[..], &[11, 0, 0, 0]].concat(), RECORD),
            ),
            ("an odd list of suites", records(&handshake(&suites), RECORD)),
            ("no null compression", records(&handshake(&deflate), RECORD)),
            ("bytes after the extensions", records(&handshake(&[body(&one), vec![0]].concat()), RECORD)),
            ("the name twice", said(&[&one[..], &one].concat())),
            ("two names", said(&names(&[(HOST_NAME, "a.example"), (HOST_NAME, "b.example")]))),
            ("a name of another kind", said(&names(&[(1, "a.example")]))),
            ("an encrypted hello", said(&[&one[..], &extension(ENCRYPTED[0], &[0; 8])].concat())),
            ("no list of names", said(&extension(SERVER_NAME, &[]))),
        ];
        for (what, bytes) in cases {
            assert!(read(&bytes).is_err(), "{what}: {:?}", read(&bytes));
        }
        for odd in ["", "a\u{e9}.example"] {
            assert!(read(&said(&names(&[(HOST_NAME, odd)]))).is_err(), "{odd}");
        }
    }

    proptest! {
        /// Whatever comes, it is judged without a panic, and what is refused stays refused whatever follows.
        #[test]
        fn random_bytes_are_judged(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), tls: bool, more: u8) {
            if tls {
                for (place, byte) in bytes.iter_mut().zip([HANDSHAKE, 3, 1, 0]) {
                    *place = byte;
                }
            }
            let judged = read(&bytes);
            bytes.push(more);
            match judged {
                Ok(Hello::Part) => {}
                settled => prop_assert_eq!(read(&bytes), settled),
            }
        }

        /// A hello with any change never shows a name that is not in its bytes.
        #[test]
        fn a_changed_hello_never_shows_a_name_that_was_not_sent(
            changes in proptest::collection::vec((0_usize..200, any::<u8>()), 1..6), most in 1_usize..200,
        ) {
            let mut bytes = records(&handshake(&body(&names(&[(HOST_NAME, "a.example")]))), most);
            let length = bytes.len();
            for (at, byte) in changes {
                bytes[at % length] = byte;
            }
            if let Ok(Hello::Whole { name: Some(name) }) = read(&bytes) {
                let said: Vec<u8> = name.bytes().collect();
                let mut message = Vec::new();
                let mut rest = &bytes[..];
                while let Ok(Record::Whole(content, after)) = record(rest) {
                    message.extend_from_slice(content);
                    rest = after;
                }
                prop_assert!(message.windows(said.len()).any(|window| window == said));
            }
        }
    }
}
