//! What to do at a start, and what may be deleted: decisions over observed facts, without I/O.

use std::collections::BTreeSet;

use super::authority::{CheckpointId, Pointer};
use super::manifest::Definition;

/// What an operator asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Go on from the last commit; begin anew when there never was one.
    #[default]
    Continue,
    /// Go on from this checkpoint, whatever the authority says.
    From(CheckpointId),
    /// Begin anew, whatever there is.
    Reset,
}

/// What is known at a start.
#[derive(Clone, Debug, Default)]
pub struct StartFacts<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The pipeline that the store belongs to; none: it is new.
    pub store_of: Option<&'a str>,
    /// A checkpoint was committed at some time.
    pub committed_before: bool,
    /// What the authority names.
    pub pointer: Option<&'a Pointer>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Begin with empty state at the sources' start.
    Fresh,
    /// Load this checkpoint.
    Load(CheckpointId),
}

/// Why a pipeline does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartProblem {
    /// The store is another pipeline's.
    #[error("the state store belongs to pipeline `{found}`, not to `{wanted}`")]
    OtherPipeline {
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
    /// There are checkpoints, but nobody says which one counts.
    #[error(
        "checkpoints were committed, but the commit authority names none: its offsets have \
         expired, or were deleted or reset"
    )]
    PointerLost,
    /// The definition of nodes with state has changed.
    #[error("the checkpoint does not fit the pipeline: {}", changes.join(", "))]
    OtherPlan {
        /// What differs, node by node.
        changes: Vec<String>,
    },
}

impl StartProblem {
    /// Returns the choices.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::OtherPipeline { .. } => {
                "each pipeline needs a folder of its own: change [state] path, or `name` back"
            }
            Self::PointerLost => {
                "`millstream checkpoints list FILE` shows what there is; `millstream recover FILE \
                 --from-checkpoint ID` makes one count again (results since then come twice); \
                 `run --reset` begins anew"
            }
            Self::OtherPlan { .. } => {
                "run with the file as it was, or begin anew: `run --reset` (its windows, counters \
                 and rule states are then lost), or keep both: another [state] path"
            }
        }
    }
}

/// Decides how a pipeline starts.
///
/// # Errors
/// When only the operator can decide.
pub fn start(facts: &StartFacts<'_>, asked: &Start) -> Result<Decision, StartProblem> {
    if let Some(found) = facts.store_of
        && found != facts.pipeline
    {
        let (found, wanted) = (found.to_owned(), facts.pipeline.to_owned());
        return Err(StartProblem::OtherPipeline { found, wanted });
    }
    match (asked, facts.pointer) {
        (Start::Reset, _) => Ok(Decision::Fresh),
        (Start::From(id), _) => Ok(Decision::Load(id.clone())),
        (Start::Continue, Some(pointer)) => Ok(Decision::Load(pointer.checkpoint.clone())),
        (Start::Continue, None) if facts.committed_before => Err(StartProblem::PointerLost),
        (Start::Continue, None) => Ok(Decision::Fresh),
    }
}

/// Compares what a checkpoint's state depends on with what a plan says.
///
/// # Errors
/// When a node with state was changed, removed or added.
pub fn fits(kept: &[Definition], plan: &[Definition]) -> Result<(), StartProblem> {
    let mut changes = Vec::new();
    for definition in kept {
        let name = format!("{} `{}`", definition.kind, definition.node);
        match plan.iter().find(|other| other.node == definition.node) {
            None => changes.push(format!("{name} is gone")),
            Some(other) if other.kind != definition.kind => {
                changes.push(format!("{name} is now a {}", other.kind));
            }
            Some(other) if other.hash != definition.hash => {
                changes.push(format!("{name} is defined otherwise"));
            }
            Some(_) => {}
        }
    }
    for definition in plan {
        if !kept.iter().any(|other| other.node == definition.node) {
            changes.push(format!("{} `{}` is new", definition.kind, definition.node));
        }
    }
    if changes.is_empty() { Ok(()) } else { Err(StartProblem::OtherPlan { changes }) }
}

/// A checkpoint that is there, for collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub id: CheckpointId,
    /// The objects it needs.
    pub objects: Vec<String>,
}

/// Returns the objects of `gone` that no checkpoint of `kept` needs.
pub fn garbage<'a>(kept: &'a [Kept], gone: &'a [Kept]) -> BTreeSet<&'a str> {
    let needed: BTreeSet<&str> =
        kept.iter().flat_map(|kept| &kept.objects).map(String::as_str).collect();
    let objects = gone.iter().flat_map(|gone| &gone.objects).map(String::as_str);
    objects.filter(|object| !needed.contains(object)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_start() {
        let pointer = Pointer { checkpoint: ID.into(), epoch: 9 };
        let facts = |store_of, committed_before, pointer| StartFacts {
            pipeline: "p",
            store_of,
            committed_before,
            pointer,
        };
        let from = Start::From("f".repeat(32));
        let load = |id: &str| Ok(Decision::Load(id.to_owned()));
        let cases = [
            (facts(None, false, None), Start::Continue, Ok(Decision::Fresh)),
            (facts(Some("p"), false, None), Start::Continue, Ok(Decision::Fresh)),
            (facts(Some("p"), true, Some(&pointer)), Start::Continue, load(ID)),
            // Killed between the commit and the marker.
            (facts(Some("p"), false, Some(&pointer)), Start::Continue, load(ID)),
            (facts(Some("p"), true, None), Start::Continue, Err(StartProblem::PointerLost)),
            (facts(Some("p"), true, None), Start::Reset, Ok(Decision::Fresh)),
            (facts(Some("p"), true, Some(&pointer)), Start::Reset, Ok(Decision::Fresh)),
            (facts(Some("p"), true, None), from.clone(), load(&"f".repeat(32))),
            (facts(Some("p"), true, Some(&pointer)), from, load(&"f".repeat(32))),
            (
                facts(Some("q"), true, Some(&pointer)),
                Start::Reset,
                Err(StartProblem::OtherPipeline { found: "q".into(), wanted: "p".into() }),
            ),
        ];
        for (facts, asked, expected) in cases {
            assert_eq!(start(&facts, &asked), expected, "{facts:?} {asked:?}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let of = |node: &str, kind: &str, hash: &str| Definition {
            node: node.into(),
            kind: kind.into(),
            hash: hash.into(),
        };
        let kept = [of("a", "window", "1"), of("b", "rule", "2"), of("c", "window", "3")];
        assert_eq!(fits(&kept, &kept), Ok(()));
        let plan = [of("a", "window", "9"), of("b", "window", "2"), of("d", "rule", "4")];
        let problem = fits(&kept, &plan).unwrap_err().to_string();
        for part in ["`a` is defined otherwise", "`b` is now a window", "`c` is gone", "`d` is new"]
        {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn only_what_nobody_needs_is_garbage() {
        let of = |id: &str, objects: &[&str]| Kept {
            id: id.into(),
            objects: objects.iter().map(|object| (*object).to_owned()).collect(),
        };
        let kept = [of("3", &["base", "d2", "d3"]), of("2", &["base", "d2"])];
        let gone = [of("1", &["base", "old"]), of("0", &["older", "d2"])];
        assert_eq!(garbage(&kept, &gone).into_iter().collect::<Vec<_>>(), ["old", "older"]);
    }
}
