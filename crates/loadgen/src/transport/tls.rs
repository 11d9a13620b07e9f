//! TLS over a stream of bytes: no socket here, only what goes in and what comes out.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::serving::target::HttpVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore};

/// The variable that names a file of further authorities, as for OpenSSL.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// The name of HTTP/2 in the handshake (RFC 9113, section 3.2).
const H2: &[u8] = b"h2";

/// Whom to speak TLS with, and whom to believe.
#[derive(Clone)]
pub(super) struct Peer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// It has to agree to HTTP/2.
    wants_h2: bool,
}

impl Peer {
    /// A server of that name or address, and the version of HTTP that is to be spoken inside. The authorities are those of Mozilla's list and those in the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// A sentence: the name cannot be in a certificate, or the file cannot be read.
    pub fn new(host: &str, version: HttpVersion) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = std::env::var_os(AUTHORITIES).filter(|path| !path.is_empty()) {
            let failed = |error: &dyn std::fmt::Display| {
                format!("the certificates in {} ({AUTHORITIES}) cannot be used: {error}", path.to_string_lossy())
            };
            let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| failed(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config =
            versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        let wants_h2 = version == HttpVersion::Http2;
        config.alpn_protocols = vec![if wants_h2 { H2.to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` cannot be in a certificate"))?;
        Ok(Self { config: Arc::new(config), name, wants_h2 })
    }
}

/// One connection's state.
pub(super) struct Tls {
    session: ClientConnection,
    wants_h2: bool,
    /// The server does not agree to the version of HTTP that is wanted.
    pub is_other_http: bool,
    /// Requests that were given while the handshake was under way.
    pub waiting: Vec<u64>,
}

impl Tls {
    pub fn new(peer: &Peer) -> io::Result<Self> {
        let session = ClientConnection::new(Arc::clone(&peer.config), peer.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        // A request is taken whole; its size is limited elsewhere.
        session.set_buffer_limit(None);
        Ok(Self { session, wants_h2: peer.wants_h2, is_other_http: false, waiting: Vec::new() })
    }

    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Takes plain bytes; sealed once the handshake is over.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.session.writer().write_all(bytes)
    }

    /// Appends what is to go to the socket.
    pub fn drain(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(output)?;
        }
        Ok(())
    }

    /// Takes bytes of the socket and appends the plain ones in them. True if the server said that it sends no more.
    ///
    /// # Errors
    /// What is wrong with the bytes or with the server's certificate.
    pub fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<bool, String> {
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes).map_err(|error| error.to_string())?;
            let was_handshaking = self.session.is_handshaking();
            let state = self.session.process_new_packets().map_err(|error| {
                self.is_other_http =
                    self.wants_h2 && error == rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
                error.to_string()
            })?;
            // A server that knows nothing of such an agreement says nothing about it.
            if was_handshaking
                && !self.session.is_handshaking()
                && self.wants_h2
                && self.session.alpn_protocol() != Some(H2)
            {
                self.is_other_http = true;
                return Err("the server did not agree to HTTP/2 (ALPN h2)".to_owned());
            }
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.session.reader().read_exact(&mut plain[start..]).map_err(|error| error.to_string())?;
            if state.peer_has_closed() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
