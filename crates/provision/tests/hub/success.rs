//! Downloads that succeed, at once or in the end.

use std::fs;

use crate::fixture::*;
use crate::server::{Reply, Send, Server};

#[test]
fn the_three_files_are_fetched_and_the_token_stays_with_the_hub() {
    let (hub, cdn) = working();
    let place = Place::new(&hub.url);
    let model = place.open("o/n").unwrap();
    assert_eq!(model.identity.name, "o/n");
    assert_eq!(model.commit.as_deref(), Some(COMMIT));
    assert_eq!(model.notes, [""; 0]);
    let read = |name: &str| fs::read_to_string(model.paths.dir.join(name)).unwrap();
    assert_eq!(read("tokenizer.json"), tokenizer());
    assert_eq!(read("chat_template.jinja"), TEMPLATE);

    let at = format!("/o/n/resolve/{COMMIT}");
    let expected = [
        "HEAD /o/n/resolve/main/tokenizer.json".to_owned(),
        format!("GET {at}/tokenizer.json"),
        format!("HEAD {at}/tokenizer_config.json"),
        format!("GET {at}/tokenizer_config.json"),
        format!("HEAD {at}/chat_template.jinja"),
        format!("GET {at}/chat_template.jinja"),
    ];
    assert_eq!(hub.lines(), expected);
    assert_eq!(cdn.lines(), ["GET /blob?Signature=abc"]);
    let bearer = format!("Bearer {TOKEN}");
    assert!(hub.asked().iter().all(|a| a.header("authorization") == Some(&bearer)));
    assert!(cdn.asked().iter().all(|a| a.headers.iter().all(|(_, v)| !v.contains(TOKEN))));
    for (path, bytes) in all_files(place.tmp.path()) {
        let held = bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes());
        assert!(!held, "the token is in {}", path.display());
    }
}

#[test]
fn the_cache_is_laid_out_as_huggingface_hub_does() {
    let (hub, _cdn) = working();
    let place = Place::new(&hub.url);
    place.open("o/n").unwrap();
    let repo = place.repo();
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    let pointer = repo.join("snapshots").join(COMMIT).join("tokenizer.json");
    let target = fs::read_link(pointer).unwrap();
    assert_eq!(target.to_str().unwrap(), format!("../../blobs/{}", sha256(tokenizer().as_bytes())));
    let mut blobs: Vec<_> =
        fs::read_dir(repo.join("blobs")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    blobs.sort();
    let mut expected = vec![sha256(tokenizer().as_bytes()), git_hash(CONFIG.as_bytes()), git_hash(TEMPLATE.as_bytes())];
    expected.sort();
    assert_eq!(blobs, expected);
}

#[test]
fn what_is_in_the_cache_is_not_fetched_again() {
    let (hub, cdn) = working();
    let place = Place::new(&hub.url);
    let first = place.open("o/n").unwrap();
    let before = hub.lines().len();
    assert_eq!(place.open("o/n").unwrap().identity.sha256, first.identity.sha256);
    let later = &hub.lines()[before..];
    assert!(later.iter().all(|line| line.starts_with("HEAD ")), "{later:?}");
    assert_eq!(cdn.lines().len(), 1);
    // A commit that is here completely cannot change: nothing is asked.
    let before = hub.lines().len();
    place.open(&format!("o/n@{COMMIT}")).unwrap();
    assert_eq!(hub.lines().len(), before);
}

#[test]
fn a_cache_that_another_program_filled_serves_offline() {
    let mut place = Place::new("http://127.0.0.1:9");
    place.config.offline = true;
    let snapshot = place.repo().join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(place.repo().join("refs")).unwrap();
    fs::write(place.repo().join("refs/main"), COMMIT).unwrap();
    fs::write(snapshot.join("tokenizer.json"), tokenizer()).unwrap();
    fs::write(snapshot.join("tokenizer_config.json"), CONFIG).unwrap();
    for value in ["o/n".to_owned(), format!("o/n@{COMMIT}")] {
        let model = place.open(&value).unwrap();
        assert_eq!(model.commit.as_deref(), Some(COMMIT));
        assert_eq!(fs::read_to_string(model.paths.dir.join("chat_template.jinja")).unwrap(), "{{ x }}");
    }
    let e = place.error("o/n@v2");
    assert!(e.contains("o/n at `v2` is not in the hub's cache") && e.contains("HF_HUB_OFFLINE"), "{e}");
}

#[test]
fn a_revision_with_slashes() {
    let (hub, _cdn) = working();
    let place = Place::new(&hub.url);
    assert_eq!(place.open("o/n@refs/pr/1").unwrap().identity.name, "o/n@refs/pr/1");
    assert_eq!(hub.lines()[0], "HEAD /o/n/resolve/refs%2Fpr%2F1/tokenizer.json");
    assert_eq!(fs::read_to_string(place.repo().join("refs/refs/pr/1")).unwrap(), COMMIT);
}

#[test]
fn without_a_template_file_the_config_counts_and_the_lack_is_remembered() {
    let cdn = Server::start(|asked, _| cdn_reply(asked));
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, _| match asked.path.ends_with("chat_template.jinja") {
        true => missing("EntryNotFound"),
        false => hub_reply(asked, &url),
    });
    let place = Place::new(&hub.url);
    let model = place.open("o/n").unwrap();
    assert_eq!(fs::read_to_string(model.paths.dir.join("chat_template.jinja")).unwrap(), "{{ x }}");
    assert!(place.repo().join(".no_exist").join(COMMIT).join("chat_template.jinja").exists());
    let before = hub.lines().len();
    place.open(&format!("o/n@{COMMIT}")).unwrap();
    assert_eq!(hub.lines().len(), before);
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let cdn = Server::start(|asked, _| cdn_reply(asked));
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, _| match asked.path.strip_prefix("/old/") {
        Some(rest) => Reply::new(307).header("Location", format!("/o/{rest}")),
        None => hub_reply(asked, &url),
    });
    Place::new(&hub.url).open("old/n").unwrap();
    let asked = hub.asked();
    assert!(asked.iter().any(|a| a.path.starts_with("/o/n/")));
    assert!(asked.iter().all(|a| a.header("authorization").is_some()));
}

