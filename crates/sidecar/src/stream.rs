//! The body of a streamed answer: the upstream's events as they come, translated.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::chat::{Writer, write_error};
use super::metrics::{Metrics, Outcome};
use super::refusal::Refusal;
use super::said::{Reader, Said};
use super::sse::Events;
use super::upstream::{Answer, causes};

/// A chat request under way. Counted once, when it goes, whatever became of it.
pub struct Ticket {
    metrics: Arc<Metrics>,
    outcome: Outcome,
    sent: Option<Instant>,
    seen_first: bool,
}

impl Ticket {
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight.fetch_add(1, Relaxed);
        // Until something is known to have happened, the only end there can be is that the client leaves.
        Self { metrics: Arc::clone(metrics), outcome: Outcome::ClientGone, sent: None, seen_first: false }
    }

    /// How it will have ended.
    pub fn set(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// It goes upstream now.
    pub fn sent(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// The first byte of the upstream's answer is there.
    pub fn first_byte(&mut self) {
        if let (Some(sent), false) = (self.sent, self.seen_first) {
            self.seen_first = true;
            self.metrics.upstream_first.observe(sent.elapsed());
        }
    }

    /// The upstream's answer is complete.
    pub fn upstream_ended(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.metrics.upstream.observe(sent.elapsed());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Relaxed);
        self.metrics.ended(self.outcome);
    }
}

/// Turns the upstream's bytes into what the client reads.
pub struct Translator {
    reader: Reader,
    writer: Writer,
    events: Events,
    /// The upstream said `[DONE]`.
    done: bool,
    /// What went wrong; nothing is read after it.
    failed: Option<Refusal>,
    /// An error of the upstream was passed on.
    told_error: bool,
}

impl Translator {
    pub fn new(reader: Reader, writer: Writer) -> Self {
        Self { reader, writer, events: Events::default(), done: false, failed: None, told_error: false }
    }

