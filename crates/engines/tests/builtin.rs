//! The built-in model against the engine that its vocabulary comes from.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use engines::builtin::{self, Builtin, RANKS, special_tokens};
use engines::{Tokenizer, count_tokens};
use rayon::prelude::*;
use tiktoken_rs::CoreBPE;

struct Made {
    _cache: tempfile::TempDir,
    builtin: Builtin,
    tokenizer: Tokenizer,
    original: CoreBPE,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let cache = tempfile::tempdir().unwrap();
    let builtin = builtin::ensure(cache.path(), &|_| {}).unwrap();
    let tokenizer = Tokenizer::load(&builtin.dir.join("tokenizer.json")).unwrap();
    Made { _cache: cache, builtin, tokenizer, original: tiktoken_rs::o200k_base().unwrap() }
});

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

const PIECES: &[&str] = &[
    "The quick brown fox isn't lazy; it's what we'd call DON'T-care. ",
    "Der Fluß floß über die Brücke, während Ärzte Öl prüften. ",
    "L'été dernier, où étais-tu ? Ça va, naïve façade. ",
    "Быстрая лиса прыгает через ленивую собаку. ",
    "敏捷的棕色狐狸跳过了懒狗。今天是二〇二六年。",
    "素早い茶色の狐が怠け者の犬を飛び越えるカタカナ。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다. ",
    "الثعلب البني السريع يقفز فوق الكلب الكسول ١٢٣٤. ",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है १२३। ",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ ",
    "Η γρήγορη αλεπού ΠΗΔΆ πάνω από τον σκύλο. ",
    "fn main() {\n    let x: Vec<u8> = vec![0x1F; 1_000];\n    println!(\"{x:?}\");\n}\n",
    "def f(a, *, b=None):\n\treturn {k: v ** 2 for k, v in a.items() if v != b}\n\n\n",
    "SELECT id, COUNT(*) FROM t WHERE x >= 3.14e-10 GROUP BY 1;\r\n",
    "https://example.org/a/b?q=1&r=%20#frag //comment/// ",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪 ❤️‍🔥 \u{1F9D1}\u{200D}\u{1F4BB}",
    "1234567890 12,345.678 0xDEADBEEF 3rd 42% ½ Ⅷ ① ²",
    "   \t\t  \n\n \r\n\u{a0}\u{2003}\u{3000} \u{200b}\u{feff}   ",
    "HTMLParserXMLHttpRequest camelCaseIdentifierWithURLInside snake_case_name SCREAMING_CASE",
    "e\u{301}\u{323} Z\u{335}\u{321}\u{32b}a\u{334}l\u{337}g\u{336}o ﬁ ﷽ ǅ ʰ İıſ K",
    "'s 'S 'll 'LL 're's'tx I'M you'Ve ’s 'ſ",
    "!!!???...---===>>> <|im_start <|> |im_end|> </s> [INST] {{}} $$ \\n \\u0041",
];

fn random_text(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(6) {
        match random.below(4) {
            0 => (0..random.below(30)).for_each(|_| text.extend(char::from_u32(random.below(0x11_0000) as u32))),
            1 => (0..random.below(30)).for_each(|_| text.extend(char::from_u32(random.below(0x3000) as u32))),
            2 => (0..random.below(12)).for_each(|_| text.push([' ', '\n', '\t', '\r', '\u{a0}'][random.below(5)])),
            _ => {}
        }
        let piece: Vec<char> = PIECES[random.below(PIECES.len())].chars().collect();
        let from = random.below(piece.len());
        text.extend(&piece[from..from + random.below(piece.len() - from + 1)]);
    }
    text
}

#[track_caller]
fn assert_same(text: &str) {
    let ours = MADE.tokenizer.ids(text).unwrap();
    let theirs = MADE.original.encode_ordinary(text);
    assert_eq!(ours, theirs, "{text:?}");
}

#[test]
fn ids_are_those_of_the_original_engine_on_2000_texts() {
    let mut random = Random(2026);
    let texts: Vec<String> = (0..2_000).map(|_| random_text(&mut random)).collect();
    assert!(texts.iter().map(String::len).sum::<usize>() > 200_000, "the texts are not trivial");
    texts.par_iter().for_each(|text| assert_same(text));
    PIECES.iter().for_each(|text| assert_same(text));
}

#[test]
fn ids_are_those_of_the_original_engine_on_every_unicode_scalar() {
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    assert_eq!(all.len(), 0x11_0000 - 0x800);
    all.par_chunks(512).for_each(|chunk| {
        // Alone between spaces, and between letters, digits and line ends.
        assert_same(&chunk.iter().flat_map(|scalar| [*scalar, ' ']).collect::<String>());
        assert_same(&chunk.iter().flat_map(|scalar| ['x', *scalar, 'Y', '7', *scalar, '\n']).collect::<String>());
    });
}

