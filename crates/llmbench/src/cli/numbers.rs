//! Numbers of a list or sweep as one argument.

use crate::load::points::numbers;

/// What `1,2,4` and `1..64` mean.
#[derive(Debug, Clone, PartialEq)]
pub struct List(pub Vec<f64>);

/// Reads one.
///
/// # Errors
/// What is no number above 0, and what to give.
pub fn list(text: &str) -> Result<List, String> {
    numbers(text).map(List)
}
