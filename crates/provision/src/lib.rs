//! What must be there before anything is measured: interpreters and their environments ([`pyenv`]), models from a folder or the hub
//! ([`model`]), and the folder in which they are kept ([`cache`]).

pub mod cache;
pub mod model;
pub mod pyenv;
