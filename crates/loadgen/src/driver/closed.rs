//! The closed loop: a fixed number of requests in flight, the next one as soon as one ends.

use super::flight::Flight;
use super::thread::on_own_thread;
use super::{Control, DriverError, Mode, Options, Run};
use crate::arrivals::Extent;
use crate::clock::now_ns;
use crate::transport::Transport;

/// Keeps `concurrency` requests in flight until the extent ends. A request is due when its slot becomes free, so its latency
/// from the scheduled time holds only what the generator itself adds.
///
/// A closed loop measures capacity. It does not measure the latency of a service whose users do not wait for each other: when the
/// server stalls, so does the load.
///
/// A slot that cannot hand its request to any connection is given up; when all are, the run ends early.
///
/// # Errors
/// [`DriverError`]. Requests that fail are no error: they are in the records.
pub fn run_closed<T: Transport, P: AsRef<[u8]> + Sync>(
    transport: T,
    payloads: &[P],
    concurrency: usize,
    extent: Extent,
    options: &Options,
    control: &Control,
) -> Result<Run, DriverError> {
    if concurrency == 0 {
        return Err(DriverError::NoConcurrency);
    }
    if extent.count.is_none() && extent.duration_ns.is_none() {
        return Err(DriverError::Endless);
    }
    on_own_thread(|| {
        let most = extent.count.unwrap_or(usize::MAX);
        let expected = extent.count.unwrap_or(1 << 16);
        let mut flight = Flight::begin(transport, payloads, options, control, expected)?;
        let end_ns = extent.duration_ns.map_or(u64::MAX, |duration| flight.start_ns + duration);
        while now_ns() < flight.start_ns {
            flight.wait(Some(flight.start_ns), false)?;
        }
        flight.freed_ns = vec![flight.start_ns; concurrency];
        let mut slots = concurrency;
        loop {
            // All slots that one wait freed, in the order in which they became free.
            let mut freed = std::mem::take(&mut flight.freed_ns);
            freed.sort_unstable();
            let mut last = flight.records.last().map_or(0, |record| record.scheduled_ns);
            for due in freed {
                if due >= end_ns || flight.records.len() >= most || flight.is_stopped() {
                    slots -= 1;
                } else {
                    // Records stay in the order of their due times.
                    last = last.max(due);
                    if !flight.send(last, last) {
                        slots -= 1;
                    }
                }
            }
            if slots == 0 {
                break;
            }
            flight.wait(None, false)?;
        }
        let ended_ns = now_ns();
        let early = ended_ns < end_ns && flight.records.len() < most;
        let duration_ns = ended_ns.min(end_ns).saturating_sub(flight.start_ns);
        flight.finish(Mode::Closed { concurrency }, duration_ns, 0, early)
    })
}
