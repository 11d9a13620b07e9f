//! Where a server listens.

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::StartError;

/// Connections that may wait to be accepted: a client opens hundreds at once.
const BACKLOG: i32 = 4096;

/// Where a server is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Port 0: any that is free.
    Tcp(SocketAddr),
    /// A socket file that is made, and removed at the end.
    Unix(PathBuf),
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Endpoint {
    /// The address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Removes the socket file.
    pub(super) fn forget(&self) {
        if let Self::Unix(path) = self {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listen {
    /// # Errors
    /// The address is taken or not allowed.
    pub(super) fn open(&self) -> Result<(Listener, Endpoint), StartError> {
        let opened = match self {
            Self::Tcp(address) => TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                do_not_pace(&listener);
                let endpoint = Endpoint::Tcp(listener.local_addr()?);
                Ok((Listener::Tcp(listener), endpoint))
            }),
            Self::Unix(path) => {
                // A file that a killed server left behind.
                if UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                    let _ = std::fs::remove_file(path);
                }
                UnixListener::bind(path).and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    Ok((Listener::Unix(listener), Endpoint::Unix(path.clone())))
                })
            }
        };
        let opened = opened.and_then(|(listener, endpoint)| {
            // The standard library asks for 128.
            rustix::net::listen(listener.as_fd(), BACKLOG)?;
            Ok((listener, endpoint))
        });
        opened.map_err(|error| StartError::Listen { endpoint: self.to_string(), message: remedy(&error) })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Connections that are accepted here send at once: BBR, the default of some systems, spaces segments by a timer of its own, after the
/// stamp of the write. Reno does not, and every Linux has it.
fn do_not_pace(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    {
        // A system that refuses paces.
        let _ = rustix::net::sockopt::set_tcp_congestion(listener, "reno");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
}

fn remedy(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("{error}; choose another, or port 0 for any"),
        ErrorKind::PermissionDenied => format!("{error}; ports below 1024 are for root, choose another"),
        _ => error.to_string(),
    }
}

impl Listener {
    /// The next connection, ready for an event loop.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn accept(&self) -> std::io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // Every chunk goes out by itself.
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}
