//! The model's tokenizer and template, and the engines that stand on them.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use engines::collate::Collate;
use engines::parse::Parse;
use engines::render::Render;
use engines::tokenize::Tokenize;
use engines::tokenizers::{self, Kind, Loaded};
use engines::{Engine, EngineError, Template, Tokenizer, catalog, collate, handoff, parse, render, tokenize};
use record::protocol::ModelPaths;

use super::channel::Channel;
use super::fault::{self, Fault, Tamper};

/// The pair whose ids collate and handoff start from; they need the tokenizer although they do not name it.
const ON_IDS: [&str; 2] = [collate::ENGINE, handoff::ENGINE];

/// An engine, or why it cannot be had.
type Attempt = Result<Rc<dyn Loaded>, EngineError>;

/// What `hello` named. Tokenizer and template are loaded at most once, and only if something needs them.
pub struct Model {
    paths: ModelPaths,
    timestamp: i64,
    tokenizer: OnceCell<Result<Tokenizer, EngineError>>,
    template: OnceCell<Result<Template, EngineError>>,
    /// Tokenizers of the other engines, each loaded when a cell of it is prepared.
    others: RefCell<HashMap<&'static str, Attempt>>,
    fault: Option<Fault>,
    channel: Channel,
}

impl Model {
    pub fn new(paths: ModelPaths, timestamp: i64, fault: Option<Fault>, channel: Channel) -> Self {
        Self {
            paths,
            timestamp,
            tokenizer: OnceCell::new(),
            template: OnceCell::new(),
            others: RefCell::default(),
            fault,
            channel,
        }
    }

    /// Loads what `pairs` need. What does not load is told by the cells that need it; the others can be measured.
    pub fn load(&self, pairs: &[String]) {
        // A load that is to be measured must be the first; what else is asked for is loaded when a cell of it is prepared.
        if pairs.iter().any(|pair| pair.ends_with(&format!("/{}", catalog::LOAD))) {
            return;
        }
        let named = |engine: &str| {
            let other = |path: &str| path != catalog::LOAD;
            pairs.iter().any(|pair| pair.split_once('/').is_some_and(|(name, path)| name == engine && other(path)))
        };
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
        match pair.split_once('/').and_then(|(engine, path)| Some((tokenizers::kind(engine)?, path))) {
            None => Err(unknown(pair)),
            Some((kind, path)) if kind.engine == tokenize::ENGINE => {
                self.finish(pair, self.tokenizer()?.call_path(path))
            }
            Some((kind, path)) => self.finish(pair, self.other(kind)?.call_path(path)),
        }
    }

    /// What `load` loads for that pair: an engine, and the folder of the model.
    pub fn load_of(&self, pair: &str) -> Result<(&'static Kind, PathBuf), EngineError> {
        let kind = pair
            .split_once('/')
            .filter(|(_, path)| *path == catalog::LOAD)
            .and_then(|(engine, _)| tokenizers::kind(engine))
            .ok_or_else(|| unknown(pair))?;
        Ok((kind, self.paths.dir.clone()))
    }

    fn other(&self, kind: &'static Kind) -> Result<Rc<dyn Loaded>, EngineError> {
        let mut others = self.others.borrow_mut();
        let load = || tokenizers::load(kind.engine, &self.paths.dir).map(Rc::from);
        others.entry(kind.engine).or_insert_with(load).clone()
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
