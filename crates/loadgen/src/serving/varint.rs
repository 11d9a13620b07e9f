//! Numbers in as few bytes as they need (LEB128): seven bits a byte, the lowest first, the top bit says that more follow. A gap
//! of a stream takes 3 or 4 bytes instead of 8.

/// Appends a number.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front; None if it is cut off or too long for 64 bits.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// The numbers of a list that was made by [`put`] alone.
pub fn iter(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || take(&mut bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, 10_000_000, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put(&mut bytes, number);
        }
        assert_eq!(iter(&bytes).collect::<Vec<_>>(), numbers);
        assert_eq!(take(&mut &[0x80_u8][..]), None);
        assert_eq!(take(&mut &[0xff_u8; 11][..]), None);
    }
}
