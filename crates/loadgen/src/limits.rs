//! The system's limits on what a generator needs.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Open files of a process besides its connections.
const OTHERS: u64 = 64;

/// Too few files may be open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{connections} connections need {needed} open files, and this process may have {limit}: raise the limit with `ulimit -n {needed}` (as root \
     beyond the hard limit), or lower the concurrency"
)]
pub struct TooFewFiles {
    pub connections: u64,
    pub needed: u64,
    pub limit: u64,
}

/// Lets this process open as many files as its hard limit allows.
pub fn raise() {
    let mut limits = getrlimit(Resource::Nofile);
    limits.current = limits.maximum;
    // Where it is refused the limit stays as it was, and `make_room` tells if it is too low.
    let _ = setrlimit(Resource::Nofile, limits);
}

/// Makes room for so many connections: the soft limit is raised as far as the hard one lets it.
///
/// # Errors
/// [`TooFewFiles`] where the hard limit is too low.
pub fn make_room(connections: usize) -> Result<(), TooFewFiles> {
    let needed = connections as u64 + OTHERS;
    let mut limits = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if is_enough(limits.current) {
        return Ok(());
    }
    if is_enough(limits.maximum) {
        limits.current = Some(needed);
        if setrlimit(Resource::Nofile, limits).is_ok() {
            return Ok(());
        }
    }
    let limit = limits.maximum.unwrap_or(u64::MAX);
    Err(TooFewFiles { connections: connections as u64, needed, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_said_with_its_remedy() {
        assert_eq!(make_room(1), Ok(()));
        let most = getrlimit(Resource::Nofile).maximum;
        if let Some(most) = most.filter(|most| *most < 1 << 40) {
            let error = make_room(most as usize).unwrap_err();
            assert_eq!((error.needed, error.limit), (most + 64, most));
            assert!(error.to_string().contains(&format!("ulimit -n {}", most + 64)), "{error}");
        }
    }
}
