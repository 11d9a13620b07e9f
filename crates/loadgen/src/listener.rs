//! Which process listens at an address of this host, from `/proc/net` (proc_pid_net(5)) and the open files of processes.
//!
//! It needs no rights beyond those of the user whose process it is; the processes of others are not seen, and then the answer is empty.

use std::collections::BTreeSet;
use std::path::Path;

/// The state LISTEN in `/proc/net/tcp` (`TCP_LISTEN` of the kernel).
const LISTEN: &str = "0A";
/// Flag of a Unix socket that accepts connections in `/proc/net/unix` (`__SO_ACCEPTCON`).
const ACCEPTS: u32 = 1 << 16;

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub enum Listening<'a> {
    /// A TCP port, at whatever address.
    Port(u16),
    /// The path of a Unix socket.
    Path(&'a Path),
}

/// The processes that hold a listening socket there, ascending; several where a server has forked after it began to listen. Empty where
/// there is none, it belongs to somebody else, or the system has no `/proc`.
pub fn listeners(at: Listening<'_>) -> Vec<u32> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let inodes: BTreeSet<u64> = match at {
        Listening::Port(port) => {
            ["tcp", "tcp6"].iter().flat_map(|name| tcp_inodes(&read(name), port).collect::<Vec<_>>()).collect()
        }
        Listening::Path(path) => unix_inodes(&read("unix"), path).collect(),
    };
    if inodes.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pid = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
    let mut found: Vec<u32> = processes.filter_map(pid).filter(|pid| holds(*pid, &inodes)).collect();
    found.sort_unstable();
    found
}

/// Whether one of the process's open files is one of these sockets.
fn holds(pid: u32, inodes: &BTreeSet<u64>) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| {
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode: u64| inodes.contains(&inode))
    })
}

/// Inodes of the sockets that listen at a port.
fn tcp_inodes(table: &str, port: u16) -> impl Iterator<Item = u64> + '_ {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, at) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(at, 16) == Ok(port) && *fields.get(3)? == LISTEN;
        is_it.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// Inodes of the sockets that accept at a path. A path may hold spaces.
fn unix_inodes<'a>(table: &'a str, path: &'a Path) -> impl Iterator<Item = u64> + 'a {
    table.lines().skip(1).filter_map(move |line| {
        let mut rest = line;
        let mut fields = Vec::with_capacity(7);
        while fields.len() < 7 {
            rest = rest.trim_start_matches(' ');
            let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
            fields.push(field);
            rest = after;
        }
        let flags = u32::from_str_radix(fields[3], 16).ok()?;
        (Path::new(rest) == path && flags & ACCEPTS != 0).then(|| fields[6].parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_by_hand() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 561199 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 561200 1 0 20 4 30 10 -1\n\
            \x20  2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 561201 1 0 100 0 0 10 0\n";
        assert_eq!(tcp_inodes(tcp, 8080).collect::<Vec<_>>(), [561_199]);
        assert_eq!(tcp_inodes(tcp, 80).count(), 0);
        let unix = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22 /run/a b\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 23 /run/a b\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 24\n";
        assert_eq!(unix_inodes(unix, Path::new("/run/a b")).collect::<Vec<_>>(), [22]);
        assert_eq!(unix_inodes(unix, Path::new("/run/a")).count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_at_its_own_sockets() {
        let me = [std::process::id()];
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        assert_eq!(listeners(Listening::Port(port)), me);
        drop(tcp);
        assert_eq!(listeners(Listening::Port(port)), [0_u32; 0]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a socket");
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(listeners(Listening::Path(&path)), me);
        if let Ok(six) = std::net::TcpListener::bind("[::1]:0") {
            assert_eq!(listeners(Listening::Port(six.local_addr().unwrap().port())), me);
        }
    }
}
