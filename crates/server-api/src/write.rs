//! Answers as a server writes them, by hand: an event of a stream is some memory copies and no allocation.
//!
//! Each event with content, and each after it, carries `"llmbench":{"written_ns":N,"index":I}`. N is filled in when the event is
//! written ([`stamp`]): room for it is left as spaces, which JSON allows before a number.

use std::io::Write;
use std::ops::Range;

use super::api::Api;

/// Room for a stamp: the digits of the largest u64.
const STAMP_ROOM: usize = 20;

/// Writes the time into the room that an event left at `at`.
pub fn stamp(bytes: &mut [u8], at: usize, written_ns: u64) {
    let mut rest = written_ns;
    for place in bytes[at..at + STAMP_ROOM].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model had said what it wanted to say.
    Stop,
    /// As many tokens as were asked for.
    Length,
}

impl Ending {
    /// OpenAI's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// The tokens of an answer. The text needs no escape in JSON.
pub trait Words {
    /// The text of token number `index`.
    fn word(&self, index: u32) -> &str;
    /// Its id.
    fn id(&self, index: u32) -> u32;
}

/// One answer of a request, as far as it is.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    pub index: u32,
    pub words: &'a dyn Words,
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were found in the cache.
    pub cached: u32,
    /// The first tokens that are reasoning, in APIs that tell it apart.
    pub reasoning: u32,
    pub ending: Ending,
    /// Tokens that there are.
    pub produced: u32,
    /// Tokens that were put into events.
    pub sent: u32,
}

impl Choice<'_> {
    /// Appends the texts of a range.
    pub fn put_words(&self, range: Range<u32>, out: &mut Vec<u8>) {
        for index in range {
            out.extend_from_slice(self.words.word(index).as_bytes());
        }
    }

    /// Appends the ids of a range, with commas between them.
    pub fn put_ids(&self, range: Range<u32>, out: &mut Vec<u8>) {
        let first = range.start;
        for index in range {
            put_number(out, if index == first { "" } else { "," }, self.words.id(index));
        }
    }

    /// Where, in a range, reasoning ends and the answer begins.
    pub fn border(&self, range: &Range<u32>) -> u32 {
        self.reasoning.clamp(range.start, range.end)
    }
}

/// Tokens of all answers of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Those from a cache too.
    pub prompt: u64,
    pub cached: u64,
    pub completion: u64,
    pub reasoning: u64,
}

impl Tokens {
    /// Choices of one prompt count it once, as the field's servers do.
    pub fn of<'a>(choices: impl IntoIterator<Item = Choice<'a>>, choices_a_prompt: u32) -> Self {
        let each = choices_a_prompt.max(1);
        choices.into_iter().fold(Self::default(), |mut all, choice| {
            if choice.index % each == 0 {
                all.prompt += u64::from(choice.prompt_tokens);
                all.cached += u64::from(choice.cached);
            }
            all.completion += u64::from(choice.produced);
            all.reasoning += u64::from(choice.reasoning.min(choice.produced));
            all
        })
    }
}

/// The answer to one request in the words of its API: what is the same in all its events.
#[derive(Debug)]
pub struct Voice {
    api: Api,
    /// The request's id, of plain characters.
    pub id: String,
    /// The model's name as a JSON string.
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The beginning of each event, where there is one.
    pub prefix: Vec<u8>,
    /// Number of the next event, where events are numbered.
    pub sequence: u32,
}

impl Voice {
    /// `id` is of plain characters; `created` is in s since 1970.
    pub fn new(api: Api, id: &str, model: &str, created: u64) -> Self {
        let model = serde_json::Value::from(model).to_string();
        let mut voice = Self { api, id: id.to_owned(), model, created, prefix: Vec::new(), sequence: 0 };
        voice.prefix = api.dialect().prefix(&voice);
        voice
    }

    /// In whose words.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether the end of an answer is an event of its own in any case.
    pub fn ends_apart(&self) -> bool {
        self.api.dialect().ends_apart()
    }

    /// Whether reasoning and answer never stand in one event.
    pub fn splits_reasoning(&self) -> bool {
        self.api.dialect().splits_reasoning()
    }

    /// The events before the first content of an answer; some APIs have none.
    pub fn begin(&mut self, choice: &Choice<'_>, out: &mut Vec<u8>) {
        self.api.dialect().begin(self, choice, out);
    }

    /// An event with the tokens of `range`; `ends` puts the reason of the end into it, `usage` the usage. Returns where its stamp
    /// goes.
    pub fn content(
        &mut self,
        choice: &Choice<'_>,
        range: Range<u32>,
        ends: bool,
        usage: Option<&Tokens>,
        index: u32,
        out: &mut Vec<u8>,
    ) -> usize {
        self.api.dialect().content(self, choice, range, ends.then_some(choice.ending), usage, out);
        end_event(index, out)
    }

    /// The end of an answer as an event without content; `usage` where it is told there. Returns where its stamp goes.
    pub fn ending(&mut self, choice: &Choice<'_>, usage: Option<&Tokens>, index: u32, out: &mut Vec<u8>) -> usize {
        self.api.dialect().ending(self, choice, usage, out);
        end_event(index, out)
    }

    /// The usage as an event of its own, where the API has it. Returns where its stamp goes.
    pub fn usage(&mut self, usage: &Tokens, index: u32, out: &mut Vec<u8>) -> Option<usize> {
        self.api.dialect().usage(self, usage, out).then(|| end_event(index, out))
    }

    /// The end of the stream.
    pub fn done(&mut self, out: &mut Vec<u8>) {
        self.api.dialect().done(self, out);
    }

    /// An error inside the stream, and what ends it then.
    pub fn error_event(&mut self, message: &str, out: &mut Vec<u8>) {
        self.api.dialect().error_event(self, message, out);
    }

    /// The whole answer as one JSON document. Appends where its stamps go: one, but one for each answer of a list.
    pub fn whole(
        &mut self,
        choices: &[Choice<'_>],
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    ) {
        self.api.dialect().whole(self, choices, usage, out, stamps);
    }
}

impl Api {
    /// The body of an answer that is an error.
    pub fn error(self, status: u16, message: &str) -> String {
        self.dialect().error(status, message)
    }
}

/// The stamp's room, and the end of the object.
pub(crate) fn end_object(index: u32, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b",\"llmbench\":{\"written_ns\":");
    let at = out.len();
    out.extend_from_slice(&[b' '; STAMP_ROOM]);
    put_number(out, ",\"index\":", index);
    out.extend_from_slice(b"}}");
    at
}

fn end_event(index: u32, out: &mut Vec<u8>) -> usize {
    let at = end_object(index, out);
    out.extend_from_slice(b"\n\n");
    at
}

pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

/// A number without the machinery of `write!`.
pub(crate) fn put_number(out: &mut Vec<u8>, before: &str, number: u32) {
    out.extend_from_slice(before.as_bytes());
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
