//! From measurements to results: a pure function of what stands in the run folder.

use benchstats::Scale;
use record::measurements::Measurements;
use record::plan::{Cell, Plan};
use record::results::{ExperimentResult, Record, Results, RunInfo};

use super::house::comparison::{Comparison, Quantity};
use super::house::floor::Floor;
use super::house::input::{AnalysisInput, Said};
use super::house::judged::{self, Judged};
use super::house::point::{self, Point};
use super::house::rows::Rows;
use super::house::status;
use super::planning::settings_of;
use super::settings::ExperimentSettings;
use super::spec::ExperimentSpec;
use super::{Experiment, Suite, present};
use record::format;

/// Noise above this is a warning of its own.
const LOUD: f64 = 0.05;

/// Everything that the suite's experiments say about the measurements.
pub fn analyse(suite: &dyn Suite, info: &RunInfo, measurements: &Measurements) -> Results {
    let plan = &info.plan;
    let mut results = Results {
        schema: record::SCHEMA,
        run_id: info.run_id.clone(),
        suite: plan.suite.clone(),
        experiments: Vec::new(),
        records: Vec::new(),
    };
    for experiment in suite.experiments() {
        let Some(settings) = settings_of(plan, experiment.name()) else { continue };
        let Some(spec) = suite.spec().experiments.iter().find(|spec| spec.name == experiment.name()) else { continue };
        let points = points(experiment.as_ref(), plan);
        let comparisons = comparisons(experiment.as_ref(), &points);
        let judged = judged::judge(&comparisons, measurements, |comparison| cells_of(&points, &comparison.row));
        let of = Analysis { info, measurements, settings: &settings, spec, points: &points, judged: &judged };
        let (result, records) = of.run(experiment.as_ref(), &comparisons);
        results.experiments.push(result);
        results.records.extend(records);
    }
    results
}

/// Relative half-widths of the 95% intervals of all comparisons, each in its own quantity, for the stopping rule. A comparison of cells
/// that could not be measured is left out: more runs would not mend it.
pub fn half_widths(suite: &dyn Suite, plan: &Plan, measurements: &Measurements) -> Vec<f64> {
    let experiments = suite.experiments();
    let planned = experiments.iter().filter(|experiment| settings_of(plan, experiment.name()).is_some());
    planned
        .flat_map(|experiment| {
            let points = points(experiment.as_ref(), plan);
            comparisons(experiment.as_ref(), &points).into_iter().filter_map(move |comparison| {
                let cells = cells_of(&points, &comparison.row);
                // What was not compared with a reference is not ranked, but it was measured and can be as precise as the rest.
                let measured = |id: &str| {
                    let cell = cells.iter().find(|cell| cell.id == id);
                    cell.is_some_and(|cell| status::was_measured(measurements, cell))
                };
                comparison.cells().all(measured).then(|| comparison.relative_half_width(measurements))
            })
        })
        .collect()
}

type Points<'a> = [(Point, Vec<&'a Cell>)];

fn points<'a>(experiment: &dyn Experiment, plan: &'a Plan) -> Vec<(Point, Vec<&'a Cell>)> {
    let cells = plan.cells.iter().filter(|cell| cell.experiment == experiment.name());
    point::points(cells, experiment.compared_axes())
}

fn comparisons(experiment: &dyn Experiment, points: &Points) -> Vec<Comparison> {
    points
        .iter()
        .flat_map(|(_, cells)| {
            let own: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.twin_of.is_none()).collect();
            experiment.comparisons(&own)
        })
        .collect()
}

/// The cells of the point at which a cell stands.
fn cells_of<'p, 'a>(points: &'p Points<'a>, id: &str) -> &'p [&'a Cell] {
    let holds = |(_, cells): &&(Point, Vec<&Cell>)| cells.iter().any(|cell| cell.id == id);
    points.iter().find(holds).map_or(&[], |(_, cells)| cells.as_slice())
}

/// The analysis of one experiment.
struct Analysis<'a> {
    info: &'a RunInfo,
    measurements: &'a Measurements,
    settings: &'a ExperimentSettings,
    spec: &'a ExperimentSpec,
    points: &'a Points<'a>,
    judged: &'a [Judged],
}

impl<'a> Analysis<'a> {
    fn input(&self, point: Point, cells: Vec<&'a Cell>) -> AnalysisInput<'a> {
        AnalysisInput {
            plan: &self.info.plan,
            info: self.info,
            measurements: self.measurements,
            settings: self.settings,
            spec: self.spec,
            point,
            cells,
            judged: self.judged,
        }
    }

    fn run(&self, experiment: &dyn Experiment, comparisons: &[Comparison]) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(&self.info.plan, self.info, self.measurements);
        let all = self.input(Point::default(), self.points.iter().flat_map(|(_, cells)| cells.clone()).collect());
        let mut result = present::outline(&all);
        self.floors(comparisons, &mut rows);
        for (point, cells) in self.points {
            let input = self.input(point.clone(), cells.clone());
            take(&mut result, experiment.analyse(&input, &mut rows), point, self.points.len() > 1);
        }
        take(&mut result, experiment.across(&all, &mut rows), &Point::default(), false);
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.warnings.extend(self.floor_warnings());
        result.warnings.extend(status::warnings(&all));
        if is_simulated(self.info) {
            mark_simulated(&mut result);
        }
        (result, rows.records)
    }

