//! Which partitions of a plan must not run away from each other, and how far they may.

use super::time::EventTime;
use crate::config::model::WindowKind;
use crate::data::{PartitionRef, SourceId};
use crate::plan::{NodeKind, Plan};
use crate::watermark::{Runner, Supply, ahead};

/// For each source, how far ahead its partitions may be, and whose windows it shares.
pub struct Drift {
    sources: Vec<Limits>,
}

struct Limits {
    max_us: Option<i64>,
    /// Sources with the same number meet in a window.
    group: usize,
}

impl Drift {
    /// Returns what the pipeline file says, or else twice the largest window that reads a source.
    pub fn of(plan: &Plan) -> Self {
        let count = plan.sources.len();
        let mut groups: Vec<usize> = (0..count).collect();
        let mut largest: Vec<Option<i64>> = vec![None; count];
        for node in &plan.nodes {
            let NodeKind::Window(window) = &node.kind else { continue };
            let size = match window.window.spec().kind {
                WindowKind::Tumbling { size_us, .. } | WindowKind::Sliding { size_us, .. } => {
                    Some(size_us)
                }
                WindowKind::Session { gap_us } => Some(gap_us),
                WindowKind::Count { .. } | WindowKind::Global => None,
            };
            let members: Vec<usize> = node.sources.iter().filter_map(|id| index(*id)).collect();
            for member in &members {
                if let Some(slot) = largest.get_mut(*member) {
                    *slot = (*slot).max(size);
                }
            }
            join(&mut groups, &members);
        }
        let sources = plan
            .sources
            .iter()
            .zip(groups.into_iter().zip(largest))
            .map(|(id, (group, largest))| {
                let typed = match &plan.node(*id).kind {
                    NodeKind::Source(source) => source.config.watermark.max_drift_us,
                    _ => None,
                };
                let default = largest.map(|size| size.saturating_mul(2));
                Limits { max_us: typed.or(default), group }
            })
            .collect();
        Self { sources }
    }

    /// Returns true when no partition ever has to wait.
    pub fn is_off(&self) -> bool {
        self.sources.iter().all(|limits| limits.max_us.is_none())
    }

    /// Returns the partitions that have to wait now.
    pub fn ahead(
        &self,
        time: &EventTime,
        supply: impl Fn(PartitionRef) -> Supply,
    ) -> Vec<PartitionRef> {
        let mut groups: Vec<Vec<Runner>> = self.sources.iter().map(|_| Vec::new()).collect();
        for (partition, clock, delay_us) in time.partitions() {
            let limits = index(partition.source).and_then(|at| self.sources.get(at));
            let Some(limits) = limits else { continue };
            // What gave rows in the last epoch is not out of them because it has none right now.
            let supply = match supply(partition) {
                Supply::Nothing if time.gave_lately(partition) => Supply::More,
                supply => supply,
            };
            if let Some(group) = groups.get_mut(limits.group) {
                group.push(Runner {
                    partition,
                    watermark: clock.watermark(delay_us),
                    supply,
                    idle: !clock.holds(),
                    max_drift_us: limits.max_us,
                });
            }
        }
        groups.iter().flat_map(|runners| ahead(runners)).collect()
    }
}

/// Gives all members the least of their groups' numbers.
fn join(groups: &mut [usize], members: &[usize]) {
    let of: Vec<usize> = members.iter().filter_map(|at| groups.get(*at)).copied().collect();
    let Some(least) = of.iter().min().copied() else { return };
    for group in groups.iter_mut().filter(|group| of.contains(group)) {
        *group = least;
    }
}

fn index(source: SourceId) -> Option<usize> {
    usize::try_from(source.0).ok()
}
