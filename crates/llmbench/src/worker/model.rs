//! The model's tokenizer and template, and the engines that stand on them.

use std::cell::OnceCell;

use llmbench_core::protocol::ModelPaths;
use llmbench_engines::collate::Collate;
use llmbench_engines::parse::Parse;
use llmbench_engines::render::Render;
use llmbench_engines::tokenize::Tokenize;
use llmbench_engines::{Engine, EngineError, Template, Tokenizer, catalog, collate, handoff, parse, render, tokenize};

use super::channel::Channel;
use super::fault::{self, Fault, Tamper};

/// The pair whose ids collate and handoff start from; they need the tokenizer although they do not name it.
const ON_IDS: [&str; 2] = [collate::ENGINE, handoff::ENGINE];

/// What `hello` named. Tokenizer and template are loaded at most once, and only if something needs them.
pub struct Model {
    paths: ModelPaths,
    timestamp: i64,
    tokenizer: OnceCell<Result<Tokenizer, EngineError>>,
    template: OnceCell<Result<Template, EngineError>>,
    fault: Option<Fault>,
    channel: Channel,
}

impl Model {
    pub fn new(paths: ModelPaths, timestamp: i64, fault: Option<Fault>, channel: Channel) -> Self {
        Self { paths, timestamp, tokenizer: OnceCell::new(), template: OnceCell::new(), fault, channel }
    }

    /// Loads what `pairs` need. What does not load is told by the cells that need it; the others can be measured.
    pub fn load(&self, pairs: &[String]) {
        let named = |engine: &str| pairs.iter().any(|pair| pair.split('/').next() == Some(engine));
        if named(tokenize::ENGINE) || ON_IDS.iter().any(|engine| named(engine)) {
            let _ = self.tokenizer();
        }
        if named(render::ENGINE) {
            let _ = self.template();
        }
    }

    pub fn tokenizer(&self) -> Result<&Tokenizer, EngineError> {
        let load = || Tokenizer::load(&self.paths.dir.join("tokenizer.json")).map_err(EngineError::failed);
        self.tokenizer.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    fn template(&self) -> Result<&Template, EngineError> {
        let load = || Template::load(&self.paths.dir, self.timestamp).map_err(EngineError::failed);
        self.template.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    pub fn parse(&self, pair: &str) -> Result<Box<Parse>, EngineError> {
        let path = call_path(pair, parse::ENGINE)?;
        self.finish(pair, parse::call_path(path))
    }

    pub fn render(&self, pair: &str) -> Result<Box<Render>, EngineError> {
        let path = call_path(pair, render::ENGINE)?;
        self.finish(pair, self.template()?.call_path(path))
    }

    pub fn tokenize(&self, pair: &str) -> Result<Box<Tokenize>, EngineError> {
        let path = call_path(pair, tokenize::ENGINE)?;
        self.finish(pair, self.tokenizer()?.call_path(path))
    }

    pub fn collate(&self, pair: &str) -> Result<Box<Collate>, EngineError> {
        let path = call_path(pair, collate::ENGINE)?;
        self.finish(pair, collate::call_path(path))
    }

    pub fn handoff(&self, pair: &str) -> Result<Box<handoff::Encode>, EngineError> {
        let path = call_path(pair, handoff::ENGINE)?;
        self.finish(pair, handoff::call_path(path))
    }

    fn finish<I, O>(
        &self,
        pair: &str,
        engine: Option<Box<dyn Engine<Input = I, Output = O>>>,
    ) -> Result<Box<dyn Engine<Input = I, Output = O>>, EngineError>
    where
        I: ?Sized + 'static,
        O: Tamper + 'static,
    {
        let engine = engine.ok_or_else(|| unknown(pair))?;
        Ok(fault::wrap(self.fault.as_ref(), &self.channel, pair, engine))
    }
}

/// What to say of a pair that the native worker does not have.
pub fn unknown(pair: &str) -> EngineError {
    let all: Vec<String> = catalog::catalog()
        .iter()
        .flat_map(|info| info.call_paths.iter().map(|path| format!("{}/{path}", info.engine)))
        .collect();
    EngineError::Unavailable(format!("the native worker has no {pair}; it has: {}", all.join(", ")))
}

fn call_path<'a>(pair: &'a str, engine: &str) -> Result<&'a str, EngineError> {
    match pair.split_once('/') {
        Some((name, path)) if name == engine => Ok(path),
        _ => Err(unknown(pair)),
    }
}
