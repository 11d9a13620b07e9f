//! What a run ends with: results, the files of the report, and the exit code.

use record::folder::RunFolder;
use record::measurements::Measurements;
use record::results::{ExperimentResult, Record, Results, RunInfo, Status};

use super::exit::{Exit, Failure};
use suites::{Suite, analysis};

/// The sentence for a disk that was full before all runs were made.
pub fn disk_full(folder: &RunFolder, suite: &str) -> String {
    let kept = match Measurements::read(folder).map(|measurements| measurements.runs.len()) {
        Ok(0) | Err(_) => "no run was complete".to_owned(),
        Ok(1) => "1 complete run is kept".to_owned(),
        Ok(runs) => format!("{runs} complete runs are kept"),
    };
    format!(
        "no space is left on the disk for {}: {kept}; free some space and go on with: llmbench run {suite} --resume {}",
        folder.samples_path().display(),
        folder.path().display()
    )
}

/// Results of a run folder, computed from its samples.
///
/// # Errors
/// When the folder cannot be read.
pub fn analyse(suite: &dyn Suite, folder: &RunFolder) -> Result<(RunInfo, Results), Failure> {
    let info = folder.read_info().map_err(Failure::usage)?;
    let measurements = Measurements::read(folder).map_err(Failure::usage)?;
    let results = analysis::analyse(suite, &info, &measurements);
    Ok((info, results))
}

/// Writes results, figures and report.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &RunFolder, info: &RunInfo, results: &Results, plots: bool) -> Result<(), Failure> {
    report::write_all(folder.path(), results, info, plots).map_err(Failure::usage)?;
    Ok(())
}

/// Experiments that measured and may use nothing of it, a sentence each: no cell has a figure without being INVALID.
pub fn useless(results: &Results) -> Vec<String> {
    let of = |result: &ExperimentResult| {
        let rows = || results.records.iter().filter(|record| record.experiment_id == result.id);
        let invalid = || rows().filter(|record| record.status == Status::Invalid);
        let why = invalid().next()?;
        let has_figure =
            |record: &&Record| matches!(record.status, Status::Ok | Status::Unchecked) && record.estimate.is_some();
        let is_usable = |record: &Record| !invalid().any(|bad| bad.cell_id == record.cell_id);
        let reason = why.error.as_deref().unwrap_or("a rule of the method says so");
        let sentence = || {
            format!(
                "{} {} found nothing, because every point is INVALID; {}: {reason}",
                result.id, result.name, why.cell_id
            )
        };
        (!rows().filter(has_figure).any(is_usable)).then(sentence)
    };
    results.experiments.iter().filter_map(of).collect()
}

/// The exit code that the rows ask for. In experiments that compare engines a mismatch is a result; here engines must agree.
pub fn exit(suite: &dyn Suite, info: &RunInfo, results: &Results) -> Exit {
    let any = |wanted: &[Status]| results.records.iter().any(|record| wanted.contains(&record.status));
    let compares_engines = |record: &Record| {
        suite.spec().experiments.iter().any(|spec| spec.name == record.experiment && spec.mismatch_is_result)
    };
    let disagree = results.records.iter().any(|record| record.status == Status::Mismatch && !compares_engines(record));
    let required_missing =
        info.plan.subjects.iter().any(|subject| subject.unavailable.as_ref().is_some_and(|u| u.required));
    if disagree {
        Exit::Mismatch
    } else if required_missing || any(&[Status::Error, Status::Timeout]) || !useless(results).is_empty() {
        Exit::CellsFailed
    } else {
        Exit::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::results::Estimate;
    use serde_json::json;

    fn result(id: u32, name: &str) -> ExperimentResult {
        serde_json::from_value(json!({
            "id": id, "name": name, "question": "", "better": "lower", "method": [], "threats": [], "command": "", "findings": [],
            "tables": [], "figures": [], "warnings": []
        }))
        .unwrap()
    }

    fn row(experiment_id: u32, cell: &str, status: Status) -> Record {
        let estimate: Estimate = serde_json::from_value(json!({
            "point": 1.0, "lower": null, "upper": null, "level": 0.95, "method": "log-t", "runs": 1, "samples": 1
        }))
        .unwrap();
        let mut record: Record = serde_json::from_value(json!({
            "schema": 1, "run_id": "r", "suite": "serving", "experiment_id": experiment_id, "experiment": "", "cell_id": cell,
            "subject": "", "engine": "", "engine_version": "", "call_path": "", "strategy": "", "workers": 1, "interpreter": "",
            "gil": "", "cache": "", "model_sha": "", "workload_sha": "", "axes": {}, "stage": "", "metric": "", "unit": "",
            "estimate": null, "baseline_cell_id": null, "verdict": null, "status": "ok", "error": "the client was late"
        }))
        .unwrap();
        record.status = status;
        record.estimate = Some(estimate);
        record
    }

    fn results(records: Vec<Record>) -> Results {
        let experiments = vec![result(1, "latency-wall"), result(2, "prefix-cache")];
        Results { schema: 1, run_id: "r".to_owned(), suite: "serving".to_owned(), experiments, records }
    }

    #[test]
    fn an_experiment_whose_every_point_is_invalid_found_nothing() {
        let fine = row(2, "c", Status::Ok);
        // A count of the same cell may stand; its latencies may not.
        let all =
            vec![row(1, "a", Status::Invalid), row(1, "a", Status::Ok), row(1, "b", Status::Invalid), fine.clone()];
        let sentences = useless(&results(all));
        assert_eq!(sentences.len(), 1);
        assert!(
            sentences[0].starts_with("1 latency-wall") && sentences[0].ends_with("the client was late"),
            "{sentences:?}"
        );
        assert!(useless(&results(vec![row(1, "a", Status::Invalid), row(1, "b", Status::Ok), fine])).is_empty());
        // What failed has an exit code of its own.
        assert!(useless(&results(vec![row(1, "a", Status::Error)])).is_empty());
    }
}
