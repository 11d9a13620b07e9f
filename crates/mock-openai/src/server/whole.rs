//! Answers that are not streamed.

use std::io;

use netpoll::now_ns;

use super::answer::{Answer, End, cut, fill, marked};
use super::scratch::Line;
use crate::api::Choice;
use crate::fault::Fault;
use crate::http::{Reply, write_head};
use crate::truth::Outcome;

impl Answer {
    /// Writes the whole answer; its last token came at `at_ns`.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn whole(&mut self, at_ns: u64, line: &mut Line<'_>) -> io::Result<()> {
        match self.fault.clone() {
            Some(Fault::Reset { .. }) => {
                self.end = Some((Outcome::Cut, End::Reset));
                return Ok(());
            }
            Some(Fault::ErrorEvent { .. }) => {
                Reply::error(500, "the request's fault says so")
                    .spoken(self.api)
                    .write(self.announces_keep_alive(), &mut line.scratch.out);
                self.end = Some((Outcome::Cut, self.end_of_complete()));
                return line.send(0, None);
            }
            Some(Fault::Stall { ms, .. }) => self.hold_until_ns = now_ns() + ms * 1_000_000,
            Some(Fault::Empty) => self.choices.iter_mut().for_each(|choice| choice.produced = 0),
            Some(Fault::Endless { every_ms }) => {
                self.extra_ns = Some(now_ns() + every_ms * 1_000_000);
                let fields = if self.chunked { &[("transfer-encoding", "chunked")][..] } else { &[] };
                let keep_alive = self.announces_keep_alive();
                write_head(&mut line.scratch.out, 200, "application/json", keep_alive, fields.iter().copied());
                return line.send(0, None);
            }
            Some(Fault::Huge { bytes }) => {
                self.whole_huge(bytes, at_ns, line);
                return Ok(());
            }
            _ => {}
        }
        let usage = self.tells_usage().then(|| self.usage());
        let mut places = Vec::new();
        let mut body = std::mem::take(&mut line.scratch.event);
        let choices: Vec<_> = self.choices.iter().map(Choice::view).collect();
        self.voice.whole(&choices, usage.as_ref(), &mut body, &mut places);
        if matches!(self.fault, Some(Fault::Garbage { .. })) {
            body.clear();
            places.clear();
            body.extend_from_slice(b"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\xc3");
        }
        self.whole_head(body.len() as u64, line);
        self.slowly(line)?;
        let start = line.scratch.out.len();
        line.scratch.stamps.extend(places.iter().map(|place| start + place));
        line.scratch.out.extend_from_slice(&body);
        self.index = 1;
        match self.fault {
            Some(Fault::Truncate { .. }) => {
                let half = start + body.len() / 2;
                line.scratch.out.truncate(half);
                line.scratch.stamps.retain(|at| at + 20 <= half);
                line.send(self.hold_until_ns, None)?;
                self.end = Some((Outcome::Cut, End::Close));
            }
            Some(Fault::SplitLine { gap_ms } | Fault::SplitUtf8 { gap_ms }) => {
                let cut = start + cut(&body, 1);
                line.send_in_two(cut, self.hold_until_ns, gap_ms * 1_000_000, Some(at_ns))?;
                self.end = Some((Outcome::Complete, self.end_of_complete()));
            }
            _ => {
                line.send(self.hold_until_ns, Some(at_ns))?;
                self.end = Some((Outcome::Complete, self.end_of_complete()));
            }
        }
        body.clear();
        line.scratch.event = body;
        Ok(())
    }

    fn whole_huge(&mut self, bytes: u64, at_ns: u64, line: &mut Line<'_>) {
        let Some(choice) = self.choices.first().map(marked) else { return };
        let (mut body, mut places) = (Vec::new(), Vec::new());
        let usage = self.tells_usage().then(|| self.usage());
        self.voice.whole(&[choice.view()], usage.as_ref(), &mut body, &mut places);
        // The mark is two bytes long.
        self.whole_head(body.len() as u64 - 2 + bytes, line);
        fill(&body, places.first().copied().unwrap_or(body.len()), b"", bytes, at_ns, line);
        self.index = 1;
        self.end = Some((Outcome::Complete, self.end_of_complete()));
    }

    fn whole_head(&self, length: u64, line: &mut Line<'_>) {
        let content_type = match &self.fault {
            Some(Fault::ContentType { name }) => name,
            _ => "application/json",
        };
        let length = length.to_string();
        let fields = [("x-request-id", self.truth.id.as_str()), ("content-length", length.as_str())];
        write_head(&mut line.scratch.out, 200, content_type, self.announces_keep_alive(), fields);
    }
}
