//! Streams of server-sent events (the HTML standard, section 9.2.6, "Interpreting an event stream"), as a function of bytes in
//! whatever parts they come.
//!
//! Lines end with CR, LF or CRLF; a byte order mark at the start is passed over; comments and unknown fields are ignored; several
//! `data` lines of an event are joined with LF. Where servers depart from the standard: `error: {…}` is an event of
//! its own kind (llama.cpp's server wrote these), and an event that the end of the stream cuts off before its empty line still
//! counts, because some servers leave the last one out.

/// Longest event, bytes: more than any answer, and few enough that a server cannot fill the memory.
pub const LONGEST_EVENT: usize = 16 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    pub data: &'a [u8],
    /// The event is named `error`, or its line was `error: …`.
    pub is_error: bool,
}

/// An event that does not end within [`LONGEST_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {LONGEST_EVENT} bytes")]
pub struct TooLong;

/// Where in a stream the next byte stands.
#[derive(Debug, Clone, Default)]
pub struct EventStream {
    /// Bytes of the mark at the start that were seen; None once the stream has begun.
    mark: Mark,
    /// A line whose end has not come.
    line: Vec<u8>,
    /// Data of the event that has not ended, where it is more than one line or came in parts.
    data: Vec<u8>,
    has_data: bool,
    is_error: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    Start,
    Seen(usize),
    Past,
}

impl EventStream {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// As new, with its memory kept.
    pub fn reset(&mut self) {
        self.line.clear();
        self.data.clear();
        (self.mark, self.has_data, self.is_error, self.after_cr) = (Mark::Start, false, false, false);
    }

