//! Who decides which commit counts, and what each way through a pipeline promises.

use super::nodes::{NodeKind, Plan};
use crate::config::model::{Delivery, SinkKind, SourceKind, StateStore, Visible};
use crate::config::units::format_duration_us;

/// Returns the lines of `millstream check` about commits and delivery.
pub fn guarantees(plan: &Plan) -> Vec<String> {
    let mut lines = vec![commit(plan)];
    for node in &plan.nodes {
        let NodeKind::Sink(sink) = &node.kind else { continue };
        for source in &node.sources {
            let Some(from) = usize::try_from(source.0).ok().and_then(|at| plan.sources.get(at))
            else {
                continue;
            };
            let from = plan.node(*from);
            let NodeKind::Source(source) = &from.kind else { continue };
            let promise = delivery(plan.state.is_some(), &source.config.kind, &sink.config);
            lines.push(format!("{} -> {}: {promise}", from.name, node.name));
        }
    }
    lines
}

fn commit(plan: &Plan) -> String {
    let Some(state) = &plan.state else {
        return "nothing is kept: results are visible with each epoch, every run begins anew \
                ([state] changes that)"
            .into();
    };
    let interval = format_duration_us(state.commit_interval_us);
    let place = match &state.store.value {
        StateStore::Folder(path) => path.display().to_string(),
        StateStore::Url(url) => url.clone(),
    };
    let exact = plan.nodes.iter().find_map(|node| match &node.kind {
        NodeKind::Sink(sink) => match &sink.config.kafka()?.delivery {
            Delivery::ExactlyOnce { transactional_id, .. } => Some(transactional_id),
            Delivery::AtLeastOnce => None,
        },
        _ => None,
    });
    match exact {
        Some(id) => format!(
            "authority Kafka: outputs, offsets and the checkpoint's name in one transaction, every \
             {interval}; transactional id {id}; checkpoints in {place}"
        ),
        None => format!(
            "authority the state store: a commit is the next number in {place}, every {interval}"
        ),
    }
}

/// Returns what one way promises, and why.
fn delivery(kept: bool, source: &SourceKind, sink: &SinkKind) -> &'static str {
    let again = !matches!(source, SourceKind::Stdin);
    if matches!(sink, SinkKind::Discard) {
        return "nothing: rows are counted and dropped";
    }
    if !kept {
        return "at most once per run: nothing is kept, so a run that is cut off is not continued";
    }
    if !again {
        return "at most once: what was read and not committed is lost in a crash, standard input \
                cannot be read again";
    }
    match sink {
        SinkKind::Kafka(kafka) => match kafka.delivery {
            Delivery::ExactlyOnce { .. } => {
                "exactly once, for readers of committed records: input positions, state and rows \
                 are committed together"
            }
            Delivery::AtLeastOnce => {
                "at least once: rows leave at once, those since the last commit come again after a \
                 crash"
            }
        },
        SinkKind::File(file) => match file.visible {
            Visible::Roll => {
                "exactly once: parts are cut back to the last commit, and published after theirs"
            }
            Visible::Commit => {
                "exactly once after a restart: the file is cut back to the last commit; readers may \
                 see rows before that, and a second instance is not kept out of the file"
            }
        },
        SinkKind::Console(_) => {
            "at least once: what was shown since the last commit is shown again"
        }
        SinkKind::Discard => "nothing: rows are counted and dropped",
    }
}
