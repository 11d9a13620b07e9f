//! The key that a server wants: read from the environment, and sent only where nobody on the way can read it.

use loadgen::serving::target::{Place, Target};

/// An API key and the variable it was read from. It has no `Debug` and no `Display`: the value is shown nowhere.
#[derive(Clone)]
pub struct Key {
    value: String,
    variable: String,
}

impl Key {
    /// The key in this variable of the environment for this server; None where there is no such variable, or nothing in it.
    ///
    /// # Errors
    /// A sentence with the remedies: the server is on another machine and is spoken with in plain text. `insecure` allows that.
    pub fn read(variable: &str, target: &Target, insecure: bool) -> Result<Option<Self>, String> {
        Self::of(std::env::var(variable).ok(), variable, target, insecure)
    }

    fn of(value: Option<String>, variable: &str, target: &Target, insecure: bool) -> Result<Option<Self>, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        if !insecure && !is_unreadable(target) {
            return Err(format!(
                "the key in {variable} would go to {target} in plain text, and everybody on the way can read it: give an https:// address, \
                 send no key (--api-key-env NONE, where there is no such variable), or allow it with --insecure-key"
            ));
        }
        Ok(Some(Self { value, variable: variable.to_owned() }))
    }

    /// What is sent.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Which variable is used, and for which host.
    pub fn note(&self, target: &Target) -> String {
        format!("the key in {} is sent to {}", self.variable, target.host().unwrap_or("the socket"))
    }
}

/// Whether what is sent stays on this machine or is encrypted.
fn is_unreadable(target: &Target) -> bool {
    target.is_local() || matches!(target.place, Place::Tcp { tls: true, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Option<&str>, url: &str, insecure: bool) -> Result<Option<Key>, String> {
        Key::of(value.map(str::to_owned), "MY_KEY", &url.parse().unwrap(), insecure)
    }

    #[test]
    fn a_key_leaves_this_machine_encrypted_or_by_permission() {
        for url in [
            "http://127.0.0.1:8000",
            "http://[::1]:1",
            "http://localhost",
            "unix:/run/a.sock",
            "https://api.example.com",
        ] {
            assert!(read(Some("sk-1"), url, false).unwrap().is_some_and(|key| key.value() == "sk-1"), "{url}");
        }
        for url in ["http://10.0.0.7:8000", "http://example.com/v1", "http://localhost.example.com"] {
            let sentence = read(Some("sk-1"), url, false).err().unwrap();
            assert!(
                sentence.contains("MY_KEY") && sentence.contains("--insecure-key") && !sentence.contains("sk-1"),
                "{sentence}"
            );
            assert!(read(Some("sk-1"), url, true).unwrap().is_some(), "{url}");
            assert!(
                read(None, url, false).unwrap().is_none() && read(Some(""), url, false).unwrap().is_none(),
                "{url}"
            );
        }
    }

    #[test]
    fn the_note_names_the_variable_and_the_host() {
        let key = read(Some("sk-1"), "https://api.example.com:8443/x", false).unwrap().unwrap();
        let note = key.note(&"https://api.example.com:8443/x".parse().unwrap());
        assert_eq!(note, "the key in MY_KEY is sent to api.example.com");
    }
}