#[test]
fn every_token_decodes_to_the_bytes_of_its_rank_and_every_merge_is_recovered() {
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(MADE.builtin.dir.join("tokenizer.json")).unwrap()).unwrap();
    assert_eq!(json["model"]["merges"].as_array().unwrap().len(), 199_742);
    assert_eq!(json["model"]["vocab"].as_object().unwrap().len(), RANKS as usize);
    let ranks = read_ranks(&MADE.builtin.tiktoken.ranks);
    assert_eq!(ranks.len(), RANKS as usize);
    for (bytes, rank) in &ranks {
        assert_eq!(MADE.original.decode_bytes(&[*rank]).unwrap(), *bytes);
    }
}

fn read_ranks(path: &PathBuf) -> HashMap<Vec<u8>, u32> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let (bytes, rank) = line.split_once(' ').unwrap();
            (base64::engine::general_purpose::STANDARD.decode(bytes).unwrap(), rank.parse().unwrap())
        })
        .collect()
}

#[test]
fn special_tokens_are_single_ids_and_o200k_keeps_its_own() {
    for (name, id) in special_tokens() {
        assert_eq!(MADE.tokenizer.ids(&name).unwrap(), [id], "{name}");
        assert_eq!(MADE.tokenizer.inner().id_to_token(id), Some(name));
    }
    let text = "a<|endoftext|>b <|endofprompt|>";
    assert_eq!(MADE.tokenizer.ids(text).unwrap(), MADE.original.encode_with_special_tokens(text));
}

#[test]
fn as_ordinary_text_special_tokens_have_the_ids_of_the_original_engine() {
    let mut ordinary = MADE.tokenizer.inner().clone();
    ordinary.set_encode_special_tokens(true);
    for (name, _) in special_tokens() {
        let text = format!("before {name}after{name}{name}\n");
        assert_eq!(ordinary.encode(text.as_str(), false).unwrap().get_ids(), MADE.original.encode_ordinary(&text));
    }
}

#[test]
fn what_tiktoken_is_given_makes_the_same_encoder() {
    let vocabulary = &MADE.builtin.tiktoken;
    let rebuilt = CoreBPE::new(
        read_ranks(&vocabulary.ranks).into_iter().collect(),
        vocabulary.special_tokens.clone().into_iter().collect(),
        &vocabulary.pattern,
    )
    .unwrap();
    let all: HashSet<&str> = vocabulary.special_tokens.keys().map(String::as_str).collect();
    let mut random = Random(7);
    for _ in 0..200 {
        let prompt = format!(
            "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
            random_text(&mut random),
            random_text(&mut random)
        );
        assert_eq!(rebuilt.encode(&prompt, &all).unwrap().0, MADE.tokenizer.ids(&prompt).unwrap(), "{prompt:?}");
    }
}

#[test]
fn all_call_paths_give_the_same_ids_and_counts() {
    let mut random = Random(11);
    let texts: Vec<String> = (0..200).map(|_| random_text(&mut random)).collect();
    let paths: Vec<_> =
        engines::tokenize::CALL_PATHS.iter().map(|name| MADE.tokenizer.call_path(name).unwrap()).collect();
    let mut counts = Vec::new();
    for text in &texts {
        let ids = paths[0].run(text).unwrap();
        assert_eq!(paths[1].run(text).unwrap(), ids);
        assert_eq!(paths[2].run(text).unwrap(), ids);
        counts.push(ids.len());
    }
    assert_eq!(count_tokens(&MADE.tokenizer, &texts).unwrap(), counts);
    assert!(MADE.tokenizer.call_path("encode_slow").is_none());
}

#[test]
fn the_model_folder_holds_three_files_and_a_second_call_reuses_them() {
    let mut names: Vec<String> = std::fs::read_dir(&MADE.builtin.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]);

    let file = MADE.builtin.dir.join("tokenizer.json");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let cache = MADE.builtin.dir.parent().unwrap().parent().unwrap();
    assert_eq!(builtin::ensure(cache, &|_| {}).unwrap(), MADE.builtin);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
}

#[test]
fn a_damaged_cache_is_made_again_also_by_four_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let first = builtin::ensure(cache.path(), &|_| {}).unwrap();
    let sound = std::fs::read(first.dir.join("tokenizer.json")).unwrap();
    std::fs::write(first.dir.join("tokenizer.json"), &sound[..sound.len() / 2]).unwrap();
    let shares = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(builtin::ensure(cache.path(), &|share| shares.lock().unwrap().push(share)).unwrap(), first)
            });
        }
    });
    assert_eq!(std::fs::read(first.dir.join("tokenizer.json")).unwrap(), sound);
    let left: Vec<_> = std::fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1, "no temporary folder is left: {left:?}");
    let shares = shares.into_inner().unwrap();
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.contains(&1.0));
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
    let cache = tempfile::tempdir().unwrap();
    let file = cache.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let error = builtin::ensure(&file, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("a-file") && error.contains("choose another cache folder"), "{error}");
}
