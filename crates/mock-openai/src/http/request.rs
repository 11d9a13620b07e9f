//! The head of a request, and what of it matters here.

/// Longest head, bytes.
pub const LONGEST_HEAD: usize = 64 << 10;
/// Most header fields.
const MOST_FIELDS: usize = 128;
/// Longest id that a client may give its request.
const LONGEST_ID: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Other,
}

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    Length(usize),
    Chunked,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// False for HTTP/1.0: its answers end with the connection.
    pub is_1_1: bool,
    pub keep_alive: bool,
    pub body: BodyEnd,
    pub expects_continue: bool,
    /// `x-request-id`, if it is short and of plain characters.
    pub request_id: Option<String>,
    /// `x-llmbench-fault`.
    pub fault: Option<String>,
    /// `x-llmbench-reasoning`: how many tokens of the answer are reasoning.
    pub reasoning: Option<String>,
    /// `authorization`.
    pub authorization: Option<String>,
    /// `x-api-key`, as Anthropic's clients have it.
    pub x_api_key: Option<String>,
}

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub head: Head,
    pub body: Vec<u8>,
}

/// What is no request that can be served; the connection ends after the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub status: u16,
    pub message: String,
}

impl Rejected {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl Head {
    /// Parses the head at the beginning of `bytes`; None if it is not all there. The number is that of its bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Rejected> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Rejected::new(431, format!("a request has at most {MOST_FIELDS} header fields")));
            }
            Err(error) => return Err(Rejected::new(400, format!("this is no HTTP request: {error}"))),
        };
        let is_1_1 = request.version == Some(1);
        let target = request.path.unwrap_or_default();
        let mut head = Self {
            method: match request.method {
                Some("GET") => Method::Get,
                Some("POST") => Method::Post,
                _ => Method::Other,
            },
            path: target.split(['?', '#']).next().unwrap_or_default().to_owned(),
            is_1_1,
            keep_alive: is_1_1,
            body: BodyEnd::Length(0),
            expects_continue: false,
            request_id: None,
            fault: None,
            reasoning: None,
            authorization: None,
            x_api_key: None,
        };
        for field in request.headers.iter() {
            head.take(field.name, field.value)?;
        }
        Ok(Some((head, length)))
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Rejected> {
        let text = || String::from_utf8_lossy(value).trim().to_owned();
        let has = |word: &str| text().split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        match () {
            () if name.eq_ignore_ascii_case("content-length") => {
                let text = text();
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let length = text.parse().ok().filter(|_| digits);
                let length = length.ok_or_else(|| Rejected::new(400, "content-length is no number"))?;
                match self.body {
                    // RFC 9112, section 6.1: both together are an attempt to smuggle a request.
                    BodyEnd::Chunked => {
                        return Err(Rejected::new(400, "a request has content-length or transfer-encoding, not both"));
                    }
                    BodyEnd::Length(before) if before != 0 && before != length => {
                        return Err(Rejected::new(400, "a request has one content-length"));
                    }
                    BodyEnd::Length(_) => self.body = BodyEnd::Length(length),
                }
            }
            () if name.eq_ignore_ascii_case("transfer-encoding") => {
                if !text().eq_ignore_ascii_case("chunked") {
                    return Err(Rejected::new(501, "of the transfer codings only chunked is known"));
                }
                if self.body != BodyEnd::Length(0) {
                    return Err(Rejected::new(400, "a request has content-length or transfer-encoding, not both"));
                }
                self.body = BodyEnd::Chunked;
            }
            () if name.eq_ignore_ascii_case("connection") => {
                if has("close") {
                    self.keep_alive = false;
                } else if has("keep-alive") {
                    // Of HTTP/1.0 no more than one request a connection is served.
                    self.keep_alive = self.is_1_1;
                }
            }
            () if name.eq_ignore_ascii_case("expect") => self.expects_continue = has("100-continue"),
            () if name.eq_ignore_ascii_case("x-request-id") => {
                // It goes into JSON and into a header field as it is.
                let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
                let text = text();
                let fit = !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(plain);
                self.request_id = fit.then_some(text);
            }
            () if name.eq_ignore_ascii_case("x-llmbench-fault") => self.fault = Some(text()),
            () if name.eq_ignore_ascii_case("x-llmbench-reasoning") => self.reasoning = Some(text()),
            () if name.eq_ignore_ascii_case("authorization") => self.authorization = Some(text()),
            () if name.eq_ignore_ascii_case("x-api-key") => self.x_api_key = Some(text()),
            () => {}
        }
        Ok(())
    }
}
