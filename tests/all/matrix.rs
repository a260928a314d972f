//! Every window kind over workers, partitions and epoch cuts.