    /// Takes the next bytes and calls `on` for each event that ends in them.
    ///
    /// # Errors
    /// [`TooLong`]; the stream is then of no more use.
    pub fn feed(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        let mut rest = self.pass_mark(bytes);
        // The data of an event whose one data line lies within `bytes`: mostly nothing is copied.
        let mut whole: Option<&[u8]> = None;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line.extend_from_slice(rest);
                break;
            };
            self.after_cr = rest[end] == b'\r';
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.line.is_empty() {
                self.take_line(line, &mut whole, on);
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                let mut copied = None;
                self.keep(whole.take());
                self.take_line(&line, &mut copied, on);
                self.keep(copied);
                self.line = line;
                self.line.clear();
            }
            if self.data.len() > LONGEST_EVENT {
                return Err(TooLong);
            }
        }
        self.keep(whole);
        if self.line.len() > LONGEST_EVENT { Err(TooLong) } else { Ok(()) }
    }

    /// The stream has ended: an event that was not followed by an empty line counts too.
    pub fn finish(&mut self, on: &mut impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        let mut whole = None;
        if !line.is_empty() {
            self.take_line(&line, &mut whole, on);
        }
        self.dispatch(whole, on);
        self.reset();
    }

    fn take_line<'b>(&mut self, line: &'b [u8], whole: &mut Option<&'b [u8]>, on: &mut impl FnMut(Event<'_>)) {
        if line.is_empty() {
            self.dispatch(whole.take(), on);
            return;
        }
        let (field, value) = match memchr::memchr(b':', line) {
            // A comment.
            Some(0) => return,
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" | b"error" => {
                self.is_error |= field == b"error";
                if self.has_data {
                    self.data.push(b'\n');
                    self.data.extend_from_slice(value);
                } else if let Some(before) = whole.take() {
                    self.keep(Some(before));
                    self.data.push(b'\n');
                    self.data.extend_from_slice(value);
                } else {
                    *whole = Some(value);
                }
            }
            b"event" => self.is_error |= value == b"error",
            _ => {}
        }
    }

    /// Copies data that lies in bytes which will be gone.
    fn keep(&mut self, whole: Option<&[u8]>) {
        if let Some(data) = whole {
            self.data.extend_from_slice(data);
            self.has_data = true;
        }
    }

    fn dispatch(&mut self, whole: Option<&[u8]>, on: &mut impl FnMut(Event<'_>)) {
        let is_error = std::mem::take(&mut self.is_error);
        if let Some(data) = whole {
            on(Event { data, is_error });
        } else if std::mem::take(&mut self.has_data) {
            on(Event { data: &self.data, is_error });
        }
        self.data.clear();
    }

    /// What follows the byte order mark, if there is one. A stream that begins with a part of it only has it in its first line.
    fn pass_mark<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let seen = match self.mark {
            Mark::Past => return bytes,
            Mark::Start => 0,
            Mark::Seen(seen) => seen,
        };
        let same = bytes.iter().zip(&BOM[seen..]).take_while(|(a, b)| a == b).count();
        if seen + same < BOM.len() && same == bytes.len() {
            self.mark = Mark::Seen(seen + same);
            return &bytes[same..];
        }
        self.mark = Mark::Past;
        if seen + same == BOM.len() {
            return &bytes[same..];
        }
        self.line.extend_from_slice(&BOM[..seen]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Found = Vec<(Vec<u8>, bool)>;

    fn events(parts: &[&[u8]]) -> Found {
        let (mut stream, mut found) = (EventStream::new(), Vec::new());
        let mut on = |event: Event<'_>| found.push((event.data.to_vec(), event.is_error));
        for part in parts {
            stream.feed(part, &mut on).unwrap();
        }
        stream.finish(&mut on);
        found
    }

    fn good(texts: &[&str]) -> Found {
        texts.iter().map(|text| (text.as_bytes().to_vec(), false)).collect()
    }

    #[test]
    fn the_standards_own_cases() {
        assert_eq!(events(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]), good(&["YHOO\n+2\n10"]));
        assert_eq!(
            events(&[b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"]),
            good(&["first event", "second event", " third event"])
        );
        assert_eq!(events(&[b"data\n\ndata\ndata\n\n"]), good(&["", "\n"]));
        assert_eq!(events(&[b"data:test\n\ndata: test\n\n"]), good(&["test", "test"]));
    }

    #[test]
    fn line_ends_and_the_mark() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("\u{feff}data: a{end}{end}:c{end}data: b{end}data: c{end}{end}");
            assert_eq!(events(&[text.as_bytes()]), good(&["a", "b\nc"]), "{end:?}");
        }
        assert_eq!(events(&[b"\xef\xbbdata: x\n\ndata: y\n\n"]), good(&["y"]));
    }

    #[test]
    fn errors_and_ends() {
        assert_eq!(events(&[b"error: {}\n\n"]), vec![(b"{}".to_vec(), true)]);
        assert_eq!(
            events(&[b"event: error\ndata: {}\n\ndata: x\n\n"]),
            vec![(b"{}".to_vec(), true), (b"x".to_vec(), false)]
        );
        assert_eq!(events(&[b"data: [DONE]"]), good(&["[DONE]"]));
        assert_eq!(events(&[b"data: [DONE]\n"]), good(&["[DONE]"]));
        assert_eq!(events(&[b"event: x\n\n:\n\n"]), good(&[]));
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut stream = EventStream::new();
        let part = vec![b'x'; 1 << 20];
        stream.feed(b"data: ", &mut |_| {}).unwrap();
        let fed = (0..17).try_for_each(|_| stream.feed(&part, &mut |_| {}));
        assert_eq!(fed, Err(TooLong));
    }

    /// The same by the standard's own words: decode, split into lines, go through them.
    fn plain(bytes: &[u8]) -> Found {
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        let (mut lines, mut line, mut index) = (Vec::new(), Vec::new(), 0);
        while index < bytes.len() {
            match bytes[index] {
                b'\r' | b'\n' => {
                    index += usize::from(bytes[index] == b'\r' && bytes.get(index + 1) == Some(&b'\n'));
                    lines.push(std::mem::take(&mut line));
                }
                byte => line.push(byte),
            }
            index += 1;
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines.push(Vec::new());
        let (mut found, mut data, mut is_error) = (Vec::new(), Vec::<Vec<u8>>::new(), false);
        for line in lines {
            if line.is_empty() {
                let error = std::mem::take(&mut is_error);
                let lines = std::mem::take(&mut data);
                if !lines.is_empty() {
                    found.push((lines.join(&b'\n'), error));
                }
                continue;
            }
            let colon = line.iter().position(|&byte| byte == b':');
            let (field, value) = colon.map_or((&line[..], &b""[..]), |at| (&line[..at], &line[at + 1..]));
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" | b"error" => {
                    is_error |= field == b"error";
                    data.push(value.to_vec());
                }
                b"event" => is_error |= value == b"error",
                _ => {}
            }
        }
        found
    }

    proptest! {
        /// However the bytes are cut, and whatever they are, the events are those of the plain reading.
        #[test]
        fn cuts_do_not_matter(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "data: {\"a\":1}", "data", "data:", ":", "event: error", "error: x", "id: 4", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n",
                "\u{feff}", "ü", " ", "[DONE]",
            ]), 0..24),
            noise in prop::collection::vec(any::<u8>(), 0..6),
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let mut bytes = pieces.concat().into_bytes();
            bytes.extend(noise);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&parts), plain(&bytes));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(events(&single), plain(&bytes));
        }
    }
}
