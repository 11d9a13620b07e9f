//! A server as a pool of connections sees it: where it is, what is spoken with it, and what to say when it cannot be reached.

use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;

use rustix::net::SocketAddrUnix;

use super::OpenError;
use super::answer::{AnswerFormat, Failure};
use super::codec::Codec;
use super::completion::Completion;
use super::connection::Address;
use super::endpoint::Endpoint;
use super::frames::Frames;
use super::h2::{Http2, Limit};
use super::http::Http;
use super::protocol::Protocol;
use super::tls::Peer;
use crate::outcome::ErrorClass;
use crate::serving::target::{HttpVersion, Place, Target};

/// How a pool treats answers and connecting.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    pub format: AnswerFormat,
    /// Keep the content of answers, for looking at a few; it costs memory and a copy each.
    pub keep_content: bool,
    /// How long opening one connection may take before the clock starts, ns.
    pub connect_timeout_ns: u64,
    /// A pause between one connection and the next, before the clock starts, ns. Of connections that come at once to a port
    /// which several processes share, the first process to wake accepts nearly all; those of a pool that grows with its
    /// load come one by one.
    pub opening_gap_ns: u64,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            format: AnswerFormat::Prepared,
            keep_content: false,
            connect_timeout_ns: 5_000_000_000,
            opening_gap_ns: 0,
        }
    }
}

/// Makes the protocol of a new connection.
type Speak = Box<dyn Fn() -> Box<dyn Codec> + Send>;

/// Where and how to connect.
pub(super) struct Remote {
    /// The server, for sentences.
    pub name: String,
    /// Where to connect to, in the order of trying; after opening only the one that worked.
    pub addresses: Vec<Address>,
    pub speak: Speak,
    /// Where TLS is spoken.
    pub peer: Option<Peer>,
    /// Requests share a connection as far as the server lets them (HTTP/2).
    pub shares: bool,
    /// Measure how long bytes wait in the kernel.
    pub measures_delay: bool,
    pub connect_timeout_ns: u64,
    /// As [`SocketOptions::opening_gap_ns`].
    pub opening_gap_ns: u64,
}

impl Remote {
    /// A server of prepared requests.
    ///
    /// # Errors
    /// An address that cannot be resolved.
    pub fn of_endpoint(endpoint: Endpoint, options: SocketOptions) -> Result<Self, OpenError> {
        let name = endpoint.to_string();
        let addresses = match &endpoint {
            Endpoint::Unix(path) => unix(&name, path)?,
            Endpoint::Http { host, port, .. } => tcp(&name, host.trim_start_matches('[').trim_end_matches(']'), *port)?,
        };
        let speak = move || -> Box<dyn Codec> {
            match &endpoint {
                Endpoint::Unix(_) => Box::new(Frames::new(options.format, options.keep_content)),
                Endpoint::Http { host, port, path } => {
                    Box::new(Http::new(&format!("{host}:{port}"), path, options.format, options.keep_content))
                }
            }
        };
        let SocketOptions { connect_timeout_ns, opening_gap_ns, .. } = options;
        let speak = Box::new(speak);
        Ok(Self {
            name,
            addresses,
            speak,
            peer: None,
            shares: false,
            measures_delay: false,
            connect_timeout_ns,
            opening_gap_ns,
        })
    }

    /// A server of models.
    ///
    /// # Errors
    /// An address that cannot be resolved, or authorities that cannot be read.
    pub fn of_server(target: &Target, protocol: Protocol, connect_timeout_ns: u64) -> Result<Self, OpenError> {
        let name = target.to_string();
        let host = target.host().unwrap_or_default();
        let (addresses, tls) = match &target.place {
            Place::Unix(path) => (unix(&name, path)?, false),
            Place::Tcp { port, tls, .. } => (tcp(&name, host, *port)?, *tls),
        };
        let peer = tls.then(|| Peer::new(host, target.version)).transpose();
        let peer = peer.map_err(|message| OpenError::Tls { endpoint: name.clone(), message })?;
        let shares = protocol.version == HttpVersion::Http2;
        let (protocol, limit) = (Arc::new(protocol), Limit::default());
        let speak = move || -> Box<dyn Codec> {
            let protocol = Arc::clone(&protocol);
            if shares { Box::new(Http2::new(protocol, limit.clone())) } else { Box::new(Completion::new(protocol)) }
        };
        let measures_delay = matches!(target.place, Place::Tcp { .. });
        let speak = Box::new(speak);
        Ok(Self { name, addresses, speak, peer, shares, measures_delay, connect_timeout_ns, opening_gap_ns: 0 })
    }
}

fn unix(name: &str, path: &Path) -> Result<Vec<Address>, OpenError> {
    let address = SocketAddrUnix::new(path);
    Ok(vec![Address::Unix(address.map_err(|error| unreachable(name, format!("the path cannot be used: {error}")))?)])
}

fn tcp(name: &str, host: &str, port: u16) -> Result<Vec<Address>, OpenError> {
    let found = (host, port).to_socket_addrs().map_err(|error| unreachable(name, error.to_string()))?;
    let addresses: Vec<Address> = found.map(Address::Tcp).collect();
    if addresses.is_empty() { Err(unreachable(name, "the name has no address".to_owned())) } else { Ok(addresses) }
}

fn unreachable(name: &str, message: String) -> OpenError {
    OpenError::Connect { endpoint: name.to_owned(), number: 1, message }
}

/// Why connection `number` of `wanted` could not be opened.
pub(super) fn open_error(name: &str, number: usize, wanted: usize, error: &io::Error) -> OpenError {
    let endpoint = name.to_owned();
    if is_out_of_files(error) {
        return OpenError::Files { endpoint, number, limit: file_limit(), needed: wanted as u64 + 64 };
    }
    if error.kind() == io::ErrorKind::Unsupported {
        return OpenError::Http2 { endpoint, message: error.to_string() };
    }
    if error.kind() == io::ErrorKind::InvalidData {
        return OpenError::Tls { endpoint, message: error.to_string() };
    }
    OpenError::Connect { endpoint, number, message: connect_message(error) }
}

/// The failure of a request for which no connection could be opened.
pub(super) fn connect_failure(name: &str, error: &io::Error) -> Failure {
    let message = if is_out_of_files(error) {
        format!("its connection needs more open files than the limit of {}: raise it with `ulimit -n`", file_limit())
    } else {
        connect_message(error)
    };
    Failure::new(ErrorClass::Connect, format!("cannot connect to {name}: {message}"))
}

fn connect_message(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => format!(
            "{error}: all local ports to it are in use; lower the rate, let connections be kept, or widen net.ipv4.ip_local_port_range"
        ),
        _ => error.to_string(),
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn file_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}
