//! One request being answered: from the engine's tokens to events of a stream, with the faults that were asked for.

use std::io;

use netpoll::now_ns;
use server_api::{Api, Ending, Tokens, Voice, Wanted};

use super::outbox::Written;
use super::prepare::Prepared;
use super::scratch::{Line, Scratch, put_hex};
use crate::api::{Choice, tokens};
use crate::config::Config;
use crate::engine::Event;
use crate::fault::Fault;
use crate::front::Served;
use crate::http::write_head;
use crate::truth::{ChoiceTruth, Outcome, Truth};

/// What happens to the connection once all is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Keep,
    Close,
    Reset,
}

/// Words of characters of 2, 3 and 4 bytes.
const WIDE_TEXT: &str = " né€𝄞";
/// Stands where the filling of a huge answer goes.
const HUGE_MARK: &str = "@@";

/// A request being answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request's tag.
    pub request: u64,
    pub truth: Truth,
    /// Set when the last bytes are in the outbox.
    pub end: Option<(Outcome, End)>,
    /// When the next chunk of an endless answer is due.
    pub extra_ns: Option<u64>,
    /// In whose words.
    pub api: Api,
    pub(super) voice: Voice,
    pub(super) choices: Vec<Choice>,
    choices_a_prompt: u32,
    /// Choices that the engine works on.
    live: usize,
    stream: bool,
    include_usage: bool,
    /// HTTP/1.1: the length of a stream is told by chunks, and not by the end of the connection.
    pub(super) chunked: bool,
    keep_alive: bool,
    pub(super) fault: Option<Fault>,
    /// A fault that happens once has happened.
    has_struck: bool,
    head_sent: bool,
    tokens_per_chunk: u32,
    finish_apart: bool,
    /// Events with content so far.
    pub(super) index: u32,
    /// Nothing is written before.
    pub(super) hold_until_ns: u64,
}

impl Answer {
    pub fn new(request: u64, ask: &Wanted, voice: Voice, fault: Option<Fault>, truth: Truth, config: &Config) -> Self {
        let tokens_per_chunk = match &fault {
            Some(Fault::TokensPerChunk { tokens }) => *tokens,
            _ => config.tokens_per_chunk,
        };
        Self {
            request,
            truth,
            end: None,
            extra_ns: None,
            finish_apart: config.finish_apart || voice.ends_apart(),
            api: voice.api(),
            voice,
            choices: Vec::new(),
            choices_a_prompt: ask.choices,
            live: 0,
            stream: ask.stream,
            include_usage: ask.include_usage,
            chunked: true,
            keep_alive: true,
            fault,
            has_struck: false,
            head_sent: false,
            tokens_per_chunk,
            index: 0,
            hold_until_ns: 0,
        }
    }

    /// How the connection of this request works.
    pub fn on(mut self, is_1_1: bool, keep_alive: bool) -> Self {
        self.chunked = is_1_1;
        self.keep_alive = keep_alive;
        self
    }

    /// The front end is done with the request.
    pub fn prepared(&mut self, prepared: &Prepared) {
        self.choices.clone_from(&prepared.choices);
        self.live = self.choices.len();
        if matches!(self.fault, Some(Fault::SplitUtf8 { .. })) {
            for choice in &mut self.choices {
                choice.text = Some(WIDE_TEXT);
            }
        }
        let truths = self.choices.iter();
        self.truth.choices = truths
            .map(|choice| ChoiceTruth { prompt_tokens: choice.prompt_tokens, ..ChoiceTruth::default() })
            .collect();
        let chunks: u32 = self.choices.iter().map(|choice| choice.output_tokens.div_ceil(self.tokens_per_chunk)).sum();
        self.truth.written_ns.reserve(if self.stream { chunks.min(4096) as usize } else { 1 });
    }

    /// When the front end served it.
    pub fn served(&mut self, served: Served) {
        self.truth.front_start_ns = Some(served.start_ns);
        self.truth.front_done_ns = Some(served.done_ns);
    }

    /// Events with content were written.
    pub fn note(&mut self, written: &mut Vec<Written>, keeps: bool) {
        for one in written.drain(..) {
            // The first is always kept: the time to it is a metric.
            if keeps || self.truth.written_ns.is_empty() {
                self.truth.written_ns.push(one.at_ns);
            }
            self.truth.blocked += u32::from(one.was_blocked);
            self.truth.late_ns = self.truth.late_ns.max(one.at_ns.saturating_sub(one.due_ns));
        }
    }

    /// Whether the engine still works on it.
    pub fn is_live(&self) -> bool {
        self.live > 0
    }

    /// Whether the model ended by itself.
    pub fn stopped(&self) -> bool {
        self.choices.iter().any(|choice| choice.ending == Ending::Stop)
    }

