//! The last tokens of a request, where a sentence more or less is too much: words, short words, single marks.

use super::author::{Block, Form, Kind};
use super::conversation::{Message, Rates};
use super::draft::Draft;
use super::lexicon::capitalized;

/// What is added to a text of words, each at most once a round. What begins with a blank is a word of its own; the rest is
/// put behind the last one.
const WORDS: [&str; 24] = [
    " Thank you.",
    " Please do.",
    " Really?",
    " Indeed.",
    " Sure.",
    " Good.",
    " Right.",
    " Fine.",
    " Well.",
    " Yes.",
    " No.",
    " Ok.",
    " So?",
    " Oh.",
    " 12.",
    " 7.",
    " I",
    " a",
    " it",
    " 3",
    "?!",
    "!",
    "!",
    "!",
];

/// The same for random letters.
const LETTERS: [&str; 16] =
    [" qzvxkj", " wpfbm", " yhgk", " vxq", " zrt", " kw", " jf", " b", " m", " x", " q", " d", "z", "k", "v", "j"];

/// Texts to fill a gap with, from words down to a mark.
pub(super) fn fillers(draft: &mut Draft) -> Vec<String> {
    let mut texts: Vec<String> =
        (0..12).map(|i| format!(" {}", draft.author.utterance(&mut draft.rng, 1 + i % 3))).collect();
    let short: &[&str] = match draft.author.kind() {
        Kind::Words => &WORDS,
        Kind::Letters => &LETTERS,
    };
    texts.extend(short.iter().map(|&text| text.to_owned()));
    texts
}

/// Adds of the `texts`, whose tokens are `counts`, what fits into `gap` tokens, the longest first.
pub(super) fn fill(draft: &mut Draft, texts: &[String], counts: &[usize], gap: usize) {
    let mut sorted: Vec<(usize, &String)> = counts.iter().copied().zip(texts).collect();
    sorted.sort_by_key(|&(tokens, _)| std::cmp::Reverse(tokens));
    let mut gap = gap;
    for (tokens, text) in sorted {
        if tokens == 0 || tokens > gap {
            continue;
        }
        gap -= tokens;
        match text.strip_prefix(' ') {
            Some(word) => draft.conversation.lengthen(&mut draft.rng, word),
            None => glue(draft, text),
        }
    }
}

/// Puts `mark` behind the last word of a message of prose.
fn glue(draft: &mut Draft, mark: &str) {
    let count = draft.conversation.messages.len();
    let first = draft.rng.below(count);
    let prose = |block: &&mut Block| block.form == Form::Prose;
    for at in (first..count).chain(0..first) {
        let block = draft.conversation.messages[at].blocks.iter_mut().rfind(prose);
        if let Some(part) = block.and_then(|block| block.parts.last_mut()) {
            part.push_str(mark);
            return;
        }
    }
}

/// Takes away about `excess` tokens (by the rates), word by word from the longest message that has one to spare; then
/// blocks, code and lists; then long words make way for short ones.
pub(super) fn trim(draft: &mut Draft, rates: Rates, excess: usize) {
    let mut left = excess;
    while left > 0 {
        let messages = &draft.conversation.messages;
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_by_key(|&at| (std::cmp::Reverse(messages[at].bytes()), at));
        let taken = order
            .iter()
            .find_map(|&at| cut_word(&mut draft.conversation.messages[at]))
            .or_else(|| order.iter().find_map(|&at| pop_part(&mut draft.conversation.messages[at])))
            .or_else(|| order.iter().find_map(|&at| to_prose(draft, at)))
            .or_else(|| order.iter().find_map(|&at| shorter_word(draft, at)));
        match taken {
            Some(bytes) => left = left.saturating_sub(rates.tokens(Form::Prose, bytes).max(1)),
            None => return,
        }
    }
}

/// The first word of a part that has several: the last one keeps short texts of the two sides apart. Returns the bytes.
fn cut_word(message: &mut Message) -> Option<usize> {
    let prose = message.blocks.iter_mut().rev().filter(|block| block.form == Form::Prose);
    let part = prose.flat_map(|block| block.parts.iter_mut().rev()).find(|part| part.contains(' '))?;
    let (word, rest) = part.split_once(' ')?;
    let bytes = word.len() + 1;
    *part = if part.starts_with(char::is_uppercase) { capitalized(rest) } else { rest.to_owned() };
    Some(bytes)
}

/// The last part of a paragraph that has several, or the last of several blocks.
fn pop_part(message: &mut Message) -> Option<usize> {
    let spare = |block: &&mut Block| block.form == Form::Prose && block.parts.len() > 1;
    if let Some(part) = message.blocks.iter_mut().rfind(spare).and_then(|block| block.parts.pop()) {
        return Some(part.len() + 1);
    }
    let spare = message.blocks.iter().rposition(|block| block.form == Form::Prose)?;
    (message.blocks.len() > 1).then(|| message.blocks.remove(spare).bytes())
}

/// A piece of code or a list becomes a text of a few words.
fn to_prose(draft: &mut Draft, at: usize) -> Option<usize> {
    const FEW: usize = 6;
    let block = draft.conversation.messages[at].blocks.iter_mut().rfind(|block| block.form != Form::Prose)?;
    let before = block.bytes();
    *block = Block { form: Form::Prose, parts: vec![draft.author.utterance(&mut draft.rng, FEW)] };
    Some(before.saturating_sub(block.bytes()))
}

/// The only word becomes a shorter one of the same side.
fn shorter_word(draft: &mut Draft, at: usize) -> Option<usize> {
    let part = draft.conversation.messages[at].blocks.first_mut()?.parts.first_mut()?;
    let word = draft.author.shortest(&mut draft.rng);
    let saved = part.len().checked_sub(word.len()).filter(|&saved| saved > 0)?;
    *part = word;
    Some(saved)
}
