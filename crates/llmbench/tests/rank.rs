//! `llmbench rank` and experiment 7 on made-up runs whose truth is known.

#[path = "rank/fixture.rs"]
mod fixture;

use assert_cmd::Command;
use fixture::{World, cell_of};
use llmbench::cli::rank::{Question, Ranking, ranking};
use pipeline::{Exit, results as outcome};
use record::results::{ExperimentResult, Results, Status, Support};
use suites::analysis;

fn question() -> Question {
    Question { experiment: "engines".to_owned(), op: "tokenize".to_owned(), baseline: None, subject: None }
}

fn analysed(world: &World) -> Results {
    analysis::analyse(suites::find("preprocessing").unwrap().as_ref(), &world.info, &world.measurements)
}

fn engines(results: &Results) -> &ExperimentResult {
    results.experiments.iter().find(|experiment| experiment.name == "engines").unwrap()
}

fn rank(world: &World, question: &Question) -> Result<Ranking, String> {
    ranking(&world.info.run_id, &world.info.plan, &world.measurements, question)
}

fn ratio_of(ranking: &Ranking, name: &str) -> f64 {
    let ranked = ranking.ranked.iter().find(|ranked| ranked.who.to_string() == name);
    ranked.unwrap_or_else(|| panic!("{name} is not ranked: {:?}", ranking.engines_left_out)).time_ratio.point
}

#[test]
fn an_engine_that_is_quadratic_is_found_and_no_other_is() {
    let world = World::new();
    let results = analysed(&world);
    let steep: Vec<&str> = engines(&results)
        .findings
        .iter()
        .filter(|finding| finding.support == Support::Supported)
        .map(|finding| finding.sentence.as_str())
        .filter(|sentence| sentence.contains("quadratic") || sentence.contains("superlinear"))
        .collect();
    assert_eq!(steep.len(), 1, "{steep:?}");
    assert!(steep[0].starts_with("kitoken.encode (Rust) is quadratic on long-word"), "{}", steep[0]);
    for record in results.records.iter().filter(|record| record.metric == "size_exponent") {
        let truth = if record.engine == "kitoken" && record.subject == "native" && record.axes["kind"] == "long-word" {
            2.0
        } else {
            1.0
        };
        let estimate = record.estimate.as_ref().unwrap();
        assert!((estimate.point - truth).abs() < 0.02, "{}: {}", record.cell_id, estimate.point);
        assert!(estimate.lower.unwrap() <= truth + 0.01 && truth - 0.01 <= estimate.upper.unwrap());
    }
}

#[test]
fn the_fastest_engine_of_a_kind_is_named_with_the_runner_up() {
    let results = analysed(&World::new());
    let headline = engines(&results).findings.iter().find(|finding| finding.headline).unwrap();
    assert_eq!(headline.support, Support::Supported, "{}", headline.sentence);
    assert!(headline.sentence.starts_with("On english texts of 100 kB the fastest is fastokens.encode (Rust)"));
    assert!(headline.sentence.contains("hf-tokenizers-rc.encode (Rust)"), "{}", headline.sentence);
    // Twenty times the reference, by the fixture.
    let over = results.records.iter().find(|record| {
        record.metric == "time_ratio" && record.engine == "fastokens" && record.axes["kind"] == "english"
    });
    assert!((over.unwrap().estimate.as_ref().unwrap().point - 1.0 / 20.0).abs() < 0.002);
}

