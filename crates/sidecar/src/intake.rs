//! What is held of clients before the queue of the workers: bytes of bodies, and the time in which they have to come.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::refusal::Refusal;
use super::settings::Settings;
use super::upstream::causes;

/// How much of all bodies is held.
#[derive(Debug, Default)]
pub struct Intake {
    held: AtomicUsize,
}

/// A whole body, counted while it is there.
#[derive(Debug)]
pub struct Held {
    pub body: Bytes,
    _share: Share,
}

/// A share of what may be held. Given back when it goes.
#[derive(Debug)]
struct Share {
    intake: Arc<Intake>,
    bytes: usize,
}

impl Share {
    /// Takes `more`; false where it would be beyond `most` of all together.
    fn grow(&mut self, more: usize, most: usize) -> bool {
        let taken =
            self.intake.held.fetch_update(SeqCst, SeqCst, |held| held.checked_add(more).filter(|all| *all <= most));
        self.bytes += if taken.is_ok() { more } else { 0 };
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.intake.held.fetch_sub(self.bytes, SeqCst);
    }
}

impl Intake {
    /// Bytes of bodies that are held.
    pub fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Reads a body. Bytes count as they come: what a client announces and does not send takes nothing from others.
    ///
    /// # Errors
    /// 413, 408 or 503 beyond a limit of the settings, and 400 for a body that breaks off.
    pub async fn read(self: &Arc<Self>, body: Incoming, settings: &Settings) -> Result<Held, Refusal> {
        let most = settings.max_body;
        let too_large = || {
            Refusal::client(413, format!("the request is larger than {most} bytes; send less, or see --max-body-mb"))
        };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        let reading = self.collect(body, most, settings.max_held, too_large);
        timeout(settings.read_timeout, reading).await.unwrap_or_else(|_| {
            let seconds = settings.read_timeout.as_secs_f64();
            Err(Refusal::client(408, format!("the request's body did not come within {seconds} s; see --read-timeout")))
        })
    }

    async fn collect(
        self: &Arc<Self>,
        mut body: Incoming,
        most: usize,
        most_of_all: usize,
        too_large: impl Fn() -> Refusal,
    ) -> Result<Held, Refusal> {
        let mut share = Share { intake: Arc::clone(self), bytes: 0 };
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| Refusal::bad(format!("the request's body cannot be read: {}", causes(&error))))?;
            let Ok(data) = frame.into_data() else { continue };
            if all.len() + data.len() > most {
                return Err(too_large());
            }
            if !share.grow(data.len(), most_of_all) {
                return Err(Refusal::overloaded(
                    format!(
                        "the sidecar holds as many bytes of requests as it may ({most_of_all}, see --max-held-mb); try again later"
                    ),
                    1,
                ));
            }
            all.extend_from_slice(&data);
        }
        Ok(Held { body: all.freeze(), _share: share })
    }
}
