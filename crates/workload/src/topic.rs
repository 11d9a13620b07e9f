//! What a passage is about. Real text is bursty: a word that has occurred occurs again soon (Church & Gale 1995), so about
//! half of the content words of a passage come from a small set of its own.

use super::lexicon::{LEXICON, Noun, Verb, capitalized, name};
use super::rng::{Stream, Weighted};

/// Share of the content words that the passage's own set gives, percent.
const OWN: usize = 45;

pub(crate) struct Topic {
    nouns: Vec<usize>,
    verbs: Vec<usize>,
    adjectives: Vec<usize>,
    names: Vec<String>,
    rare: Vec<String>,
    by_rank: [Weighted; 2],
}

impl Topic {
    pub(crate) fn new(rng: &mut Stream) -> Self {
        Self {
            nouns: (0..36).map(|_| LEXICON.noun(rng)).collect(),
            verbs: (0..18).map(|_| LEXICON.verb(rng)).collect(),
            adjectives: (0..14).map(|_| LEXICON.adjective(rng)).collect(),
            names: (0..6).map(|_| name(rng)).collect(),
            rare: (0..8).map(|_| LEXICON.rare(rng)).collect(),
            by_rank: [Weighted::zipf_mandelbrot(36, 4), Weighted::zipf_mandelbrot(14, 3)],
        }
    }

    pub(crate) fn noun(&self, rng: &mut Stream) -> &'static Noun {
        let index = if rng.chance(OWN) { self.nouns[self.by_rank[0].draw(rng)] } else { LEXICON.noun(rng) };
        &LEXICON.nouns[index]
    }

    pub(crate) fn verb(&self, rng: &mut Stream) -> &'static Verb {
        let index = if rng.chance(OWN) { self.verbs[self.by_rank[1].draw(rng)] } else { LEXICON.verb(rng) };
        &LEXICON.verbs[index]
    }

    pub(crate) fn adjective(&self, rng: &mut Stream) -> &'static str {
        let index = if rng.chance(OWN) { self.adjectives[self.by_rank[1].draw(rng)] } else { LEXICON.adjective(rng) };
        LEXICON.adjectives[index]
    }

    pub(crate) fn adverb(&self, rng: &mut Stream) -> &'static str {
        LEXICON.adverbs[LEXICON.adverb(rng)]
    }

    pub(crate) fn name(&self, rng: &mut Stream) -> String {
        if rng.chance(60) { self.names[rng.below(self.names.len())].clone() } else { name(rng) }
    }

    pub(crate) fn rare(&self, rng: &mut Stream) -> String {
        if rng.chance(50) { self.rare[rng.below(self.rare.len())].clone() } else { LEXICON.rare(rng) }
    }

    /// Words of an identifier, lower case.
    fn identifier_words(&self, rng: &mut Stream, verb_first: bool) -> Vec<String> {
        let mut words = Vec::with_capacity(3);
        if verb_first {
            words.push(self.verb(rng).base.clone());
        } else if rng.chance(25) {
            words.push(self.adjective(rng).to_owned());
        }
        words.push(self.noun(rng).singular.clone());
        if rng.chance(30) {
            words.push(self.noun(rng).singular.clone());
        }
        if rng.chance(6) {
            words.push(self.rare(rng).replace('-', "").to_lowercase());
        }
        words
    }

    /// `parse_header`, `request_limit`.
    pub(crate) fn snake(&self, rng: &mut Stream, verb_first: bool) -> String {
        self.identifier_words(rng, verb_first).join("_")
    }

    /// `RequestLimit`.
    pub(crate) fn pascal(&self, rng: &mut Stream) -> String {
        self.identifier_words(rng, false).iter().map(|word| capitalized(word)).collect()
    }

    /// `parseHeader`, `requestLimit`.
    pub(crate) fn camel(&self, rng: &mut Stream, verb_first: bool) -> String {
        let words = self.identifier_words(rng, verb_first);
        let tail: String = words[1..].iter().map(|word| capitalized(word)).collect();
        format!("{}{tail}", words[0])
    }
}
