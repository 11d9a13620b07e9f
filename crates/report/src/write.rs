//! The derived files of a run folder.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use record::results::{Results, RunInfo};

use super::figures::{self, Theme};
use super::{Error, Result, csv, html, markdown};

/// Writes `results.json`, `results.csv`, `report.md`, `report.html` and, with `plots`, `plots/*.svg` and `plots/*.png` into
/// the run folder. Each file is written under a temporary name and renamed, so that a reader never sees half of one and
/// a full disk leaves the old one. The data come first: they must not be lost to a figure that cannot be drawn.
///
/// Returns the paths written, in that order. Fails with a sentence that names the file and the remedy.
pub fn write_all(folder: &Path, results: &Results, run: &RunInfo, plots: bool) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| -> Result<()> {
        let path = folder.join(name);
        replace(&path, bytes)?;
        written.push(path);
        Ok(())
    };
    let mut json =
        serde_json::to_string_pretty(results).map_err(|e| Error::Encode { format: "JSON", message: e.to_string() })?;
    json.push('\n');
    put("results.json", json.as_bytes())?;
    put("results.csv", csv(results)?.as_bytes())?;
    let names = if plots { figures::file_names(results) } else { Vec::new() };
    put("report.md", markdown::render(results, run, &names).as_bytes())?;
    let inline = if plots { figures::inline(results)? } else { Vec::new() };
    put("report.html", html::render(results, run, &inline)?.as_bytes())?;
    if plots {
        let plots = folder.join("plots");
        fs::create_dir_all(&plots).map_err(|e| Error::write(&plots, e))?;
        for named in &names {
            let svg = figures::svg(named.figure, Theme::Light)?;
            put(&format!("plots/{}.svg", named.file), svg.as_bytes())?;
            put(&format!("plots/{}.png", named.file), &figures::png(named.figure)?)?;
        }
    }
    Ok(written)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let result = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    result.map_err(|e| {
        // The half-written file would only take more of the space that is missing.
        let _ = fs::remove_file(&temporary);
        Error::write(path, e)
    })
}