    /// The engine did something with one of the choices. Returns the tokens that it gave.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn on_event(&mut self, event: Event, early_head: bool, line: &mut Line<'_>) -> io::Result<u64> {
        if self.end.is_some() {
            return Ok(0);
        }
        match event {
            Event::Queued { key, at_ns } => {
                if let Some(truth) = self.truth.choices.get_mut(key.choice as usize) {
                    truth.queued_ns = Some(at_ns);
                }
                if early_head && self.stream && !self.head_sent {
                    self.head(line)?;
                    line.send(self.hold_until_ns, None)?;
                }
            }
            Event::Admitted { key, at_ns, cached } => {
                if let Some(truth) = self.truth.choices.get_mut(key.choice as usize) {
                    truth.admitted_ns = Some(at_ns);
                    truth.cached_tokens = cached;
                    self.choices[key.choice as usize].cached = cached;
                }
            }
            Event::Preempted { key, .. } => {
                if let Some(truth) = self.truth.choices.get_mut(key.choice as usize) {
                    truth.preemptions += 1;
                }
            }
            Event::Aborted { .. } => {}
            Event::Token { key, at_ns, index, last } => {
                self.on_token(key.choice as usize, at_ns, index, last, line)?;
                return Ok(1);
            }
        }
        Ok(0)
    }

    fn on_token(&mut self, at: usize, at_ns: u64, index: u32, last: bool, line: &mut Line<'_>) -> io::Result<()> {
        let (Some(truth), Some(choice)) = (self.truth.choices.get_mut(at), self.choices.get_mut(at)) else {
            return Ok(());
        };
        choice.produced = index + 1;
        truth.output_tokens = index + 1;
        if index == 0 {
            truth.first_token_ns = Some(at_ns);
        }
        if last {
            truth.last_token_ns = Some(at_ns);
            self.live -= 1;
        }
        if self.stream {
            if last || choice.produced - choice.sent >= self.tokens_per_chunk {
                self.chunk(at, at_ns, last, line)?;
            }
            if self.live == 0 && self.end.is_none() {
                self.tail(line)?;
            }
        } else if self.live == 0 {
            self.whole(at_ns, line)?;
        }
        Ok(())
    }

    /// Puts the head of a stream together; a slow one is written here.
    fn head(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        self.head_sent = true;
        let content_type = match &self.fault {
            Some(Fault::ContentType { name }) => name,
            _ => "text/event-stream; charset=utf-8",
        };
        let fields =
            [("cache-control", "no-cache"), ("x-request-id", &self.truth.id), ("transfer-encoding", "chunked")];
        // HTTP/1.0 does not know chunks.
        let fields = &fields[..if self.chunked { 3 } else { 2 }];
        write_head(&mut line.scratch.out, 200, content_type, self.keep_alive, fields.iter().copied());
        self.slowly(line)
    }

    /// What is put together (a head) goes byte by byte, if the request asked for it.
    pub(super) fn slowly(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        let Some(Fault::SlowHead { ms }) = self.fault else { return Ok(()) };
        let head = std::mem::take(&mut line.scratch.out);
        let gap_ns = ms * 1_000_000 / head.len().max(1) as u64;
        let start_ns = now_ns().max(self.hold_until_ns);
        for (number, byte) in (0..).zip(&head) {
            line.scratch.out.push(*byte);
            line.send(start_ns + number * gap_ns, None)?;
        }
        line.scratch.out = head;
        line.scratch.out.clear();
        Ok(())
    }

    /// Writes the tokens of a choice that are not written yet.
    fn chunk(&mut self, at: usize, at_ns: u64, last: bool, line: &mut Line<'_>) -> io::Result<()> {
        if self.fault == Some(Fault::Empty) {
            return Ok(());
        }
        if self.fault.is_some() && self.strike(line)? {
            return Ok(());
        }
        let is_first = self.choices[at].sent == 0;
        if !self.head_sent {
            self.head(line)?;
        }
        if is_first {
            self.voice.begin(&self.choices[at].view(), &mut line.scratch.event);
            if !line.scratch.event.is_empty() {
                line.scratch.frame(self.chunked, None);
            }
        }
        let choice = &self.choices[at];
        // Reasoning and answer are events of their own in some APIs: a chunk with both is two.
        let splits = self.voice.splits_reasoning() && choice.sent < choice.reasoning;
        let end = if splits { choice.produced.min(choice.reasoning) } else { choice.produced };
        let (range, rest) = (choice.sent..end, choice.produced > end);
        let (whole_last, last) = (last, last && !rest);
        let told = self.fault == Some(Fault::UsageInChoice) && self.live == 0 && self.include_usage;
        let usage = told.then(|| self.usage());
        let ends = last && !self.finish_apart;
        if let (Some(Fault::Huge { bytes }), 0) = (&self.fault, self.index) {
            let bytes = *bytes;
            self.huge_event(at, range.clone(), bytes, at_ns, line)?;
        } else {
            let choice = self.choices[at].view();
            let place =
                self.voice.content(&choice, range.clone(), ends, usage.as_ref(), self.index, &mut line.scratch.event);
            match self.fault {
                Some(Fault::SplitLine { gap_ms } | Fault::SplitUtf8 { gap_ms }) => {
                    line.send(self.hold_until_ns, None)?;
                    let cut = cut(&line.scratch.event, self.index);
                    line.scratch.frame(self.chunked, Some(place));
                    // Before the event stands the size of the chunk.
                    let before = line.scratch.stamps.first().map_or(0, |stamp| stamp - place);
                    line.send_in_two(before + cut, self.hold_until_ns, gap_ms * 1_000_000, Some(at_ns))?;
                }
                _ => {
                    line.scratch.frame(self.chunked, Some(place));
                    line.send(self.hold_until_ns, Some(at_ns))?;
                }
            }
        }
        self.index += 1;
        self.choices[at].sent = range.end;
        if rest {
            return self.chunk(at, at_ns, whole_last, line);
        }
        if last && self.finish_apart {
            let usage = (self.live == 0 && self.tells_usage()).then(|| self.usage());
            let choice = self.choices[at].view();
            let place = self.voice.ending(&choice, usage.as_ref(), self.index, &mut line.scratch.event);
            line.scratch.frame(self.chunked, Some(place));
            line.send(self.hold_until_ns, None)?;
        }
        Ok(())
    }

    /// A fault that waits for so many chunks happens; true if it ends the answer.
    fn strike(&mut self, line: &mut Line<'_>) -> io::Result<bool> {
        let Some(fault) = &self.fault else { return Ok(false) };
        let (Fault::Stall { after, .. }
        | Fault::Reset { after }
        | Fault::Truncate { after }
        | Fault::Garbage { after }
        | Fault::ErrorEvent { after }) = *fault
        else {
            return Ok(false);
        };
        // Of an answer that is too short, after its last chunk.
        let goes_on = self.live > 0 || self.choices.iter().any(|choice| choice.sent < choice.produced);
        if self.has_struck || (self.index < after && goes_on) {
            return Ok(false);
        }
        self.has_struck = true;
        if !self.head_sent && !matches!(fault, Fault::Stall { .. } | Fault::Reset { .. }) {
            self.head(line)?;
        }
        match self.fault {
            Some(Fault::Stall { ms, .. }) => self.hold_until_ns = now_ns() + ms * 1_000_000,
            Some(Fault::Reset { .. }) => self.end = Some((Outcome::Cut, End::Reset)),
            Some(Fault::Truncate { .. }) => {
                // A head that nothing follows.
                line.send(self.hold_until_ns, None)?;
                self.end = Some((Outcome::Cut, End::Close));
            }
            Some(Fault::Garbage { .. }) => {
                line.scratch.event.extend_from_slice(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\xc3\n\n");
                line.scratch.frame(self.chunked, None);
                line.send(self.hold_until_ns, None)?;
            }
            Some(Fault::ErrorEvent { .. }) => {
                self.voice.error_event("the request's fault says so", &mut line.scratch.event);
                line.scratch.frame(self.chunked, None);
                self.last_chunk(line)?;
                self.end = Some((Outcome::Cut, self.end_of_complete()));
            }
            _ => {}
        }
        Ok(self.end.is_some())
    }

    /// What follows the last token.
    fn tail(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        if self.fault == Some(Fault::Empty) {
            for choice in &mut self.choices {
                choice.produced = 0;
            }
            self.head(line)?;
            let usage = self.tells_usage().then(|| self.usage());
            for at in 0..self.choices.len() {
                let choice = self.choices[at].view();
                self.voice.begin(&choice, &mut line.scratch.event);
                if !line.scratch.event.is_empty() {
                    line.scratch.frame(self.chunked, None);
                }
                let place = self.voice.ending(&choice, usage.as_ref(), self.index, &mut line.scratch.event);
                line.scratch.frame(self.chunked, Some(place));
            }
            line.send(self.hold_until_ns, None)?;
        }
        if self.strike(line)? {
            return Ok(());
        }
        if let Some(Fault::Endless { every_ms }) = self.fault {
            self.extra_ns = Some(now_ns() + every_ms * 1_000_000);
            return Ok(());
        }
        let hides = matches!(self.fault, Some(Fault::NoUsage | Fault::UsageInChoice));
        if self.include_usage && !hides {
            let usage = self.usage();
            if let Some(place) = self.voice.usage(&usage, self.index, &mut line.scratch.event) {
                line.scratch.frame(self.chunked, Some(place));
            }
        }
        if self.fault != Some(Fault::NoDone) {
            self.voice.done(&mut line.scratch.event);
            if !line.scratch.event.is_empty() {
                line.scratch.frame(self.chunked, None);
            }
        }
        self.last_chunk(line)?;
        self.end = Some((Outcome::Complete, self.end_of_complete()));
        Ok(())
    }

    /// The end of the chunked coding.
    fn last_chunk(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        if self.chunked {
            line.scratch.out.extend_from_slice(b"0\r\n\r\n");
        }
        line.send(self.hold_until_ns, None)
    }

    /// The next chunk of an answer without end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn extra(&mut self, at_ns: u64, line: &mut Line<'_>) -> io::Result<()> {
        let Some(Fault::Endless { every_ms }) = self.fault else { return Ok(()) };
        self.extra_ns = Some(at_ns + every_ms * 1_000_000);
        if !self.stream {
            line.scratch.event.push(b' ');
            line.scratch.frame(self.chunked, None);
            return line.send(0, None);
        }
        let Some(choice) = self.choices.first_mut() else { return Ok(()) };
        let range = choice.sent..choice.sent.saturating_add(1);
        choice.sent = range.end;
        let view = choice.view();
        let place = self.voice.content(&view, range, false, None, self.index, &mut line.scratch.event);
        line.scratch.frame(self.chunked, Some(place));
        self.index = self.index.saturating_add(1);
        line.send(0, Some(at_ns))
    }

    /// One event whose text is so many bytes long.
    fn huge_event(
        &mut self,
        at: usize,
        range: std::ops::Range<u32>,
        bytes: u64,
        at_ns: u64,
        line: &mut Line<'_>,
    ) -> io::Result<()> {
        line.send(self.hold_until_ns, None)?;
        let choice = Choice { text: Some(HUGE_MARK), ..self.choices[at].clone() };
        let place = self.voice.content(&choice.view(), range, false, None, self.index, &mut line.scratch.event);
        let event = std::mem::take(&mut line.scratch.event);
        if self.chunked {
            put_hex(&mut line.scratch.out, event.len() as u64 - HUGE_MARK.len() as u64 + bytes);
            line.scratch.out.extend_from_slice(b"\r\n");
        }
        let end: &[u8] = if self.chunked { b"\r\n" } else { b"" };
        fill(&event, place, end, bytes, at_ns, line);
        Ok(())
    }

    pub(super) fn usage(&self) -> Tokens {
        tokens(&self.choices, self.choices_a_prompt)
    }

    pub(super) fn tells_usage(&self) -> bool {
        self.fault != Some(Fault::NoUsage)
    }

    pub(super) fn announces_keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// What a complete answer does to its connection.
    pub(super) fn end_of_complete(&self) -> End {
        if self.keep_alive && self.chunked && self.fault != Some(Fault::Close) { End::Keep } else { End::Close }
    }
}

