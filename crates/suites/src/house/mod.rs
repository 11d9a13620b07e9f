//! What all suites use: from a plan's cells to rows, comparisons and what is said of them.
//!
//! | module | what |
//! |---|---|
//! | [`cells`] | making cells: names, workloads, twins, comparison groups |
//! | [`point`] | which cells stand at one point of an experiment's axes |
//! | [`input`] | what the analysis of a point reads |
//! | [`comparison`] | a row, a baseline, and the quantity in which they are compared |
//! | [`floor`] | what noise alone showed in that quantity, by the A/A twins |
//! | [`judged`] | verdicts on a family of comparisons |
//! | [`estimate`] | intervals across runs, and what is made of them |
//! | [`status`] | whether a cell's figures may be used, and which runs are left out |
//! | [`rows`] | the rows of `results.csv` as they come into being |
//!
//! An experiment says which axes it compares along; the axes that are left make its points. The house judges the comparisons of all
//! points as one family, calls the experiment once a point, and heads each table, figure and sentence with the point that it is of.

pub mod cells;
pub mod comparison;
pub mod estimate;
pub mod floor;
pub mod input;
pub mod judged;
pub mod point;
pub mod rows;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
