//! Makes a workload of words or letters: drafts in chunks, fitted, checked to be distinct and disjoint, written.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::author::{Author, Form, Kind, Side};
use super::conversation::{Conversation, Rates, body};
use super::draft::Draft;
use super::files::Files;
use super::fit::Fitter;
use super::rng::Stream;
use super::{Progress, Prompt, WorkloadError, WorkloadFiles, WorkloadSpec, check_id};

/// Tokens of the drafts that are held in memory at a time.
const CHUNK: usize = 1_600_000;

/// Attempts at a request that shares no paragraph with the other side.
const ATTEMPTS: u32 = 50;

/// Makes the pool and the warm-up requests of a `words` or `letters` workload and writes them into `dir`.
///
/// Every rendered prompt has `spec.tokens` tokens within 1% (and nearly always within 0.3%), counted exactly. The bytes
/// depend on `spec`, `seed` and the model alone. No paragraph of the pool occurs in the warm-up requests, and no two requests
/// are the same. A request depends on its index and not on how many there are.
///
/// # Errors
/// A specification that cannot be met (with what could be), a template or tokenizer that fails, a disk that does.
pub fn build(
    spec: &WorkloadSpec,
    seed: u64,
    prompt: &dyn Prompt,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<WorkloadFiles, WorkloadError> {
    let maker = Maker::new(spec, seed, prompt)?;
    let mut files = Files::create(dir, &spec.id)?;
    let total = spec.pool + spec.warmup;
    let size = u32::try_from((CHUNK / spec.tokens as usize).clamp(1, 64)).unwrap_or(1);
    let mut seen = Seen::default();
    let mut start = 0;
    progress(0, total);
    while start < total {
        let end = total.min(start + size);
        let mut drafts: Vec<Draft> = (start..end).map(|index| maker.draft(index, 0)).collect();
        maker.fitter.fit(&mut drafts)?;
        for mut draft in drafts {
            let mut attempt = 0;
            while !seen.admit(&draft, maker.side(draft.index)) {
                attempt += 1;
                if attempt == ATTEMPTS {
                    let problem =
                        "the requests are too short to differ from each other; ask for more tokens or fewer turns";
                    return Err(WorkloadError::spec(spec, problem));
                }
                let mut again = [maker.draft(draft.index, attempt)];
                maker.fitter.fit(&mut again)?;
                [draft] = again;
            }
            files.push(&draft.body, &draft.text, draft.tokens)?;
        }
        start = end;
        progress(start, total);
    }
    files.finish(spec.clone(), 0)
}

struct Maker<'a> {
    spec: &'a WorkloadSpec,
    seed: u64,
    kind: Kind,
    /// Tokens of all messages of a conversation, without the template's own.
    budget: usize,
    fitter: Fitter<'a>,
}

