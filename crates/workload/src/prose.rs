//! Sentences from a small grammar of English. Function words come from closed sets with weights after their frequency in
//! written English; content words from the topic and the lexicon.

use super::closed::{LINKS, MODALS, OBJECTS, OPENERS, PLURAL, PREPOSITIONS, SINGULAR, SUBJECTS, weigh};
use super::lexicon::{Noun, capitalized};
use super::rng::Stream;
use super::topic::Topic;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    First,
    Singular,
    Plural,
}

/// Writes words with single spaces between them.
struct Writer<'a> {
    topic: &'a Topic,
    text: String,
}

impl Writer<'_> {
    fn word(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(word);
    }

    /// The article agrees with the word that follows it.
    fn determiner(&mut self, determiner: &str, next: &str) {
        let vowel = next.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
        match determiner.strip_suffix('a') {
            Some(head) if vowel && (head.is_empty() || head.ends_with(' ')) => self.word(&format!("{head}an")),
            _ => self.word(determiner),
        }
    }

    fn noun_phrase(&mut self, rng: &mut Stream, depth: usize) -> Number {
        let adjective = if rng.chance(37) { self.topic.adjective(rng) } else { "" };
        let number = if rng.chance(30) {
            let noun = self.topic.noun(rng);
            let plural = noun.plural.as_deref();
            if rng.chance(4) {
                self.word(&quantity(rng));
            } else {
                self.word(weigh(rng, PLURAL));
            }
            self.word(adjective);
            self.word(plural.unwrap_or(&noun.singular));
            if plural.is_some() { Number::Plural } else { Number::Singular }
        } else {
            let noun = if rng.chance(9) { self.topic.rare(rng) } else { compound(self.topic, rng) };
            let determiner = weigh(rng, SINGULAR);
            self.determiner(determiner, if adjective.is_empty() { &noun } else { adjective });
            self.word(adjective);
            self.word(&noun);
            Number::Singular
        };
        if depth > 0 && rng.chance(16) {
            self.word("of");
            self.noun_phrase(rng, depth - 1);
        } else if depth > 0 && rng.chance(5) {
            self.word(if rng.chance(60) { "that" } else { "which" });
            self.verb_phrase(rng, number, 0);
        }
        number
    }

    fn subject(&mut self, rng: &mut Stream) -> Number {
        match rng.below(100) {
            0..31 => {
                let pronoun = weigh(rng, SUBJECTS);
                self.word(pronoun);
                match pronoun {
                    "I" => Number::First,
                    "you" | "we" | "they" => Number::Plural,
                    _ => Number::Singular,
                }
            }
            31..39 => {
                let name = self.topic.name(rng);
                self.word(&name);
                if rng.chance(15) {
                    let name = self.topic.name(rng);
                    self.word(&name);
                }
                Number::Singular
            }
            _ => self.noun_phrase(rng, 1),
        }
    }

    fn object(&mut self, rng: &mut Stream) {
        match rng.below(100) {
            0..14 => self.word(weigh(rng, OBJECTS)),
            14..17 => {
                let name = self.topic.name(rng);
                self.word(&name);
            }
            17..21 => {
                let identifier = self.topic.snake(rng, true);
                self.word(&format!("`{identifier}`"));
            }
            21..24 => {
                let mark = mark_up(self.topic, rng);
                self.word(&mark);
            }
            _ => {
                self.noun_phrase(rng, 1);
                if rng.chance(16) {
                    self.word(if rng.chance(80) { "and" } else { "or" });
                    self.noun_phrase(rng, 0);
                }
            }
        }
    }

    fn prepositional(&mut self, rng: &mut Stream) {
        match rng.below(100) {
            0..4 => self.word(&date(rng)),
            4..8 => {
                self.word(weigh(rng, &[("in", 4), ("from", 2), ("to", 2), ("by", 2), ("with", 1)]));
                let name = self.topic.name(rng);
                self.word(&name);
            }
            8..13 => {
                self.word(weigh(
                    rng,
                    &[("by", 4), ("for", 4), ("without", 2), ("of", 2), ("before", 1), ("after", 1), ("when", 1)],
                ));
                let gerund = &self.topic.verb(rng).gerund;
                self.word(gerund);
                self.object(rng);
            }
            _ => {
                self.word(weigh(rng, PREPOSITIONS));
                self.object(rng);
            }
        }
    }

    fn verb_phrase(&mut self, rng: &mut Stream, number: Number, depth: usize) {
        let singular = number == Number::Singular;
        let be = match number {
            Number::First => "am",
            Number::Singular => "is",
            Number::Plural => "are",
        };
        let was = if number == Number::Plural { "were" } else { "was" };
        let have = if singular { "has" } else { "have" };
        let verb = self.topic.verb(rng);
        match rng.below(100) {
            0..16 => {
                self.word(if rng.chance(68) { be } else { was });
                self.word(weigh(
                    rng,
                    &[
                        ("", 60),
                        ("not", 12),
                        ("very", 5),
                        ("more", 5),
                        ("also", 4),
                        ("too", 3),
                        ("so", 3),
                        ("still", 3),
                        ("only", 3),
                    ],
                ));
                if rng.chance(55) {
                    self.word(self.topic.adjective(rng));
                    if rng.chance(12) {
                        self.word("than");
                        self.object(rng);
                    }
                } else {
                    self.noun_phrase(rng, depth.min(1));
                }
                return;
            }
            16..25 => {
                self.word(weigh(rng, &[(be, 60), (was, 30), ("can be", 12), ("will be", 8), ("should be", 6)]));
                if rng.chance(8) {
                    self.word("not");
                }
                self.word(&verb.participle);
                if rng.chance(60) {
                    self.word(weigh(
                        rng,
                        &[
                            ("by", 30),
                            ("in", 25),
                            ("with", 12),
                            ("to", 12),
                            ("as", 10),
                            ("for", 10),
                            ("from", 8),
                            ("on", 6),
                        ],
                    ));
                    self.object(rng);
                }
                return;
            }
            25..44 => {
                self.word(weigh(rng, MODALS));
                if rng.chance(9) {
                    self.word(weigh(
                        rng,
                        &[("not", 30), ("also", 30), ("only", 12), ("always", 12), ("never", 6), ("still", 8)],
                    ));
                }
                self.word(if rng.chance(16) { "be" } else { &verb.base });
            }
            44..50 => {
                self.word(have);
                self.word(&verb.participle);
            }
            50..54 => {
                self.word(be);
                self.word(&verb.gerund);
            }
            54..60 => {
                self.word(if singular { "does not" } else { "do not" });
                self.word(&verb.base);
            }
            60..66 => {
                let (third, base) = weigh_pair(rng);
                self.word(if singular { third } else { base });
                self.word("to");
                self.word(&verb.base);
            }
            66..82 => self.word(&verb.past),
            _ => self.word(if singular { &verb.third } else { &verb.base }),
        }
        if rng.chance(4) {
            self.word("that");
            let number = self.subject(rng);
            self.verb_phrase(rng, number, 0);
            return;
        }
        if rng.chance(84) {
            self.object(rng);
        }
        if depth > 0 && rng.chance(54) {
            self.prepositional(rng);
        }
        if rng.chance(7) {
            let adverb = self.topic.adverb(rng);
            self.word(adverb);
        }
    }

    fn clause(&mut self, rng: &mut Stream) {
        if rng.chance(4) {
            self.word(weigh(rng, &[("there is", 5), ("there are", 3), ("there was", 2), ("there's", 1)]));
            self.noun_phrase(rng, 1);
            self.prepositional(rng);
            return;
        }
        let number = self.subject(rng);
        if rng.chance(4) {
            let adverb = self.topic.adverb(rng);
            self.word(adverb);
        }
        self.verb_phrase(rng, number, 1);
    }

    fn punctuate(&mut self, mark: &str) {
        self.text.push_str(mark);
    }
}

