//! English-like sentences.

use super::random::Random;

/// The words between the others, the most frequent first.
const FUNCTION: &[&str] = &[
    "the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "as", "with", "was", "on", "by", "this", "be",
    "are", "from", "at", "or", "an", "not", "which", "but", "have", "its", "they", "all", "we", "can", "when", "there",
    "more", "if", "their", "will", "some", "than", "into", "only", "other", "no", "these", "two", "may", "each",
    "after", "between", "before", "through", "while", "because", "without", "however", "although", "whose", "toward",
    "among", "whether",
];

/// Stems of nouns and verbs; endings make more of them.
const STEMS: &[&str] = &[
    "time",
    "work",
    "place",
    "point",
    "number",
    "system",
    "water",
    "group",
    "state",
    "house",
    "form",
    "part",
    "light",
    "hand",
    "change",
    "play",
    "turn",
    "order",
    "measure",
    "record",
    "report",
    "train",
    "market",
    "cost",
    "load",
    "cover",
    "garden",
    "letter",
    "paint",
    "plan",
    "question",
    "reason",
    "result",
    "river",
    "road",
    "sound",
    "station",
    "stone",
    "study",
    "table",
    "test",
    "thought",
    "village",
    "voice",
    "watch",
    "winter",
    "wonder",
    "word",
    "answer",
    "account",
    "attempt",
    "balance",
    "bridge",
    "build",
    "carry",
    "center",
    "check",
    "circle",
    "claim",
    "cloud",
    "collect",
    "color",
    "compare",
    "connect",
    "consider",
    "contain",
    "control",
    "copper",
    "corner",
    "count",
    "cross",
    "current",
    "deliver",
    "design",
    "detail",
    "develop",
    "direct",
    "discover",
    "distance",
    "divide",
    "doctor",
    "double",
    "draw",
    "edge",
    "effect",
    "engine",
    "enter",
    "evening",
    "event",
    "exact",
    "examine",
    "express",
    "factor",
    "field",
    "figure",
    "final",
    "finger",
    "finish",
    "flower",
    "follow",
    "forest",
    "frame",
    "friend",
    "gather",
    "grain",
    "harbor",
    "harvest",
    "history",
    "honor",
    "hunger",
    "island",
    "journey",
    "judge",
    "kitchen",
    "ladder",
    "language",
    "laughter",
    "lesson",
    "limit",
    "listen",
    "machine",
    "manner",
    "matter",
    "meadow",
    "member",
    "memory",
    "mention",
    "metal",
    "method",
    "minute",
    "mirror",
    "model",
    "moment",
    "motion",
    "mountain",
    "nature",
    "notice",
    "object",
    "observe",
    "ocean",
    "offer",
    "office",
    "paper",
    "pattern",
    "people",
    "perform",
    "picture",
    "planet",
    "pocket",
    "powder",
    "prefer",
    "prepare",
    "present",
    "press",
    "prevent",
    "process",
    "produce",
    "promise",
    "protect",
    "prove",
    "purpose",
    "quarter",
    "reach",
    "receive",
    "recent",
    "reflect",
    "remain",
    "remember",
    "remove",
    "repeat",
    "require",
    "respect",
    "return",
    "reward",
    "rhythm",
    "sample",
    "season",
    "second",
    "section",
    "sentence",
    "series",
    "settle",
    "shadow",
    "shelter",
    "signal",
    "silence",
    "silver",
    "simple",
    "sister",
    "spread",
    "square",
    "stream",
    "strength",
    "stretch",
    "structure",
    "student",
    "subject",
    "summer",
    "supply",
    "support",
    "surface",
    "surprise",
    "temper",
    "theory",
    "thread",
    "thunder",
    "timber",
    "travel",
    "treat",
    "trouble",
    "valley",
    "value",
    "vessel",
    "visit",
    "window",
    "yellow",
];

const ENDINGS: &[&str] =
    &["", "", "", "", "s", "s", "ed", "ing", "er", "ers", "ly", "ful", "less", "ness", "able", "ment"];
const BEGINNINGS: &[&str] = &["un", "re", "over", "under", "inter", "counter", "semi", "non-", "pre", "trans"];
const SYLLABLES: &[&str] = &[
    "ba", "bel", "cor", "dan", "der", "el", "fen", "gar", "hol", "is", "jan", "kel", "lor", "mar", "nor", "ol", "per",
    "quin", "ros", "sel", "tor", "ul", "ven", "wyn", "xan", "yor", "zel", "mir", "thal", "grim", "shire", "stein",
];
const CONTRACTIONS: &[&str] =
    &["it's", "don't", "we're", "they'll", "I'm", "you've", "isn't", "he'd", "what’s", "couldn't"];

/// A sentence and the space behind it; now and then the end of a paragraph.
pub fn sentence(random: &mut Random, text: &mut String) {
    let words = random.range(4, 24);
    let start = text.len();
    for index in 0..words {
        if index > 0 {
            text.push_str(match random.below(40) {
                0 | 1 => ", ",
                2 => "; ",
                3 => " - ",
                _ => " ",
            });
        }
        word(random, text);
    }
    if let Some(first) = text[start..].chars().next() {
        let upper: String = first.to_uppercase().collect();
        text.replace_range(start..start + first.len_utf8(), &upper);
    }
    text.push_str(match random.below(20) {
        0 => "?",
        1 => "!",
        2 => ":",
        3 => "...",
        _ => ".",
    });
    text.push_str(match random.below(12) {
        0 => "\n\n",
        1 => "\n",
        _ => " ",
    });
}

/// One word: half of them are the small ones, and a few were never seen before.
pub fn word(random: &mut Random, text: &mut String) {
    match random.below(100) {
        0..48 => text.push_str(random.zipf(FUNCTION)),
        48..86 => {
            text.push_str(random.zipf(STEMS));
            text.push_str(random.pick(ENDINGS));
        }
        86..91 => {
            text.push_str(random.pick(BEGINNINGS));
            text.push_str(random.pick(STEMS));
            text.push_str(random.pick(ENDINGS));
        }
        91..94 => name(random, text),
        94..96 => text.push_str(random.pick(CONTRACTIONS)),
        96 => number(random, text),
        97 => {
            text.push('"');
            text.push_str(random.pick(STEMS));
            text.push('"');
        }
        98 => {
            text.push('(');
            text.push_str(random.pick(STEMS));
            text.push(')');
        }
        _ => text.extend(random.pick(STEMS).chars().flat_map(char::to_uppercase)),
    }
}

/// A name that most texts have not: a cache of words has not seen it either.
pub fn name(random: &mut Random, text: &mut String) {
    let start = text.len();
    for _ in 0..random.range(2, 4) {
        text.push_str(random.pick(SYLLABLES));
    }
    if let Some(first) = text[start..].chars().next() {
        text.replace_range(start..=start, &first.to_ascii_uppercase().to_string());
    }
}

pub fn stem(random: &mut Random) -> &'static str {
    random.pick(STEMS)
}

fn number(random: &mut Random, text: &mut String) {
    let digits = random.range(1, 7) as u32;
    let value = random.below(10usize.pow(digits));
    match random.below(4) {
        0 => text.push_str(&format!("{}.{:02}", value / 100, value % 100)),
        1 if value >= 1_000 => text.push_str(&format!("{},{:03}", value / 1_000, value % 1_000)),
        2 => text.push_str(&format!("{value}%")),
        _ => text.push_str(&value.to_string()),
    }
}
