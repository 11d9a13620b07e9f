//! Brings rendered prompts to their token count. Every count that decides is an exact one of the whole rendered prompt;
//! sentences that are added are counted alone beforehand, so that one correction is nearly always enough. Where it is not
//! (a short prompt, a small vocabulary: one sentence is more than the tolerance), [`super::fine`] goes on with words.

use super::author::{Block, Form};
use super::conversation::{Conversation, Message, Rates};
use super::draft::Draft;
use super::fine;
use super::lexicon::capitalized;
use super::{Prompt, WorkloadError};

/// Rounds of counting the whole prompt.
const ROUNDS: usize = 40;

/// The first of them that adds and takes away words instead of sentences.
const FINE: usize = 8;

/// From here on 1% is enough.
const LATE: usize = 20;

pub(crate) struct Fitter<'a> {
    pub(crate) id: &'a str,
    pub(crate) prompt: &'a dyn Prompt,
    pub(crate) rates: Rates,
    pub(crate) target: usize,
}

impl Fitter<'_> {
    /// Aims at 0.3% of the target and guarantees 1%.
    pub(crate) fn fit(&self, drafts: &mut [Draft]) -> Result<(), WorkloadError> {
        let aim = (self.target * 3 / 1000).max(1);
        let mut open: Vec<usize> = (0..drafts.len()).collect();
        for round in 0..ROUNDS {
            for &i in &open {
                let draft = &mut drafts[i];
                draft.body = draft.conversation.body();
                draft.text = self
                    .prompt
                    .render(&draft.body)
                    .map_err(|message| self.failed("chat template", draft.index, message))?;
            }
            let texts: Vec<String> = open.iter().map(|&i| std::mem::take(&mut drafts[i].text)).collect();
            let counts = self.count(&texts, open.first().map_or(0, |&i| drafts[i].index))?;
            for ((&i, text), tokens) in open.iter().zip(texts).zip(counts) {
                drafts[i].text = text;
                drafts[i].tokens = tokens;
            }
            let allowed = if round < LATE { aim.min(self.target / 100) } else { self.target / 100 };
            open.retain(|&i| drafts[i].tokens.abs_diff(self.target) > allowed);
            if open.is_empty() {
                return Ok(());
            }
            if round < FINE {
                self.correct(drafts, &open)?;
            } else {
                self.correct_finely(drafts, &open)?;
            }
        }
        let draft = &drafts[open[0]];
        Err(WorkloadError::NotReached {
            id: self.id.to_owned(),
            request: draft.index,
            tokens: self.target as u32,
            found: draft.tokens,
        })
    }

    fn correct(&self, drafts: &mut [Draft], open: &[usize]) -> Result<(), WorkloadError> {
        // Candidates for all drafts are counted in one call.
        let mut candidates = Vec::new();
        let mut owners = Vec::new();
        for &i in open {
            let draft = &mut drafts[i];
            let scale = self.rates.scale(draft.author.kind());
            if draft.tokens > self.target {
                let excess = draft.tokens - self.target;
                draft.conversation.shorten(self.rates, excess);
                continue;
            }
            let from = candidates.len();
            let gap = self.target - draft.tokens;
            let mut likely = 0;
            while gap > 24 * scale && likely < gap {
                let sentence = draft.author.sentence(&mut draft.rng, false);
                likely += self.rates.tokens(Form::Prose, sentence.len() + 1);
                candidates.push(format!(" {sentence}"));
            }
            for words in 0..20 {
                candidates.push(format!(" {}", draft.author.utterance(&mut draft.rng, 1 + words % 4)));
            }
            owners.push((i, from..candidates.len()));
        }
        let counts = self.count(&candidates, drafts[open[0]].index)?;
        for (i, range) in owners {
            let draft = &mut drafts[i];
            let mut gap = self.target - draft.tokens;
            let mut fillers: Vec<(usize, &str)> = range.map(|at| (counts[at], candidates[at].trim_start())).collect();
            let short = fillers.len() - 20;
            // The sentences as they come, then the short texts from the longest down.
            fillers[short..].sort_by_key(|&(tokens, _)| std::cmp::Reverse(tokens));
            for (tokens, text) in fillers {
                if tokens <= gap {
                    gap -= tokens;
                    draft.conversation.lengthen(&mut draft.rng, text);
                }
            }
        }
        Ok(())
    }

    fn correct_finely(&self, drafts: &mut [Draft], open: &[usize]) -> Result<(), WorkloadError> {
        let mut candidates = Vec::new();
        let mut owners = Vec::new();
        for &i in open {
            let draft = &mut drafts[i];
            if draft.tokens > self.target {
                fine::trim(draft, self.rates, draft.tokens - self.target);
            } else {
                let from = candidates.len();
                candidates.extend(fine::fillers(draft));
                owners.push((i, from..candidates.len()));
            }
        }
        let counts = self.count(&candidates, drafts[open[0]].index)?;
        for (i, range) in owners {
            let gap = self.target - drafts[i].tokens;
            fine::fill(&mut drafts[i], &candidates[range.clone()], &counts[range], gap);
        }
        Ok(())
    }

    pub(crate) fn count(&self, texts: &[String], request: u32) -> Result<Vec<usize>, WorkloadError> {
        let counts = self.prompt.count(texts).map_err(|message| self.failed("tokenizer", request, message))?;
        if counts.len() != texts.len() {
            let message = format!("it counted {} texts of {}", counts.len(), texts.len());
            return Err(self.failed("tokenizer", request, message));
        }
        Ok(counts)
    }

    pub(crate) fn failed(&self, what: &'static str, request: u32, message: String) -> WorkloadError {
        WorkloadError::Model { id: self.id.to_owned(), what, request, message }
    }
}

