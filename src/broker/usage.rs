//! What an answer says of itself, read while it passes by: nothing is held back for it, and no more is kept than the
//! event that is coming in. A usage counts only from an answer that came to its own end.

use serde::Deserialize;
use serde_json::Value;

use super::dialect::Dialect;
use super::spend::Usage;
use super::trouble::Trouble;

/// Bytes of one event, or of an answer that is one document. One that is longer is passed on and not read.
const EVENT_BYTES: usize = 16 * 1024 * 1024;

/// What an answer said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The provider's name for the answer.
    pub(super) id: Option<String>,
    /// The model that answered, by the provider's word.
    pub(super) model: Option<String>,
    /// What it used, at its end.
    pub(super) usage: Option<Usage>,
    /// What went wrong, by the provider's word.
    pub(super) trouble: Option<Trouble>,
}

/// In which form an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    Events,
    /// One JSON document.
    Document,
    /// Something else, which says nothing.
    Other,
}

/// Reads along.
pub(super) struct Reader {
    dialect: Dialect,
    form: Form,
    /// The line that is coming in, and the data of the event that it belongs to.
    line: Vec<u8>,
    data: Vec<u8>,
    /// The event or document is longer than what is read.
    too_long: bool,
    /// Of an answer in the Messages dialect, which tells its usage in pieces.
    pieces: Pieces,
    told: Told,
}

impl Reader {
    pub(super) fn new(dialect: Dialect, form: Form) -> Self {
        let (line, data) = (Vec::new(), Vec::new());
        Self { dialect, form, line, data, too_long: false, pieces: Pieces::default(), told: Told::default() }
    }

    /// Takes the next bytes of the answer.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self.form {
            Form::Other => {}
            Form::Document => self.keep(bytes),
            Form::Events => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    if self.line.len().saturating_add(piece.len()) > EVENT_BYTES {
                        self.too_long = true;
                        self.line.clear();
                    } else {
                        self.line.extend_from_slice(piece);
                    }
                    if piece.ends_with(b"\n") {
                        self.end_of_line();
                    }
                }
            }
        }
    }

    /// The answer is over; `status` is that of its head.
    pub(super) fn finish(mut self, status: u16) -> Told {
        if self.form == Form::Document && !self.too_long {
            self.document();
        }
        if status >= 400 {
            let said = self.told.trouble;
            self.told.trouble = Some(Trouble::of_status(status, said));
        }
        self.told
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.data.len().saturating_add(bytes.len()) > EVENT_BYTES {
            self.too_long = true;
            self.data.clear();
        } else if !self.too_long {
            self.data.extend_from_slice(bytes);
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            if !std::mem::take(&mut self.too_long) {
                self.event();
            }
            self.data.clear();
        } else if let Some(data) = text.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            if !self.data.is_empty() {
                self.keep(b"\n");
            }
            self.keep(data);
        }
        // The line's room is kept for the next one.
        self.line = line;
        self.line.clear();
    }

    fn event(&mut self) {
        // Most events are pieces of text; what is read names one of these.
        let says = |word: &[u8]| self.data.windows(word.len()).any(|window| window == word);
        if !(says(b"usage") || says(b"error") || says(b"message_stop")) {
            return;
        }
        match self.dialect {
            Dialect::Responses => {
                let Ok(event) = serde_json::from_slice::<ResponsesEvent>(&self.data) else { return };
                if event.kind == "error" {
                    self.told.trouble = event
                        .error
                        .as_ref()
                        .map_or_else(|| Trouble::of_code(text(event.code.as_ref())), ErrorWire::trouble);
                }
                let ends = ["response.completed", "response.incomplete", "response.failed"];
                if let Some(response) = event.response.filter(|_| ends.contains(&event.kind.as_str())) {
                    self.response(response);
                }
            }
            Dialect::Messages => {
                let Ok(event) = serde_json::from_slice::<MessagesEvent>(&self.data) else { return };
                if let Some(message) = event.message {
                    (self.told.id, self.told.model) = (message.id, message.model);
                    self.pieces.add(message.usage.as_ref());
                }
                self.pieces.add(event.usage.as_ref());
                match event.kind.as_str() {
                    "message_stop" => self.told.usage = self.pieces.whole(),
                    "error" => self.told.trouble = event.error.as_ref().and_then(ErrorWire::trouble),
                    _ => {}
                }
            }
        }
    }

    fn document(&mut self) {
        if let Ok(Failed { error: Some(error) }) = serde_json::from_slice::<Failed>(&self.data) {
            self.told.trouble = error.trouble();
            return;
        }
        match self.dialect {
            Dialect::Responses => {
                if let Ok(response) = serde_json::from_slice(&self.data) {
                    self.response(response);
                }
            }
            Dialect::Messages => {
                if let Ok(message) = serde_json::from_slice::<MessageWire>(&self.data) {
                    self.pieces.add(message.usage.as_ref());
                    (self.told.id, self.told.model) = (message.id, message.model);
                    self.told.usage = self.pieces.whole();
                }
            }
        }
    }

    fn response(&mut self, response: ResponseWire) {
        self.told.usage = response.usage.map(Usage::from);
        if let Some(error) = response.error {
            self.told.trouble = error.trouble();
        }
        (self.told.id, self.told.model) = (response.id, response.model);
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("")
}

