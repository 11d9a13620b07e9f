//! The four experiments of the fixture.

use record::results::*;

fn column(title: &str, numeric: bool, drop: u8) -> Column {
    Column { title: title.into(), numeric, drop }
}

/// A row from texts; what can be read as a number at its beginning is also what it sorts by.
fn row(group: &str, status: Status, texts: &[&str]) -> Row {
    let values = texts
        .iter()
        .map(|text| CellValue {
            text: (*text).into(),
            sort: text.split([' ', 'x', '%']).next().and_then(|t| t.replace(',', "").parse().ok()),
        })
        .collect();
    Row { values, status, group: group.into() }
}

fn finding(experiment: &str, support: Support, claim: &str, sentence: &str, headline: bool) -> Finding {
    Finding {
        experiment: experiment.into(),
        claim: claim.into(),
        support,
        sentence: sentence.into(),
        cells: vec!["a".into()],
        headline,
    }
}

fn categories(label: &str, names: &[&str]) -> Axis {
    Axis { label: label.into(), log: false, categories: names.iter().map(|n| (*n).into()).collect() }
}

fn axis(label: &str, log: bool) -> Axis {
    Axis { label: label.into(), log, categories: vec![] }
}

/// Points with a relative half-width; 0 for no interval.
fn series(name: &str, points: &[(f64, f64, f64)]) -> Series {
    Series {
        name: name.into(),
        points: points
            .iter()
            .map(|&(x, y, relative)| Point {
                x,
                y,
                lower: (relative > 0.0).then_some(y / (1.0 + relative)),
                upper: (relative > 0.0).then_some(y * (1.0 + relative)),
            })
            .collect(),
        reference: false,
    }
}

fn indexed(name: &str, values: &[f64], relative: f64) -> Series {
    let points: Vec<_> = values.iter().enumerate().map(|(i, v)| (i as f64, *v, relative)).collect();
    series(name, &points)
}

