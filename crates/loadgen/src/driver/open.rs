//! The open loop: requests leave at their scheduled times, whatever the server does.

use super::flight::Flight;
use super::thread::on_own_thread;
use super::{ClientLimited, Control, DriverError, Mode, Options, Run};
use crate::arrivals::Schedule;
use crate::clock::now_ns;
use crate::transport::Transport;

/// Most requests sent in a row before answers are looked at: sending one takes a few µs.
const BURST: usize = 8;

/// Sends every request of the schedule. Nothing is skipped: a request that is late is sent late, its latency counts from the
/// scheduled time, and how late it was is in its record.
///
/// With a `cap`, at most so many requests are in flight; the others wait here, in order (`Run::client_limited`). Without one the
/// number in flight is not bounded.
///
/// # Errors
/// [`DriverError`]. Requests that fail are no error: they are in the records.
pub fn run_open<T: Transport, P: AsRef<[u8]> + Sync>(
    transport: T,
    payloads: &[P],
    schedule: &Schedule,
    cap: Option<usize>,
    options: &Options,
    control: &Control,
) -> Result<Run, DriverError> {
    if cap == Some(0) {
        return Err(DriverError::NoConcurrency);
    }
    on_own_thread(|| {
        let mut flight = Flight::begin(transport, payloads, options, control, schedule.len())?;
        let times = schedule.times_ns();
        let most = cap.unwrap_or(usize::MAX);
        let mut limited = ClientLimited::default();
        let mut next = 0;
        // When the last slot became free, if the next request has waited for one.
        let mut blocked = false;
        let mut freed_ns = 0;
        while next < times.len() && !flight.is_stopped() {
            freed_ns = flight.freed_ns.drain(..).fold(freed_ns, u64::max);
            let mut burst = 0;
            while next < times.len() && burst < BURST && flight.in_flight < most {
                let scheduled = flight.start_ns + times[next];
                if scheduled > now_ns() {
                    break;
                }
                // The first of those that waited could leave when a slot became free, and so could those behind it.
                let released = if blocked { scheduled.max(freed_ns) } else { scheduled };
                limited.add(released - scheduled);
                flight.send(scheduled, released);
                next += 1;
                burst += 1;
            }
            if let Some(&time) = times.get(next) {
                let due = flight.start_ns + time;
                let full = flight.in_flight >= most;
                blocked = full || (blocked && due <= now_ns());
                flight.wait((!full).then_some(due), !full)?;
            }
        }
        let unsent = times.len() - next;
        let mut run = flight.finish(Mode::Open { cap }, schedule.duration_ns(), unsent, unsent > 0)?;
        run.client_limited = limited;
        Ok(run)
    })
}

impl ClientLimited {
    pub(crate) fn add(&mut self, wait_ns: u64) {
        if wait_ns > 0 {
            self.waited += 1;
            self.total_ns += wait_ns;
            self.longest_ns = self.longest_ns.max(wait_ns);
        }
    }
}