#[derive(Deserialize)]
struct ResponsesEvent {
    #[serde(rename = "type")]
    kind: String,
    response: Option<ResponseWire>,
    code: Option<Value>,
    error: Option<ErrorWire>,
}

#[derive(Deserialize)]
struct ResponseWire {
    id: Option<String>,
    model: Option<String>,
    usage: Option<ResponsesUsage>,
    error: Option<ErrorWire>,
}

#[derive(Deserialize)]
struct ResponsesUsage {
    input_tokens: u64,
    #[serde(default)]
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
}

#[derive(Default, Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

impl From<ResponsesUsage> for Usage {
    fn from(wire: ResponsesUsage) -> Self {
        let details = wire.input_tokens_details.unwrap_or_default();
        Self {
            input_tokens: wire.input_tokens,
            cached_input_tokens: details.cached_tokens.unwrap_or(0),
            cache_write_tokens: details.cache_write_tokens.unwrap_or(0),
            output_tokens: wire.output_tokens,
        }
    }
}

#[derive(Deserialize)]
struct MessagesEvent {
    #[serde(rename = "type")]
    kind: String,
    message: Option<MessageWire>,
    usage: Option<MessagesUsage>,
    error: Option<ErrorWire>,
}

#[derive(Deserialize)]
struct MessageWire {
    id: Option<String>,
    model: Option<String>,
    usage: Option<MessagesUsage>,
}

/// Here the input is what was neither read from the cache nor written into it.
#[derive(Deserialize)]
struct MessagesUsage {
    #[serde(rename = "input_tokens")]
    fresh: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    read: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
}

/// The newest of each count; they are told as sums so far.
#[derive(Default)]
struct Pieces {
    fresh: Option<u64>,
    written: u64,
    read: u64,
    output: Option<u64>,
}

impl Pieces {
    fn add(&mut self, usage: Option<&MessagesUsage>) {
        let Some(usage) = usage else { return };
        self.fresh = usage.fresh.or(self.fresh);
        self.written = usage.written.unwrap_or(self.written);
        self.read = usage.read.unwrap_or(self.read);
        self.output = usage.output.or(self.output);
    }

    fn whole(&self) -> Option<Usage> {
        let input = self.fresh?.checked_add(self.written)?.checked_add(self.read)?;
        Some(Usage {
            input_tokens: input,
            cached_input_tokens: self.read,
            cache_write_tokens: self.written,
            output_tokens: self.output?,
        })
    }
}

#[derive(Deserialize)]
struct Failed {
    error: Option<ErrorWire>,
}

#[derive(Deserialize)]
struct ErrorWire {
    code: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
}

impl ErrorWire {
    fn trouble(&self) -> Option<Trouble> {
        Trouble::of_code(text(self.code.as_ref())).or_else(|| Trouble::of_code(text(self.kind.as_ref())))
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
