use super::*;
use proptest::prelude::*;

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<String, BadBlock> {
    let mut text = String::new();
    decoder.decode(block, &mut |name, value| {
        text += &format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    })?;
    Ok(text)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Appendix C.3: three requests without the Huffman code.
#[test]
fn requests_of_the_rfc() {
    let mut decoder = Decoder::new();
    let first = read(&mut decoder, &bytes("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")).unwrap();
    assert_eq!(first, ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n");
    assert_eq!(decoder.table.size(), 57);
    let second = read(&mut decoder, &bytes("8286 84be 5808 6e6f 2d63 6163 6865")).unwrap();
    assert!(second.ends_with(":authority: www.example.com\ncache-control: no-cache\n"), "{second}");
    let third = bytes("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65");
    assert!(read(&mut decoder, &third).unwrap().ends_with("www.example.com\ncustom-key: custom-value\n"));
    assert_eq!(decoder.table.size(), 164);
}

/// Appendix C.6: three answers in the Huffman code, with a table of 256 bytes from which fields are evicted.
#[test]
fn answers_of_the_rfc() {
    let mut decoder = Decoder::new();
    decoder.table.resize(256);
    let first = bytes(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae
         82ae 43d3",
    );
    let same = "cache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n";
    assert_eq!(read(&mut decoder, &first).unwrap(), format!(":status: 302\n{same}"));
    assert_eq!(decoder.table.size(), 222);
    assert_eq!(read(&mut decoder, &bytes("4883 640e ffc1 c0bf")).unwrap(), format!(":status: 307\n{same}"));
    let third = bytes(
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960
         d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    );
    let third = read(&mut decoder, &third).unwrap();
    assert!(third.starts_with(":status: 200\n") && third.contains("20:13:22 GMT"), "{third}");
    assert!(third.ends_with("set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"), "{third}");
    assert_eq!(decoder.table.size(), 215);
}

#[test]
fn bad_blocks_are_named() {
    let bad = |hex: &str| read(&mut Decoder::new(), &bytes(hex)).unwrap_err();
    assert_eq!(bad("80"), BadBlock::Index);
    assert_eq!(bad("be"), BadBlock::Index);
    assert_eq!(bad("7f ff ff ff ff 0f"), BadBlock::Number);
    assert_eq!(bad("41 0f 77"), BadBlock::CutShort);
    assert_eq!(bad("41"), BadBlock::CutShort);
    assert_eq!(bad("41 81 00"), BadBlock::Huffman);
    assert_eq!(bad("3f e2 1f"), BadBlock::TableSize);
    assert_eq!(bad("82 20"), BadBlock::TableSize);
    // A few bytes that stand for many: each names a field of 4,000 bytes.
    let mut bomb = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 100]);
    assert_eq!(read(&mut Decoder::new(), &bomb), Err(BadBlock::TooLong));
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    read(&mut decoder, &bytes("41 01 61")).unwrap();
    assert_eq!(read(&mut decoder, &bytes("be")).unwrap(), ":authority: a\n");
    let mut large = vec![0x41, 0x7f, 0xa1, 0x1f];
    large.extend([b'y'; 4128]);
    read(&mut decoder, &large).unwrap();
    assert_eq!((decoder.table.size(), read(&mut decoder, &bytes("be"))), (0, Err(BadBlock::Index)));
    // No room at all: nothing is kept.
    read(&mut decoder, &bytes("20 41 01 61")).unwrap();
    assert_eq!(decoder.table.size(), 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        fields in prop::collection::vec(
            (prop::sample::select(vec![":path", ":status", "content-length", "x-own", "authorization"]), prop::collection::vec(any::<u8>(), 0..300), any::<bool>()),
            0..8,
        ),
    ) {
        let mut block = Vec::new();
        put_no_table(&mut block);
        fields.iter().for_each(|(name, value, is_secret)| put_field(&mut block, name, value, *is_secret));
        let mut found = Vec::new();
        Decoder::new().decode(&block, &mut |name, value| found.push((name.to_vec(), value.to_vec()))).unwrap();
        let expected: Vec<_> = fields.into_iter().map(|(name, value, _)| (name.as_bytes().to_vec(), value)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_break_it(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4)) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let _ = read(&mut decoder, &block);
            prop_assert!(decoder.table.size() <= ROOM);
        }
    }
}