fn weigh_pair(rng: &mut Stream) -> (&'static str, &'static str) {
    const PAIRS: [(&str, &str); 6] =
        [("wants", "want"), ("needs", "need"), ("has", "have"), ("tries", "try"), ("seems", "seem"), ("tends", "tend")];
    PAIRS[rng.below(PAIRS.len())]
}

/// A singular noun, sometimes two.
fn compound(topic: &Topic, rng: &mut Stream) -> String {
    let noun: &Noun = topic.noun(rng);
    if rng.chance(12) { format!("{} {}", noun.singular, topic.noun(rng).singular) } else { noun.singular.clone() }
}

/// What stands in prose and is no word: quotations, versions, paths, addresses, acronyms, emphasis.
fn mark_up(topic: &Topic, rng: &mut Stream) -> String {
    let noun = &topic.noun(rng).singular;
    match rng.below(8) {
        0 | 1 => format!("\"{} {noun}\"", topic.adjective(rng)),
        2 => format!("version {}.{}.{}", rng.below(4), rng.below(20), rng.below(10)),
        3 => format!("`{noun}/{}.{}`", topic.snake(rng, false), rng.pick(&["py", "rs", "json", "md", "yaml"])),
        4 => format!("https://{noun}.example.org/{}", topic.snake(rng, false).replace('_', "-")),
        5 => format!(
            "the {noun} ({})",
            topic.snake(rng, false).split('_').map(|word| word[..1].to_uppercase()).collect::<String>() + "S"
        ),
        6 => format!("*{}*", topic.verb(rng).gerund),
        _ => format!("{}'s {noun}", topic.name(rng)),
    }
}

