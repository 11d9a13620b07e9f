//! When the kernel had the bytes that a read returns (socket(7), `SO_TIMESTAMPNS`): what lies between that and the read is this
//! client's own delay, measured on the very load at hand and on any server.
//!
//! The kernel stamps packets as they enter it, over the loopback interface too. A read that brings several packets has the stamp of the
//! last one, so where chunks pile up the delay of the first of them is larger than the one measured. Unix sockets have no stamps.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// Asks for stamps; false where the system has none.
#[cfg(target_os = "linux")]
pub(super) fn enable(fd: BorrowedFd<'_>) -> bool {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    set == 0
}

/// Reads, and returns the length and the kernel's stamp, ns of CLOCK_REALTIME.
#[cfg(target_os = "linux")]
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Option<u64>), Errno> {
    use std::os::fd::AsRawFd;
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Words, for the alignment that control messages need.
    let mut control = [0_u64; 16];
    // SAFETY: all fields are integers and pointers, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points to the buffer and the control words, which outlive the call, with their lengths.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) };
    if length < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    // SAFETY: the kernel filled the control words of `message`, which are still in place.
    let stamp = unsafe { stamp(&message) };
    Ok((length as usize, stamp))
}

/// # Safety
/// `message` must be as `recvmsg` left it, with its control words in place.
#[cfg(target_os = "linux")]
unsafe fn stamp(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: by this function's contract.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: the macros of cmsg(3) give headers within the control words, or null.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            // SAFETY: a message of this kind carries a timespec; it may stand at any alignment.
            let time = unsafe { libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned() };
            return Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64);
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn enable(_: BorrowedFd<'_>) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Option<u64>), Errno> {
    rustix::io::read(fd, buffer).map(|length| (length, None))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::clock::wall_ns;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn the_kernel_knows_when_bytes_came() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert!(enable(near.as_fd()));
        let mut buffer = [0; 16];
        // The kernel may begin with stamps a moment after it was asked.
        let delay = (0..50).find_map(|_| {
            let before = wall_ns();
            far.write_all(b"hello").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            let (length, stamp) = read(near.as_fd(), &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"hello");
            let stamp = stamp?;
            assert!(stamp >= before, "{stamp} {before}");
            Some(wall_ns() - stamp)
        });
        assert!(delay.expect("stamps come") >= 15_000_000, "{delay:?}");
        near.set_nonblocking(true).unwrap();
        assert_eq!(read(near.as_fd(), &mut buffer), Err(Errno::AGAIN));
    }
}
