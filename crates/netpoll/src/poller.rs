//! Waiting for sockets and for a moment at once.
//!
//! On Linux: epoll, and a timerfd that is set to the absolute time. A timerfd has no slack: the kernel may stretch a sleep or an
//! epoll timeout by the thread's timer slack (50 µs) or by 0.1% of the wait, whichever is more, to save wake-ups. Setting it
//! costs one system call (under 1 µs) when the time changed. The thread sleeps and does not spin: on two cores shared with the
//! server, spinning for the last 100 µs of each gap would take half a core at 5,000 requests/s from the very server that is
//! measured. What remains is the wake-up of a sleeping thread, tens of µs; it is measured (`Run::wake_late_ns`).
//!
//! Elsewhere: `poll`, whose timeout is exact to a millisecond or better.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What a socket is ready for. An error or a hang-up is readable: reading tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

/// Most sockets that one wait reports, where the system asks for a limit: after so many there may be more.
pub const AT_ONCE: usize = 128;

#[cfg(target_os = "linux")]
pub use self::epoll::Poller;
#[cfg(not(target_os = "linux"))]
pub use self::portable::Poller;

#[cfg(target_os = "linux")]
mod epoll {
    use super::{AT_ONCE, AsFd, BorrowedFd, Ready, io};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;

    use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };

    /// The token of the timer; no socket has it.
    const TIMER: u64 = u64::MAX;

    pub struct Poller {
        epoll: OwnedFd,
        timer: OwnedFd,
        /// What the timer is set to.
        armed_ns: Option<u64>,
    }

    impl Poller {
        /// Errors: the system refuses an epoll instance or a timer.
        pub fn new() -> io::Result<Self> {
            let epoll = epoll::create(CreateFlags::CLOEXEC)?;
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // Edge-triggered: setting it anew makes it fire again, and nothing has to be read.
            epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
            Ok(Self { epoll, timer, armed_ns: None })
        }

        pub fn add(&mut self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
            Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags(writable))?)
        }

        /// Whether the socket is also waited for until it can be written to.
        pub fn modify(&mut self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
            Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags(writable))?)
        }

        pub fn remove(&mut self, fd: BorrowedFd<'_>, _: u64) -> io::Result<()> {
            Ok(epoll::delete(&self.epoll, fd)?)
        }

        /// Waits until a socket is ready or until `until_ns`; if `until_ns` has passed, only looks.
        pub fn wait(&mut self, now_ns: u64, until_ns: u64, ready: &mut impl Extend<Ready>) -> io::Result<()> {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let passed = until_ns <= now_ns;
            if !passed && self.armed_ns != Some(until_ns) {
                self.arm(until_ns)?;
            }
            let mut buffer = [const { MaybeUninit::<Event>::uninit() }; AT_ONCE];
            let (events, _) = match epoll::wait(&self.epoll, &mut buffer, passed.then_some(&at_once)) {
                Ok(found) => found,
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let sockets = events.iter().filter(|event| event.data.u64() != TIMER);
            ready.extend(sockets.map(|event| {
                let flags = event.flags;
                let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
                Ready {
                    token: event.data.u64(),
                    readable: failed || flags.contains(EventFlags::IN),
                    writable: failed || flags.contains(EventFlags::OUT),
                }
            }));
            Ok(())
        }

        fn arm(&mut self, until_ns: u64) -> io::Result<()> {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let at = Timespec {
                tv_sec: i64::try_from(until_ns / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: (until_ns % 1_000_000_000) as i64,
            };
            let once = Itimerspec { it_interval: zero, it_value: at };
            timerfd_settime(self.timer.as_fd(), TimerfdTimerFlags::ABSTIME, &once)?;
            self.armed_ns = Some(until_ns);
            Ok(())
        }
    }

    fn flags(writable: bool) -> EventFlags {
        if writable { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
    }
}

#[cfg(any(not(target_os = "linux"), test))]
mod portable {
    use super::{AsFd, BorrowedFd, Ready, io};
    use std::collections::BTreeMap;
    use std::os::fd::OwnedFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// Sockets by token. Each is duplicated, so that the caller may close its own at any time.
    #[cfg_attr(target_os = "linux", allow(dead_code))]
    #[derive(Default)]
    pub struct Poller {
        sockets: BTreeMap<u64, (OwnedFd, bool)>,
    }

    #[cfg_attr(target_os = "linux", allow(dead_code))]
    impl Poller {
        pub fn new() -> io::Result<Self> {
            Ok(Self::default())
        }

        pub fn add(&mut self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
            self.sockets.insert(token, (fd.try_clone_to_owned()?, writable));
            Ok(())
        }

        pub fn modify(&mut self, _: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
            if let Some(socket) = self.sockets.get_mut(&token) {
                socket.1 = writable;
            }
            Ok(())
        }

        pub fn remove(&mut self, _: BorrowedFd<'_>, token: u64) -> io::Result<()> {
            self.sockets.remove(&token);
            Ok(())
        }

        pub fn wait(&mut self, now_ns: u64, until_ns: u64, ready: &mut impl Extend<Ready>) -> io::Result<()> {
            let wanted = |writable| if writable { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let mut list: Vec<_> = self
                .sockets
                .values()
                .map(|(fd, writable)| PollFd::from_borrowed_fd(fd.as_fd(), wanted(*writable)))
                .collect();
            let left = until_ns.saturating_sub(now_ns);
            let timeout =
                Timespec { tv_sec: (left / 1_000_000_000).min(1 << 30) as _, tv_nsec: (left % 1_000_000_000) as _ };
            match poll(&mut list, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.sockets.keys().zip(&list).filter(|(_, fd)| !fd.revents().is_empty());
            ready.extend(found.map(|(&token, fd)| {
                let flags = fd.revents();
                let failed = flags.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
                Ready {
                    token,
                    readable: failed || flags.contains(PollFlags::IN),
                    writable: failed || flags.contains(PollFlags::OUT),
                }
            }));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now_ns;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    macro_rules! both {
        ($name:ident, $poller:ty) => {
            #[test]
            fn $name() {
                let (near, mut far) = UnixStream::pair().unwrap();
                let mut poller = <$poller>::new().unwrap();
                poller.add(near.as_fd(), 7, false).unwrap();
                let mut ready = Vec::new();
                let start = now_ns();
                poller.wait(start, start + 5_000_000, &mut ready).unwrap();
                assert!(ready.is_empty() && now_ns() >= start + 4_900_000, "it must wait");
                poller.wait(now_ns(), 0, &mut ready).unwrap();
                assert!(ready.is_empty());
                far.write_all(b"x").unwrap();
                poller.wait(now_ns(), u64::MAX, &mut ready).unwrap();
                assert_eq!(ready.pop(), Some(Ready { token: 7, readable: true, writable: false }));
                poller.modify(near.as_fd(), 7, true).unwrap();
                poller.wait(now_ns(), 0, &mut ready).unwrap();
                assert_eq!(ready.pop(), Some(Ready { token: 7, readable: true, writable: true }));
                poller.remove(near.as_fd(), 7).unwrap();
                poller.wait(now_ns(), 0, &mut ready).unwrap();
                assert!(ready.is_empty());
                // The same moment again, after it has passed and been set: it must fire again.
                for _ in 0..2 {
                    let soon = now_ns() + 1_000_000;
                    poller.wait(now_ns(), soon, &mut ready).unwrap();
                    assert!(ready.is_empty() && now_ns() + 100_000 >= soon);
                }
            }
        };
    }
    both!(waits_for_sockets_and_times, Poller);
    both!(waits_for_sockets_and_times_portably, portable::Poller);
}
