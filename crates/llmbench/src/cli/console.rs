//! What verbs print on stdout: its width, wrapped lines, short paths.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use unicode_width::UnicodeWidthStr;

use pipeline::{Exit, Failure};

/// Columns to wrap lines at: `COLUMNS` where it is set, else those of the terminal; none where stdout is a file or a pipe,
/// whose readers want a fact a line.
pub fn width() -> Option<usize> {
    let terminal = || {
        let is_terminal = std::io::stdout().is_terminal();
        is_terminal.then(|| terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)))
    };
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<usize>().ok());
    asked.filter(|columns| *columns > 0).or_else(terminal).map(|columns| columns.clamp(60, 160))
}

/// Prints to stdout and says that all went well, also when the reader has seen enough (`llmbench list | head`).
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Success),
        Err(error) => Err(Failure::usage(format!("cannot write to stdout: {error}"))),
        Ok(()) => Ok(Exit::Success),
    }
}

/// The text in lines of at most `room` columns, all but the first behind `indent` spaces. A longer word keeps its length.
pub fn hanging(text: &str, room: usize, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.width();
        if column > 0 {
            if column + 1 + width > room {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = 0;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += width;
    }
    out
}

/// A path with `~` for the home folder.
pub fn short(path: &Path, home: Option<&Path>) -> String {
    match home.filter(|home| home.parent().is_some()).and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_hang() {
        assert_eq!(hanging("one two three", 7, 2), "one two\n  three");
        assert_eq!(hanging("a  very-long-word b", 5, 0), "a\nvery-long-word\nb");
        assert_eq!(hanging("", 5, 2), "");
        assert_eq!(hanging("one two", usize::MAX, 2), "one two");
    }

    #[test]
    fn the_home_folder_is_a_tilde() {
        let home = Some(Path::new("/home/me"));
        assert_eq!(short(Path::new("/home/me/bin/python3"), home), "~/bin/python3");
        assert_eq!(short(Path::new("/home/me2/bin"), home), "/home/me2/bin");
        assert_eq!(short(Path::new("/usr/bin"), Some(Path::new("/"))), "/usr/bin");
        assert_eq!(short(Path::new("/usr/bin"), None), "/usr/bin");
    }
}
