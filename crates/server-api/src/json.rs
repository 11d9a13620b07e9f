//! Walks through JSON without building anything: strings stay slices of the input, values that nobody asked for are passed
//! over. A chunk of a stream has 200 to 400 bytes of which 20 matter, and it is read between two reads of sockets, so nothing
//! is allocated and every byte is looked at once.
//!
//! It is tolerant where that costs nothing: bytes within strings need not be UTF-8, and numbers are not checked beyond their
//! characters. What is no JSON gives None.

/// Deepest nesting that is followed; deeper input counts as broken.
const DEEPEST: u32 = 128;

/// A string as it stands in the input, between its quotes, with its escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl Raw<'_> {
    /// True for `""`.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The string that is meant; what is no valid string is taken as it stands.
    pub fn decode(self) -> String {
        let quoted = [b"\"", self.0, b"\""].concat();
        serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(self.0).into_owned())
    }
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// The next byte that is no white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// True if nothing but white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Calls `each` with the name of every member; it must take exactly the member's value. A value that is no object is
    /// passed over.
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        if self.peek()? != b'{' {
            return self.skip();
        }
        self.enter()?;
        let mut first = true;
        while self.another(b'}', &mut first)? {
            let name = self.string()?.0;
            self.expect(b':')?;
            each(self, name)?;
        }
        Some(())
    }

    /// Calls `each` for every item; it must take exactly the item. A value that is no array is passed over.
    pub fn items(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.peek()? != b'[' {
            return self.skip();
        }
        self.enter()?;
        let mut first = true;
        while self.another(b']', &mut first)? {
            each(self)?;
        }
        Some(())
    }

    /// Takes a value; the string if it is one.
    pub fn text(&mut self) -> Option<Option<Raw<'a>>> {
        if self.peek()? == b'"' {
            return Some(Some(self.string()?));
        }
        self.skip()?;
        Some(None)
    }

    /// Takes a value; the number if it is a whole one from 0 to the largest u64.
    pub fn uint(&mut self) -> Option<Option<u64>> {
        let digits = self.value()?;
        let is_number = !digits.is_empty() && digits.len() <= 20 && digits.iter().all(u8::is_ascii_digit);
        let number = is_number.then(|| {
            digits.iter().try_fold(0_u64, |sum, &digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        });
        Some(number.flatten())
    }

    /// Takes a value; true if it is `true`.
    pub fn is_true(&mut self) -> Option<bool> {
        Some(self.value()? == b"true")
    }

    /// Takes a value and tells how many items it has, if it is an array.
    pub fn length(&mut self) -> Option<usize> {
        let mut count = 0;
        self.items(|item| {
            count += 1;
            item.skip()
        })?;
        Some(count)
    }

    /// Takes a value as it stands in the input.
    pub fn value(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Some(&self.bytes[start..self.at])
    }

    /// Passes a value over.
    pub fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.members(|cursor, _| cursor.skip()),
            b'[' => self.items(Self::skip),
            _ => self.word(),
        }
    }

    fn enter(&mut self) -> Option<()> {
        self.at += 1;
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(())
    }

    /// Whether another entry follows in the object or array that ends with `end`; takes the comma or the end.
    fn another(&mut self, end: u8, first: &mut bool) -> Option<bool> {
        let byte = self.peek()?;
        if byte == end {
            self.at += 1;
            self.depth -= 1;
            return Some(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        Some(true)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Option<Raw<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Some(Raw(&self.bytes[start..self.at - 1]));
            }
            // The escaped character, whatever it is.
            self.at += 1;
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let start = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        while self.bytes.get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        let word = &self.bytes[start..self.at];
        let first = *word.first()?;
        (first.is_ascii_digit() || first == b'-' || matches!(word, b"true" | b"false" | b"null" | b"NaN" | b"Infinity"))
            .then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_by_name() {
        let text = br#" { "a" : [1, {"x":"]"}, "\"}"], "n": 12, "s": "h\u00e4\n", "t": true, "o": {}, "z": null } "#;
        let mut cursor = Cursor::new(text);
        let (mut number, mut string, mut length, mut truth) = (None, None, None, None);
        cursor
            .members(|cursor, name| {
                match name {
                    b"n" => number = cursor.uint()?,
                    b"s" => string = cursor.text()?,
                    b"a" => length = Some(cursor.length()?),
                    b"t" => truth = Some(cursor.is_true()?),
                    _ => cursor.skip()?,
                }
                Some(())
            })
            .unwrap();
        assert!(cursor.is_at_end());
        assert_eq!((number, length, truth), (Some(12), Some(3), Some(true)));
        assert_eq!(string.unwrap().decode(), "hä\n");
    }

    #[test]
    fn what_is_no_json_is_none() {
        let whole = |text: &[u8]| {
            let mut cursor = Cursor::new(text);
            cursor.skip().filter(|()| cursor.is_at_end())
        };
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        for bad in
            [&b""[..], b"{", b"[1,", b"{\"a\" 1}", b"{\"a\":}", b"\"abc", b"\"abc\\", b"[1 2]", b"{,}", b"abc", &deep]
        {
            assert_eq!(whole(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Cursor::new(b"99999999999999999999").uint(), Some(None));
        assert_eq!(Cursor::new(b"-1").uint(), Some(None));
        assert_eq!(Cursor::new(b"18446744073709551615").uint(), Some(Some(u64::MAX)));
    }

    proptest! {
        /// Whatever serde_json writes is walked to its end, and no bytes make it panic.
        #[test]
        fn agrees_with_serde(text in "[ -~äß]{0,20}", number in any::<u64>(), garbage in prop::collection::vec(any::<u8>(), 0..60)) {
            let value = serde_json::json!({"t": text, "n": number, "l": [1.5, null, {"k": [text]}]});
            let bytes = serde_json::to_vec(&value).unwrap();
            let (mut found, mut string) = (None, None);
            let mut cursor = Cursor::new(&bytes);
            cursor.members(|cursor, name| {
                match name {
                    b"n" => found = cursor.uint()?,
                    b"t" => string = cursor.text()?,
                    _ => cursor.skip()?,
                }
                Some(())
            }).unwrap();
            prop_assert!(cursor.is_at_end());
            prop_assert_eq!(found, Some(number));
            prop_assert_eq!(string.unwrap().decode(), text);
            let _ = Cursor::new(&garbage).skip();
            let mut cut = bytes.clone();
            cut.truncate(garbage.len());
            let _ = Cursor::new(&cut).skip();
        }
    }
}
