//! Do the cells of a group give the same output as its reference? If not, where is the first difference?

use std::collections::BTreeMap;

use record::plan::Timing;
use record::protocol::Output;
use record::results::Status;

use super::journal::Journal;
use super::pool::{Halt, WorkerPool};

/// Shown on each side of the first difference, characters.
const TEXT_CONTEXT: usize = 20;
/// Shown on each side of the first difference, ids.
const IDS_CONTEXT: usize = 3;

/// Compares the checks of the calibration. Cells that differ become `mismatch`, cells whose group has no reference
/// `unchecked`; both are measured all the same.
pub(super) fn compare(pool: &mut WorkerPool<'_>, journal: &mut Journal<'_>) -> Result<(), Halt> {
    let plan = pool.plan;
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, cell) in plan.cells.iter().enumerate() {
        // A cell without a check has no output to compare: a probe, or a stretch that its worker checks.
        if let Some(check) = &cell.check {
            groups.entry(&check.group).or_default().push(index);
        }
    }
    for (group, cells) in groups {
        let is_reference = |i: usize| plan.cells[i].check.as_ref().is_some_and(|check| check.reference);
        let works =
            |journal: &Journal<'_>, i: usize| !journal.cells[i].is_dropped() && !journal.cells[i].hashes.is_empty();
        let mut references = cells.iter().copied().filter(|&i| is_reference(i)).peekable();
        let named = references.peek().copied();
        let reference = references.find(|&i| works(journal, i));
        for index in cells {
            if journal.cells[index].is_dropped() || reference == Some(index) {
                continue;
            }
            match reference {
                Some(reference) => compare_with(pool, reference, index, journal)?,
                None => {
                    let reason = match named {
                        Some(i) => format!("its reference {} gave no output", plan.cells[i].id),
                        None => format!("no cell of {group} is its reference"),
                    };
                    journal.set_status(index, None, Status::Unchecked, &reason)?;
                }
            }
        }
    }
    Ok(())
}

fn compare_with(
    pool: &mut WorkerPool<'_>,
    reference: usize,
    index: usize,
    journal: &mut Journal<'_>,
) -> Result<(), Halt> {
    let wanted = journal.cells[reference].hashes.clone();
    let found = &journal.cells[index].hashes;
    if found.is_empty() {
        return Ok(journal.set_status(index, None, Status::Unchecked, "the worker gave no check of its output")?);
    }
    let Some(request) = found.iter().zip(&wanted).position(|(a, b)| a != b) else {
        if pool.plan.cells[index].timing == Timing::First {
            // It was asked for one request; in the runs it is asked for any.
            journal.cells[index].hashes = wanted;
        }
        return Ok(());
    };
    let number = request as u32;
    let here = pool.dump(index, number, journal)?;
    let there = pool.dump(reference, number, journal)?;
    let name = &pool.plan.cells[reference].id;
    let detail = match (here, there) {
        (Some(here), Some(there)) => first_difference(&here, &there)
            .unwrap_or_else(|| ": the hashes differ, but a second look gave equal outputs".to_owned()),
        _ => ", and the outputs could not be had to find the place".to_owned(),
    };
    if !journal.cells[index].is_dropped() {
        let message = format!("request {request} differs from {name}{detail}");
        journal.set_status(index, None, Status::Mismatch, &message)?;
    }
    Ok(())
}

/// Where two outputs differ first, with what stands around it in both; none if they are equal.
fn first_difference(here: &Output, there: &Output) -> Option<String> {
    match (here, there) {
        (Output::Text(here), Output::Text(there)) => {
            let (a, b): (Vec<char>, Vec<char>) = (here.chars().collect(), there.chars().collect());
            let at = position(&a, &b)?;
            let show = |text: &[char]| format!("{:?}", around(text, at, TEXT_CONTEXT).iter().collect::<String>());
            Some(format!(" at character {at}: {} here, {} there", show(&a), show(&b)))
        }
        (Output::Ids(a), Output::Ids(b)) => {
            let at = position(a, b)?;
            let show = |ids: &[u32]| format!("{:?}", around(ids, at, IDS_CONTEXT));
            Some(format!(" at id {at}: {} here, {} there", show(a), show(b)))
        }
        _ => Some(": one is text, the other ids".to_owned()),
    }
}

fn position<T: PartialEq>(a: &[T], b: &[T]) -> Option<usize> {
    let common = a.iter().zip(b).position(|(a, b)| a != b);
    common.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}

fn around<T>(items: &[T], at: usize, context: usize) -> &[T] {
    let end = (at + context + 1).min(items.len());
    &items[at.saturating_sub(context).min(end)..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Output {
        Output::Text(text.to_owned())
    }

    #[test]
    fn the_first_differing_character_is_found_by_characters_not_bytes() {
        let found = first_difference(&text("grüße, welt"), &text("grüße, Welt"));
        assert_eq!(found.as_deref(), Some(r#" at character 7: "grüße, welt" here, "grüße, Welt" there"#));
        assert_eq!(first_difference(&text("a"), &text("a")), None);
    }

    #[test]
    fn an_output_that_merely_ends_earlier_differs_at_its_end() {
        let found = first_difference(&Output::Ids(vec![1, 2, 3, 4, 5]), &Output::Ids(vec![1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(found.as_deref(), Some(" at id 5: [3, 4, 5] here, [3, 4, 5, 6, 7] there"));
        assert_eq!(first_difference(&text(""), &text("x")).as_deref(), Some(r#" at character 0: "" here, "x" there"#));
    }
}
