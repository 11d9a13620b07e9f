//! Which engines would install on an interpreter: the locks say the versions, and what has no wheel is known here.

use engines::python;
use provision::pyenv::Version;
use serde::Serialize;

use pipeline::subjects::optional::OPTIONAL;
use pipeline::subjects::python::LOCK;

/// The newest version that the locks are made and tested for, as a minor of 3.
const NEWEST: u32 = 14;

const STABLE_ABI: &str = "its wheel is for the stable ABI, which free-threaded builds do not load";

/// Package, version in the lock, and why a free-threaded 3.14 cannot install it. Looked up in the package index by the
/// tag cp314t; a version that is not in this table is taken to have a wheel.
const NOT_ON_314T: [(&str, &str, &str); 7] = [
    ("tokenizers", "0.23.2", "no wheel for 3.14t; tokenizers 0.23.3 has one"),
    ("transformers", "5.23.0", "it needs safetensors, of which 0.8.0 has no wheel for 3.14t"),
    ("fastokens", "0.3.5", STABLE_ABI),
    ("gigatoken", "0.10.0", STABLE_ABI),
    ("kitoken", "0.11.1", STABLE_ABI),
    ("orjson", "3.13.0", "no wheel for 3.14t"),
    ("tokie", "0.1.4", "no wheel for 3.14t"),
];

/// How one package would get onto an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A wheel of the lock.
    Wheel,
    /// It has to be compiled; the note says what and with what.
    Source,
    /// Not at all; the note says why.
    No,
}

/// What is to be expected of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlook {
    pub package: &'static str,
    /// The version that would be installed, or that the lock has.
    pub version: String,
    /// Not in the environment that runs make.
    pub optional: bool,
    pub way: Way,
    pub note: Option<String>,
}

/// What is to be expected of each engine's package, those of the common lock first.
pub fn outlook(version: &Version) -> Vec<Outlook> {
    let locked = python::packages().into_iter().map(|package| (package, LOCK, false));
    let optional = OPTIONAL.iter().map(|(package, lock)| (*package, *lock, true));
    locked
        .chain(optional)
        .map(|(package, lock, optional)| {
            let pinned = pinned(lock, package, version).unwrap_or_default();
            let (way, other, note) = judge(package, &pinned, version);
            Outlook { package, version: other.unwrap_or(pinned), optional, way, note }
        })
        .collect()
}

/// Whether `llmbench run` can make its own environment there: all of the common lock, from wheels.
pub fn makes_environment(outlook: &[Outlook]) -> bool {
    outlook.iter().filter(|each| !each.optional).all(|each| each.way == Way::Wheel)
}

/// The way, another version than the lock's where one is known to compile, and the note.
fn judge(package: &str, pinned: &str, version: &Version) -> (Way, Option<String>, Option<String>) {
    let no = |why: &str| (Way::No, None, Some(why.to_owned()));
    match (version.minor, version.free_threaded) {
        (minor, _) if version.major != 3 || minor > NEWEST => no("the locks are for Python 3.10 to 3.14"),
        (_, false) => (Way::Wheel, None, None),
        (14, true) => {
            let known = NOT_ON_314T.iter().find(|(name, lacking, _)| *name == package && *lacking == pinned);
            known.map_or((Way::Wheel, None, None), |(_, _, why)| no(why))
        }
        (_, true) => match package {
            "jinja2" => (Way::Source, None, Some("its MarkupSafe is compiled: needs a C compiler".to_owned())),
            "tokenizers" => {
                let how = "the last version that compiles there: needs Rust and a C compiler";
                (Way::Source, Some("0.22.1".to_owned()), Some(how.to_owned()))
            }
            "transformers" => no("it needs packages without a wheel for 3.13t"),
            _ => no("no wheel for 3.13t"),
        },
    }
}

/// The version that a lock has of a package for this Python.
fn pinned(lock: &str, package: &str, version: &Version) -> Option<String> {
    lock.lines().find_map(|line| {
        let rest = line.strip_prefix(package)?.strip_prefix("==")?;
        let rest = rest.trim_end_matches('\\');
        let (pinned, marker) = rest.split_once(';').unwrap_or((rest, ""));
        applies(marker, version).then(|| pinned.trim().to_owned())
    })
}

/// A marker such as `python_full_version >= '3.11'`; one about other things applies.
fn applies(marker: &str, version: &Version) -> bool {
    let mut words = marker.split_whitespace();
    let (Some("python_full_version"), Some(sign), Some(bound)) = (words.next(), words.next(), words.next()) else {
        return true;
    };
    let mut numbers = bound.trim_matches('\'').split('.').filter_map(|number| number.parse::<u32>().ok());
    let bound = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let own = (version.major, version.minor);
    match sign {
        "<" => own < bound,
        ">=" => own >= bound,
        "==" => own == bound,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(minor: u32, free_threaded: bool) -> Version {
        Version { major: 3, minor, level: "final".to_owned(), free_threaded, ..Version::default() }
    }

    fn of(package: &str, minor: u32, free_threaded: bool) -> Outlook {
        outlook(&version(minor, free_threaded)).into_iter().find(|each| each.package == package).unwrap()
    }

    #[test]
    fn every_package_is_in_a_lock_for_every_version_it_is_for() {
        for minor in 10..=NEWEST {
            let all = outlook(&version(minor, false));
            assert_eq!(all.len(), python::packages().len() + OPTIONAL.len());
            for each in &all {
                assert!(each.version.starts_with(|c: char| c.is_ascii_digit()), "3.{minor}: {each:?}");
                assert_eq!(each.way, Way::Wheel);
            }
            assert!(makes_environment(&all));
        }
    }

    #[test]
    fn markers_choose_the_version() {
        let lock = "numpy==2.2 ; python_full_version < '3.11' \\\n    --hash=x\nnumpy==2.4 ; python_full_version == '3.11.*' \\\nnumpy==2.5 ; python_full_version >= '3.12' \\\nnumpy-x==9 \\\n";
        let found: Vec<Option<String>> = (10..14).map(|minor| pinned(lock, "numpy", &version(minor, false))).collect();
        assert_eq!(found, ["2.2", "2.4", "2.5", "2.5"].map(|text| Some(text.to_owned())));
        assert_eq!(pinned(lock, "nump", &version(12, false)), None);
        assert_ne!(of("transformers", 10, false).version, of("transformers", 12, false).version);
    }

    #[test]
    fn free_threaded_builds_and_versions_beyond_the_lock() {
        assert_eq!(of("tiktoken", 14, true).way, Way::Wheel);
        assert_eq!(of("kitoken", 14, true).way, Way::No);
        let tokenizers = of("tokenizers", 13, true);
        assert_eq!((tokenizers.way, tokenizers.version.as_str()), (Way::Source, "0.22.1"));
        assert_eq!(of("numpy", 13, true).way, Way::No);
        assert_eq!(of("jinja2", 15, false).way, Way::No);
        assert!(!makes_environment(&outlook(&version(13, true))));
    }

    #[test]
    fn what_is_known_of_wheels_is_of_the_versions_in_the_locks() {
        for (package, known, _) in NOT_ON_314T {
            let (optional, lock) =
                OPTIONAL.iter().find(|(name, _)| *name == package).map_or((false, LOCK), |(_, lock)| (true, *lock));
            let pinned = pinned(lock, package, &version(14, true));
            assert_eq!(
                pinned.as_deref(),
                Some(known),
                "the lock (optional: {optional}) has another {package}: look its wheels for cp314t up again"
            );
        }
    }
}
