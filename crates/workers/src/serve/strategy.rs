//! Where the work of a request is done. Whatever is not on the event loop gets a parsed request, as gateways parse bodies where
//! they read them.

use std::sync::{Arc, Barrier};

use engines::EngineError;
use engines::parse::{ChatRequest, Parse};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use super::service::{Maker, PassThrough, Pipeline, Served};
use super::settings::{Kind, Settings};
use super::threads::Threads;

/// A strategy, loaded and warmed.
pub enum Strategy {
    /// Everything on the event loop: a handler that calls the tokenizer without a thought.
    Inline(Pipeline),
    /// Ids come with the request; on the event loop.
    PassThrough(PassThrough),
    /// The rest of the work elsewhere.
    Elsewhere { parse: Box<Parse>, place: Place },
}

/// Threads beside the event loop.
pub enum Place {
    /// tokio's own blocking threads, of which so many are used at once.
    Blocking {
        pipeline: Arc<Pipeline>,
        permits: Arc<Semaphore>,
    },
    /// A rayon pool with jobs from outside.
    Rayon {
        pipeline: Arc<Pipeline>,
        pool: ThreadPool,
    },
    Threads(Threads),
}

impl Strategy {
    /// Loads a strategy and runs warm-up requests in each thread that will work. Must be called on the event loop, since
    /// the caches of a tokenizer belong to a thread.
    pub async fn make(settings: &Settings, maker: &Maker) -> Result<Self, EngineError> {
        let place = match settings.kind {
            Kind::Inline => {
                let pipeline = maker.pipeline()?;
                maker.warm(|body| pipeline.whole(body))?;
                return Ok(Self::Inline(pipeline));
            }
            Kind::PassThrough => {
                let pass_through = maker.pass_through()?;
                pass_through.warm(maker)?;
                return Ok(Self::PassThrough(pass_through));
            }
            Kind::SpawnBlocking => blocking(settings.workers, maker).await?,
            Kind::Rayon => rayon(settings.workers, maker)?,
            Kind::Threads => Place::Threads(Threads::start(settings, maker)?),
        };
        Ok(Self::Elsewhere { parse: maker.parse()?, place })
    }

    /// A body to its ids.
    pub async fn serve(&self, body: &[u8]) -> Served {
        match self {
            Self::Inline(pipeline) => Served::by(|| pipeline.whole(body)),
            Self::PassThrough(pass_through) => Served::by(|| pass_through.whole(body)),
            Self::Elsewhere { parse, place } => match parse.run(body) {
                Ok(request) => place.serve(request).await,
                Err(error) => Served::failed(error),
            },
        }
    }
}

impl Place {
    async fn serve(&self, request: ChatRequest) -> Served {
        let served = match self {
            Self::Blocking { pipeline, permits } => {
                let Ok(permit) = Arc::clone(permits).acquire_owned().await else { return lost() };
                let pipeline = Arc::clone(pipeline);
                tokio::task::spawn_blocking(move || {
                    let served = Served::by(|| pipeline.ids(&request));
                    drop(permit);
                    served
                })
                .await
                .ok()
            }
            Self::Rayon { pipeline, pool } => {
                let pipeline = Arc::clone(pipeline);
                let (answer, answered) = oneshot::channel();
                // The receiver goes only with the whole event loop.
                pool.spawn(move || drop(answer.send(Served::by(|| pipeline.ids(&request)))));
                answered.await.ok()
            }
            Self::Threads(threads) => threads.serve(request).await,
        };
        served.unwrap_or_else(lost)
    }
}

/// The thread that had the request has ended, which it does only together with the server.
fn lost() -> Served {
    Served::failed(EngineError::failed("the server ended before the request was served"))
}

/// Starts all of tokio's blocking threads and warms each. The runtime was built with as many and lets none of them go.
async fn blocking(workers: usize, maker: &Maker) -> Result<Place, EngineError> {
    let pipeline = Arc::new(maker.pipeline()?);
    // Nobody leaves before all are there, or one thread could warm twice and another never.
    let everyone = Arc::new(Barrier::new(workers));
    let warming: Vec<_> = (0..workers)
        .map(|_| {
            let (pipeline, everyone, maker) = (Arc::clone(&pipeline), Arc::clone(&everyone), maker.clone());
            tokio::task::spawn_blocking(move || {
                let warmed = maker.warm(|body| pipeline.whole(body));
                everyone.wait();
                warmed
            })
        })
        .collect();
    for warmed in warming {
        warmed.await.map_err(EngineError::failed)??;
    }
    Ok(Place::Blocking { pipeline, permits: Arc::new(Semaphore::new(workers)) })
}

fn rayon(workers: usize, maker: &Maker) -> Result<Place, EngineError> {
    let pipeline = Arc::new(maker.pipeline()?);
    let pool = ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|index| format!("rayon-{index}"))
        .build()
        .map_err(|error| EngineError::Failed(format!("a pool of {workers} threads cannot be started: {error}")))?;
    pool.broadcast(|_| maker.warm(|body| pipeline.whole(body))).into_iter().collect::<Result<(), _>>()?;
    Ok(Place::Rayon { pipeline, pool })
}
