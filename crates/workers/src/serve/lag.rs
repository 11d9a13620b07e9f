//! How late the event loop is: a heartbeat on a fixed schedule, and when the loop comes to it.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use benchstats::order::quantile;
use record::protocol::serve::LoopLag;

use crate::clock::now;

/// Time between beats.
const PERIOD_NS: u64 = 5_000_000;

/// Lateness of every beat since the last reset, ns.
///
/// A loop that is blocked misses beats. Those count too, each from its own time: otherwise a stall of a second would weigh as
/// much as one of 5 ms.
#[derive(Debug, Default)]
pub struct Lag(Mutex<Vec<u64>>);

impl Lag {
    /// Beats for as long as the loop lives. On Linux the beat is a timer of the kernel, because tokio's own timers are
    /// whole milliseconds; elsewhere it is one of those.
    pub async fn beat(&self) {
        if self.beat_by_kernel().await.is_err() {
            self.beat_by_timer().await;
        }
    }

    pub fn reset(&self) {
        self.late_ns().clear();
    }

    /// Count, and the order statistics that stand for the 50th and 99th percentile.
    pub fn summary(&self) -> LoopLag {
        let mut ordered = self.late_ns().clone();
        ordered.sort_unstable();
        let at = |p: f64| quantile(&ordered, p).unwrap_or_default();
        LoopLag { samples: ordered.len() as u64, p50_ns: at(0.5), p99_ns: at(0.99), max_ns: at(1.0) }
    }

    /// Notes all beats up to `time`, of which the next was due at `due`; returns when the one after them is due.
    fn note(&self, mut due: u64, time: u64) -> u64 {
        let mut late = self.late_ns();
        while due <= time {
            late.push(time - due);
            due += PERIOD_NS;
        }
        due
    }

    #[cfg(target_os = "linux")]
    async fn beat_by_kernel(&self) -> io::Result<()> {
        use rustix::time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
        };
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;

        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the timer's descriptor is open, and the `AsyncFd` owns it for as long as it lives.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        let mut due = now() + PERIOD_NS;
        let timespec = |ns: u64| {
            // Both parts fit: the clock counts from the start of the machine.
            Timespec { tv_sec: (ns / 1_000_000_000).cast_signed(), tv_nsec: (ns % 1_000_000_000).cast_signed() }
        };
        let schedule = Itimerspec { it_interval: timespec(PERIOD_NS), it_value: timespec(due) };
        timerfd_settime(timer.get_ref(), TimerfdTimerFlags::ABSTIME, &schedule)?;
        loop {
            let mut ready = timer.readable().await?;
            let mut expirations = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?)) {
                Ok(read) => {
                    read?;
                    due = self.note(due, now());
                }
                // The timer had not run out.
                Err(_) => continue,
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn beat_by_kernel(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn beat_by_timer(&self) {
        let mut due = now() + PERIOD_NS;
        loop {
            tokio::time::sleep(Duration::from_nanos(due.saturating_sub(now()))).await;
            due = self.note(due, now());
        }
    }

    fn late_ns(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_beats_count_each_from_its_own_time() {
        let lag = Lag::default();
        assert_eq!(lag.summary(), LoopLag::default());
        assert_eq!(lag.note(10 * PERIOD_NS, 10 * PERIOD_NS - 1), 10 * PERIOD_NS);
        assert_eq!(lag.note(10 * PERIOD_NS, 12 * PERIOD_NS + 1), 13 * PERIOD_NS);
        let late = LoopLag { samples: 3, p50_ns: PERIOD_NS + 1, p99_ns: 2 * PERIOD_NS + 1, max_ns: 2 * PERIOD_NS + 1 };
        assert_eq!(lag.summary(), late);
        lag.reset();
        assert_eq!(lag.summary().samples, 0);
    }

    #[test]
    fn an_idle_loop_beats_and_a_blocked_one_is_late() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lag = std::sync::Arc::new(Lag::default());
        runtime.block_on(async {
            let beating = std::sync::Arc::clone(&lag);
            tokio::spawn(async move { beating.beat().await });
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::thread::sleep(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        let summary = lag.summary();
        assert!(summary.samples >= 20 && summary.max_ns >= 80_000_000, "{summary:?}");
    }
}
