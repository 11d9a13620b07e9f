//! Statistics of repeated benchmark runs: estimators, intervals, tests and stopping rules.
//!
//! Everything here is a pure function of numbers: no input or output, no clock, no random source. The run is the unit of
//! inference: callers reduce a cell to **one value a run** (the mean over its blocks; of two cells, [`rounds::ratio`]) before they come here, so that `n` is
//! always a number of runs. What the intervals promise is tested by simulation in `tests/`; where they promise less, the
//! tests pin what they really do.

pub mod contrast;
pub mod dist;
pub mod fit;
pub mod gpu;
mod interval;
mod lack_of_fit;
pub mod mean;
pub mod order;
pub mod paired;
pub mod rounds;
pub mod scaling;
pub mod serial;
pub mod stopping;
pub mod verdict;

pub use contrast::{Contrast, Scale};
pub use interval::{Interval, StatsError};
pub use paired::Paired;
pub use verdict::{Judgement, Verdict};
