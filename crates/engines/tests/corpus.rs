//! The corpus: sizes, seeds, and that each kind holds what it is for.

use std::collections::HashSet;

use engines::corpus::{Kind, SIZES, text, texts};

fn special() -> Vec<String> {
    ["<|im_start|>", "<|im_end|>", "<｜end▁of▁sentence｜>"].map(str::to_owned).to_vec()
}

#[test]
fn sizes_are_kept_to_a_character() {
    for kind in Kind::ALL {
        for bytes in SIZES.into_iter().chain([1, 7, 33]) {
            let length = text(kind, bytes, 5, &special()).len();
            assert!(length <= bytes && length + 3 >= bytes, "{}: {length} of {bytes} bytes", kind.name());
        }
        assert_eq!(text(kind, 0, 5, &special()), "");
    }
}

#[test]
fn a_seed_gives_one_text_and_another_seed_another() {
    for kind in Kind::ALL {
        assert_eq!(text(kind, 5_000, 1, &special()), text(kind, 5_000, 1, &special()), "{}", kind.name());
        if kind != Kind::LongWord {
            assert_ne!(text(kind, 5_000, 1, &special()), text(kind, 5_000, 2, &special()), "{}", kind.name());
            let many: HashSet<String> = texts(kind, 500, 100, 3, &special()).into_iter().collect();
            assert_eq!(many.len(), 100, "{}: texts of a list differ", kind.name());
        }
        assert_eq!(texts(kind, 500, 1, 3, &special())[0], text(kind, 500, 3, &special()));
    }
}

#[test]
fn a_longer_text_begins_with_the_shorter_one() {
    // So that the growth over sizes is that of size, and not of another text.
    for kind in Kind::ALL {
        let (short, long) = (text(kind, 900, 4, &special()), text(kind, 9_000, 4, &special()));
        assert!(long.starts_with(&short), "{}", kind.name());
    }
}

#[test]
fn every_kind_holds_what_it_is_for() {
    let make = |kind| text(kind, 50_000, 11, &special());
    let share = |text: &str, test: &dyn Fn(char) -> bool| {
        text.chars().filter(|&char| test(char)).count() as f64 / text.chars().count() as f64
    };

    let english = make(Kind::English);
    assert!(
        share(&english, &|char| char.is_ascii_alphabetic()) > 0.7 && english.contains("\n\n") && english.contains('’')
    );
    let words: Vec<&str> = english.split_whitespace().collect();
    let distinct = words.iter().collect::<HashSet<_>>().len();
    assert!(distinct * 8 > words.len() && distinct * 2 < words.len(), "{distinct} of {} words", words.len());

    let code = make(Kind::Code);
    assert!(["def ", "    ", "\t", "\r\n", "0x", "_", "{", "=> x"].iter().all(|part| code.contains(part)));

    let ideographs = |char| matches!(char, '\u{4E00}'..='\u{9FFF}' | '\u{3040}'..='\u{30FF}');
    assert!(share(&make(Kind::ChineseJapanese), &ideographs) > 0.7);

    let script = |char| matches!(char, '\u{600}'..='\u{6FF}' | '\u{900}'..='\u{97F}');
    let hindi_arabic = make(Kind::HindiArabic);
    assert!(share(&hindi_arabic, &script) > 0.7);
    assert!(['\u{94D}', '\u{64E}', '١', '१'].iter().all(|&mark| hindi_arabic.contains(mark)));

    let emoji = make(Kind::Emoji);
    assert!(["\u{200D}", "\u{1F3FD}", "\u{FE0F}\u{20E3}", "\u{E007F}", "👩"].iter().all(|part| emoji.contains(part)));
    assert!(share(&emoji, &|char| matches!(char, '\u{1F1E6}'..='\u{1F1FF}')) > 0.03, "flags");

    let whitespace = make(Kind::Whitespace);
    assert!(share(&whitespace, &char::is_whitespace) > 0.7);
    assert!(["\t\t", "\r\n", "\u{A0}", "\u{3000}", "\u{2028}"].iter().all(|part| whitespace.contains(part)));
    assert!(whitespace.contains(&" ".repeat(100)), "long runs");

    let tokens = make(Kind::SpecialTokens);
    assert!(special().iter().all(|token| tokens.contains(token.as_str()) && tokens.contains(&token.repeat(2))));
    assert!(special().iter().any(|token| tokens.contains(&format!("x{token}y"))));
    assert!(text(Kind::SpecialTokens, 5_000, 1, &[]).contains("<|im_start|>"), "what looks like special tokens");

    let random = make(Kind::RandomUnicode);
    assert!(share(&random, &|char| char > '\u{FFFF}') > 0.2 && share(&random, &char::is_control) > 0.001);

    for (seed, alphabet) in [(0, 1), (1, 26), (2, 2)] {
        let word = text(Kind::LongWord, 100_000, seed, &[]);
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert_eq!(word.bytes().collect::<HashSet<_>>().len(), alphabet);
    }
}

#[test]
fn names_are_unique_and_found_again() {
    let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(Kind::ALL.into_iter().all(|kind| Kind::from_name(kind.name()) == Some(kind)));
    assert_eq!(Kind::from_name("klingon"), None);
}
