//! The name of a request within the server: where its connection is.

/// 8 bits for the thread, 24 for the place of the connection in it, 32 for the number of the request there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(pub u64);

/// Most threads of sockets.
pub(super) const MOST_THREADS: usize = 1 << 8;
/// Most connections of a thread.
pub(super) const MOST_CONNECTIONS: usize = 1 << 24;

impl Tag {
    pub fn new(thread: usize, connection: usize, serial: u32) -> Self {
        Self((thread as u64) << 56 | (connection as u64) << 32 | u64::from(serial))
    }

    pub fn thread(self) -> usize {
        (self.0 >> 56) as usize
    }

    pub fn connection(self) -> usize {
        (self.0 >> 32) as usize & (MOST_CONNECTIONS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_touch() {
        let tag = Tag::new(MOST_THREADS - 1, MOST_CONNECTIONS - 1, 7);
        assert_eq!((tag.thread(), tag.connection()), (MOST_THREADS - 1, MOST_CONNECTIONS - 1));
        let tag = Tag::new(0, 5, u32::MAX);
        assert_eq!((tag.thread(), tag.connection()), (0, 5));
    }
}
