//! Server-sent events out of a stream of bytes, however it is cut.
//!
//! The rules are those of the HTML standard, section 9.2.6: lines end in LF, CR or CRLF, a byte-order mark at the start is
//! dropped, lines that begin with a colon are comments, several `data` lines of an event are joined with LF, and an event that
//! the stream leaves without a blank line is lost. Here the last one is kept if its `data` line is complete: servers are known
//! that end without the blank line.

/// Longest line and longest event, bytes: a stream without end would otherwise fill the memory.
const LONGEST: usize = 64 << 20;

/// A line or an event is longer than 64 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// What is kept between pieces of the stream.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_error: bool,
    after_cr: bool,
    begun: bool,
}

impl Events {
    /// Hands each event that `bytes` completes to `take`: its data, and whether it came under the field `error` of older
    /// llama.cpp servers.
    ///
    /// # Errors
    /// [`TooLong`]; what comes afterwards means nothing.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8], bool)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (piece, after) = (&rest[..end], rest[end]);
            rest = &rest[end + 1..];
            // The LF of a CRLF ends nothing of its own, also where the stream is cut between the two.
            let second = std::mem::replace(&mut self.after_cr, after == b'\r') && after == b'\n' && piece.is_empty();
            if second && self.line.is_empty() {
                continue;
            }
            if self.line.is_empty() {
                self.end_line(piece, &mut take)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(piece);
                self.end_line(&line, &mut take)?;
                line.clear();
                self.line = line;
            }
        }
        if !rest.is_empty() {
            self.after_cr = false;
            if self.line.len() + rest.len() > LONGEST {
                return Err(TooLong);
            }
            self.line.extend_from_slice(rest);
        }
        Ok(())
    }

    /// The stream has ended: hands on an event that only lacks its blank line.
    pub fn end(&mut self, mut take: impl FnMut(&[u8], bool)) {
        self.dispatch(&mut take);
    }

    fn end_line(&mut self, line: &[u8], take: &mut impl FnMut(&[u8], bool)) -> Result<(), TooLong> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            self.dispatch(take);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])),
            None => (line, &b""[..]),
        };
        if field == b"data" || field == b"error" {
            if self.data.len() + value.len() > LONGEST {
                return Err(TooLong);
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.is_error |= field == b"error";
            self.data.extend_from_slice(value);
        }
        Ok(())
    }

    fn dispatch(&mut self, take: &mut impl FnMut(&[u8], bool)) {
        if std::mem::take(&mut self.has_data) {
            take(&self.data, self.is_error);
        }
        self.is_error = false;
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Events::default();
        let mut found = Vec::new();
        let mut take = |data: &[u8], error: bool| {
            found.push(format!("{}{}", if error { "!" } else { "" }, String::from_utf8_lossy(data)));
        };
        for piece in pieces {
            splitter.feed(piece, &mut take).unwrap();
        }
        splitter.end(&mut take);
        found
    }

    const STREAM: &[u8] = b"\xEF\xBB\xBFdata: one\n\n: comment\r\ndata:two\r\ndata: more\r\n\r\nid: 5\rdata\r\rdata: \xC3\xA9: x\n\nevent: e\n\n\
        error: {}\n\ndata: [DONE]\n";

    #[test]
    fn the_standards_rules() {
        assert_eq!(events(&[STREAM]), ["one", "two\nmore", "", "é: x", "!{}", "[DONE]"]);
    }

    #[test]
    fn the_same_events_wherever_the_stream_is_cut() {
        let whole = events(&[STREAM]);
        for first in 0..=STREAM.len() {
            for second in first..=STREAM.len() {
                let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                assert_eq!(events(&pieces), whole, "cut at {first} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
    }

    #[test]
    fn an_incomplete_last_line_is_no_data() {
        assert_eq!(events(&[b"data: a\n\ndata: b"]), ["a"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut splitter = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let results: Vec<_> = (0..=64).map(|_| splitter.feed(&piece, |_, _| {})).collect();
        assert!(results[..64].iter().all(Result::is_ok) && results[64] == Err(TooLong));
    }
}
