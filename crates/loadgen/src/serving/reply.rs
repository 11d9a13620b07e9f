//! What came of one request, as far as it came: stamps of its chunks, token counts, how it ended.

use server_api::json::Raw;
use server_api::{Api, Chunk, Finish, Usage};

use super::sse::{Event, EventStream, TooLong};
use super::varint;
use crate::outcome::ErrorClass;
use crate::transport::Failure;

/// How much of an error's body goes into the message, bytes.
const QUOTED: usize = 300;

/// The answer to one request. Times are CLOCK_MONOTONIC, ns, of the read that brought the bytes; 0 is a stamp that never came
/// to be. Lists are [`varint`] lists, so that a reply of 1,000 chunks takes some 4 kB.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The first byte of the answer, its status line.
    pub first_byte_ns: u64,
    /// The first chunk with content: text, reasoning or a tool call.
    pub first_token_ns: u64,
    /// The first chunk with content that is no reasoning.
    pub first_output_ns: u64,
    /// The last chunk with content.
    pub last_token_ns: u64,
    /// Chunks with content.
    pub chunks: u32,
    /// From each chunk with content to the next, ns: `chunks − 1` numbers. Chunks that one read brought have a gap of 0.
    pub gaps: Vec<u8>,
    /// Our mock's stamps of the chunks with content, ns: the first as it is, each further one less the one in front of it.
    pub written: Vec<u8>,
    /// Chunks with content that had such a stamp.
    pub written_count: u32,
    pub(super) last_written_ns: u64,
    /// The text, reasoning included, as JSON string contents with their escapes; only where it is kept.
    pub text: Vec<u8>,
    pub usage: Usage,
    pub finish: Finish,
    /// The stream said that it is complete, by a word of its own: `[DONE]`, `message_stop`.
    pub done: bool,
    /// Events that are none of the API.
    pub malformed: u32,
    /// The HTTP status.
    pub status: u16,
    /// The answer was a stream of events.
    pub streamed: bool,
    /// The message of an error inside a stream.
    pub error: Option<String>,
    /// Length of the text so far, of servers that repeat it, bytes.
    pub(super) cumulative: usize,
}