#[test]
fn a_mirror_that_sends_us_elsewhere_keeps_the_token() {
    let (real, _cdn) = working();
    let url = real.url.clone();
    let mirror = Server::start(move |asked, _| Reply::new(308).header("Location", format!("{url}{}", asked.path)));
    Place::new(&mirror.url).open("o/n").unwrap();
    assert!(mirror.asked().iter().all(|a| a.header("authorization").is_some()));
    assert!(real.asked().iter().all(|a| a.header("authorization").is_none()));
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let (hub, cdn) = with_cdn(&[Send::Cut(50_000), Send::Cut(30_000)]);
    let place = Place::new(&hub.url);
    let model = place.open("o/n").unwrap();
    assert_eq!(fs::read_to_string(model.paths.dir.join("tokenizer.json")).unwrap(), tokenizer());
    let ranges: Vec<_> = cdn.asked().iter().map(|a| a.header("range").map(str::to_owned)).collect();
    let expected = [None, Some("bytes=50000-".to_owned()), Some("bytes=80000-".to_owned())];
    assert_eq!(ranges, expected);
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let (hub, cdn) = working();
    let place = Place::new(&hub.url);
    let blobs = place.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(tokenizer().as_bytes())));
    fs::write(&part, "not the beginning").unwrap();
    let model = place.open("o/n").unwrap();
    assert_eq!(fs::read_to_string(model.paths.dir.join("tokenizer.json")).unwrap(), tokenizer());
    assert_eq!(cdn.lines().len(), 2, "once for the rest, and once for all of it");
    assert!(!part.exists());
}

#[test]
fn two_at_once_fetch_once() {
    let (hub, cdn) = working();
    let place = Place::new(&hub.url);
    std::thread::scope(|s| {
        let both = [s.spawn(|| place.open("o/n")), s.spawn(|| place.open("o/n"))];
        for one in both {
            one.join().unwrap().unwrap();
        }
    });
    assert_eq!(cdn.lines().len(), 1);
}

#[test]
fn a_server_that_fails_for_a_moment_is_asked_again() {
    let cdn = Server::start(|asked, n| if n < 1 { Reply::new(502) } else { cdn_reply(asked) });
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, n| match n {
        0 => Reply::new(503).header("Retry-After", 0),
        1 => Reply::new(429).header("Retry-After", 0),
        _ => hub_reply(asked, &url),
    });
    Place::new(&hub.url).open("o/n").unwrap();
}

#[test]
fn a_hub_that_is_away_leaves_the_cache() {
    let (hub, _cdn) = working();
    let mut place = Place::new(&hub.url);
    let first = place.open("o/n").unwrap();
    for away in [always(Reply::new(500)).url, "http://127.0.0.1:9".to_owned()] {
        place.config.endpoint = away;
        let model = place.open("o/n").unwrap();
        assert_eq!(model.identity, first.identity);
        assert!(
            model.notes[0].starts_with("The copy of o/n in the hub's cache is used, because "),
            "{:?}",
            model.notes
        );
    }
}