pub fn anatomy() -> ExperimentResult {
    let stacks = [
        "transformers.apply_chat_template + transformers.__call__ (python)",
        "jinja2 + Tokenizer.encode (python)",
        "jinja2 + tiktoken (python)",
        "minijinja + tokenizers (native)",
        "minijinja + a stack that is not there (native)",
    ];
    let shares = Figure {
        id: "anatomy-t1000-n3".into(),
        title: "One request of 1,000 tokens in 3 turns".into(),
        kind: FigureKind::StackedBars,
        x: categories("stack", &stacks),
        y: axis("time per request (ms)", false),
        series: vec![
            indexed("parse", &[0.062, 0.061, 0.063, 0.009], 0.03),
            indexed("template", &[0.412, 0.148, 0.149, 0.058], 0.02),
            indexed("tokenize", &[1.842, 1.311, 0.391, 0.445], 0.04),
            indexed("collate", &[0.088, 0.087, 0.089, 0.002], 0.05),
            indexed("handoff", &[0.031, 0.030, 0.031, 0.004], 0.06),
            Series { reference: true, ..indexed("total, measured as a whole", &[2.55, 1.69, 0.71, 0.53], 0.03) },
        ],
        caption: "Mean time of each stage over 5 runs, one thread, warm; whiskers are 95% intervals across runs. The diamond is the whole pipeline timed as one.".into(),
    };
    let ratios = Figure {
        id: "anatomy-ratios".into(),
        title: "How many times faster than the transformers stack".into(),
        kind: FigureKind::Ratios,
        x: categories(
            "call path",
            &[
                "parse: serde_json",
                "template: jinja2.Template.render",
                "template: minijinja",
                "tokenize: tokenizers.Tokenizer.encode",
                "tokenize: tokenizers.encode_fast",
                "collate: numpy",
                "handoff: msgpack",
            ],
        ),
        y: axis("speed-up over the transformers stack (times)", true),
        series: vec![series(
            "",
            &[
                (0.0, 6.81, 0.05),
                (1.0, 2.78, 0.03),
                (2.0, 7.1, 0.02),
                (3.0, 1.405, 0.04),
                (4.0, 4.14, 0.018),
                (5.0, 0.93, 0.12),
            ],
        )],
        caption: "Paired within runs; bars are 95% intervals. To the right of the line at 1 is faster.".into(),
    };
    let table = Table {
        id: "anatomy-python".into(),
        title: "Python 3.12.1, 1,000 tokens in 3 turns".into(),
        columns: vec![
            column("stage", false, 0),
            column("call path", false, 0),
            column("time/request", true, 0),
            column("share", true, 1),
            column("speed-up", true, 0),
        ],
        rows: vec![
            row("stages", Status::Ok, &["parse", "json + pydantic", "62.1 µs ±3.0%", "2.5%", "1.00x"]),
            row("stages", Status::Ok, &["template", "transformers.apply_chat_template", "412 µs ±2.0%", "16.9%", "1.00x"]),
            row("stages", Status::Error, &["template", "jinja2.Template.render", super::HOSTILE, "", ""]),
            row("stages", Status::Ok, &["tokenize", "transformers.__call__", "1.84 ms ±2.1%", "75.6%", "1.00x"]),
            row("stages", Status::Ok, &["tokenize", "tokenizers.Tokenizer.encode", "1.31 ms ±4.0%", "", "1.41x ±4.0%  "]),
            row("stages", Status::Mismatch, &["tokenize", "tiktoken.Encoding.encode", "391 µs ±1.1%", "", ""]),
            row("stages", Status::Ok, &["collate", "numpy", "88.0 µs ±5.0%", "3.6%", "0.93x ±12% ?"]),
            row("stages", Status::Unavailable, &["collate", "torch.nn.utils.rnn.pad_sequence", "", "", ""]),
            row("stages", Status::Ok, &["handoff", "msgpack 分词 → ids", "31.0 µs ±6.0%", "1.3%", "1.00x ="]),
            row("total", Status::Ok, &["total", "transformers stack", "2.55 ms ±3.0%", "", "1.00x"]),
            row("total", Status::Ok, &["", "  transformers: total minus its stages", "4.5% [2.1, 6.9]", "", ""]),
        ],
        notes: vec![
            "± is the half-width of the 95% interval across runs. share: of the stack's five stages.".into(),
            "speed-up: over the transformers call path of that stage, paired within runs. = is inside the noise floor of 2.3%, ? inconclusive.".into(),
        ],
    };
    ExperimentResult {
        id: 1,
        name: "anatomy".into(),
        question: "Where does the time of one request go before the engine sees its ids?".into(),
        better: "lower".into(),
        method: vec![
            "One request after another on one thread. Each stage is timed alone on inputs made beforehand; the whole pipeline is timed as a whole too, and the difference between the two is shown.".into(),
            "Stages: parse (JSON to validated objects), template (messages to the prompt), tokenize (prompt to ids), collate (ids to padded int64 ids and mask), handoff (ids to the bytes an engine process receives).".into(),
        ],
        threats: vec![
            "A stage alone finds its code and data in the CPU's caches more often than inside the pipeline: the sum of the stages can be below the total.".into(),
            "One thread and no load: what queueing and the GIL add under concurrency is in experiments 3 and 4.".into(),
        ],
        command: "llmbench run preprocessing --quick --exp 1 --seed 7".into(),
        findings: vec![
            finding("anatomy", Support::Supported, "tokenize takes the largest share", "Tokenization takes 75.6% [74.2, 77.0] of a request of 1,000 tokens in the transformers stack, the largest share of its five stages.", true),
            finding("anatomy", Support::Supported, "encode_fast is faster than transformers", "tokenizers.encode_fast in Rust tokenizes 4.14x [4.07, 4.22] as fast as transformers.__call__ in Python.", false),
            finding("anatomy", Support::NotSupported, "the stages add up to the whole", "The whole pipeline takes 4.5% [2.1, 6.9] longer than its stages timed alone.", false),
            finding("anatomy", Support::Inconclusive, "numpy collates faster than Python lists", "The ratio is 0.93x [0.83, 1.04], which reaches across the noise floor of 2.3%; more runs would decide it.", false),
        ],
        tables: vec![table],
        figures: vec![shares, ratios],
        warnings: vec!["One of 15 samples of tokenize was 4.1 times its median and is kept: something else ran; check `llmbench doctor`.".into()],
    }
}

