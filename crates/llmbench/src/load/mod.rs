//! The plain load test: what is asked ([`workload`]), the points of load ([`points`]), the measurement
//! ([`drive`]) and what is left of it ([`outcome`], [`table`], [`export`]).

pub mod account;
pub mod calibration;
pub mod drive;
pub mod export;
pub mod memory;
pub mod outcome;
pub mod points;
pub mod random;
pub mod table;
pub mod varying;
pub mod workload;
