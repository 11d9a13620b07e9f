//! The command line of a run, as it is printed to be given again: quoted for a shell, narrowed to one experiment.
//!
//! It is the one that `run.json` keeps, word for word: a command that is put together from the plan would leave out what the plan does not
//! hold, such as the folder of a model. Paths in it are relative to the folder in which it was given.

use crate::results::RunInfo;

/// The option that selects experiments; it takes one value or more.
const EXPERIMENTS: &str = "--exp";

/// What stands between options and what is no option, whatever it looks like.
const END_OF_OPTIONS: &str = "--";

/// The switch of a free-threaded interpreter's lock, which is given in the environment and decides what is measured.
const GIL_VAR: &str = "PYTHON_GIL";

/// The command that measures all of a run again, for a POSIX shell.
pub fn of_run(info: &RunInfo) -> String {
    environment(info) + &shell(&info.command)
}

/// The command that measures one experiment of a run again, with every other setting of the run, for a POSIX shell. Where the run had this
/// experiment alone the plan is the same.
pub fn of_experiment(info: &RunInfo, id: u32) -> String {
    environment(info) + &shell(narrowed(&info.command, id))
}

/// Words as a POSIX shell reads them: those with characters that it may take for its own stand in single quotes (POSIX.1-2024, Shell
/// Command Language, section 2.2).
pub fn shell<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%".contains(c);
    // A word with `=` before any slash would be an assignment, but only in front of the command.
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `words` with this experiment in place of those that they select.
fn narrowed(words: &[String], id: u32) -> Vec<String> {
    let attached = format!("{EXPERIMENTS}=");
    let mut kept = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        if word == END_OF_OPTIONS {
            kept.extend([EXPERIMENTS.to_owned(), id.to_string(), word.clone()]);
            kept.extend(rest.cloned());
            return kept;
        }
        if word == EXPERIMENTS {
            while rest.next_if(|value| !value.starts_with('-')).is_some() {}
        } else if !word.starts_with(&attached) {
            kept.push(word.clone());
        }
    }
    kept.extend([EXPERIMENTS.to_owned(), id.to_string()]);
    kept
}

/// What was set in the environment and is part of the plan.
fn environment(info: &RunInfo) -> String {
    let is_off = info.plan.subjects.iter().any(|subject| subject.env.get(GIL_VAR).is_some_and(|value| value == "0"));
    if is_off { format!("{GIL_VAR}=0 ") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let odd = [
            "llmbench",
            "a b",
            "it's",
            "",
            "$HOME",
            "*",
            "~",
            "ttft:p99:500ms tpot:p95:50ms",
            "1,2",
            "a=b;c",
            "é",
            "\\",
            "\"",
            "#",
        ];
        let script = format!("printf '%s\\n' {}", shell(odd));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), odd.map(|word| format!("{word}\n")).concat());
        assert_eq!(shell(["llmbench", "run", "--tokens", "1,2", "../model"]), "llmbench run --tokens 1,2 ../model");
    }

    #[test]
    fn an_experiment_takes_the_place_of_those_that_were_selected() {
        for (given, wanted) in [
            ("llmbench run s --quick", "llmbench run s --quick --exp 3"),
            ("llmbench run s --exp 1 3 --tokens 5", "llmbench run s --tokens 5 --exp 3"),
            ("llmbench run s --exp=1,3 --exp 4", "llmbench run s --exp 3"),
            ("llmbench run --exp all -v -- s", "llmbench run -v --exp 3 -- s"),
        ] {
            assert_eq!(narrowed(&words(given), 3), words(wanted), "{given}");
        }
    }
}