    /// The rows of what each twin showed, in each quantity in which something is compared at its point.
    fn floors(&self, comparisons: &[Comparison], rows: &mut Rows) {
        for (_, cells) in self.points {
            let here = |comparison: &&Comparison| cells.iter().any(|cell| cell.id == comparison.row);
            let mut quantities =
                present::distinct(comparisons.iter().filter(here).map(|comparison| comparison.quantity));
            for twin in cells.iter().filter(|cell| cell.twin_of.is_some()) {
                // A twin of what is compared with nothing is there for the experiment's own figure.
                if quantities.is_empty() {
                    quantities.push(Quantity::RATE);
                }
                for quantity in &quantities {
                    let Some(of) = twin.twin_of.as_deref() else { continue };
                    let runs = quantity.between(self.measurements, &twin.id, of).len();
                    let Some(cell) = cells.iter().find(|cell| cell.id == of) else { continue };
                    let Floor::Known(floor) = Floor::of_cell(cell, *quantity, self.measurements, cells) else {
                        continue;
                    };
                    let unit = if quantity.scale == Scale::Ratio { "1" } else { quantity.unit };
                    let stage = if *quantity == Quantity::CALL_TIME { &twin.op.name } else { quantity.key() };
                    rows.push_floor(twin, stage, unit, floor.value, runs);
                }
            }
        }
    }

    /// Where there is no floor, and where it is high.
    fn floor_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unknown = present::distinct(self.judged.iter().filter_map(|judged| match &judged.floor {
            Floor::Unknown(reason) => Some(reason.as_str()),
            Floor::Known(_) => None,
        }));
        for reason in unknown {
            let of = self.judged.iter().filter(|judged| judged.floor == Floor::Unknown(reason.to_owned())).count();
            warnings.push(format!(
                "{of} comparisons have no noise floor, because {reason}: none of them is called a difference or an equality. Look at what befell \
                 the twin, and measure again."
            ));
        }
        let loudest =
            self.judged.iter().filter_map(|judged| judged.floor.known()).max_by(|a, b| a.share().total_cmp(&b.share()));
        if let Some(floor) = loudest.filter(|floor| floor.share() > LOUD) {
            warnings.push(format!(
                "The same cell measured twice under two names differs by up to {}: smaller differences are not called differences. \
                 Close other programs, or run with --full.",
                match floor.scale {
                    Scale::Ratio => floor.words(),
                    Scale::Difference => format!("{} ({} of it)", floor.words(), format::percent(floor.share())),
                }
            ));
        }
        warnings
    }
}

/// Adds what was said of a point, which is named in each heading and, where there are several, in each sentence.
fn take(result: &mut ExperimentResult, mut said: Said, point: &Point, several: bool) {
    for table in &mut said.tables {
        table.title = point.named(&table.title);
        table.id = identified(&table.id, point);
    }
    for figure in &mut said.figures {
        figure.title = point.named(&figure.title);
        figure.id = identified(&figure.id, point);
    }
    if several {
        for finding in &mut said.findings {
            finding.claim = point.named(&finding.claim);
            finding.sentence = point.named(&finding.sentence);
        }
    }
    result.findings.extend(said.findings);
    result.tables.extend(said.tables);
    result.figures.extend(said.figures);
    result.warnings.extend(said.warnings);
}

/// A name that no table or figure of another point has.
fn identified(id: &str, point: &Point) -> String {
    let slug = point.slug();
    if slug.is_empty() { id.to_owned() } else { format!("{id}-{slug}") }
}

/// Whether a subject says of itself that it stands for something that is not there.
fn is_simulated(info: &RunInfo) -> bool {
    info.subjects.values().any(|ready| ready.build.get("simulated").is_some_and(|simulated| simulated == "true"))
}

/// Writes SIMULATED over everything, so that no figure of a simulation is taken for a measurement.
fn mark_simulated(result: &mut ExperimentResult) {
    let mark = |text: &mut String| text.insert_str(0, "SIMULATED: ");
    result.tables.iter_mut().for_each(|table| mark(&mut table.title));
    result.figures.iter_mut().for_each(|figure| {
        mark(&mut figure.title);
        mark(&mut figure.caption);
    });
    result.findings.iter_mut().for_each(|finding| mark(&mut finding.sentence));
    result.warnings.push(
        "The server was llmbench's own mock: these figures show what the client and the method do, and nothing about a server. Ask \
         yours with --base-url."
            .to_owned(),
    );
}
