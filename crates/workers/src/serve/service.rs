//! What is done for a request: a parsed body to its ids.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;

use engines::parse::{self, ChatRequest, Parse};
use engines::{EngineError, collate, render, tokenize};
use record::protocol::serve::StartServer;
use serde::Deserialize;

use crate::channel::Channel;
use crate::clock::now;
use crate::fault::Fault;
use crate::model::Model;
use crate::window::panicked;

/// Most warm-up requests that a worker runs before the server is ready.
const MAX_WARM_UP: usize = 16;
/// Rough, of English; only for the length of a pass-through's warm-up requests.
const BYTES_PER_TOKEN: usize = 4;

/// What came of a request, and when its service began (ns of CLOCK_MONOTONIC).
#[derive(Debug)]
pub struct Served {
    pub started_ns: u64,
    /// Little-endian u32 each.
    pub ids: Result<Vec<u8>, EngineError>,
}

impl Served {
    /// Stamps and does the work. A panic of an engine fails this request and no other.
    pub fn by(work: impl FnOnce() -> Result<Vec<u8>, EngineError>) -> Self {
        let started_ns = now();
        Self { started_ns, ids: caught(work) }
    }

    /// A request that failed before its service began.
    pub fn failed(error: EngineError) -> Self {
        Self { started_ns: now(), ids: Err(error) }
    }
}

/// What `work` returns; a panic in it is a failure.
pub fn caught<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// Makes pipelines, in whichever thread needs one.
#[derive(Clone)]
pub struct Maker {
    start: Arc<StartServer>,
    fault: Option<Fault>,
    channel: Channel,
}

impl Maker {
    pub fn new(start: StartServer, fault: Option<Fault>, channel: Channel) -> Self {
        Self { start: Arc::new(start), fault, channel }
    }

    pub fn start(&self) -> &StartServer {
        &self.start
    }

    /// Loads tokenizer and template; what two calls return shares nothing.
    pub fn pipeline(&self) -> Result<Pipeline, EngineError> {
        let model = self.model();
        Ok(Pipeline {
            parse: self.parse()?,
            render: model.render(self.pair("template")?)?,
            tokenize: model.tokenize(self.pair("tokenize")?)?,
            collate: model.collate(self.pair("collate")?)?,
        })
    }

    pub fn pass_through(&self) -> Result<PassThrough, EngineError> {
        Ok(PassThrough { collate: self.model().collate(self.pair("collate")?)? })
    }

    /// From a body to a validated request, as the `parse` operation does it.
    pub fn parse(&self) -> Result<Box<Parse>, EngineError> {
        self.model().parse(&format!("{}/{}", parse::ENGINE, parse::CALL_PATHS[0]))
    }

    fn model(&self) -> Model {
        Model::new(self.start.model.clone(), self.start.timestamp, self.fault.clone(), self.channel.clone())
    }

    fn pair(&self, stage: &str) -> Result<&str, EngineError> {
        self.start.pipeline.get(stage).map(String::as_str).ok_or_else(|| {
            EngineError::Failed(format!("the pipeline of a server must name an engine and a call path for {stage}"))
        })
    }

    /// Bodies of warm-up requests, at least one. Read again by each who needs them, so that nothing of the workload stays in
    /// the memory that is measured.
    fn warm_up(&self) -> Result<Vec<String>, EngineError> {
        let inputs = &self.start.inputs;
        let path = inputs.requests.display();
        let unreadable =
            |error: std::io::Error| EngineError::Failed(format!("the workload file {path} cannot be read: {error}"));
        let lines = BufReader::new(File::open(&inputs.requests).map_err(unreadable)?).lines();
        let wanted = MAX_WARM_UP.min(inputs.warmup as usize);
        let bodies: Vec<String> =
            lines.skip(inputs.pool as usize).take(wanted).collect::<Result<_, _>>().map_err(unreadable)?;
        if bodies.is_empty() {
            let message = "the workload holds no warm-up requests; give it some, so that a server can be warmed";
            return Err(EngineError::Failed(message.to_owned()));
        }
        Ok(bodies)
    }

    /// Runs the warm-up requests in this thread.
    ///
    /// # Errors
    /// One of them failed, so that nothing could be measured.
    pub fn warm(&self, mut serve: impl FnMut(&[u8]) -> Result<Vec<u8>, EngineError>) -> Result<(), EngineError> {
        for body in self.warm_up()? {
            black_box(
                caught(|| serve(body.as_bytes()))
                    .map_err(|error| EngineError::Failed(format!("a warm-up request failed: {error}")))?,
            );
        }
        Ok(())
    }
}

/// Template, tokenize and collate.
pub struct Pipeline {
    parse: Box<Parse>,
    render: Box<render::Render>,
    tokenize: Box<tokenize::Tokenize>,
    collate: Box<collate::Collate>,
}

impl Pipeline {
    /// Ids of a parsed request, as little-endian u32.
    pub fn ids(&self, request: &ChatRequest) -> Result<Vec<u8>, EngineError> {
        let text = self.render.run(&render::conversation(request)?)?;
        let ids = self.tokenize.run(&text)?;
        finish(&*self.collate, &ids)
    }

    /// The same from the body.
    pub fn whole(&self, body: &[u8]) -> Result<Vec<u8>, EngineError> {
        self.ids(&self.parse.run(body)?)
    }
}

/// Ids come with the request: what is left of a gateway when somebody else has tokenized.
pub struct PassThrough {
    collate: Box<collate::Collate>,
}

#[derive(Deserialize)]
struct Given {
    prompt_token_ids: Vec<u32>,
}

impl PassThrough {
    pub fn whole(&self, body: &[u8]) -> Result<Vec<u8>, EngineError> {
        let given: Given = serde_json::from_slice(body).map_err(|error| {
            EngineError::Failed(format!(
                "the request is not a body with prompt_token_ids ({error}); send a list of ids"
            ))
        })?;
        if given.prompt_token_ids.is_empty() {
            return Err(EngineError::failed("the request has no prompt_token_ids; send a list of at least one id"));
        }
        finish(&*self.collate, &given.prompt_token_ids)
    }

    /// Runs bodies of about as many ids as the warm-up requests would have.
    pub fn warm(&self, maker: &Maker) -> Result<(), EngineError> {
        maker.warm(|body| {
            let ids: Vec<usize> = (0..=body.len() / BYTES_PER_TOKEN).collect();
            let body = serde_json::json!({ "prompt_token_ids": ids });
            self.whole(body.to_string().as_bytes())
        })
    }
}

/// Collates a batch of one, as the engine would get it, and gives the ids as an answer carries them. The tensors are freed
/// here: where they go is another suite's question.
fn finish(collate: &collate::Collate, ids: &Vec<u32>) -> Result<Vec<u8>, EngineError> {
    black_box(collate.run(slice::from_ref(ids))?);
    Ok(ids.iter().flat_map(|id| id.to_le_bytes()).collect())
}
