//! The chunked transfer coding (RFC 9112, section 7.1).

use super::answer::Failure;
use crate::outcome::ErrorClass;

/// Longest line with a chunk's size, or longest trailer line, bytes.
const LONGEST_LINE: usize = 8 << 10;

/// Where in the coding the next byte stands.
#[derive(Debug)]
enum State {
    Size,
    Data(usize),
    /// After a chunk's data: the line end.
    DataEnd,
    Trailer,
    End,
}

/// Decodes one body, in whatever parts it comes.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    line: Vec<u8>,
}

impl Chunked {
    pub fn new() -> Self {
        Self { state: State::Size, line: Vec::new() }
    }

    /// True once the last chunk and its trailers were read.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Appends the content within `bytes` to `body` and returns how many bytes belong to the coding; fewer than all only at
    /// its end.
    pub fn decode(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_complete() {
            if let State::Data(left) = self.state {
                let take = left.min(rest.len());
                body.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                self.state = if take == left { State::DataEnd } else { State::Data(left - take) };
                continue;
            }
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (part, after) = end.map_or((rest, &rest[rest.len()..]), |end| rest.split_at(end + 1));
            // Mostly the line is whole: then nothing is copied.
            if end.is_some() && self.line.is_empty() && part.len() <= LONGEST_LINE {
                rest = after;
                self.state = self.after_line(part.trim_ascii())?;
                continue;
            }
            self.line.extend_from_slice(part);
            rest = after;
            if self.line.len() > LONGEST_LINE {
                return Err(Failure::new(ErrorClass::Protocol, "a line of the chunked answer does not end"));
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                self.state = self.after_line(line.trim_ascii())?;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn after_line(&self, line: &[u8]) -> Result<State, Failure> {
        match self.state {
            State::Size => {
                let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
                // `from_str_radix` would take a sign.
                let size = std::str::from_utf8(digits)
                    .ok()
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| usize::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| Failure::new(ErrorClass::Protocol, "a chunk of the answer has no size"))?;
                Ok(if size == 0 { State::Trailer } else { State::Data(size) })
            }
            State::DataEnd if line.is_empty() => Ok(State::Size),
            State::DataEnd => Err(Failure::new(ErrorClass::Protocol, "a chunk of the answer is longer than it says")),
            State::Trailer if line.is_empty() => Ok(State::End),
            State::Trailer => Ok(State::Trailer),
            State::Data(_) | State::End => Ok(State::End),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"4\r\nWiki\r\n6;name=value\r\npedia \r\nE \r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\nNEXT";

    #[test]
    fn every_cut_gives_the_same_body() {
        for cut in 0..STREAM.len() {
            let (mut chunked, mut body) = (Chunked::new(), Vec::new());
            let first = chunked.decode(&STREAM[..cut], &mut body).unwrap();
            let second = chunked.decode(&STREAM[first..], &mut body).unwrap();
            assert_eq!(body, b"Wikipedia in \r\n\r\nchunks.", "cut at {cut}");
            assert!(chunked.is_complete());
            assert_eq!(&STREAM[first + second..], b"NEXT");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bad in
            [&b"x\r\n"[..], b"\r\n", b"-1\r\n", b"+1\r\n", b"2\r\nabc\r\n", b"fffffffffffffffff\r\n", &[b'1'; 9000]]
        {
            assert!(Chunked::new().decode(bad, &mut Vec::new()).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
