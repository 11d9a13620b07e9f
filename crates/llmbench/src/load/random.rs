//! Prompts of random tokens with given lengths, after a prefix that some or all of them share.

use engines::Tokenizer;
use loadgen::arrivals::Sampler;

/// Rounds of correcting a text whose tokens are not as many as asked for.
const ROUNDS: usize = 10;

/// Lengths and sharing of random prompts, in tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomSpec {
    pub input: u32,
    pub output: u32,
    /// Lengths are uniform in `[len·(1 − r), len·(1 + r)]`.
    pub range_ratio: f64,
    /// Tokens in front of `input` that requests share.
    pub prefix: u32,
    /// Number of different prefixes; requests take turns.
    pub prefixes: u32,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomPrompt {
    pub ids: Vec<u32>,
    /// Tokens to generate.
    pub output: u32,
}

/// Draws prompts, always the same ones from a seed and a number.
pub struct RandomPrompts<'a> {
    spec: RandomSpec,
    seed: u64,
    tokenizer: &'a Tokenizer,
    /// Ids that stand for text.
    ordinary: Vec<u32>,
    prefixes: Vec<Vec<u32>>,
}

impl<'a> RandomPrompts<'a> {
    /// Of a vocabulary; its special and added tokens are left out.
    ///
    /// # Errors
    /// A sentence where the vocabulary has no ordinary token.
    pub fn new(spec: RandomSpec, seed: u64, tokenizer: &'a Tokenizer) -> Result<Self, String> {
        let inner = tokenizer.inner();
        let added = inner.get_added_tokens_decoder();
        let size = u32::try_from(inner.get_vocab_size(false)).unwrap_or(u32::MAX);
        let ordinary: Vec<u32> = (0..size).filter(|id| !added.contains_key(id)).collect();
        if ordinary.is_empty() {
            return Err("the model's vocabulary has no ordinary token".to_owned());
        }
        let mut prompts = Self { spec, seed, tokenizer, ordinary, prefixes: Vec::new() };
        let shared = if spec.prefix > 0 { spec.prefixes.max(1) } else { 0 };
        prompts.prefixes = (0..shared)
            .map(|number| {
                let mut sampler = Sampler::new(seed ^ u64::from(number).rotate_left(32), "random-prefix");
                prompts.draw(&mut sampler, spec.prefix)
            })
            .collect();
        Ok(prompts)
    }

    /// The prompt of that number.
    pub fn prompt(&self, number: u64) -> RandomPrompt {
        let mut sampler = Sampler::new(self.seed ^ number.rotate_left(20), "random-prompt");
        let (input, output) = (self.length(&mut sampler, self.spec.input), self.length(&mut sampler, self.spec.output));
        let mut ids = match self.prefixes.len() {
            0 => Vec::new(),
            several => self.prefixes[(number % several as u64) as usize].clone(),
        };
        ids.extend(self.draw(&mut sampler, input));
        RandomPrompt { ids, output }
    }

    /// The prompt as a text, and how many tokens it has: as many as `ids` where the vocabulary allows it. Token ids seldom survive
    /// their text, so the text is cut or lengthened until its own tokens are as many.
    ///
    /// # Errors
    /// The tokenizer's own message.
    pub fn text(&self, prompt: &RandomPrompt, number: u64) -> Result<(String, u32), String> {
        let inner = self.tokenizer.inner();
        let decode = |ids: &[u32]| inner.decode(ids, false).map_err(|error| error.to_string());
        let wanted = prompt.ids.len();
        let mut sampler = Sampler::new(self.seed ^ number.rotate_left(20), "random-repair");
        let mut text = decode(&prompt.ids)?;
        let mut ids = self.tokenizer.ids(&text).map_err(|error| error.to_string())?;
        for _ in 0..ROUNDS {
            if ids.len() == wanted {
                break;
            }
            if ids.len() > wanted {
                ids.truncate(wanted);
            } else {
                ids.extend(self.draw(&mut sampler, (wanted - ids.len()) as u32));
            }
            text = decode(&ids)?;
            ids = self.tokenizer.ids(&text).map_err(|error| error.to_string())?;
        }
        Ok((text, u32::try_from(ids.len()).unwrap_or(u32::MAX)))
    }

    fn draw(&self, sampler: &mut Sampler, count: u32) -> Vec<u32> {
        let pick = |uniform: f64| {
            self.ordinary[((uniform * self.ordinary.len() as f64) as usize).min(self.ordinary.len() - 1)]
        };
        (0..count).map(|_| pick(sampler.uniform())).collect()
    }

    fn length(&self, sampler: &mut Sampler, middle: u32) -> u32 {
        let uniform = sampler.uniform();
        if self.spec.range_ratio <= 0.0 {
            return middle.max(1);
        }
        let (low, high) =
            (f64::from(middle) * (1.0 - self.spec.range_ratio), f64::from(middle) * (1.0 + self.spec.range_ratio));
        ((low + uniform * (high - low)).round() as u32).max(1)
    }
}

impl RandomSpec {
    /// For people: `random, 1,024 + 128 tokens`.
    pub fn describe(&self) -> String {
        let count = |tokens: u32| record::format::count(u64::from(tokens));
        let prefix = match (self.prefix, self.prefixes) {
            (0, _) => String::new(),
            (prefix, 0 | 1) => format!(" behind a shared prefix of {}", count(prefix)),
            (prefix, several) => format!(" behind one of {several} prefixes of {}", count(prefix)),
        };
        let range = if self.range_ratio > 0.0 { format!(" ±{:.0}%", self.range_ratio * 100.0) } else { String::new() };
        format!("random, {} in + {} out tokens{range}{prefix}", count(self.input), count(self.output))
    }
}
