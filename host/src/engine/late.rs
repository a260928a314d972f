//! What came too late, by window: how many rows, and how late.

use std::collections::BTreeMap;

use crate::config::model::WindowKind;
use crate::plan::{NodeId, NodeKind, Plan};
use crate::report::Lateness;
use crate::window::LateRow;

/// Late rows of every window.
pub struct LateLog {
    by_window: BTreeMap<NodeId, LateWindow>,
}

/// Late rows of one window.
#[derive(Default)]
pub struct LateWindow {
    /// The window's size: what a dropped window's end is after its start.
    size_us: i64,
    allowed_us: i64,
    /// Rows late for all their windows.
    pub lost: u64,
    /// Rows late for some of their windows.
    pub partly_lost: u64,
    /// How much longer the watermark's delay would have had to be, by row.
    pub lateness: Lateness,
}

impl LateLog {
    /// Returns an empty log for the windows of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut by_window = BTreeMap::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Window(window) = &node.kind else { continue };
            let size_us = match window.window.spec().kind {
                WindowKind::Tumbling { size_us, .. } | WindowKind::Sliding { size_us, .. } => {
                    size_us
                }
                WindowKind::Session { .. } | WindowKind::Count { .. } | WindowKind::Global => 0,
            };
            let allowed_us = window.window.spec().allowed_lateness_us;
            by_window
                .insert(NodeId(index), LateWindow { size_us, allowed_us, ..LateWindow::default() });
        }
        Self { by_window }
    }

    /// Adds the late rows of a batch.
    pub fn add(&mut self, window: NodeId, late: &[LateRow]) {
        let Some(log) = self.by_window.get_mut(&window) else { return };
        for row in late {
            if row.windows_kept == 0 {
                log.lost += 1;
            } else {
                log.partly_lost += 1;
            }
            let end = row.first_dropped_start.saturating_add(log.size_us);
            let closed = end.saturating_add(log.allowed_us);
            log.lateness.observe(row.watermark.saturating_sub(closed).saturating_add(1));
        }
    }

    /// Returns the log of a window.
    pub fn window(&self, node: NodeId) -> Option<&LateWindow> {
        self.by_window.get(&node)
    }
}
