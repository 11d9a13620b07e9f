//! The vocabulary: listed lemmas by part of speech, most frequent first, their inflections, and an endless tail of rare
//! words and names, each of which is a function of its rank.

use std::sync::LazyLock;

use super::rng::{Stream, Weighted, mix, tail_rank};

pub(crate) struct Noun {
    pub(crate) singular: String,
    /// None for what is not counted (water, information).
    pub(crate) plural: Option<String>,
}

pub(crate) struct Verb {
    pub(crate) base: String,
    pub(crate) third: String,
    pub(crate) past: String,
    pub(crate) participle: String,
    pub(crate) gerund: String,
}

pub(crate) struct Lexicon {
    pub(crate) nouns: Vec<Noun>,
    pub(crate) verbs: Vec<Verb>,
    pub(crate) adjectives: Vec<&'static str>,
    pub(crate) adverbs: Vec<&'static str>,
    noun_weights: Weighted,
    verb_weights: Weighted,
    adjective_weights: Weighted,
    adverb_weights: Weighted,
}

pub(crate) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let nouns: Vec<Noun> = distinct(include_str!("words/nouns.txt")).into_iter().map(noun).collect();
    let verbs: Vec<Verb> = distinct(include_str!("words/verbs.txt")).into_iter().map(verb).collect();
    let adjectives = distinct(include_str!("words/adjectives.txt"));
    let adverbs = distinct(include_str!("words/adverbs.txt"));
    Lexicon {
        noun_weights: Weighted::zipf_mandelbrot(nouns.len(), 40),
        verb_weights: Weighted::zipf_mandelbrot(verbs.len(), 12),
        adjective_weights: Weighted::zipf_mandelbrot(adjectives.len(), 20),
        adverb_weights: Weighted::zipf_mandelbrot(adverbs.len(), 3),
        nouns,
        verbs,
        adjectives,
        adverbs,
    }
});

impl Lexicon {
    pub(crate) fn noun(&self, rng: &mut Stream) -> usize {
        self.noun_weights.draw(rng)
    }

    pub(crate) fn verb(&self, rng: &mut Stream) -> usize {
        self.verb_weights.draw(rng)
    }

    pub(crate) fn adjective(&self, rng: &mut Stream) -> usize {
        self.adjective_weights.draw(rng)
    }

    pub(crate) fn adverb(&self, rng: &mut Stream) -> usize {
        self.adverb_weights.draw(rng)
    }

    /// A rare word (a singular noun), out of about a million.
    pub(crate) fn rare(&self, rng: &mut Stream) -> String {
        let rank = tail_rank(rng, 20);
        let at = |salt, n: usize| (mix(rank, salt) % n as u64) as usize;
        let noun = &self.nouns[at(1, self.nouns.len())].singular;
        let verb = &self.verbs[at(2, self.verbs.len())];
        let adjective = self.adjectives[at(3, self.adjectives.len())];
        let prefix = PREFIXES[at(4, PREFIXES.len())];
        match at(5, 10) {
            0 | 1 => format!("{prefix}{noun}"),
            2 => format!("{noun}-{}", self.nouns[at(6, self.nouns.len())].singular),
            3 => format!("{}{noun}", short(&self.nouns[at(7, 200)].singular)),
            4 => format!("{}er", verb.gerund.trim_end_matches("ing")),
            5 => format!("{prefix}{}", verb.gerund),
            6 => format!("{}ness", adjective.strip_suffix('y').map_or(adjective.to_owned(), |stem| format!("{stem}i"))),
            7 => format!("{}ability", verb.gerund.trim_end_matches("ing")),
            _ => syllables(rank, at(8, 2) + 2),
        }
    }
}

/// A proper name, out of about a million, some of them well known.
pub(crate) fn name(rng: &mut Stream) -> String {
    let rank = tail_rank(rng, 20);
    capitalized(&syllables(rank ^ 0x5eed, (mix(rank, 9) % 2) as usize + 2))
}

/// The word with its first letter in upper case.
pub(crate) fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

const PREFIXES: [&str; 16] = [
    "re", "un", "pre", "sub", "super", "meta", "micro", "multi", "non-", "over", "co-", "inter", "out", "under",
    "anti", "mis",
];

