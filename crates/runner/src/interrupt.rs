//! Ctrl-C and SIGTERM as a flag that the runner looks at, so that what was measured is kept.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Exit code of an interrupted process (128 + SIGINT).
pub const EXIT_INTERRUPTED: i32 = 130;

/// Whether somebody asked to stop. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
}

impl Interrupt {
    /// A flag that only [`Interrupt::trigger`] sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag on the first SIGINT or SIGTERM; a second one ends this process at once with exit code 130.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self::new();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the shutdown sees the flag that an earlier signal set, then the flag is set.
            signal_hook::flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED, Arc::clone(&interrupt.flag))?;
            signal_hook::flag::register(signal, Arc::clone(&interrupt.flag))?;
        }
        Ok(interrupt)
    }

    /// Asks to stop, as Ctrl-C does.
    pub fn trigger(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    /// True once somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}
