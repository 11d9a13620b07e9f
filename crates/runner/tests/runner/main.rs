//! The runner with real processes: workers that work, and workers that fail in every way that we know.

mod failures;
mod folders;
mod large;
mod resume;
mod runs;
mod schedule;
mod signals;
mod subjects;
mod support;
