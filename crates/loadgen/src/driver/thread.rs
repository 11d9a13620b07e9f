//! The generator's own thread.

use super::DriverError;

/// Runs on a thread of its own, so that its CPU time is the generator's and its settings end with it.
pub(crate) fn on_own_thread<R: Send>(work: impl FnOnce() -> Result<R, DriverError> + Send) -> Result<R, DriverError> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("loadgen".to_owned());
        let thread = builder.spawn_scoped(scope, || {
            be_punctual();
            take_short_turns();
            go_first();
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
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}

/// Goes before what else wants the CPU, where the system lets it: with CAP_SYS_NICE, as in most containers that run as root, or a high
/// enough RLIMIT_RTPRIO or RLIMIT_NICE. The generator stands for clients on other machines, whose cores no server keeps busy; what
/// it takes from the server it would take anyway, only sooner, and a point at which it takes much of a core is INVALID.
///
/// First the lowest real-time priority (SCHED_RR, sched(7)), which ends with the thread and is not passed on to what it starts. Where that
/// is refused, the highest ordinary one, niceness -20; but that counts among the threads of one scheduling group only: where sessions or control
/// groups have groups of their own (autogroup), a server that was started elsewhere gets its share whatever the niceness here. What was
/// given is in [`super::Usage`].
fn go_first() {
    const HIGHEST: i32 = -20;
    if !go_real_time() {
        // A system that refuses leaves us as we are, and lateness is measured.
        let _ = rustix::process::setpriority_process(None, HIGHEST);
    }
}

#[cfg(target_os = "linux")]
fn go_real_time() -> bool {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the structure, which outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn go_real_time() -> bool {
    false
}

/// Whether the calling thread has a real-time policy.
#[cfg(target_os = "linux")]
pub(crate) fn is_real_time() -> bool {
    // SAFETY: no memory is passed; 0 is the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    matches!(policy & !libc::SCHED_RESET_ON_FORK, libc::SCHED_RR | libc::SCHED_FIFO)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_real_time() -> bool {
    false
}

/// Niceness of the calling thread; Linux keeps one a thread.
pub(crate) fn niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or(0)
}

/// Asks for turns of 0.1 ms, the shortest that there are, instead of the usual 3 ms or so.
///
/// Since Linux 6.12 the fair scheduler takes a wish for the length of a turn (sched_setattr(2), `sched_runtime`), and a thread
/// with shorter turns may interrupt one with longer turns when it wakes (EEVDF's virtual deadline; kernel documentation,
/// scheduler/sched-eevdf). It gets no larger share of the CPU by it, and needs no privilege. Older kernels ignore it.
#[cfg(target_os = "linux")]
fn take_short_turns() {
    const TURN_NS: u64 = 100_000;
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: all fields are integers, for which zeros are valid.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes into the structure, which outlives the call.
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    // Under a real-time policy the thread needs no such wish, and the field means something else.
    if read != 0 || attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attributes.size = size;
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the kernel reads at most `size` bytes of the structure, which outlives the call.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

#[cfg(not(target_os = "linux"))]
fn take_short_turns() {}
