//! What one event of a stream, or a whole answer, says, whatever the API: the words in which the readers of the APIs answer, and what
//! they share. Nothing here allocates, because a chunk is read between two reads of sockets.

use super::json::{Cursor, Raw};

/// What an event says beside the answer itself, and all its pieces in one. Strings are slices of the input, with their escapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Chunk<'a> {
    /// The pieces of the event in one: of several texts the last.
    pub piece: Piece<'a>,
    pub usage: Usage,
    /// The usage as the server wrote it, where it is in the form of OpenAI's chat.
    pub usage_json: Option<&'a [u8]>,
    pub fault: Option<Fault<'a>>,
    /// When the server wrote the chunk (our mock says so).
    pub written: Option<Written>,
    /// The stream is complete.
    pub done: bool,
}

/// A piece of one answer of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Piece<'a> {
    /// Which of the answers.
    pub index: u32,
    /// New text of the answer.
    pub content: Option<Raw<'a>>,
    /// New text of the reasoning in front of it.
    pub reasoning: Option<Raw<'a>>,
    /// All text so far, of servers that repeat it.
    pub cumulative: Option<Raw<'a>>,
    /// A part of a tool call.
    pub tool_call: bool,
    /// Why the answer ended, on the piece with which it did.
    pub ended: Option<Ended<'a>>,
}

impl Piece<'_> {
    /// True if the piece brings something of the answer: text, reasoning or a tool call.
    pub fn has_content(&self) -> bool {
        self.content.is_some() || self.reasoning.is_some() || self.tool_call
    }
}

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended<'a> {
    pub finish: Finish,
    /// The server's own word.
    pub word: Raw<'a>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The server did not say.
    #[default]
    Unknown,
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    /// The server gave the request up.
    Abort,
    Other,
}

impl Finish {
    /// The word of OpenAI's chat; None where it has none.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Stop => Some("stop"),
            Self::Length => Some("length"),
            Self::ToolCalls => Some("tool_calls"),
            Self::ContentFilter => Some("content_filter"),
            Self::Unknown | Self::Abort | Self::Other => None,
        }
    }
}

/// An error in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault<'a> {
    /// Empty where the server says nothing.
    pub message: Raw<'a>,
    /// The error as the server wrote it, where it is a JSON value of its own.
    pub json: Option<&'a [u8]>,
}

/// Token counts of the server, as far as it gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the prompt, those from a cache too.
    pub prompt: Option<u32>,
    pub completion: Option<u32>,
    /// Of the prompt's tokens, those that came from a cache.
    pub cached: Option<u32>,
    /// Of the completion's tokens, those of the reasoning.
    pub reasoning: Option<u32>,
}

impl Usage {
    /// Takes over what a later chunk says.
    pub fn update(&mut self, later: Self) {
        self.prompt = later.prompt.or(self.prompt);
        self.completion = later.completion.or(self.completion);
        self.cached = later.cached.or(self.cached);
        self.reasoning = later.reasoning.or(self.reasoning);
    }
}

/// The in-band stamp of our mock: `"llmbench":{"written_ns":N,"index":I}`, CLOCK_MONOTONIC of the host just before the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub at_ns: u64,
    /// Number of the chunk in its stream.
    pub index: u32,
}

impl<'a> Chunk<'a> {
    /// The last word of a stream, without anything else.
    pub(crate) fn end() -> Self {
        Self { done: true, ..Self::default() }
    }

    /// Adds a piece to what the chunk says as a whole.
    pub(crate) fn add(&mut self, piece: &Piece<'a>) {
        let all = &mut self.piece;
        all.index = piece.index;
        all.content = piece.content.or(all.content);
        all.reasoning = piece.reasoning.or(all.reasoning);
        all.cumulative = piece.cumulative.or(all.cumulative);
        all.tool_call |= piece.tool_call;
        all.ended = piece.ended.or(all.ended);
    }
}

/// The members that an event may have in any API: an error, and our mock's stamp. An error may also stand in the object itself:
/// `{"object":"error","message":…}` (older vLLM), `{"detail":…}` (FastAPI), `{"type":"error","message":…}` (OpenAI responses).
#[derive(Debug, Default)]
pub(crate) struct Common<'a> {
    fault: Option<Fault<'a>>,
    message: Option<Raw<'a>>,
    pub is_error: bool,
    written: Option<Written>,
}

impl<'a> Common<'a> {
    /// Takes the member `name`, whatever it is.
    pub fn take(&mut self, cursor: &mut Cursor<'a>, name: &[u8]) -> Option<()> {
        match name {
            b"error" => self.fault = fault(cursor)?.or(self.fault),
            b"llmbench" => self.written = written(cursor)?,
            b"object" | b"type" => self.is_error |= cursor.text()? == Some(Raw(b"error")),
            b"message" => self.message = cursor.text()?,
            b"detail" => {
                let detail = cursor.text()?;
                self.is_error |= detail.is_some();
                self.message = detail.or(self.message);
            }
            _ => cursor.skip()?,
        }
        Some(())
    }

    /// What the members said, in the chunk.
    pub fn into(self, mut chunk: Chunk<'a>) -> Chunk<'a> {
        let own = self.is_error.then(|| Fault { message: self.message.unwrap_or(Raw(b"")), json: None });
        chunk.fault = chunk.fault.or(self.fault).or(own);
        chunk.written = self.written;
        chunk
    }
}

/// A text that is not empty.
pub(crate) fn non_empty<'a>(cursor: &mut Cursor<'a>) -> Option<Option<Raw<'a>>> {
    Some(cursor.text()?.filter(|text| !text.is_empty()))
}

/// A number of tokens or the number of a choice.
pub(crate) fn count(cursor: &mut Cursor<'_>) -> Option<Option<u32>> {
    Some(cursor.uint()?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

/// `"error": "…"` or `"error": {"message": "…"}`; None for null.
pub(crate) fn fault<'a>(cursor: &mut Cursor<'a>) -> Option<Option<Fault<'a>>> {
    let json = cursor.value()?;
    let mut cursor = Cursor::new(json);
    Some(match cursor.peek()? {
        b'"' => cursor.text()?.map(|message| Fault { message, json: Some(json) }),
        b'{' => {
            let mut message = None;
            cursor.members(|cursor, name| {
                match name {
                    b"message" => message = cursor.text()?,
                    _ => cursor.skip()?,
                }
                Some(())
            })?;
            Some(Fault { message: message.unwrap_or(Raw(b"")), json: Some(json) })
        }
        _ => None,
    })
}

fn written(cursor: &mut Cursor<'_>) -> Option<Option<Written>> {
    let (mut at_ns, mut index) = (None, None);
    cursor.members(|cursor, name| {
        match name {
            b"written_ns" => at_ns = cursor.uint()?,
            b"index" => index = count(cursor)?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    Some(at_ns.map(|at_ns| Written { at_ns, index: index.unwrap_or(0) }))
}
