//! Where answers go: the descriptor that the parent gave, one JSON line an answer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use record::protocol::Answer;

/// The way to the parent. It can be shared: a fault for tests writes garbage into it from inside a call.
#[derive(Clone)]
pub struct Channel(Arc<Mutex<Box<dyn Write + Send>>>);

impl Channel {
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(writer))))
    }

    /// Sends one answer.
    pub fn answer(&self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        self.raw(&line)
    }

    /// Sends bytes as they are.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(bytes)?;
        writer.flush()
    }
}
