//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and begin where the shorter ones
//! end. So the lengths alone say it, and reading a symbol is finding its length.

/// Length of the code of each byte, and of the end of the string.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

const SYMBOLS: usize = 257;
const LONGEST: usize = 30;

/// Symbols in the order of their codes.
const IN_ORDER: [u16; SYMBOLS] = ORDERED.0;

/// For each length: its first code, the place of that code's symbol in the order, and the first window of 32 bits above its codes.
const RANGES: [Range; LONGEST + 1] = ORDERED.1;

const ORDERED: ([u16; SYMBOLS], [Range; LONGEST + 1]) = order();

#[derive(Clone, Copy)]
struct Range {
    first_code: u32,
    first_place: u32,
    above: u64,
}

const fn order() -> ([u16; SYMBOLS], [Range; LONGEST + 1]) {
    let mut symbols = [0; SYMBOLS];
    let mut ranges = [Range { first_code: 0, first_place: 0, above: 0 }; LONGEST + 1];
    let (mut code, mut place, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        ranges[length] = Range { first_code: code, first_place: place as u32, above: 0 };
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        ranges[length].above = (code as u64) << (32 - length);
        length += 1;
    }
    (symbols, ranges)
}

/// Bytes that are not of the code: a code that the end cuts off, wrong padding, or the end of the string inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadCode;

/// Appends what `coded` says; `most` bytes at most are taken into account, more is an error.
pub(super) fn decode(coded: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), BadCode> {
    let (start, mut bytes) = (out.len(), coded.iter());
    // The last `have` bits of `bits` are still to be read.
    let (mut bits, mut have) = (0_u64, 0_u32);
    loop {
        while have <= 32
            && let Some(&byte) = bytes.next()
        {
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        if have == 0 {
            return Ok(());
        }
        // Behind the last bit ones follow: the beginning of the end of the string, which is the padding.
        let window = if have >= 32 { (bits >> (have - 32)) as u32 } else { (((bits + 1) << (32 - have)) - 1) as u32 };
        let length = (5..LONGEST).find(|&length| u64::from(window) < RANGES[length].above).unwrap_or(LONGEST);
        if length as u32 > have {
            let is_padding = have < 8 && bits & ((1 << have) - 1) == (1 << have) - 1;
            return if is_padding { Ok(()) } else { Err(BadCode) };
        }
        let range = RANGES[length];
        let place = range.first_place + ((window >> (32 - length as u32)) - range.first_code);
        // The end of the string is no byte, and the last of all codes.
        let symbol = IN_ORDER.get(place as usize).and_then(|&symbol| u8::try_from(symbol).ok()).ok_or(BadCode)?;
        if out.len() - start >= most {
            return Err(BadCode);
        }
        out.push(symbol);
        have -= length as u32;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As an encoder of the RFC does it, bit by bit.
    pub fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for &byte in text {
            let length = usize::from(LENGTHS[usize::from(byte)]);
            let place = IN_ORDER.iter().position(|&symbol| symbol == u16::from(byte)).unwrap() as u32;
            let code = RANGES[length].first_code + place - RANGES[length].first_place;
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |value, &bit| value << 1 | u8::from(bit))).collect()
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, BadCode> {
        let mut out = Vec::new();
        decode(coded, 1 << 16, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_the_appendix() {
        // Some of each kind, as appendix B lists them.
        for (byte, coded) in
            [(b'0', &[0b0000_0111][..]), (b'a', &[0b0001_1111]), (b'&', &[0xf8]), (b'!', &[0xfe, 0x3f])]
        {
            assert_eq!(encode(&[byte]), coded, "{byte}");
        }
        assert_eq!(encode(&[0]), [0xff, 0xc7]);
        assert_eq!(encode(&[255]), [0xff, 0xff, 0xfb, 0xbf]);
        assert_eq!(encode(&[22]), [0xff, 0xff, 0xff, 0xfb]);
        // Appendix C.4 and C.6.
        assert_eq!(decoded(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff").unwrap(), b"www.example.com");
        assert_eq!(
            decoded(b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff")
                .unwrap(),
            b"Mon, 21 Oct 2013 20:13:21 GMT"
        );
    }

    #[test]
    fn wrong_ends_are_refused() {
        // Eight bits of padding, padding of zeros, the end of the string, a code that is cut off.
        for bad in [&b"\x1f\xff"[..], b"\x18", b"\xff\xff\xff\xff", b"\xff\xc0"] {
            assert_eq!(decoded(bad), Err(BadCode), "{bad:x?}");
        }
        assert_eq!(decode(&encode(b"abc"), 2, &mut Vec::new()), Err(BadCode));
        assert_eq!(decoded(b"").unwrap(), b"");
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decoded(&bytes);
        }
    }
}