/// Small numbers are more frequent than large ones.
fn number(rng: &mut Stream) -> usize {
    match rng.below(10) {
        0..5 => rng.range(2, 12),
        5..8 => rng.range(10, 100),
        8 => rng.range(1, 50) * 10usize.pow(rng.range(1, 4) as u32),
        _ => rng.range(100, 20_000),
    }
}

fn quantity(rng: &mut Stream) -> String {
    match rng.below(10) {
        0..5 => number(rng).to_string(),
        5 => format!("{}.{}", number(rng), rng.range(1, 99)),
        6 => format!("{}%", rng.range(1, 99)),
        7 => format!("${},{:03}", rng.range(1, 90), rng.below(1000)),
        8 => format!("{}-{}", rng.range(1, 9), rng.range(10, 40)),
        _ => format!("{} to {}", rng.range(1, 9), rng.range(10, 90)),
    }
}

fn date(rng: &mut Stream) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let year = 2026 - rng.below(12) * (1 + rng.below(8));
    match rng.below(6) {
        0 | 1 => format!("in {year}"),
        2 => format!("in {} {year}", rng.pick(&MONTHS)),
        3 => format!("on {} {}, {year}", rng.pick(&MONTHS), rng.range(1, 28)),
        4 => format!("at {}:{:02}", rng.range(0, 23), rng.below(60)),
        _ => format!("on {year}-{:02}-{:02}", rng.range(1, 12), rng.range(1, 28)),
    }
}