pub fn history_tax() -> ExperimentResult {
    let turns = [1.0, 19.0, 49.0, 99.0, 149.0, 199.0];
    let line = |name: &str, a: f64, b: f64| series(name, &turns.map(|t| (t, a + b * t, 0.025)));
    ExperimentResult {
        id: 2,
        name: "history-tax".into(),
        question: "What does a long chat history cost beyond its tokens?".into(),
        better: "lower".into(),
        method: vec!["time = a + b*messages + c*tokens is fitted in each run by least squares on relative errors.".into()],
        threats: vec!["The template decides the cost of a message: another model's template can be several times dearer or cheaper.".into()],
        command: "llmbench run preprocessing --quick --exp 2 --seed 7".into(),
        findings: vec![finding(
            "history-tax",
            Support::Supported,
            "templating costs more with more turns",
            "With 10,000 tokens in 100 turns instead of 1, the transformers template takes 8.73x [8.41, 9.06] as long; tokenization takes 1.02x [0.99, 1.05].",
            true,
        )],
        tables: vec![Table {
            id: "history-tax-fit".into(),
            title: "Cost of a request, a message and a thousand tokens".into(),
            columns: vec![
                column("stack, stage", false, 0),
                column("a, per request", true, 0),
                column("b, per message", true, 0),
                column("c, per 1,000 tokens", true, 0),
                column("line holds", false, 1),
                column("messages² term", true, 2),
            ],
            rows: vec![
                row("python", Status::Ok, &["transformers, template (python)", "212 µs ±4.1%", "17.3 µs ±1.9%", "3.11 µs ±11%", "yes", "0.01 µs ±140%"]),
                row("python", Status::Ok, &["transformers, tokenize (python)", "88 µs ±31%", "0.4 µs ±180%", "1.81 ms ±1.2%", "yes", "0.00 µs ±210%"]),
                row("python", Status::Timeout, &["transformers, total (python)", "", "", "", "", ""]),
                row("native", Status::Ok, &["minijinja, template (native)", "11.9 µs ±3.0%", "2.62 µs ±1.4%", "1.02 µs ±6.0%", "no", "0.004 µs ±22%"]),
            ],
            notes: vec!["line holds: no, where the lack-of-fit test rejects the straight line at 5%.".into()],
        }],
        figures: vec![Figure {
            id: "history-tax-t10000".into(),
            title: "10,000 tokens in ever more messages".into(),
            kind: FigureKind::Lines,
            x: axis("messages in the conversation", false),
            y: axis("time per request (ms)", true),
            series: vec![
                line("transformers template (python)", 0.4, 0.0173),
                line("transformers tokenize (python)", 18.2, 0.0004),
                line("transformers total (python)", 18.8, 0.0181),
                line("minijinja template (native)", 0.06, 0.00262),
                line("tokenizers.encode_fast tokenize (native)", 4.31, 0.0003),
                line("native total", 4.4, 0.003),
            ],
            caption: "Mean across 5 runs with 95% intervals. The tokens are the same at every point.".into(),
        }],
        warnings: vec![],
    }
}

pub fn gpu_wait() -> ExperimentResult {
    ExperimentResult {
        id: 3,
        name: "gpu-wait".into(),
        question: "How long does a GPU wait for a batch to be ready, and do threads shorten it?".into(),
        better: "lower".into(),
        method: vec!["A batch of requests is prepared by a pool of long-lived threads.".into()],
        threats: vec!["The next batch always starts from an idle pool.".into()],
        command: "llmbench run preprocessing --quick --exp 3 --seed 7".into(),
        findings: vec![finding(
            "gpu-wait",
            Support::Inconclusive,
            "threads shorten the wait in Python",
            "From 1 to 2 threads the wait for a batch of 64 falls from 163 ms to 158 ms, 1.03x [0.98, 1.09], which the noise floor of 2.1% does not let pass as a difference.",
            true,
        )],
        tables: vec![Table {
            id: "gpu-wait".into(),
            title: "A batch of 64 requests of 1,000 tokens".into(),
            columns: vec![
                column("pool", false, 0),
                column("threads", true, 0),
                column("wait", true, 0),
                column("requests/s", true, 0),
                column("speed-up", true, 1),
                column("100,000 requests", true, 2),
            ],
            rows: vec![
                row("python", Status::Ok, &["ThreadPoolExecutor, stages (python)", "1", "163 ms [161, 166]", "392 [386, 398]", "1.00x", "4.25 min [4.19, 4.32]"]),
                row("python", Status::Ok, &["ThreadPoolExecutor, stages (python)", "2", "158 ms [150, 167]", "405 [383, 427]", "1.03x [0.98, 1.09] ?", "4.12 min [3.91, 4.35]"]),
                row("python", Status::Ok, &["ThreadPoolExecutor, stages (python)", "4", "171 ms [160, 183]", "374 [350, 400]", "0.95x [0.89, 1.02] ?", "4.45 min [4.17, 4.77]"]),
                row("native", Status::Ok, &["rayon, stages (native)", "1", "33.2 ms [32.9, 33.5]", "1,930 [1,910, 1,950]", "1.00x", "51.9 s [51.4, 52.3]"]),
                row("native", Status::Ok, &["rayon, stages (native)", "2", "17.4 ms [17.0, 17.9]", "3,680 [3,580, 3,760]", "1.91x [1.85, 1.97]", "27.2 s [26.6, 28.0]"]),
                row("native", Status::Ok, &["rayon, stages (native)", "4", "17.6 ms [17.1, 18.1]", "3,640 [3,540, 3,740]", "1.89x [1.83, 1.94]", "27.5 s [26.7, 28.3]"]),
            ],
            notes: vec!["speed-up: over the same pool with one thread, paired within runs. ? inconclusive.".into()],
        }],
        figures: vec![
            Figure {
                id: "gpu-wait".into(),
                title: "Time until a batch of 64 is ready".into(),
                kind: FigureKind::GroupedBars,
                x: categories("threads", &["1", "2", "4"]),
                y: axis("time until the batch is ready (ms)", false),
                series: vec![
                    indexed("Python, stages with a barrier", &[163.0, 158.0, 171.0], 0.06),
                    indexed("Python, request by request", &[161.0, 160.0, 168.0], 0.05),
                    indexed("Rust, stages with a barrier", &[33.2, 17.4, 17.6], 0.03),
                    indexed("Rust, request by request", &[33.0, 16.9, 17.2], 0.02),
                ],
                caption: "Mean across 5 runs with 95% intervals. The machine has 2 effective cores; 4 threads are oversubscribed.".into(),
            },
            Figure {
                id: "gpu-wait-pools".into(),
                title: "Requests per second by pool".into(),
                kind: FigureKind::GroupedBars,
                x: categories(
                    "pool",
                    &["transformers.apply_chat_template in a ThreadPoolExecutor", "jinja2 in a ThreadPoolExecutor", "minijinja on rayon", "a pool that was not there"],
                ),
                y: axis("requests per second (requests/s)", true),
                series: vec![indexed("1 thread", &[392.0, 551.0, 1930.0], 0.03), indexed("2 threads", &[405.0, 560.0, 3680.0], 0.08)],
                caption: "95% intervals.".into(),
            },
        ],
        warnings: vec![],
    }
}

