//! The hub's protocol against a local server: what is asked, what is kept, what each failure is called, and that the
//! token goes to the endpoint and nowhere else.

#[cfg(unix)]
mod failures;
mod fixture;
mod server;
#[cfg(unix)]
mod success;