/// A statement with its full stop.
pub(super) fn sentence(topic: &Topic, rng: &mut Stream) -> String {
    let mut writer = Writer { topic, text: String::new() };
    if rng.chance(16) {
        writer.word(weigh(rng, OPENERS));
    } else if rng.chance(8) {
        writer.word(weigh(
            rng,
            &[("if", 30), ("when", 20), ("while", 5), ("because", 4), ("after", 6), ("as", 4), ("to", 0)],
        ));
        writer.clause(rng);
        writer.punctuate(",");
    }
    writer.clause(rng);
    match rng.below(100) {
        0..32 => {
            if rng.chance(55) {
                writer.punctuate(",");
            }
            writer.word(weigh(rng, LINKS));
            writer.clause(rng);
        }
        32..36 => {
            writer.word("to");
            let base = &topic.verb(rng).base;
            writer.word(base);
            writer.object(rng);
        }
        36..39 => {
            writer.word(&format!(
                "(see {} {})",
                rng.pick(&["Section", "Figure", "Table", "chapter", "page"]),
                rng.range(1, 40)
            ));
        }
        39..41 => {
            writer.punctuate(";");
            writer.clause(rng);
        }
        41..44 => {
            writer.punctuate(", which");
            writer.verb_phrase(rng, Number::Singular, 0);
        }
        44..46 => {
            writer.punctuate(":");
            for separator in [",", ",", ""] {
                let plural = topic.noun(rng);
                writer.word(plural.plural.as_deref().unwrap_or(&plural.singular));
                writer.punctuate(separator);
                if separator.is_empty() {
                    break;
                }
            }
        }
        _ => {}
    }
    writer.punctuate(weigh(rng, &[(".", 95), ("!", 3), ("...", 1)]));
    capitalized(&writer.text)
}

/// What a user asks.
pub(super) fn question(topic: &Topic, rng: &mut Stream) -> String {
    let mut writer = Writer { topic, text: String::new() };
    match rng.below(10) {
        0 | 1 => {
            writer.word(weigh(
                rng,
                &[
                    ("how do I", 8),
                    ("how can I", 5),
                    ("how should we", 3),
                    ("can you", 8),
                    ("could you please", 4),
                    ("how would you", 2),
                ],
            ));
            writer.word(&topic.verb(rng).base);
            writer.object(rng);
            writer.prepositional(rng);
        }
        2 | 3 => {
            writer.word(weigh(rng, &[("what is", 9), ("what's", 4), ("what was", 2), ("where is", 2), ("why is", 3)]));
            writer.noun_phrase(rng, 1);
            writer.prepositional(rng);
        }
        4 => {
            writer.word(weigh(
                rng,
                &[("why does", 5), ("when does", 2), ("does", 3), ("how does", 5), ("where does", 1)],
            ));
            writer.noun_phrase(rng, 1);
            writer.word(&topic.verb(rng).base);
            writer.object(rng);
        }
        5 => {
            writer.word(weigh(
                rng,
                &[("is there", 4), ("is it possible to have", 2), ("do we have", 2), ("are there", 1)],
            ));
            writer.noun_phrase(rng, 1);
            writer.prepositional(rng);
        }
        _ => {
            let imperative = if rng.chance(50) {
                rng.pick(&["write", "explain", "show", "give me", "make", "describe", "fix", "summarize", "translate"])
            } else {
                &topic.verb(rng).base
            };
            if rng.chance(20) {
                writer.word("please");
            }
            writer.word(imperative);
            writer.object(rng);
            writer.prepositional(rng);
            writer.punctuate(".");
            return capitalized(&writer.text);
        }
    }
    writer.punctuate("?");
    capitalized(&writer.text)
}

/// A few words, as in short replies: exactly `words` of them, the last one given.
pub(super) fn utterance(topic: &Topic, rng: &mut Stream, words: usize, last: &str) -> String {
    let mut writer = Writer { topic, text: String::new() };
    for left in (1..words).rev() {
        match left % 3 {
            1 => writer.word(topic.adjective(rng)),
            2 => writer.word(weigh(rng, SINGULAR).split(' ').next().unwrap_or_default()),
            _ => writer.word(&topic.verb(rng).base),
        }
    }
    writer.word(last);
    writer.punctuate(weigh(rng, &[(".", 6), ("?", 2), ("!", 1)]));
    capitalized(&writer.text)
}

/// An adjective and a noun, for titles and the heads of list items.
pub(super) fn title(topic: &Topic, rng: &mut Stream) -> String {
    let adjective = topic.adjective(rng);
    let noun = compound(topic, rng);
    capitalized(&format!("{adjective} {noun}"))
}
