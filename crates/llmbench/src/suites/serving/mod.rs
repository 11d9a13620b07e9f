//! The serving suite: what a client sees of a server under load, and whose fault it is.
//!
//! Here stands what its experiments conclude from figures, as pure functions of one value a run:
//!
//! | module | question | experiment |
//! |---|---|---|
//! | [`knee`] | where does more load bring no more answers; are all requests counted | 1 latency-wall |
//! | [`interaction`] | does a benefit hold under load | 2 prefix-cache |
//! | [`tax`] | what does a way of sending cost, and what does queueing make of it | 3 sidecar |
//! | [`bisection`] | which rate holds a service level, how many replicas carry a demand | 7 max-rate |

pub mod bisection;
pub mod interaction;
pub mod knee;
pub mod tax;
