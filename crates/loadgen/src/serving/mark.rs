//! A number in a request's body that is another in each request: what makes a prompt one that no cache has met, without a body of its own
//! for each.

use std::sync::Arc;

/// Hexadecimal digits of a number.
pub const DIGITS: usize = 8;

/// The place of a number in a body. It is written digit by digit, each in a slot of fixed width, so that the body stays as long as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Of the first slot, bytes.
    at: usize,
    /// Of a slot, bytes.
    width: usize,
    /// From the start of a slot to that of the next, bytes.
    step: usize,
    /// How each of the 16 digits is written, in `width` bytes.
    digits: Arc<[Vec<u8>]>,
}

impl Mark {
    /// In the text of a prompt: `zeros` is a piece of it that the body has as it is and that ends with [`DIGITS`] zeros; they become the number.
    /// None where the body does not have it.
    pub fn in_text(body: &[u8], zeros: &str) -> Option<Self> {
        let from = find(body, zeros.as_bytes())?;
        let at = from + zeros.len().checked_sub(DIGITS)?;
        let digits = b"0123456789abcdef".iter().map(|digit| vec![*digit]).collect();
        Some(Self { at, width: 1, step: 1, digits })
    }

    /// In a prompt of ids that begins with `lead` and then has `digits[0]` [`DIGITS`] times: these become the number. `digits` are the ids of the 16
    /// digits. Ids are as long as they are, so slots are filled up with spaces, which JSON allows between its words; the body that has room
    /// for them is returned. None where the body does not begin a list in this way.
    pub fn in_ids(body: &[u8], lead: &[u32], digits: &[u32; 16]) -> Option<(Vec<u8>, Self)> {
        let zeros = vec![digits[0].to_string(); DIGITS].join(",");
        let mut start: String = "[".to_owned();
        lead.iter().for_each(|id| start.push_str(&format!("{id},")));
        let from = find(body, format!("{start}{zeros}").as_bytes())? + start.len();
        let width = digits.iter().map(|id| id.to_string().len()).max()?;
        let digits: Arc<[Vec<u8>]> = digits.iter().map(|id| format!("{id:>width$}").into_bytes()).collect();
        let mut wide = body[..from].to_vec();
        wide.extend([digits[0].as_slice(); DIGITS].join(&b','));
        wide.extend_from_slice(&body[from + zeros.len()..]);
        Some((wide, Self { at: from, width, step: width + 1, digits }))
    }

    /// Writes a number into a body.
    pub fn write(&self, number: u32, body: &mut [u8]) {
        for place in 0..DIGITS {
            let digit = (number >> (4 * (DIGITS - 1 - place))) as usize & 0xf;
            let from = self.at + place * self.step;
            body[from..from + self.width].copy_from_slice(&self.digits[digit]);
        }
    }
}

fn find(body: &[u8], part: &[u8]) -> Option<usize> {
    body.windows(part.len().max(1)).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_into_texts_and_lists_of_ids() {
        let body = br#"{"prompt":"[7f.00000000] hello","n":1}"#;
        let mark = Mark::in_text(body, "[7f.00000000").unwrap();
        let mut own = body.to_vec();
        mark.write(0x1a2b, &mut own);
        assert_eq!(own, br#"{"prompt":"[7f.00001a2b] hello","n":1}"#);
        assert_eq!(Mark::in_text(body, "[7e.00000000"), None);

        let ids: [u32; 16] =
            std::array::from_fn(|digit| if digit < 10 { 5 + digit as u32 } else { 1000 + digit as u32 });
        let body = br#"{"input_ids":[5,6,5,5,5,5,5,5,5,5,77]}"#;
        let (mut own, mark) = Mark::in_ids(body, &[5, 6], &ids).unwrap();
        mark.write(0x1f, &mut own);
        let json: serde_json::Value = serde_json::from_slice(&own).unwrap();
        assert_eq!(json["input_ids"], serde_json::json!([5, 6, 5, 5, 5, 5, 5, 5, 6, 1015, 77]));
        let length = own.len();
        mark.write(u32::MAX, &mut own);
        assert_eq!(own.len(), length);
        assert!(Mark::in_ids(body, &[9], &ids).is_none());
    }
}
