//! Memory that is free and still held.

/// Gives memory that was freed back to the system. glibc keeps it for later, and later comes in one piece: the records of a million
/// requests, which do not fit into the gaps that a tokenizer left. Other allocators give back by themselves.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and any thread may call it at any time (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}
