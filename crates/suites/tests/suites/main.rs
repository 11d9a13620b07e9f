//! What the suites plan, and what they say of measurements whose truth is known.

mod judged;
mod points;
mod serving;
mod world;