impl Reply {
    /// Takes an event that came at `at_ns`. `keep_text`: for counting tokens afterwards.
    pub fn take_event(&mut self, api: Api, event: Event<'_>, at_ns: u64, keep_text: bool) {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return;
        }
        if self.take(api, data, at_ns, keep_text) {
            if event.is_error && self.error.is_none() {
                self.error = Some(quote(data));
            }
        } else if event.is_error {
            self.error = Some(quote(data));
        } else {
            self.malformed += 1;
        }
    }

    /// Takes a whole answer that is no stream. It has no first token: nothing says when that was.
    pub fn take_body(&mut self, api: Api, body: &[u8], at_ns: u64, keep_text: bool) {
        if self.take(api, body.trim_ascii(), at_ns, keep_text) {
            (self.first_token_ns, self.first_output_ns) = (0, 0);
        } else {
            self.malformed += 1;
        }
    }

    /// False if it is none of the API.
    fn take(&mut self, api: Api, data: &[u8], at_ns: u64, keep_text: bool) -> bool {
        let before = self.text.len();
        let text = &mut self.text;
        let chunk = api.read_each(data, &mut |piece| {
            for part in [piece.reasoning, piece.content].into_iter().flatten().filter(|_| keep_text) {
                text.extend_from_slice(part.0);
            }
        });
        match chunk {
            Some(chunk) => self.take_chunk(&chunk, at_ns, keep_text),
            None => self.text.truncate(before),
        }
        chunk.is_some()
    }

    fn take_chunk(&mut self, chunk: &Chunk<'_>, at_ns: u64, keep_text: bool) {
        let before = self.usage.completion.unwrap_or(0);
        self.usage.update(chunk.usage);
        self.done |= chunk.done;
        let piece = &chunk.piece;
        if let Some(ended) = piece.ended {
            self.finish = ended.finish;
        }
        if let Some(Raw(message)) = chunk.fault.map(|fault| fault.message) {
            let aborted = self.finish == Finish::Abort && message.is_empty();
            let said = if message.is_empty() { "without a message".to_owned() } else { Raw(message).decode() };
            // That it was given up says more than that nothing was said.
            self.error = if aborted { None } else { Some(said) };
        }
        let mut has_content = piece.has_content();
        let mut is_output = piece.content.is_some() || piece.tool_call;
        if let Some(text) = piece.cumulative {
            // New is what lies beyond the text so far, or tokens whose text is not whole yet.
            let is_new = text.0.len() > self.cumulative || self.usage.completion.unwrap_or(0) > before;
            if keep_text {
                self.text.extend_from_slice(text.0.get(self.cumulative..).unwrap_or_default());
            }
            self.cumulative = self.cumulative.max(text.0.len());
            (has_content, is_output) = (has_content || is_new, is_output || is_new);
        }
        if !has_content {
            return;
        }
        if self.chunks == 0 {
            self.first_token_ns = at_ns;
        } else {
            varint::put(&mut self.gaps, at_ns.saturating_sub(self.last_token_ns));
        }
        if is_output && self.first_output_ns == 0 {
            self.first_output_ns = at_ns;
        }
        self.last_token_ns = at_ns;
        self.chunks += 1;
        if let Some(written) = chunk.written {
            varint::put(&mut self.written, written.at_ns.saturating_sub(self.last_written_ns));
            self.last_written_ns = written.at_ns;
            self.written_count += 1;
        }
    }

    /// The stream says that it is complete: by a word of its own, or a reason to finish.
    pub fn says_end(&self) -> bool {
        self.done || self.finish != Finish::Unknown
    }

    /// Whether the request succeeded, once nothing more of it comes. `whole`: HTTP says that the body is complete.
    ///
    /// # Errors
    /// An error inside the stream, a body that is cut short (by HTTP, or a stream that stopped without `[DONE]` and without a reason
    /// to finish), a 200 without any token, bytes that are no answer of any dialect.
    pub fn judge(&self, whole: bool) -> Result<(), Failure> {
        if let Some(message) = &self.error {
            return Err(Failure::new(ErrorClass::StreamError, format!("an error inside the answer: {message}")));
        }
        if self.finish == Finish::Abort {
            return Err(Failure::new(ErrorClass::StreamError, "the server gave the request up (finish reason abort)"));
        }
        if self.streamed && !self.says_end() || !self.streamed && !whole {
            let message = format!("the answer ended after {} chunks without saying that it is complete", self.chunks);
            // Garbage that ends is garbage first.
            return Err(if self.chunks == 0 && self.malformed > 0 {
                Failure::new(ErrorClass::Protocol, format!("{} events of the stream are not JSON", self.malformed))
            } else {
                Failure::new(ErrorClass::ShortBody, message)
            });
        }
        if self.chunks == 0 && self.malformed > 0 {
            return Err(Failure::new(ErrorClass::Protocol, "the answer is not JSON of any known dialect"));
        }
        if self.chunks == 0 && self.usage.completion.unwrap_or(0) == 0 {
            return Err(Failure::new(ErrorClass::NoToken, "the server answered 200 without a token"));
        }
        Ok(())
    }
}

/// The failure of an HTTP status other than 2xx; `body` as far as it came.
pub fn refusal(api: Api, status: u16, location: Option<&str>, retry_after: Option<&str>, body: &[u8]) -> Failure {
    let fault = api.read(body.trim_ascii()).and_then(|chunk| chunk.fault);
    let said = fault.map(|fault| fault.message.decode());
    let said = said.filter(|message| !message.is_empty()).unwrap_or_else(|| quote(body));
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let retry = retry_after.map(|after| format!(" (Retry-After: {after})")).unwrap_or_default();
    let class = match status {
        300..=399 => ErrorClass::Redirect,
        401 | 403 => ErrorClass::Unauthorized,
        404 => ErrorClass::NotFound,
        429 => ErrorClass::RateLimited,
        500.. => ErrorClass::ServerError,
        _ => ErrorClass::Status,
    };
    let message = match (class, location) {
        (ErrorClass::Redirect, Some(location)) => format!(
            "HTTP status {status}: the server redirects to {location}, and requests go nowhere but to the given address; give that one if \
             it is meant"
        ),
        _ => format!("HTTP status {status}{retry}{said}"),
    };
    Failure::new(class, message)
}

fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads bodies of streams: events of an API.
#[derive(Debug)]
pub struct Reader {
    api: Api,
    events: EventStream,
}

impl Reader {
    /// Of streams of this API.
    pub fn new(api: Api) -> Self {
        Self { api, events: EventStream::default() }
    }

    /// What is read.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Before the next answer.
    pub fn reset(&mut self) {
        self.events.reset();
    }

