//! What a simulation refuses to simulate.

use thiserror::Error;

/// Why a model cannot be simulated: each names the input and what to change.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum QueueError {
    /// Nothing arrives, or there is no sample to draw from.
    #[error("{what} holds no value: give at least one")]
    Empty { what: &'static str },
    /// Arrival `index` (from 0) lies before the one in front of it.
    #[error("arrival {index} lies before arrival {}: sort the arrivals by time", .index - 1)]
    Unordered { index: usize },
    /// One list must have an entry for each request.
    #[error("{what} has {found} values for {expected} requests: give one for each request")]
    Length { what: &'static str, expected: usize, found: usize },
    /// A count (servers, cores, batch size) is zero.
    #[error("{what} is 0: give at least 1")]
    Zero { what: &'static str },
    /// A number is outside of what the model means.
    #[error("{what} is {value}: {remedy}")]
    BadValue { what: &'static str, value: f64, remedy: &'static str },
    /// A stage, a station or a lock is named that the machine does not have.
    #[error("{what} {index} does not exist: the machine has {count}")]
    Unknown { what: &'static str, index: usize, count: usize },
}

/// Refuses a count of zero.
pub(crate) fn at_least_one(what: &'static str, count: usize) -> Result<(), QueueError> {
    if count == 0 { Err(QueueError::Zero { what }) } else { Ok(()) }
}

/// Refuses a list that has not one value for each request.
pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), QueueError> {
    if expected == found { Ok(()) } else { Err(QueueError::Length { what, expected, found }) }
}