impl Conversation {
    /// Takes away at least `excess` tokens (by the rates) as long as there is something to take: from the longest message
    /// that can spare it a sentence, else a block, else a word.
    fn shorten(&mut self, rates: Rates, excess: usize) {
        let mut left = excess;
        loop {
            let mut sizes: Vec<(usize, usize)> = self.messages.iter().map(Message::bytes).zip(0..).collect();
            sizes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            let taken = sizes
                .iter()
                .find_map(|&(_, at)| self.messages[at].drop_sentence(left, rates))
                .or_else(|| sizes.iter().find_map(|&(_, at)| self.messages[at].drop_block(left, rates)))
                .or_else(|| sizes.iter().find_map(|&(_, at)| self.messages[at].drop_word()));
            match taken {
                Some(tokens) if tokens < left => left -= tokens,
                _ => return,
            }
        }
    }
}

impl Message {
    fn drop_sentence(&mut self, left: usize, rates: Rates) -> Option<usize> {
        // A few words too many: a sentence would be too much to take when the message is one of short texts.
        let spare = |block: &&mut Block| block.form == Form::Prose && block.parts.len() > 1;
        let block = self.blocks.iter_mut().rfind(spare)?;
        let tokens = rates.tokens(Form::Prose, block.parts.last().map_or(0, String::len) + 1);
        if left <= 2 && tokens > 40 {
            return None;
        }
        block.parts.pop();
        Some(tokens.max(1))
    }

    fn drop_block(&mut self, left: usize, rates: Rates) -> Option<usize> {
        let block = self.blocks.last()?;
        let tokens = rates.tokens(block.form, block.bytes());
        if self.blocks.len() < 2 || tokens > 2 * left {
            return None;
        }
        self.blocks.pop();
        Some(tokens.max(1))
    }

    /// The first word of the last paragraph goes: the last one keeps short texts of the two sides apart.
    fn drop_word(&mut self) -> Option<usize> {
        let part = self.blocks.iter_mut().rfind(|block| block.form == Form::Prose)?.parts.last_mut()?;
        let (_, rest) = part.split_once(' ')?;
        *part = if part.starts_with(char::is_uppercase) { capitalized(rest) } else { rest.to_owned() };
        Some(1)
    }
}