    /// Appends what `bytes` say to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { reader, writer, events, done, failed, told_error } = self;
        let result = events.feed(bytes, |data, is_error| {
            event(data, is_error, reader, writer, out, done, failed, told_error);
        });
        if result.is_err() && self.failed.is_none() {
            self.failed = Some(Refusal::upstream(502, "the upstream sent an event of more than 64 MiB"));
        }
        if let Some(refusal) = &self.failed
            && !self.told_error
        {
            self.told_error = true;
            write_error(&refusal.json(), out);
        }
    }

    /// The upstream's answer has ended: appends the end, or the error that there was none.
    pub fn end(&mut self, broken: Option<&str>, out: &mut Vec<u8>) -> Outcome {
        let Self { reader, writer, events, done, failed, told_error } = self;
        events.end(|data, is_error| event(data, is_error, reader, writer, out, done, failed, told_error));
        if self.told_error || self.failed.is_some() {
            if let (Some(refusal), false) = (&self.failed, self.told_error) {
                write_error(&refusal.json(), out);
            }
            return Outcome::UpstreamFailed;
        }
        // Some servers say `[DONE]`, some end after the last reply's reason to; and some break off after all was said.
        if self.writer.is_finished() || (self.done && broken.is_none()) {
            self.writer.end(out);
            return Outcome::Answered;
        }
        let reason = broken.unwrap_or("the connection was closed in the middle of the stream");
        let refusal = Refusal::upstream(502, format!("the upstream broke off before the reply was finished: {reason}"));
        write_error(&refusal.json(), out);
        Outcome::UpstreamFailed
    }

    /// Whether nothing more needs to be read.
    pub fn is_over(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether the reply has its end, so that silence takes nothing away from it.
    pub fn is_complete(&self) -> bool {
        self.done
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of a translator, borrowed one by one while its splitter runs")]
fn event(
    data: &[u8],
    is_error: bool,
    reader: &mut Reader,
    writer: &mut Writer,
    out: &mut Vec<u8>,
    done: &mut bool,
    failed: &mut Option<Refusal>,
    told_error: &mut bool,
) {
    if *done || failed.is_some() || data.is_empty() {
        return;
    }
    if data == b"[DONE]" {
        *done = true;
        return;
    }
    let said = if is_error {
        serde_json::from_slice(data)
            .map_err(|error| format!("an error event that is no JSON ({error})"))
            .map(|error| Said { error: Some(error), ..Said::default() })
    } else {
        reader.event(data)
    };
    let written = said.and_then(|said| match &said.error {
        Some(error) => {
            *told_error = true;
            write_error(serde_json::json!({ "error": error }).to_string().as_bytes(), out);
            *failed = Some(Refusal::upstream(502, "the upstream sent an error"));
            Ok(())
        }
        None => writer.chunk(said, out),
    });
    if let Err(reason) = written {
        *failed = Some(Refusal::upstream(502, reason));
    }
}

/// The client's side of a stream.
pub struct ChatStream {
    answer: Option<Answer>,
    translator: Translator,
    ticket: Ticket,
    silence: Pin<Box<Sleep>>,
    longest: Duration,
    out: Vec<u8>,
}

impl ChatStream {
    pub fn new(answer: Answer, translator: Translator, ticket: Ticket, longest: Duration) -> Self {
        let silence = Box::pin(sleep(longest));
        Self { answer: Some(answer), translator, ticket, silence, longest, out: Vec::new() }
    }

    /// The next bytes for the client; none at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.out.is_empty() {
            let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
            match Pin::new(answer).poll_frame(cx) {
                Poll::Pending => {
                    if self.silence.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let broken = format!("nothing came for {} s", self.longest.as_secs_f64());
                    self.end(Some(&broken));
                }
                Poll::Ready(None) => self.end(None),
                Poll::Ready(Some(Err(error))) => self.end(Some(&causes(&error))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.read(frame);
                    self.silence.as_mut().reset(tokio::time::Instant::now() + self.longest);
                }
            }
        }
        Poll::Ready(Some(std::mem::take(&mut self.out).into()))
    }

    fn read(&mut self, frame: Frame<Bytes>) {
        let Ok(bytes) = frame.into_data() else { return };
        self.ticket.first_byte();
        self.translator.feed(&bytes, &mut self.out);
        if self.translator.is_over() {
            self.ticket.set(Outcome::UpstreamFailed);
            self.ticket.upstream_ended();
            self.answer = None;
        }
    }

    fn end(&mut self, broken: Option<&str>) {
        self.ticket.upstream_ended();
        let broken = broken.filter(|_| !self.translator.is_complete());
        let outcome = self.translator.end(broken, &mut self.out);
        self.ticket.set(outcome);
        self.answer = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server_api::{Api, LLAMA_CPP, OPENAI_COMPLETIONS};

    use crate::reply::Reply;

    fn translate(api: Api, pieces: &[&str], broken: Option<&str>) -> (String, Outcome) {
        let reply = Reply { stream: true, usage: true, model: "m".to_owned(), choices: 1 };
        let mut translator = Translator::new(Reader::new(api, 3), Writer::new("c".to_owned(), 0, reply));
        let mut out = Vec::new();
        for piece in pieces {
            translator.feed(piece.as_bytes(), &mut out);
        }
        let outcome = translator.end(broken, &mut out);
        (String::from_utf8(out).unwrap(), outcome)
    }

    const ONE: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}\n\n";
    const LAST: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"b\",\"finish_reason\":\"stop\"}]}\n\n";

    #[test]
    fn a_stream_is_complete_with_done_or_with_a_reason() {
        for (pieces, broken, whole) in [
            (&[ONE, LAST, "data: [DONE]\n\n"][..], None, true),
            (&[ONE, LAST], None, true),
            (&[ONE, LAST], Some("reset"), true),
            (&[ONE, "data: [DONE]\n\n"], None, true),
            (&[ONE], None, false),
            (&[ONE], Some("reset"), false),
            (&[], None, false),
        ] {
            let (text, outcome) = translate(OPENAI_COMPLETIONS, pieces, broken);
            assert_eq!(text.ends_with("data: [DONE]\n\n"), whole, "{text}");
            assert_eq!(text.contains("broke off"), !whole, "{text}");
            assert_eq!(outcome == Outcome::Answered, whole);
        }
    }

    #[test]
    fn an_error_within_the_stream_is_passed_on_and_ends_it() {
        let (text, outcome) = translate(
            OPENAI_COMPLETIONS,
            &[ONE, "data: {\"error\":{\"message\":\"boom\"}}\n\n", LAST, "data: [DONE]\n\n"],
            None,
        );
        assert!(text.contains("\"a\"") && text.ends_with("data: {\"error\":{\"message\":\"boom\"}}\n\n"), "{text}");
        assert_eq!(outcome, Outcome::UpstreamFailed);
        let (text, _) = translate(LLAMA_CPP, &["error: {\"message\":\"old\"}\n\n"], None);
        assert_eq!(text, "data: {\"error\":{\"message\":\"old\"}}\n\n");
        let (text, _) = translate(OPENAI_COMPLETIONS, &[ONE, "data: {\"cho\n\n", LAST], None);
        assert!(text.contains("check --upstream-api") && !text.contains("\"b\"") && !text.contains("DONE"), "{text}");
    }
}
