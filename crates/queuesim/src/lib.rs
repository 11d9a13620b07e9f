//! Queues, simulated: arrival times and service times in, latencies out.
//!
//! Everything here is a pure function: no input or output, no clock, and random numbers only from a given seed. Times are whole
//! nanoseconds. [`lindley`] and [`multi`] are the textbook queues and the reference; [`machine`] is what they are arranged into by
//! [`gil`], [`batching`], [`pools`] and [`sidecar`]; [`strategy`] describes one of these by measured service times;
//! [`headroom`] asks how much it takes until it breaks, [`gpu`] who waits for it, and [`kingman`] what theory expects.

pub mod arrivals;
pub mod batching;
mod error;
mod explanation;
pub mod gil;
pub mod gpu;
pub mod headroom;
pub mod kingman;
pub mod lindley;
pub mod machine;
pub mod multi;
pub mod pipeline;
pub mod pools;
mod random;
pub mod service;
pub mod sidecar;
pub mod simulation;
pub mod strategy;

pub use arrivals::Arrivals;
pub use error::QueueError;
pub use explanation::Explanation;
pub use service::{Draws, Service};
pub use simulation::{Load, Occupancy, Resource, Simulation, Summary, Window};
