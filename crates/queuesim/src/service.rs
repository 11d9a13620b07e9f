//! How long a request takes where it is served.

use crate::arrivals::scv;
use crate::error::QueueError;
use crate::random::{Random, scale};

/// A service time, ns: always the same, or measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    Constant(u64),
    /// Measured values; requests draw from them with replacement.
    Samples(Vec<u64>),
}

impl Service {
    /// Mean, ns; NaN without samples.
    pub fn mean_ns(&self) -> f64 {
        match self {
            Service::Constant(ns) => *ns as f64,
            Service::Samples(values) => values.iter().map(|ns| *ns as f64).sum::<f64>() / values.len() as f64,
        }
    }

    /// Squared coefficient of variation; 0 for a constant.
    pub fn scv(&self) -> f64 {
        match self {
            Service::Constant(_) => 0.0,
            Service::Samples(values) if values.len() < 2 => 0.0,
            Service::Samples(values) => scv(values.iter().copied()),
        }
    }

    /// One service time for each of `count` requests, ns.
    ///
    /// Errors: [`QueueError::Empty`] without samples.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Vec<u64>, QueueError> {
        Ok(match self.column(&Draws::new(count, seed))? {
            Column::Same(ns) => vec![ns; count],
            Column::Each(values) => values,
        })
    }

    /// The service times of the requests that `draws` stands for.
    ///
    /// Sample lists of one length are drawn with the same index, so that what was measured on one request (held and free
    /// share, front end and worker) stays together.
    ///
    /// Errors: [`QueueError::Empty`] without samples.
    pub fn column(&self, draws: &Draws) -> Result<Column, QueueError> {
        match self {
            Service::Constant(ns) => Ok(Column::Same(*ns)),
            Service::Samples(values) if values.is_empty() => Err(QueueError::Empty { what: "a list of service times" }),
            Service::Samples(values) => {
                Ok(Column::Each(draws.0.iter().map(|bits| values[scale(*bits, values.len())]).collect()))
            }
        }
    }
}

/// One random number a request: which measured request it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draws(Vec<u64>);

impl Draws {
    /// For `count` requests.
    pub fn new(count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self((0..count).map(|_| random.bits()).collect())
    }
}

/// A duration for each request, ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    Same(u64),
    Each(Vec<u64>),
}

impl Column {
    /// The duration of request `index`, ns.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> u64 {
        match self {
            Column::Same(ns) => *ns,
            Column::Each(values) => values[index],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_measured_values_and_stay_together() {
        let held: Vec<u64> = (0..50).collect();
        let free: Vec<u64> = held.iter().map(|ns| 1000 + ns).collect();
        let draws = Draws::new(10_000, 5);
        let (Column::Each(held), Column::Each(free)) =
            (Service::Samples(held).column(&draws).unwrap(), Service::Samples(free).column(&draws).unwrap())
        else {
            panic!("samples give a value for each request");
        };
        assert!(held.iter().zip(&free).all(|(held, free)| held + 1000 == *free));
        // Each of 50 values is drawn 200 times on average, with a standard deviation of 14.
        for value in 0..50 {
            let count = held.iter().filter(|ns| **ns == value).count();
            assert!((130..270).contains(&count), "{value} was drawn {count} times");
        }
        assert!(Service::Samples(vec![]).draw(1, 1).is_err());
    }
}
