//! What one event of a stream, or a whole answer, says: the dialects of OpenAI's chat and completions, of SGLang's `/generate`
//! and of llama.cpp's `/completion`, read by one pass over the bytes.
//!
//! One reader for all, because servers mix them: usage stands in the last event, in the last choice or in every event, the reason to
//! finish comes on the last content or alone, contents are `null` or missing.

use super::json::{Cursor, Raw};

/// What a chunk says. Strings are slices of the input, with their escapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Chunk<'a> {
    /// New text of the answer: `delta.content`, `message.content`, `choices[].text`, llama.cpp's `content`.
    pub content: Option<Raw<'a>>,
    /// New text of the reasoning in front of it: `reasoning_content` or `reasoning`.
    pub reasoning: Option<Raw<'a>>,
    /// All text so far (SGLang sends it so).
    pub cumulative: Option<Raw<'a>>,
    /// A part of a tool call.
    pub tool_call: bool,
    /// Why the answer ended, from the chunk on which it did.
    pub finish: Option<Raw<'a>>,
    pub usage: Usage,
    /// The message of an error inside the stream.
    pub error: Option<Raw<'a>>,
    /// When the server wrote the chunk (our mock says so).
    pub written: Option<Written>,
}

/// Token counts of the server, as far as it gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
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
    /// Reads the JSON of one event or answer; None if it is no JSON object.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(json);
        if cursor.peek()? != b'{' {
            return None;
        }
        let mut chunk = Self::default();
        // An error may stand in the object itself: {"object":"error","message":…}, {"detail":…}.
        let (mut message, mut is_error) = (None, false);
        cursor.members(|cursor, name| {
            match name {
                b"choices" => cursor.items(|cursor| chunk.choice(cursor))?,
                b"usage" => chunk.usage(cursor)?,
                b"error" => chunk.error = error(cursor)?.or(chunk.error),
                b"llmbench" => chunk.written = written(cursor)?,
                b"text" => chunk.cumulative = cursor.text()?,
                b"meta_info" => chunk.meta(cursor)?,
                b"content" => chunk.content = cursor.text()?.filter(|text| !text.is_empty()),
                b"stop" => {
                    if cursor.is_true()? {
                        chunk.finish.get_or_insert(Raw(b"stop"));
                    }
                }
                b"stop_type" => {
                    // llama.cpp: "limit", "eos", "word", and "none" before the end.
                    let kind = cursor.text()?.filter(|kind| !matches!(kind.0, b"none" | b""));
                    chunk.finish = kind.or(chunk.finish);
                }
                b"tokens_predicted" => chunk.usage.completion = count(cursor)?,
                b"tokens_evaluated" => chunk.usage.prompt = count(cursor)?,
                b"object" => is_error |= cursor.text()? == Some(Raw(b"error")),
                b"message" => message = cursor.text()?,
                b"detail" => {
                    let detail = cursor.text()?;
                    is_error |= detail.is_some();
                    message = detail.or(message);
                }
                _ => cursor.skip()?,
            }
            Some(())
        })?;
        if is_error && chunk.error.is_none() {
            chunk.error = Some(message.unwrap_or(Raw(b"")));
        }
        cursor.is_at_end().then_some(chunk)
    }

    /// True if the chunk brings something of the answer: text, reasoning or a tool call.
    pub fn has_content(&self) -> bool {
        self.content.is_some() || self.reasoning.is_some() || self.tool_call
    }

    fn choice(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        cursor.members(|cursor, name| {
            match name {
                b"delta" | b"message" => self.delta(cursor)?,
                b"text" => self.content = non_empty(cursor)?.or(self.content),
                b"finish_reason" => self.finish = cursor.text()?.or(self.finish),
                b"usage" => self.usage(cursor)?,
                _ => cursor.skip()?,
            }
            Some(())
        })
    }

    fn delta(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        cursor.members(|cursor, name| {
            match name {
                b"content" => self.content = non_empty(cursor)?.or(self.content),
                b"reasoning_content" | b"reasoning" => self.reasoning = non_empty(cursor)?.or(self.reasoning),
                b"tool_calls" => self.tool_call |= cursor.length()? > 0,
                _ => cursor.skip()?,
            }
            Some(())
        })
    }

    fn usage(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let mut usage = Usage::default();
        cursor.members(|cursor, name| {
            match name {
                b"prompt_tokens" => usage.prompt = count(cursor)?,
                b"completion_tokens" => usage.completion = count(cursor)?,
                b"prompt_tokens_details" => cursor.members(|cursor, name| {
                    match name {
                        b"cached_tokens" => usage.cached = count(cursor)?,
                        _ => cursor.skip()?,
                    }
                    Some(())
                })?,
                b"completion_tokens_details" => cursor.members(|cursor, name| {
                    match name {
                        b"reasoning_tokens" => usage.reasoning = count(cursor)?,
                        _ => cursor.skip()?,
                    }
                    Some(())
                })?,
                b"reasoning_tokens" => usage.reasoning = count(cursor)?,
                _ => cursor.skip()?,
            }
            Some(())
        })?;
        self.usage.update(usage);
        Some(())
    }

    /// SGLang's account of a request.
    fn meta(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        cursor.members(|cursor, name| {
            match name {
                b"prompt_tokens" => self.usage.prompt = count(cursor)?,
                b"completion_tokens" => self.usage.completion = count(cursor)?,
                b"cached_tokens" => self.usage.cached = count(cursor)?,
                // {"type":"length","length":8}, or a string in older versions.
                b"finish_reason" => {
                    if cursor.peek()? == b'{' {
                        cursor.members(|cursor, name| {
                            match name {
                                b"type" => self.finish = cursor.text()?.or(self.finish),
                                _ => cursor.skip()?,
                            }
                            Some(())
                        })?;
                    } else {
                        self.finish = cursor.text()?.or(self.finish);
                    }
                }
                _ => cursor.skip()?,
            }
            Some(())
        })
    }
}

fn non_empty<'a>(cursor: &mut Cursor<'a>) -> Option<Option<Raw<'a>>> {
    Some(cursor.text()?.filter(|text| !text.is_empty()))
}

fn count(cursor: &mut Cursor<'_>) -> Option<Option<u32>> {
    Some(cursor.uint()?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

/// `"error": "…"` or `"error": {"message": "…"}`; None for null.
fn error<'a>(cursor: &mut Cursor<'a>) -> Option<Option<Raw<'a>>> {
    match cursor.peek()? {
        b'"' => cursor.text(),
        b'{' => {
            let mut message = None;
            cursor.members(|cursor, name| {
                match name {
                    b"message" => message = cursor.text()?,
                    _ => cursor.skip()?,
                }
                Some(())
            })?;
            Some(Some(message.unwrap_or(Raw(b""))))
        }
        _ => {
            cursor.skip()?;
            Some(None)
        }
    }
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

#[cfg(test)]
mod tests;
