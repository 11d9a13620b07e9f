//! The closed classes of English words, with weights after their frequency in written English.
#![cfg_attr(rustfmt, rustfmt::skip)]

use super::rng::Stream;

/// Draws from words with weights.
pub(super) fn weigh(rng: &mut Stream, list: &[(&'static str, usize)]) -> &'static str {
    let mut at = rng.below(list.iter().map(|(_, weight)| weight).sum());
    for (word, weight) in list {
        if at < *weight {
            return word;
        }
        at -= weight;
    }
    ""
}

pub(super) const PREPOSITIONS: &[(&str, usize)] = &[
    ("in", 200), ("to", 120), ("for", 110), ("with", 90), ("on", 80), ("from", 60), ("at", 55), ("by", 45),
    ("as", 30), ("into", 25), ("about", 25), ("over", 14), ("after", 14), ("before", 12), ("through", 11),
    ("between", 11), ("without", 9), ("under", 8), ("during", 8), ("against", 7), ("within", 6), ("across", 5),
    ("until", 4), ("inside", 3), ("behind", 3), ("per", 3), ("since", 3), ("among", 3), ("like", 6), ("along", 2),
    ("beyond", 2), ("around", 4), ("towards", 2), ("upon", 2), ("via", 3), ("despite", 1),
];

pub(super) const SINGULAR: &[(&str, usize)] = &[
    ("the", 360), ("", 40), ("a", 230), ("this", 60), ("its", 25), ("your", 30), ("each", 18), ("my", 16),
    ("that", 18), ("their", 16), ("our", 12), ("any", 14), ("another", 9), ("every", 7), ("no", 10), ("his", 10),
    ("her", 7), ("some", 8), ("one", 9), ("such a", 3), ("the same", 8), ("the first", 6), ("the next", 4),
    ("the last", 3), ("the only", 2), ("either", 1), ("whichever", 1),
];

pub(super) const PLURAL: &[(&str, usize)] = &[
    ("the", 210), ("these", 30), ("all", 22), ("some", 24), ("many", 14), ("two", 14), ("your", 18), ("their", 16),
    ("its", 12), ("our", 10), ("those", 10), ("most", 10), ("three", 7), ("other", 16), ("several", 6), ("few", 5),
    ("more", 14), ("both", 6), ("different", 5), ("such", 6), ("any", 6), ("four", 3), ("five", 2), ("no", 5),
    ("all of the", 4), ("a few", 4), ("a lot of", 2), ("", 380),
];

pub(super) const SUBJECTS: &[(&str, usize)] = &[
    ("it", 260), ("you", 240), ("I", 200), ("we", 110), ("they", 90), ("he", 55), ("this", 70), ("that", 30),
    ("she", 35), ("everything", 4), ("nothing", 4), ("something", 6), ("someone", 4), ("everyone", 3), ("nobody", 1),
    ("each", 4),
];

pub(super) const OBJECTS: &[(&str, usize)] = &[
    ("it", 240), ("you", 90), ("them", 80), ("me", 60), ("that", 40), ("this", 50), ("us", 30), ("him", 25),
    ("her", 15), ("itself", 12), ("something", 14), ("anything", 10), ("everything", 9), ("nothing", 4),
    ("yourself", 3), ("themselves", 3),
];

pub(super) const MODALS: &[(&str, usize)] = &[
    ("can", 200), ("will", 170), ("should", 100), ("would", 110), ("could", 70), ("may", 70), ("must", 45),
    ("might", 35), ("cannot", 20), ("won't", 8), ("can't", 14), ("shouldn't", 5), ("shall", 4), ("need to", 20),
    ("wouldn't", 4),
];

pub(super) const LINKS: &[(&str, usize)] = &[
    ("and", 240), ("but", 90), ("because", 40), ("so", 50), ("when", 60), ("if", 80), ("while", 20), ("or", 30),
    ("although", 8), ("since", 12), ("until", 8), ("where", 14), ("as", 30), ("before", 10), ("after", 12),
    ("unless", 6), ("so that", 8), ("even if", 4), ("whereas", 3), ("once", 5), ("as long as", 3), ("and then", 8),
];

pub(super) const OPENERS: &[(&str, usize)] = &[
    ("However,", 14), ("For example,", 14), ("In this case,", 8), ("So", 10), ("But", 14), ("And", 8), ("Then", 8),
    ("Also,", 6), ("First,", 5), ("Finally,", 4), ("Note that", 8), ("In general,", 4), ("Of course,", 3), ("Now", 5),
    ("As a result,", 4), ("On the other hand,", 3), ("In other words,", 2), ("By default,", 4),
    ("At the same time,", 3), ("Therefore,", 3), ("Instead,", 3), ("Still,", 2), ("Well,", 2), ("In practice,", 3),
    ("To be clear,", 1), ("Because of this,", 1), ("Next,", 2), ("Otherwise,", 2), ("Yes,", 2), ("No,", 1),
];
