//! What a template is told the time is.

use std::time::{SystemTime, UNIX_EPOCH};

/// The moment that `strftime_now` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// Unix seconds; the same in every rendering, so that measurements repeat.
    Fixed(i64),
    /// The system's clock at each rendering: what a server shows.
    Clock,
}

impl Now {
    /// Unix seconds.
    pub fn timestamp(self) -> i64 {
        match self {
            Self::Fixed(timestamp) => timestamp,
            Self::Clock => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                // A clock before 1970 was never set.
                Err(_) => 0,
            },
        }
    }
}

impl From<i64> for Now {
    fn from(timestamp: i64) -> Self {
        Self::Fixed(timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_moment_stays_and_a_clock_goes_on() {
        assert_eq!(Now::from(7).timestamp(), 7);
        let first = Now::Clock.timestamp();
        // This test was written in 2026.
        assert!(first > 1_767_225_600);
        assert!(Now::Clock.timestamp() >= first);
    }
}