/// Keeps an event in whose text the mark stands for so many bytes of filling, after what is put together.
pub(super) fn fill(event: &[u8], place: usize, end: &[u8], bytes: u64, at_ns: u64, line: &mut Line<'_>) {
    let mark = HUGE_MARK.as_bytes();
    let at = event.windows(mark.len()).position(|window| window == mark).unwrap_or(0);
    let Scratch { out, stamps, .. } = line.scratch;
    out.extend_from_slice(&event[..at]);
    line.outbox.keep(std::mem::take(out), std::mem::take(stamps), 0, None, bytes);
    let rest = [&event[at + mark.len()..], end].concat();
    line.outbox.keep(rest, vec![place - at - mark.len()], 0, Some(at_ns), 0);
}

/// The mark for a body that is filled.
pub(super) fn marked(choice: &Choice) -> Choice {
    Choice { text: Some(HUGE_MARK), produced: 1, ..choice.clone() }
}

/// Where an event is cut: within a character if it has one of several bytes, else in turn within the field's name, in the middle of the
/// line, and between the two line ends.
pub(super) fn cut(event: &[u8], index: u32) -> usize {
    if event.iter().any(|byte| *byte >= 0x80) {
        // The first, second or third place at which a character goes on.
        let inner = event.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 == 0x80).map(|(at, _)| at);
        let inner: Vec<usize> = inner.collect();
        return inner[index as usize % inner.len()];
    }
    match index % 3 {
        0 => 3.min(event.len()),
        1 => event.len() / 2,
        _ => event.len().saturating_sub(1),
    }
}
