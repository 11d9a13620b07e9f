//! HTTP/1.1, the server's side: requests out of bytes, heads of answers. Pure functions of bytes.

mod chunked;
mod reader;
mod reply;
mod request;

pub use reader::{Next, Reader};
pub use reply::{Reply, write_head};
pub use request::{Head, Method, Request};
