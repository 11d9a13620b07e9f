//! The generator's own thread.

use std::num::NonZeroU64;

use super::DriverError;

/// Runs on a thread of its own, so that its CPU time is the generator's and its settings end with it.
pub(super) fn on_own_thread<R: Send>(work: impl FnOnce() -> Result<R, DriverError> + Send) -> Result<R, DriverError> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("loadgen".to_owned());
        let thread = builder.spawn_scoped(scope, || {
            be_punctual();
            work()
        });
        match thread.map_err(DriverError::Thread)?.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Sleeps of the calling thread end when they should: no timer slack (50 µs by default; prctl(2), PR_SET_TIMERSLACK).
pub(crate) fn be_punctual() {
    #[cfg(target_os = "linux")]
    {
        // A kernel that refuses leaves us a little late, and lateness is measured.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    }
    #[cfg(not(target_os = "linux"))]
    let _: Option<NonZeroU64> = None;
}
