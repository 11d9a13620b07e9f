//! JSON text to template values, as Python's `json.loads` reads it.
//!
//! `serde_json` turns integers beyond 64 bits into floats and refuses `NaN` and `Infinity`; Python keeps
//! the digits and accepts the names, and a template prints what it got.

use minijinja::Value;

use super::error::MAX_DEPTH;
use super::pyvalue::{BigInt, PyDict, PyFloat, PyList};

/// Reads one JSON document.
///
/// # Errors
/// One sentence with the byte offset.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.error("extra data"));
    }
    Ok(value)
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn error(&self, what: &str) -> String {
        format!("the JSON text has {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.error("too many nested values"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::from),
            Some(b'-' | b'0'..=b'9') if !self.text[self.at..].starts_with("-Infinity") => self.number(),
            _ => {
                let names = [
                    ("null", Value::from(())),
                    ("true", Value::from(true)),
                    ("false", Value::from(false)),
                    ("NaN", PyFloat::value(f64::NAN)),
                    ("Infinity", PyFloat::value(f64::INFINITY)),
                    ("-Infinity", PyFloat::value(f64::NEG_INFINITY)),
                ];
                for (name, value) in names {
                    if self.bytes[self.at..].starts_with(name.as_bytes()) {
                        self.at += name.len();
                        return Ok(value);
                    }
                }
                Err(self.error("no value"))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut pairs = Vec::new();
        if !self.take(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.error("no key in quotes"));
                }
                let key = self.string()?;
                if !self.take(b':') {
                    return Err(self.error("no colon"));
                }
                pairs.push((key, self.value(depth + 1)?));
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.error("no comma"));
                }
            }
        }
        Ok(PyDict::value(pairs.into_iter()))
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        if !self.take(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.error("no comma"));
                }
            }
        }
        Ok(Value::from_object(PyList(items)))
    }

    /// A string; `serde_json` decodes the escapes of the slice.
    fn string(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.error("an unfinished string")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let slice = self.text.get(start..self.at);
        slice.and_then(|slice| serde_json::from_str(slice).ok()).ok_or_else(|| self.error("a bad string before"))
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        let leading_zero = self.peek() == Some(b'0');
        let whole = digits(self);
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.error("a bad number"));
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            float = true;
            if digits(self) == 0 {
                return Err(self.error("a bad number"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            float = true;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if digits(self) == 0 {
                return Err(self.error("a bad number"));
            }
        }
        let slice = &self.text[start..self.at];
        if !float {
            // Python reads -0 as the integer 0.
            return Ok(if slice == "-0" { Value::from(0) } else { BigInt::value(slice) });
        }
        slice.parse::<f64>().map(PyFloat::value).map_err(|_| self.error("a bad number"))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_json_loads_reads() {
        let value = parse(
            r#" {"a": [1, -0, -2.5e-07, 1e22, 123456789012345678901234567890123456789012345], "b": {"é\n\ud83d\ude00": null},
               "c": [true, false, NaN, -Infinity], "a2": {}, "l": []} "#,
        )
        .unwrap();
        assert_eq!(
            value.to_string(),
            "{'a': [1, 0, -2.5e-07, 1e+22, 123456789012345678901234567890123456789012345], \
             'b': {'é\\n😀': None}, 'c': [True, False, nan, -inf], 'a2': {}, 'l': []}"
        );
    }

    #[test]
    fn refuses_broken_text_with_its_place() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "01", "1.", "\"a", "[1] 2", "nul", "{1: 2}", "\"\\q\""] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("at byte"), "{text}: {error}");
        }
        let deep = "[".repeat(5000);
        assert!(parse(&deep).unwrap_err().contains("nested"));
    }
}
