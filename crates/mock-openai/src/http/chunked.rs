//! Chunked bodies of requests (RFC 9112, section 7.1).

use super::request::Rejected;

/// Longest line with a chunk's size, or longest trailer, bytes.
const LONGEST_LINE: usize = 8 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(usize),
    /// The line end after a chunk's data.
    DataEnd,
    Trailer,
}

/// Decodes one body as its bytes come.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    pub body: Vec<u8>,
}

impl Chunked {
    pub fn new() -> Self {
        Self { state: State::Size, body: Vec::new() }
    }

    /// Takes from `input` what it can use; true once the body is complete. What follows the body stays in `input`.
    pub fn feed(&mut self, input: &mut Vec<u8>, most: usize) -> Result<bool, Rejected> {
        let mut used = 0;
        let complete = loop {
            let rest = &input[used..];
            if let State::Data(left) = self.state {
                let take = left.min(rest.len());
                self.body.extend_from_slice(&rest[..take]);
                used += take;
                self.state = if take == left { State::DataEnd } else { State::Data(left - take) };
                if take < left {
                    break false;
                }
                continue;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                if rest.len() > LONGEST_LINE {
                    return Err(Rejected::new(400, "a line of the chunked body does not end"));
                }
                break false;
            };
            let line = rest[..end].trim_ascii();
            used += end + 1;
            match (self.state, line.is_empty()) {
                (State::Size, _) => {
                    let size = size(line).ok_or_else(|| Rejected::new(400, "a chunk of the body has no size"))?;
                    if size > most.saturating_sub(self.body.len()) {
                        return Err(Rejected::new(413, format!("a body has at most {most} bytes")));
                    }
                    self.state = if size == 0 { State::Trailer } else { State::Data(size) };
                }
                (State::DataEnd, true) => self.state = State::Size,
                (State::DataEnd, false) => {
                    return Err(Rejected::new(400, "a chunk of the body is longer than it says"));
                }
                (State::Trailer, true) => break true,
                (State::Trailer | State::Data(_), _) => {}
            }
        };
        input.drain(..used);
        Ok(complete)
    }
}

fn size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii_end();
    // `from_str_radix` would take a sign.
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    usize::from_str_radix(text, 16).ok()
}