#[test]
fn a_mismatch_is_a_result_that_is_named_not_ranked_and_no_failure() {
    let world = World::new().differing("kitoken", "emoji").read();
    let results = analysed(&world);
    let named = engines(&results).findings.iter().find(|f| f.claim.starts_with("all engines give")).unwrap();
    assert_eq!(named.support, Support::NotSupported);
    assert!(named.sentence.contains("kitoken.encode (Rust) on emoji"), "{}", named.sentence);
    assert!(named.sentence.contains("at id 3: [1, 2] here, [1, 9] there"), "{}", named.sentence);
    let emoji: Vec<_> = results
        .records
        .iter()
        .filter(|record| record.engine == "kitoken" && record.axes.get("kind").is_some_and(|kind| kind == "emoji"))
        .collect();
    assert!(emoji.iter().all(|record| record.status == Status::Mismatch && record.metric != "time_ratio"));
    assert!(emoji.iter().any(|record| record.metric == "throughput" && record.estimate.is_some()));
    let suite = suites::find("preprocessing").unwrap();
    assert_eq!(outcome::exit(suite.as_ref(), &world.info, &results), Exit::Success);
    // In an experiment where engines must agree the same row ends the run with 101.
    let mut elsewhere = results.clone();
    for record in &mut elsewhere.records {
        record.experiment = "anatomy".to_owned();
    }
    assert_eq!(outcome::exit(suite.as_ref(), &world.info, &elsewhere), Exit::Mismatch);
}

#[test]
fn without_a_mismatch_all_engines_are_said_to_agree() {
    let results = analysed(&World::new());
    let named = engines(&results).findings.iter().find(|f| f.claim.starts_with("all engines give")).unwrap();
    assert_eq!(named.support, Support::Supported, "{}", named.sentence);
}

#[test]
fn the_geometric_mean_is_that_of_the_truth() {
    let world = World::new();
    let ranking = rank(&world, &Question { subject: Some("native".to_owned()), ..question() }).unwrap();
    assert_eq!(ranking.baseline.to_string(), "native:hf-tokenizers/encode");
    // Seven kinds at two sizes, two for correctness, and English at 10 kB.
    assert_eq!(ranking.points.len(), 17);
    assert!(ranking.points_left_out.is_empty() && ranking.engines_left_out.is_empty());
    assert_eq!(ratio_of(&ranking, "native:hf-tokenizers/encode"), 1.0);
    assert!((ratio_of(&ranking, "native:fastokens/encode") * 20.0 - 1.0).abs() < 0.02);
    assert_eq!(ranking.ranked[0].who.engine, "fastokens");
    // One point of 17 has 100 times the time: 100^(1/17).
    let kitoken = ratio_of(&ranking, "native:kitoken/encode");
    assert!((kitoken * 4.0 / 100_f64.powf(1.0 / 17.0) - 1.0).abs() < 0.02, "{kitoken}");
    for ranked in &ranking.ranked {
        assert_eq!(ranked.time_ratio.runs, 5);
        assert!(ranked.time_ratio.lower.unwrap() <= ranked.time_ratio.point);
    }
}

#[test]
fn another_baseline_divides_all_ratios() {
    let world = World::new();
    let native = Question { subject: Some("native".to_owned()), ..question() };
    let by_rc = rank(&world, &Question { baseline: Some("hf-tokenizers-rc".to_owned()), ..native }).unwrap();
    assert_eq!(ratio_of(&by_rc, "native:hf-tokenizers-rc/encode"), 1.0);
    assert!((ratio_of(&by_rc, "native:hf-tokenizers/encode") - 15.0).abs() < 0.3);
}

#[test]
fn a_text_that_a_ranked_engine_got_wrong_is_left_out_for_all_and_named() {
    let world = World::new().differing("kitoken", "emoji").read();
    let ranking = rank(&world, &Question { subject: Some("native".to_owned()), ..question() }).unwrap();
    assert_eq!(ranking.points.len(), 15);
    assert!(!ranking.points.iter().any(|point| point.contains("emoji")));
    assert_eq!(ranking.points_left_out.len(), 2);
    for out in &ranking.points_left_out {
        assert!(out.what.starts_with("corpus-emoji-"), "{out:?}");
        assert!(out.reason.contains("native:kitoken/encode differs from the reference"), "{out:?}");
    }
    ratio_of(&ranking, "native:kitoken/encode");
}