pub fn gil_scaling() -> ExperimentResult {
    let threads = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
    let line = |name: &str, values: [f64; 6]| {
        let points: Vec<_> =
            threads.iter().zip(values).map(|(t, v)| (*t, v, if *t == 1.0 { 0.0 } else { 0.04 })).collect();
        series(name, &points)
    };
    ExperimentResult {
        id: 4,
        name: "gil-scaling".into(),
        question: "Which call paths get faster with more threads, and which does the GIL keep at one core?".into(),
        better: "higher".into(),
        method: vec!["Long-lived threads start at a barrier and call for a fixed window; completed calls are counted.".into()],
        threats: vec!["Points beyond the effective cores are oversubscribed and not fitted.".into()],
        command: "llmbench run preprocessing --quick --exp 4 --seed 7".into(),
        findings: vec![
            finding("gil-scaling", Support::NotSupported, "Tokenizer.encode scales over threads", "Tokenizer.encode does not scale: 8 threads complete 1.04x [1.01, 1.07] the calls of one, while the native control completes 6.92x [6.71, 7.14].", true),
            finding("gil-scaling", Support::Supported, "encode_batch scales over threads", "Tokenizer.encode_batch scales: 6.55x [6.31, 6.80] at 8 threads, 0.95x [0.91, 0.98] of the native control.", false),
        ],
        tables: vec![],
        figures: vec![Figure {
            id: "gil-scaling-tokenize".into(),
            title: "Speed-up of tokenization over threads".into(),
            kind: FigureKind::Lines,
            x: axis("threads", true),
            y: axis("speed-up over one thread (times)", true),
            series: vec![
                line("tokenizers.encode (native)", [1.0, 1.98, 3.88, 6.92, 7.0, 6.9]),
                line("Tokenizer.encode_batch (python)", [1.0, 1.94, 3.71, 6.55, 6.6, 6.3]),
                line("transformers.__call__ (python)", [1.0, 1.81, 3.3, 5.2, 5.0, 4.6]),
                line("Tokenizer.encode (python)", [1.0, 1.03, 1.04, 1.04, 1.02, 0.97]),
                line("tiktoken.Encoding.encode (python)", [1.0, 1.9, 3.6, 6.4, 6.5, 6.2]),
                line("transformers.apply_chat_template (python)", [1.0, 0.98, 0.97, 0.95, 0.93, 0.9]),
                Series { reference: true, ..series("ideal", &[(1.0, 1.0, 0.0), (8.0, 8.0, 0.0)]) },
            ],
            caption: "Paired within runs, 95% intervals, 1,000 tokens a request. 8 effective cores; points beyond them are oversubscribed.".into(),
        }],
        warnings: vec![],
    }
}