impl<'a> Maker<'a> {
    fn new(spec: &'a WorkloadSpec, seed: u64, prompt: &'a dyn Prompt) -> Result<Self, WorkloadError> {
        check_id(spec)?;
        let kind = match spec.kind.as_str() {
            "words" => Kind::Words,
            "letters" => Kind::Letters,
            other => {
                return Err(WorkloadError::spec(spec, format!("the kind must be words or letters, not {other:?}")));
            }
        };
        for (what, value) in [("tokens", spec.tokens), ("turns", spec.turns), ("pool", spec.pool)] {
            if value == 0 {
                return Err(WorkloadError::spec(spec, format!("{what} must be at least 1")));
            }
        }
        let mut fitter = Fitter { id: &spec.id, prompt, rates: Rates([4000; 3]), target: spec.tokens as usize };
        fitter.rates = calibrate(&fitter, kind, seed)?;
        let overhead = overhead(&fitter, spec.turns)?;
        let least = kind.least() * fitter.rates.scale(kind);
        let needed = |overhead: usize, turns: u32| overhead + (2 * turns as usize - 1) * least;
        let smallest = needed(overhead, spec.turns);
        if smallest > fitter.target {
            // The most turns that fit, by bisection: [low, high) with low fitting or 0.
            let (mut low, mut high) = (0, spec.turns);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let fits = needed(self::overhead(&fitter, middle)?, middle) <= fitter.target;
                *(if fits { &mut low } else { &mut high }) = middle;
            }
            let remedy = match low {
                0 => format!("ask for at least {smallest} tokens"),
                1 => format!("ask for at least {smallest} tokens or for 1 turn"),
                _ => format!("ask for at least {smallest} tokens or at most {low} turns"),
            };
            let smallest = u32::try_from(smallest).unwrap_or(u32::MAX);
            return Err(WorkloadError::TooFewTokens {
                id: spec.id.clone(),
                turns: spec.turns,
                tokens: spec.tokens,
                smallest,
                remedy,
            });
        }
        Ok(Self { spec, seed, kind, budget: fitter.target - overhead, fitter })
    }

    fn side(&self, index: u32) -> Side {
        if index < self.spec.pool { Side::Pool } else { Side::Warmup }
    }

    fn draft(&self, index: u32, attempt: u32) -> Draft {
        let spec = self.spec;
        let side = self.side(index);
        let (name, number) = match side {
            Side::Pool => ("pool", index),
            Side::Warmup => ("warmup", index - spec.pool),
        };
        let label = format!("{}/{}/{}/{name}/{number}/{attempt}", spec.kind, spec.tokens, spec.turns);
        let mut rng = Stream::new(self.seed, &label);
        let mut author = Author::new(self.kind, side, &mut rng);
        // A little less than asked for: adding a sentence is exact, taking one away is an estimate.
        let aim = self.budget - self.budget / 100;
        let turns = spec.turns as usize;
        let conversation = Conversation::write(&mut author, &mut rng, self.fitter.rates, turns, aim);
        Draft { index, conversation, author, rng, body: Value::Null, text: String::new(), tokens: 0 }
    }
}

/// Bytes a token of each form, from text that is used for nothing else.
fn calibrate(fitter: &Fitter<'_>, kind: Kind, seed: u64) -> Result<Rates, WorkloadError> {
    let mut rng = Stream::new(seed, "calibrate");
    let mut author = Author::new(kind, Side::Pool, &mut rng);
    let mut texts = Vec::new();
    const EACH: usize = 60;
    for form in Form::ALL {
        texts.extend((0..EACH).map(|_| author.block(&mut rng, form, false, 500).text()));
    }
    let counts = fitter.count(&texts, 0)?;
    let mut rates = [0; 3];
    for (form, rate) in rates.iter_mut().enumerate() {
        let each = form * EACH..(form + 1) * EACH;
        let bytes: usize = texts[each.clone()].iter().map(String::len).sum();
        *rate = (bytes * 1000 / counts[each].iter().sum::<usize>().max(1)).max(1);
    }
    Ok(Rates(rates))
}

/// Tokens that the template adds to the messages of so many turns.
fn overhead(fitter: &Fitter<'_>, turns: u32) -> Result<usize, WorkloadError> {
    const WORD: &str = "Yes.";
    let messages = 2 * turns as usize - 1;
    let body = body((0..messages).map(|i| (i % 2 == 0, WORD.to_owned())));
    let text = fitter.prompt.render(&body).map_err(|message| fitter.failed("chat template", 0, message))?;
    let counts = fitter.count(&[text, WORD.to_owned()], 0)?;
    Ok(counts[0].saturating_sub(messages * counts[1]))
}

/// What has been written: all requests, and the paragraphs of each side.
#[derive(Default)]
struct Seen {
    requests: HashSet<u64>,
    paragraphs: [HashSet<u64>; 2],
}

impl Seen {
    fn admit(&mut self, draft: &Draft, side: Side) -> bool {
        let paragraphs: Vec<u64> = draft.conversation.blocks().map(|block| digest(&block.text())).collect();
        let other = &self.paragraphs[1 - side as usize];
        if paragraphs.iter().any(|paragraph| other.contains(paragraph)) || !self.requests.insert(digest(&draft.text)) {
            return false;
        }
        self.paragraphs[side as usize].extend(paragraphs);
        true
    }
}

/// The same on every machine, unlike the standard library's hashers.
pub(super) fn digest(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}