#[test]
fn an_engine_that_is_wrong_nearly_everywhere_is_left_out_itself() {
    let mut world = World::new();
    for kind in fixture::KINDS {
        world = world.differing("bpe", kind);
    }
    let world = world.read();
    let ranking = rank(&world, &Question { subject: Some("native".to_owned()), ..question() }).unwrap();
    assert_eq!(ranking.points.len(), 17, "{:?}", ranking.points_left_out);
    assert_eq!(ranking.engines_left_out.len(), 1);
    assert_eq!(ranking.engines_left_out[0].what, "native:bpe/encode_via_backtracking");
    assert!(ranking.engines_left_out[0].reason.contains("passed 2 of 17 points: differs"));
    assert!(ranking.ranked.iter().all(|ranked| ranked.who.engine != "bpe"));
}

#[test]
fn python_engines_of_a_quick_run_leave_the_others_their_texts() {
    let world = World::new();
    let all = rank(&world, &question()).unwrap();
    assert_eq!(all.points.len(), 17);
    assert!(all.ranked.iter().all(|ranked| ranked.who.subject == "native"));
    assert!(all.engines_left_out.iter().any(|out| out.what == "python:tiktoken/encode"));
    let python = rank(&world, &Question { subject: Some("python".to_owned()), ..question() }).unwrap();
    assert_eq!(python.points.len(), 5, "two kinds at two sizes, and English at 10 kB");
    assert_eq!(python.ranked.last().unwrap().who.to_string(), "python:hf-tokenizers/encode");
    let missing = python.engines_left_out.iter().find(|out| out.what == "python:gigatoken/encode").unwrap();
    assert!(missing.reason.contains("is not to be had here (pip install gigatoken)"), "{missing:?}");
}

#[test]
fn what_cannot_be_ranked_is_said_with_a_remedy() {
    let world = World::new();
    let refused = |question: &Question| rank(&world, question).unwrap_err();
    let ambiguous = refused(&Question { baseline: Some("hf-tokenizers".to_owned()), ..question() });
    assert!(ambiguous.contains("name one") && ambiguous.contains("native:hf-tokenizers/encode_fast"), "{ambiguous}");
    let unknown = refused(&Question { baseline: Some("klingon".to_owned()), ..question() });
    assert!(unknown.contains("no engine `klingon`"), "{unknown}");
    let absent = refused(&Question { experiment: "engine".to_owned(), ..question() });
    assert!(absent.contains("did you mean `engines`") && absent.contains("--exp"), "{absent}");
}

#[test]
fn templates_are_ranked_by_transformers() {
    let world = World::new();
    let ranking = rank(&world, &Question { op: "template".to_owned(), ..question() }).unwrap();
    assert_eq!(ranking.baseline.to_string(), "python:transformers/apply_chat_template");
    assert_eq!(ranking.points, ["words-t1000-n3"]);
    assert_eq!(ranking.ranked[0].who.to_string(), "native:minijinja/render");
}

#[test]
fn the_verb_prints_a_table_of_eighty_columns_or_json() {
    let world = World::new().differing("kitoken", "emoji").read();
    let verb = |more: &[&str]| {
        let output =
            Command::cargo_bin("llmbench").unwrap().arg("rank").arg(world.folder()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = verb(&["--subject", "native"]);
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
    assert!(text.contains("fastokens/encode") && text.contains("corpus-emoji-b1000"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&verb(&["--json"])).unwrap();
    assert_eq!(json["ranked"][0]["engine"], "fastokens");
    assert!(json["points_left_out"][0]["reason"].as_str().unwrap().contains("kitoken"));
    let refused = Command::cargo_bin("llmbench").unwrap().args(["rank", "nowhere"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn no_row_is_drawn_for_what_was_not_measured() {
    let world = World::new();
    let results = analysed(&world);
    let missing = cell_of(&world.info.plan, "python", "gigatoken", "english", 1000);
    let record = results.records.iter().find(|record| record.cell_id == missing).unwrap();
    assert_eq!((record.status, record.estimate.is_none()), (Status::Unavailable, true));
    for figure in &engines(&results).figures {
        assert!(figure.x.categories.iter().all(|name| !name.contains("gigatoken")), "{}", figure.id);
    }
}
