//! A conversation of a given number of turns whose messages have skewed lengths with a given sum.

use serde_json::{Value, json};

use super::author::{Author, Block, Form, Kind};
use super::rng::Stream;

/// The `model` of every request body.
pub(crate) const MODEL: &str = "llmbench";

pub(crate) struct Message {
    pub(crate) user: bool,
    pub(crate) blocks: Vec<Block>,
}

pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
}

/// Bytes a token of each form, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates(pub(crate) [usize; 3]);

impl Rates {
    fn bytes(self, form: Form, tokens: usize) -> usize {
        tokens * self.0[form as usize] / 1000
    }

    pub(crate) fn tokens(self, form: Form, bytes: usize) -> usize {
        bytes * 1000 / self.0[form as usize].max(1)
    }

    /// How many times as many tokens this vocabulary needs for a text as a usual one: 1 for the vocabularies of language
    /// models, 2 to 4 for small ones. Sizes that are given in tokens are multiplied by it.
    pub(crate) fn scale(self, kind: Kind) -> usize {
        let usual = match kind {
            Kind::Words => 4200,
            Kind::Letters => 2000,
        };
        let rate = self.0[Form::Prose as usize].max(1);
        ((usual + rate / 2) / rate).max(1)
    }
}

impl Conversation {
    /// `tokens` is the sum of the messages' own tokens, without the template's.
    pub(crate) fn write(author: &mut Author, rng: &mut Stream, rates: Rates, turns: usize, tokens: usize) -> Self {
        let least = author.kind().least() * rates.scale(author.kind());
        let lengths = lengths(rng, turns, tokens, least);
        let mut form = rng.below(3);
        // What earlier messages ran over (or under) is taken from (or given to) the later ones.
        let mut owed = 0isize;
        let messages = lengths
            .into_iter()
            .enumerate()
            .map(|(i, length)| {
                let want = length.saturating_add_signed(owed).max(least);
                let mut message = Message { user: i % 2 == 0, blocks: Vec::new() };
                let got = message.fill(author, rng, rates, want, &mut form);
                owed += length as isize - got as isize;
                message
            })
            .collect();
        Self { messages }
    }

    pub(crate) fn body(&self) -> Value {
        body(self.messages.iter().map(|message| (message.user, message.text())))
    }

    /// Every paragraph, piece of code and list.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.messages.iter().flat_map(|message| &message.blocks)
    }
}

impl Message {
    fn text(&self) -> String {
        self.blocks.iter().map(Block::text).collect::<Vec<_>>().join("\n\n")
    }

    /// Writes about `want` tokens; says how many they seem to be. Prose comes first, then code, prose, lists in turn.
    fn fill(&mut self, author: &mut Author, rng: &mut Stream, rates: Rates, want: usize, form: &mut usize) -> usize {
        const CYCLE: [Form; 5] = [Form::Prose, Form::Code, Form::Prose, Form::List, Form::Prose];
        let scale = rates.scale(author.kind());
        if want < 12 * scale {
            let words = match author.kind() {
                // About 1.25 tokens a word, and the mark at the end.
                Kind::Words => (want / scale).saturating_sub(1) * 4 / 5,
                Kind::Letters => rates.bytes(Form::Prose, want) / 7,
            };
            let text = author.utterance(rng, words.max(1));
            let tokens = match author.kind() {
                Kind::Words => (words.max(1) * 5 / 4 + 1) * scale,
                Kind::Letters => rates.tokens(Form::Prose, text.len()).max(1),
            };
            self.blocks.push(Block { form: Form::Prose, parts: vec![text] });
            return tokens;
        }
        let mut got = 0;
        loop {
            let left = want - got;
            let first = self.blocks.is_empty();
            let mut form_now = CYCLE[*form % CYCLE.len()];
            if (first && want >= 60 * scale) || left < 40 * scale {
                form_now = Form::Prose;
            } else {
                *form += 1;
            }
            if !self.user && form_now == Form::Prose && left > 300 * scale && rng.chance(20) {
                self.blocks.extend(author.heading(rng).map(|heading| Block { form: Form::List, parts: vec![heading] }));
            }
            let drawn = match form_now {
                Form::Prose => rng.range(30, 160),
                Form::Code => rng.range(40, 260),
                Form::List => rng.range(40, 200),
            };
            let size = left.min(drawn * scale);
            let asks = self.user && first;
            let block = author.block(rng, form_now, asks, rates.bytes(form_now, size));
            got += rates.tokens(block.form, block.bytes());
            self.blocks.push(block);
            if got + 15 * scale >= want {
                return got;
            }
        }
    }
}

/// The request body of messages that alternate between user and assistant.
pub(crate) fn body(messages: impl Iterator<Item = (bool, String)>) -> Value {
    let messages: Vec<Value> = messages
        .map(|(user, content)| json!({"role": if user { "user" } else { "assistant" }, "content": content}))
        .collect();
    json!({"model": MODEL, "messages": messages, "max_tokens": 256, "stream": true, "temperature": 0.7})
}

/// Lengths of 2·turns − 1 messages that sum to `tokens`: log-normal (σ = 0.9, from its quantiles), replies three times as
/// long as questions, none under `least` where the sum allows that.
fn lengths(rng: &mut Stream, turns: usize, tokens: usize, least: usize) -> Vec<usize> {
    const QUANTILES: [usize; 16] =
        [187, 305, 403, 497, 594, 696, 808, 932, 1073, 1238, 1436, 1684, 2011, 2482, 3275, 5349];
    let count = 2 * turns - 1;
    let floor = (tokens / count).min(least);
    let weights: Vec<usize> =
        (0..count).map(|i| QUANTILES[rng.below(QUANTILES.len())] * if i % 2 == 0 { 1 } else { 3 }).collect();
    let sum: usize = weights.iter().sum();
    let rest = tokens - floor * count;
    let (mut done, mut given) = (0, 0);
    weights
        .into_iter()
        .map(|weight| {
            done += weight;
            // Rounding the running sum keeps the total exact.
            let upto = (rest as u128 * done as u128 / sum as u128) as usize;
            let length = floor + upto - given;
            given = upto;
            length
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_sum_to_the_tokens_and_are_skewed() {
        for (turns, tokens) in [(1, 1000), (10, 1000), (100, 10_000), (100, 500), (25, 100_000)] {
            let mut rng = Stream::new(3, "lengths");
            let got = lengths(&mut rng, turns, tokens, 2);
            assert_eq!(got.len(), 2 * turns - 1);
            assert_eq!(got.iter().sum::<usize>(), tokens);
            assert!(got.iter().all(|&n| n >= 2));
        }
        let mut rng = Stream::new(3, "lengths");
        let mut got = lengths(&mut rng, 100, 100_000, 2);
        got.sort_unstable();
        assert!(got[99] < 100_000 / 199, "the median lies under the mean");
    }
}
