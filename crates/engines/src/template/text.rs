//! Text that pays for its growth out of a rendering's fuel.

use minijinja::{Error, State};

use super::error::{MAX_DEPTH, too_deep};

/// Bytes that one unit of fuel pays for (minijinja's rate).
const BYTES_PER_FUEL: usize = 64;

/// Bytes written between two payments.
const STRIDE: usize = 4096;

/// Fails if creating `bytes` more bytes exceeds the rendering's fuel.
pub(super) fn pay_bytes(state: &State, bytes: usize) -> Result<(), Error> {
    if bytes < BYTES_PER_FUEL {
        return Ok(());
    }
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// A string under construction.
///
/// Printing a value walks it, and a value can be far larger printed than stored (a list that holds
/// another list twice, and so on): so the walk pays while it goes.
pub(super) struct Text<'a> {
    /// What is written so far.
    pub buf: String,
    state: Option<&'a State<'a, 'a>>,
    paid: usize,
    items: usize,
}

impl<'a> Text<'a> {
    /// Empty text; without a state nothing is paid.
    pub(super) fn new(state: Option<&'a State<'a, 'a>>) -> Text<'a> {
        Text { buf: String::new(), state, paid: 0, items: 0 }
    }

    /// Called for each item of a container, at its nesting depth.
    pub(super) fn item(&mut self, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(too_deep(MAX_DEPTH));
        }
        self.items += 1;
        if self.buf.len() - self.paid >= STRIDE || self.items >= STRIDE {
            let cost = (self.buf.len() - self.paid) / BYTES_PER_FUEL + self.items;
            self.paid = self.buf.len();
            self.items = 0;
            if let Some(state) = self.state {
                state.consume_fuel(cost as u64)?;
            }
        }
        Ok(())
    }
}
