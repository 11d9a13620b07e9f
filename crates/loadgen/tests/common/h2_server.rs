//! A server of HTTP/2 that this project did not write (the crate `h2`), which streams as it is told.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use loadgen::clock::now_ns;
use loadgen::serving::target::{HttpVersion, Target};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// What the server does with a request.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code)]
pub enum Act {
    /// So many stamped tokens, one every `gap_ms`.
    Stream { tokens: u32, gap_ms: u64 },
    /// One JSON text.
    Whole,
    /// So many tokens, then the stream is reset.
    Reset { tokens: u32, reason: Reason },
    /// A status with a body.
    Refuse { status: u16 },
    /// Nothing, until the client gives up.
    Silence,
    /// A stream, and the server says that it goes away while it lasts.
    LastWords { tokens: u32 },
}

/// How the server is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub max_streams: u32,
    /// Windows of streams and of the connection towards the server, bytes.
    pub window: u32,
    pub tls: bool,
    /// What it offers in the handshake.
    pub alpn: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { max_streams: 100, window: 65_535, tls: false, alpn: Some("h2") }
    }
}

/// A value of a field with every byte that UTF-8 has, so that nearly all codes of the Huffman code come by.
pub fn every_code() -> String {
    let wide = ['\u{800}', '\u{1000}', '\u{ffff}', '\u{10000}', '\u{40000}', '\u{80000}', '\u{10ffff}'];
    ('!'..='~').chain('\u{a0}'..='\u{7ff}').chain(('\u{2000}'..='\u{d7ff}').step_by(0x1000)).chain(wide).collect()
}

/// Method, path and fields of a request, and the length of its body.
pub type Asked = (Request<()>, usize);

/// Listens until the test's process ends.
pub struct Server {
    url: String,
    pub connections: Arc<AtomicUsize>,
    /// The most streams that were open on one connection, and now.
    pub most_streams: Arc<AtomicUsize>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub fn start(setup: Setup, act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        Self::run(setup, false, act)
    }

    #[allow(dead_code)]
    pub fn on_unix_socket(act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        Self::run(Setup::default(), true, act)
    }

    fn run(setup: Setup, unix: bool, act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let shared =
            Shared { setup, act: Arc::new(act), count: Arc::default(), most: Arc::default(), asked: Arc::default() };
        let connections = Arc::<AtomicUsize>::default();
        let (most_streams, asked) = (Arc::clone(&shared.most), Arc::clone(&shared.asked));
        let (address, known) = std::sync::mpsc::channel();
        let (counted, socket) = (Arc::clone(&connections), path.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                if unix {
                    let listener = UnixListener::bind(&socket).unwrap();
                    address.send(format!("unix:{}", socket.display())).unwrap();
                    while let Ok((stream, _)) = listener.accept().await {
                        counted.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(serve(stream, shared.clone()));
                    }
                }
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let scheme = if setup.tls { "https://localhost" } else { "http://127.0.0.1" };
                address.send(format!("{scheme}:{port}/v1")).unwrap();
                let acceptor = setup.tls.then(|| acceptor(setup.alpn));
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    counted.fetch_add(1, Ordering::Relaxed);
                    let (acceptor, shared) = (acceptor.clone(), shared.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(stream, shared).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(stream, shared).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Self { url: known.recv().unwrap(), connections, most_streams, asked, _folder: folder }
    }

    pub fn target(&self) -> Target {
        self.url.parse::<Target>().unwrap().spoken(HttpVersion::Http2)
    }
}

fn acceptor(alpn: Option<&str>) -> tokio_rustls::TlsAcceptor {
    let file = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let certificates = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config).into()
}

#[derive(Clone)]
struct Shared {
    setup: Setup,
    act: Arc<dyn Fn(usize) -> Act + Send + Sync>,
    count: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Shared) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(shared.setup.max_streams);
    builder.initial_window_size(shared.setup.window).initial_connection_window_size(shared.setup.window.max(65_535));
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let open = Arc::new(AtomicUsize::new(0));
    while let Some(Ok((request, respond))) = connection.accept().await {
        let act = (shared.act)(shared.count.fetch_add(1, Ordering::Relaxed));
        shared.most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let (shared, open) = (shared.clone(), Arc::clone(&open));
        if matches!(act, Act::LastWords { .. }) {
            connection.graceful_shutdown();
        }
        tokio::spawn(async move {
            // A client that went away ends its stream; that is no concern of the server.
            let _ = answer(request, respond, act, &shared, &open).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    act: Act,
    shared: &Shared,
    open: &AtomicUsize,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut length = 0;
    while let Some(part) = body.data().await {
        let part = part?;
        length += part.len();
        body.flow_control().release_capacity(part.len())?;
    }
    shared.asked.lock().unwrap().push((Request::from_parts(head, ()), length));
    let response = |status: u16, kind: &str| {
        let response = Response::builder().status(status).header("content-type", kind);
        response
            .header("retry-after", http::HeaderValue::from_bytes(every_code().as_bytes()).unwrap())
            .body(())
            .unwrap()
    };
    // The stream is over for the client as soon as its last frame is there.
    let close = || {
        open.fetch_sub(1, Ordering::Relaxed);
    };
    match act {
        Act::Silence => {
            poll_fn(|context| respond.poll_reset(context)).await?;
            close();
            Ok(())
        }
        Act::Refuse { status } => {
            let mut stream = respond.send_response(response(status, "application/json"), false)?;
            close();
            stream.send_data(Bytes::from_static(b"{\"error\":{\"message\":\"not now\"}}"), true)
        }
        Act::Whole => {
            let mut stream = respond.send_response(response(200, "application/json"), false)?;
            close();
            let body = "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":2}}";
            stream.send_data(Bytes::from_static(body.as_bytes()), true)
        }
        Act::Reset { tokens, reason } => {
            if tokens > 0 {
                let mut stream = respond.send_response(response(200, "text/event-stream"), false)?;
                send_tokens(&mut stream, tokens, 0).await?;
                // What was sent must have left before the stream is reset.
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.send_reset(reason);
            } else {
                respond.send_reset(reason);
            }
            close();
            Ok(())
        }
        Act::Stream { tokens, .. } | Act::LastWords { tokens } => {
            let gap_ms = if let Act::Stream { gap_ms, .. } = act { gap_ms } else { 1 };
            let mut stream = respond.send_response(response(200, "text/event-stream"), false)?;
            send_tokens(&mut stream, tokens, gap_ms).await?;
            let end = format!(
                "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"length\"}}]}}\n\ndata: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
            );
            close();
            stream.send_data(end.into(), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("x-cost", "1".parse().unwrap());
            stream.send_trailers(trailers)
        }
    }
}

async fn send_tokens(stream: &mut SendStream<Bytes>, tokens: u32, gap_ms: u64) -> Result<(), h2::Error> {
    for index in 0..tokens {
        if gap_ms > 0 {
            tokio::time::sleep(Duration::from_millis(gap_ms)).await;
        }
        let text = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}}}}],\"llmbench\":{{\"written_ns\":{},\"index\":{index}}}}}\n\n",
            now_ns()
        );
        stream.reserve_capacity(text.len());
        while stream.capacity() < text.len() {
            poll_fn(|context| stream.poll_capacity(context)).await.transpose()?;
        }
        stream.send_data(text.into(), false)?;
    }
    Ok(())
}