    /// Takes a part of a stream's body.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn feed(&mut self, part: &[u8], reply: &mut Reply, at_ns: u64, keep_text: bool) -> Result<(), TooLong> {
        let api = self.api;
        self.events.feed(part, &mut |event| reply.take_event(api, event, at_ns, keep_text))
    }

    /// The body of the stream has ended.
    pub fn finish(&mut self, reply: &mut Reply, at_ns: u64, keep_text: bool) {
        let api = self.api;
        self.events.finish(&mut |event| reply.take_event(api, event, at_ns, keep_text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server_api::{ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES, SGLANG};

    fn read(parts: &[(&str, u64)]) -> Reply {
        read_as(OPENAI_CHAT, parts)
    }

    fn read_as(api: Api, parts: &[(&str, u64)]) -> Reply {
        let (mut reader, mut reply) = (Reader::new(api), Reply { streamed: true, status: 200, ..Reply::default() });
        for (part, at) in parts {
            reader.feed(part.as_bytes(), &mut reply, *at, true).unwrap();
        }
        reader.finish(&mut reply, 99, true);
        reply
    }

    fn content(text: &str) -> String {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    }

    #[test]
    fn stamps_of_a_stream() {
        let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
        let think = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n";
        let last = "data: {\"choices\":[{\"delta\":{\"content\":\"c\"},\"finish_reason\":\"length\"}]}\n\n";
        let usage =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";
        let both = format!("{}{last}", content("b"));
        let reply = read(&[(role, 10), (think, 20), (&content("a"), 35), (&both, 50), (usage, 60)]);
        assert_eq!((reply.first_token_ns, reply.first_output_ns, reply.last_token_ns), (20, 35, 50));
        assert_eq!((reply.chunks, reply.finish, reply.done), (4, Finish::Length, true));
        assert_eq!(varint::iter(&reply.gaps).collect::<Vec<_>>(), [15, 15, 0]);
        assert_eq!((reply.usage.prompt, reply.usage.completion), (Some(3), Some(4)));
        assert_eq!(reply.text, b"hmabc");
        assert_eq!(reply.judge(true), Ok(()));
    }

    #[test]
    fn stamps_of_the_mock_and_cumulative_text() {
        let at = |text: &str, ns: u64| {
            format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}],\"llmbench\":{{\"written_ns\":{ns},\"index\":0}}}}\n\n"
            )
        };
        let reply = read(&[(&at("a", 1000), 1010), (&at("b", 1500), 1600)]);
        assert_eq!(varint::iter(&reply.written).collect::<Vec<_>>(), [1000, 500]);
        let part = |text: &str, tokens: u32| {
            format!(
                "data: {{\"text\":\"{text}\",\"meta_info\":{{\"completion_tokens\":{tokens},\"finish_reason\":null}}}}\n\n"
            )
        };
        let reply =
            read_as(SGLANG, &[(&part("a", 1), 1), (&part("ab", 2), 2), (&part("ab", 2), 3), (&part("ab", 3), 4)]);
        assert_eq!((reply.chunks, reply.last_token_ns, reply.text.as_slice()), (3, 4, &b"ab"[..]));
    }

    #[test]
    fn servers_that_lie() {
        let class = |reply: &Reply| reply.judge(true).unwrap_err().class;
        assert_eq!(class(&read(&[(&content("a"), 1)])), ErrorClass::ShortBody);
        assert_eq!(class(&read(&[("data: [DONE]\n\n", 1)])), ErrorClass::NoToken);
        assert_eq!(class(&read(&[("", 1)])), ErrorClass::ShortBody);
        assert_eq!(class(&read(&[("data: <html>\n\n", 1)])), ErrorClass::Protocol);
        let error = read(&[
            (&content("a"), 1),
            ("data: {\"error\":{\"message\":\"out of memory\"}}\n\n", 2),
            ("data: [DONE]\n\n", 3),
        ]);
        let failure = error.judge(true).unwrap_err();
        assert_eq!(failure.class, ErrorClass::StreamError);
        assert!(failure.message.ends_with("out of memory"), "{failure}");
        assert_eq!(class(&read(&[("event: error\ndata: oops\n\n", 1)])), ErrorClass::StreamError);
        // Tokens without text count by the server's word: it may have held back half a character.
        let silent = read(&[(
            "data: {\"choices\":[{\"finish_reason\":\"length\",\"delta\":{}}],\"usage\":{\"completion_tokens\":1}}\n\n",
            1,
        )]);
        assert_eq!(silent.judge(true), Ok(()));
    }

    #[test]
    fn whole_answers_have_no_first_token() {
        let mut reply = Reply { status: 200, ..Reply::default() };
        reply.take_body(OPENAI_CHAT, br#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#, 5, true);
        assert_eq!((reply.first_token_ns, reply.last_token_ns, reply.judge(true)), (0, 5, Ok(())));
        let mut none = Reply::default();
        none.take_body(OPENAI_CHAT, b"<html>", 5, true);
        assert_eq!(none.judge(true).unwrap_err().class, ErrorClass::Protocol);
    }

    #[test]
    fn refusals_have_their_class_and_say_what_the_server_said() {
        let class = |status| refusal(OPENAI_CHAT, status, None, None, b"").class;
        assert_eq!(
            [301, 401, 403, 404, 429, 500, 503, 400].map(class),
            [
                ErrorClass::Redirect,
                ErrorClass::Unauthorized,
                ErrorClass::Unauthorized,
                ErrorClass::NotFound,
                ErrorClass::RateLimited,
                ErrorClass::ServerError,
                ErrorClass::ServerError,
                ErrorClass::Status
            ]
        );
        let failure = refusal(OPENAI_CHAT, 429, None, Some("7"), br#"{"error":{"message":"slow down"}}"#);
        assert_eq!(failure.message, "HTTP status 429 (Retry-After: 7): slow down");
        assert!(
            refusal(OPENAI_CHAT, 302, Some("http://elsewhere/"), None, b"")
                .message
                .contains("redirects to http://elsewhere/")
        );
        assert_eq!(refusal(OPENAI_CHAT, 502, None, None, b"<h1>\n bad</h1>").message, "HTTP status 502: <h1> bad</h1>");
    }
    /// Streams with names of events, as Anthropic and OpenAI write them: the reply is the same wherever the bytes are cut.
    #[test]
    fn streams_of_named_events_however_they_are_cut() {
        let anthropic = concat!(
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\r\n\r\n",
            ": ping\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"h\u{e4}\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        );
        let responses = concat!(
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"usage\":null}}\n\n",
            "event: response.reasoning_text.delta\ndata: {\"type\":\"response.reasoning_text.delta\",\"delta\":\"h\u{e4}\"}\n\n",
            "event: response.output_text.delta\ndata: {\"delta\":\"ok\",\"type\":\"response.output_text.delta\"}\n\n",
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":9}}}\n\n",
        );
        for (api, stream) in [(ANTHROPIC_MESSAGES, anthropic), (OPENAI_RESPONSES, responses)] {
            let whole = read_as(api, &[(stream, 5)]);
            assert_eq!((whole.chunks, whole.finish, whole.done, whole.malformed), (2, Finish::Stop, true, 0), "{api}");
            assert_eq!((whole.usage.prompt, whole.usage.cached, whole.usage.completion), (Some(7), Some(4), Some(9)));
            assert_eq!(whole.text, "h\u{e4}ok".as_bytes());
            assert_eq!(whole.judge(true), Ok(()));
            for first in 0..stream.len() {
                let (mut reader, mut reply) =
                    (Reader::new(api), Reply { streamed: true, status: 200, ..Reply::default() });
                for part in [&stream.as_bytes()[..first], &stream.as_bytes()[first..]] {
                    reader.feed(part, &mut reply, 5, true).unwrap();
                }
                reader.finish(&mut reply, 5, true);
                assert_eq!(reply, whole, "{api}: cut at {first}");
            }
        }
        // The end without `message_stop`, and no end at all.
        let (without, _) = anthropic.rsplit_once("event: message_stop").unwrap();
        assert_eq!(read_as(ANTHROPIC_MESSAGES, &[(without, 5)]).judge(true), Ok(()));
        let (cut, _) = anthropic.rsplit_once("event: message_delta").unwrap();
        let failure = read_as(ANTHROPIC_MESSAGES, &[(cut, 5)]).judge(true).unwrap_err();
        assert_eq!(failure.class, ErrorClass::ShortBody);
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let failure = read_as(ANTHROPIC_MESSAGES, &[(error, 5)]).judge(true).unwrap_err();
        assert!(failure.class == ErrorClass::StreamError && failure.message.ends_with("Overloaded"), "{failure}");
        let refused =
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}}"#;
        let failure = refusal(ANTHROPIC_MESSAGES, 400, None, None, refused.as_bytes());
        assert_eq!(failure.message, "HTTP status 400: max_tokens: Field required");
    }
}
