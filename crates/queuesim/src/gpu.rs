//! How long a GPU waits for the requests that a host prepares for it.

use crate::error::{QueueError, at_least_one, same_length};

/// Shares of the time, in [0, 1], in which a GPU has no batch to work on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Starvation {
    /// The host goes on preparing while the GPU works: step k begins when the GPU is free and k + 1 batches are prepared.
    pub overlapped: f64,
    /// The host prepares nothing while the GPU works: each batch's preparation (the time in which the host completed it) and its
    /// step follow each other.
    pub serial: f64,
    /// Overlapped, were every request prepared in the moment of its arrival: what the load alone leaves idle. The rest of
    /// `overlapped` is the host's doing.
    pub by_load: f64,
    /// Whole batches; requests left over at the end are not counted.
    pub steps: usize,
}

/// Shares from arrivals and completions (ns, one a request, any order) for steps of `step_ns` over batches of `batch`. The
/// account starts when the first batch's first request arrives (`by_load`, `overlapped`) and ends with the last step.
///
/// Errors: [`QueueError::Length`], [`QueueError::Zero`], [`QueueError::Empty`] if there is no whole batch.
pub fn starvation(
    arrivals_ns: &[u64],
    completions_ns: &[u64],
    step_ns: u64,
    batch: usize,
) -> Result<Starvation, QueueError> {
    same_length("the list of completions", arrivals_ns.len(), completions_ns.len())?;
    at_least_one("the batch", batch)?;
    at_least_one("the GPU's step in ns", step_ns as usize)?;
    let (arrived, prepared) = (batches(arrivals_ns, batch), batches(completions_ns, batch));
    let steps = prepared.len();
    let (Some(start), Some(last)) = (arrivals_ns.iter().min().copied(), prepared.last()) else {
        return Err(QueueError::Empty { what: "the list of whole batches" });
    };
    let worked = steps as f64 * step_ns as f64;
    let idle = |ready: &[u64]| {
        let end = ready.iter().fold(start, |free, ready| free.max(*ready) + step_ns);
        1.0 - worked / (end - start) as f64
    };
    let preparing = (last - start) as f64;
    Ok(Starvation {
        overlapped: idle(&prepared),
        serial: preparing / (preparing + worked),
        by_load: idle(&arrived),
        steps,
    })
}

/// When each whole batch is complete.
fn batches(times_ns: &[u64], batch: usize) -> Vec<u64> {
    let mut sorted = times_ns.to_vec();
    sorted.sort_unstable();
    sorted.chunks_exact(batch).map(|chunk| chunk[batch - 1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches are ready at 30 and 70, steps of 20: the GPU works 30-50 and 70-90 of 90; in turns it is 70 + 40.
    #[test]
    fn by_hand() {
        let found = starvation(&[0, 0, 10, 40], &[20, 30, 70, 60], 20, 2).unwrap();
        assert!((found.overlapped - 50.0 / 90.0).abs() < 1e-12);
        assert!((found.serial - 70.0 / 110.0).abs() < 1e-12);
        // Arrivals complete batches at 0 and 40: work 0-20 and 40-60.
        assert!((found.by_load - 20.0 / 60.0).abs() < 1e-12);
        assert_eq!(found.steps, 2);
    }

    #[test]
    fn a_fast_host_starves_nobody() {
        let ready: Vec<u64> = (0..1000).collect();
        let found = starvation(&ready, &ready, 100, 10).unwrap();
        assert!(found.overlapped < 0.001);
        assert_eq!(found.overlapped, found.by_load);
        assert!(starvation(&[1], &[2], 10, 2).is_err());
        assert!(starvation(&[1], &[2], 0, 1).is_err());
    }
}
