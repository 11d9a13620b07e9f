//! The load generator: requests at stated times, stamps at the socket, and a verdict on the generator itself.
//!
//! [`arrivals`] makes a schedule, [`driver`] sends it through a [`transport`] and keeps a record of each request ([`outcome`]),
//! [`lateness`] judges whether the generator did what it says, [`summary`] makes figures of the records, [`capacity`] finds the
//! plateau of a closed loop, [`proctree`] tells what a server's processes used.

pub mod arrivals;
pub mod capacity;
pub mod check;
pub mod clock;
pub mod driver;
pub mod lateness;
pub mod outcome;
pub mod proctree;
pub mod summary;
pub mod transport;