fn syllables(rank: u64, count: usize) -> String {
    const ONSETS: [&str; 28] = [
        "b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "sh", "st", "t",
        "th", "tr", "v", "w", "z", "kl", "",
    ];
    const NUCLEI: [&str; 12] = ["a", "e", "i", "o", "u", "a", "e", "o", "ai", "ea", "ie", "ou"];
    const CODAS: [&str; 16] = ["", "", "", "n", "r", "l", "s", "n", "r", "ck", "nd", "rt", "m", "x", "th", "lt"];
    let mut word = String::new();
    for i in 0..count as u64 {
        let bits = mix(rank, 100 + i);
        word.push_str(ONSETS[(bits % 28) as usize]);
        word.push_str(NUCLEI[(bits >> 16) as usize % 12]);
        word.push_str(CODAS[(bits >> 32) as usize % 16]);
    }
    word
}

/// The head of a compound: long words make poor ones.
fn short(word: &str) -> &str {
    if word.len() <= 6 { word } else { "back" }
}

fn distinct(list: &'static str) -> Vec<&'static str> {
    let mut seen = std::collections::HashSet::new();
    list.split_whitespace().filter(|entry| seen.insert(*entry)).collect()
}

fn noun(entry: &'static str) -> Noun {
    match entry.split_once(':') {
        Some((singular, "-")) => Noun { singular: singular.into(), plural: None },
        Some((singular, plural)) => Noun { singular: singular.into(), plural: Some(plural.into()) },
        None => Noun { singular: entry.into(), plural: Some(with_s(entry)) },
    }
}

/// `base`, `base*` (the last letter doubles), or `base:past:participle`.
fn verb(entry: &'static str) -> Verb {
    let mut forms = entry.split(':');
    let head = forms.next().unwrap_or_default();
    let base = head.trim_end_matches('*');
    let stem = match head.strip_suffix('*') {
        Some(_) => format!("{base}{}", &base[base.len() - 1..]),
        None => base.to_owned(),
    };
    let past = if stem.ends_with('e') {
        format!("{stem}d")
    } else if let Some(stem) = consonant_y(&stem) {
        format!("{stem}ied")
    } else {
        format!("{stem}ed")
    };
    let gerund = if let Some(stem) = stem.strip_suffix("ie") {
        format!("{stem}ying")
    } else {
        match stem.strip_suffix('e') {
            Some(short) if !stem.ends_with("ee") => format!("{short}ing"),
            _ => format!("{stem}ing"),
        }
    };
    let past = forms.next().map_or(past, str::to_owned);
    let participle = forms.next().map_or_else(|| past.clone(), str::to_owned);
    let third = if base == "have" { "has".to_owned() } else { with_s(base) };
    Verb { base: base.into(), third, past, participle, gerund }
}

fn with_s(word: &str) -> String {
    if let Some(stem) = consonant_y(word) {
        format!("{stem}ies")
    } else if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) || word == "go" || word == "echo" {
        format!("{word}es")
    } else {
        format!("{word}s")
    }
}

fn consonant_y(word: &str) -> Option<&str> {
    word.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflections_follow_the_rules_of_spelling() {
        let forms = |entry| {
            let v = verb(entry);
            [v.third, v.past, v.participle, v.gerund].join(" ")
        };
        assert_eq!(forms("stop*"), "stops stopped stopped stopping");
        assert_eq!(forms("carry"), "carries carried carried carrying");
        assert_eq!(forms("write:wrote:written"), "writes wrote written writing");
        assert_eq!(forms("agree"), "agrees agreed agreed agreeing");
        assert_eq!(forms("tie"), "ties tied tied tying");
        assert_eq!(forms("push"), "pushes pushed pushed pushing");
        assert_eq!(noun("query").plural.as_deref(), Some("queries"));
        assert_eq!(noun("day").plural.as_deref(), Some("days"));
        assert_eq!(noun("water:-").plural, None);
    }

    #[test]
    fn the_tail_of_names_is_long_and_its_head_is_shared() {
        let mut rng = Stream::new(1, "names");
        let names: Vec<String> = (0..2000).map(|_| name(&mut rng)).collect();
        let distinct: std::collections::HashSet<&String> = names.iter().collect();
        assert!((800..1600).contains(&distinct.len()), "{} of 2000", distinct.len());
    }
}
